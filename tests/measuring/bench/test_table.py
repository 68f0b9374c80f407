from msgspec.structs import replace

from spikeduel.measuring.bench.document import notes, table


def line_with(text, *words):
    (line,) = [line for line in text.splitlines() if all(word in line for word in words)]
    return line.split()


def test_the_tables_by_hand(benchmark):
    text = table(benchmark)
    heading = "A Processor, 2 threads, torch 2.13: bf16 1,310 GFLOP/s, float32 390 GFLOP/s, memory 21 GB/s"
    assert text.splitlines()[0] == heading
    assert line_with(text, "snn-28-rate", " bf16 ")[1:] == [
        "spikeduel",
        "bf16",
        "4.12",
        "4.00",
        "–",
        "123",
        "37.4",
        "512",
        "42%",
    ]
    assert line_with(text, "snn-28-rate", "failed") == ["snn-28-rate", "spikingjelly", "failed"]
    assert line_with(text, "as the study wrote it / spikeduel")[-4:] == ["24.36", "22.00", "–", "26.50"]
    assert line_with(text, "fastest peer, spikingjelly-hoisted / spikeduel")
    assert line_with(text, "spikeduel's SNN / spikeduel's CNN")
    assert line_with(text, "cnn-28", "torch-cnn / spikeduel")
    assert line_with(text, "steps T") == ["steps", "T", "200", "33.3", "700", "failed"]
    assert "spikingjelly, ms" in text


def test_the_notes_say_what_is_wrong_first_and_what_the_names_mean(benchmark):
    lines = notes(benchmark)
    assert lines[:2] == ["The machine was busy.", "spikingjelly: needs spikingjelly"]
    assert benchmark.roofline in lines
    assert lines[-2:] == ["spikeduel: this.", "spikingjelly: that."]


def test_a_document_that_was_interrupted_early_is_an_empty_table(benchmark):
    assert table(replace(benchmark, rows=(), ratios={}, scaling=())) == ""
