import pytest
from msgspec.structs import replace

from benchmarks.speed.step.document import (
    Milliseconds,
    Ratio,
    Timing,
    failed,
    ratios,
    rows,
    summary,
)
from benchmarks.speed.step.workloads import WORKLOADS, Limits
from small_workloads import TINY
from spikeduel.system import typed

LIMITS = Limits(bf16_gflops=0.001, float32_gflops=0.0005, bandwidth_gbs=0.01)


def timing(*rounds, **settings):
    return Timing([list(part) for part in rounds], "float32", 1.5, 5000, **settings)


def ratio(median, least, most, contender):
    return Ratio(median=median, min=least, max=most, contender=contender)


def test_a_summary_by_hand():
    timing = Timing([[4.0, 1.0], [2.0], [3.0, 10.0]])
    assert timing.ms == Milliseconds(median=3.0, min=1.0, max=10.0, p25=2.0, p75=4.0, n=5)
    assert Timing([[7.0]]).ms == Milliseconds(median=7.0, min=7.0, max=7.0, p25=7.0, p75=7.0, n=1)
    assert Timing().ms is None


def test_a_row_by_hand():
    # 2,440 operations at a million a second take 2.44 ms; 5,312 bytes at ten million a second 0.53
    # ms.
    fine, broken = rows(
        TINY, {"spikeduel": timing([10.0], [20.0]), "snntorch-study": Timing(error="no")}, LIMITS
    )
    assert typed.plain(fine) == {
        "workload": "tiny",
        "contender": "spikeduel",
        "precision": "float32",
        "start_seconds": 1.5,
        "ms": {"median": 15.0, "min": 10.0, "max": 20.0, "p25": 12.5, "p75": 17.5, "n": 2},
        "peak_memory_bytes": 5000,
        "flop": 2440,
        "bytes": 36 * 145 + 32 + 60,
        "roofline_ms": pytest.approx(2.44),
        "roofline_fraction": pytest.approx(2.44 / 15),
        "error": None,
    }
    nulls = {
        "precision": None,
        "start_seconds": None,
        "ms": None,
        "peak_memory_bytes": None,
        "roofline_fraction": None,
        "error": "no",
    }
    assert typed.plain(broken) == {**typed.plain(fine), "contender": "snntorch-study", **nulls}


def test_the_ratios_of_a_spiking_workload():
    timings = {
        "spikeduel": timing([1.0, 2.0, 3.0], [2.0]),
        "spikeduel-float32": timing([1.0], [1.0]),
        "snntorch-study": timing([20.0], [24.0]),
        "snntorch-fastest": timing([8.0], [8.0]),
        "spikingjelly-hoisted-bf16+memory": timing([6.0], [5.0]),
        "spikingjelly": Timing(error="missing"),
    }
    assert ratios(WORKLOADS["snn-28-rate"], timings, timing([4.0], [1.0])) == {
        "snntorch-study": ratio(11.0, 10.0, 12.0, "snntorch-study"),
        "fastest-peer": ratio(4.0, 4.0, 4.0, "snntorch-fastest"),
        "fastest-peer+memory": ratio(2.75, 2.5, 3.0, "spikingjelly-hoisted-bf16+memory"),
        "cnn": ratio(1.25, 0.5, 2.0, "spikeduel"),
    }


def test_the_ratios_of_the_cnn():
    seconds = {"spikeduel": 2.0, "spikeduel-float32": 9.0, "torch-cnn": 5.0}
    timings = {name: timing([number]) for name, number in seconds.items()}
    assert ratios(WORKLOADS["cnn-28"], timings) == {"torch-cnn": ratio(2.5, 2.5, 2.5, "torch-cnn")}


def test_there_is_no_ratio_to_what_failed():
    missing = {"spikeduel": timing([2.0]), "snntorch-study": Timing(error="missing")}
    assert ratios(WORKLOADS["snn-28-rate"], missing, Timing(error="broke")) == {}
    broken = {**missing, "spikeduel": Timing(error="broke")}
    assert ratios(WORKLOADS["snn-28-rate"], broken, timing([1.0])) == {}


def test_only_spikeduels_own_failures_count_as_failed(benchmark):
    assert not failed(benchmark)
    row = replace(benchmark.rows[0], contender="spikeduel-float32", error="broke")
    assert failed(replace(benchmark, rows=(row,)))


def test_the_summary_by_hand(benchmark):
    lines = [line.split() for line in summary(benchmark).splitlines()]
    timed = ["snn-28-rate", "spikeduel", "bf16", "4.12", "37.4", "512", "42%"]
    assert timed in lines
    assert ["snn-28-rate", "spikingjelly", "failed:", "needs", "spikingjelly"] in lines
    of_study = ["snn-28-rate", "snntorch-study", "/", "spikeduel", "24.36", "22.00", "–", "26.50"]
    assert of_study in lines
    assert any("spikeduel's CNN" in " ".join(line) for line in lines)
    assert lines[-3:] == [["The", "machine", "was", "busy."], [], benchmark.roofline.split()]
    interrupted = replace(benchmark, rows=(), ratios={}, warnings=())
    assert summary(interrupted) == benchmark.roofline
