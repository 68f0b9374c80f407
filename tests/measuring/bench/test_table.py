import pytest

from spikeduel.measuring.bench.table import notes, table


@pytest.fixture
def document():
    ms = {"median": 4.123, "min": 3.0, "max": 9.0, "p25": 4.0, "p75": 123.4, "n": 9}
    row = {
        "workload": "snn-28-rate",
        "contender": "spikeduel",
        "precision": "bf16",
        "start_seconds": 37.44,
        "ms": ms,
        "peak_memory_bytes": 512_000_000,
        "roofline_fraction": 0.416,
        "error": None,
    }
    nothing = {"precision": None, "ms": None, "peak_memory_bytes": None, "roofline_fraction": None}
    missing = {**row, **nothing, "contender": "spikingjelly", "error": "needs spikingjelly: pip install it"}
    point = {"axis": "num_steps", "value": 200, "ms": {**ms, "median": 33.3}, "peak_memory_bytes": 700_000_000}
    ratio = {"median": 24.36, "min": 22.0, "max": 26.5}
    return {
        "machine": {"cpu": "A Processor", "threads": 2, "torch": "2.13"},
        "limits": {"bf16_gflops": 1310.4, "float32_gflops": 390.2, "bandwidth_gbs": 21.3},
        "roofline": "Roofline: a rule.",
        "contenders": {"spikeduel": "this", "spikingjelly": "that", "torch-cnn": "another"},
        "rows": [row, missing],
        "ratios": {
            "snn-28-rate": {
                "snntorch-study": {**ratio, "contender": "snntorch-study"},
                "fastest-peer": {**ratio, "contender": "spikingjelly-hoisted"},
                "cnn": {**ratio, "contender": "spikeduel"},
            },
            "cnn-28": {"torch-cnn": {**ratio, "contender": "torch-cnn"}},
        },
        "scaling": [
            {**point, "contender": "spikeduel", "error": None},
            {
                **point,
                "contender": "spikingjelly",
                "ms": None,
                "peak_memory_bytes": None,
                "error": "needs spikingjelly",
            },
        ],
        "warnings": ["This machine was busy."],
    }


def line_with(text, *words):
    (line,) = [line for line in text.splitlines() if all(word in line for word in words)]
    return line.split()


def test_the_tables_by_hand(document):
    text = table(document)
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


def test_the_notes_say_what_is_wrong_first_and_what_the_names_mean(document):
    said = notes(document)
    assert said[0] == "This machine was busy."
    assert said[1] == "spikingjelly: needs spikingjelly: pip install it"
    assert "The peers come with the extra bench: pip install 'spikeduel[bench]'" in said
    assert "Roofline: a rule." in said
    assert "spikeduel: this." in said
    assert not any("another" in line for line in said)


def test_a_document_that_was_interrupted_early_is_an_empty_table(document):
    assert table({**document, "rows": [], "ratios": {}, "scaling": []}) == ""
