import pytest

from bench_fakes import TINY
from spikeduel.measuring.bench.interleaving import Timing
from spikeduel.measuring.bench.machine import Limits
from spikeduel.measuring.bench.results import failed, paired, ratios, rows
from spikeduel.measuring.bench.workloads import WORKLOADS

LIMITS = Limits(bf16_gflops=0.001, float32_gflops=0.0005, bandwidth_gbs=0.01)


def timing(*rounds, **settings):
    return Timing([list(part) for part in rounds], "float32", 1.5, 5000, **settings)


def test_a_row_by_hand():
    # 2,440 operations at a million a second take 2.44 ms; 5,312 bytes at ten million a second 0.53 ms.
    fine, broken = rows(TINY, {"spikeduel": timing([10.0], [20.0]), "snntorch-study": Timing(error="no")}, LIMITS)
    assert fine == {
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
    assert broken == {**fine, "contender": "snntorch-study", **nulls}


def test_ratios_are_paired_by_round():
    slow, fast = timing([10.0, 30.0], [40.0], [90.0]), timing([10.0], [10.0, 10.0], [30.0])
    assert paired(slow, fast) == {"median": 3.0, "min": 2.0, "max": 4.0}


def test_the_ratios_of_a_spiking_workload():
    timings = {
        "spikeduel": timing([2.0], [2.0]),
        "spikeduel-float32": timing([1.0], [1.0]),
        "snntorch-study": timing([20.0], [24.0]),
        "snntorch-fastest": timing([8.0], [8.0]),
        "spikingjelly-hoisted-bf16+memory": timing([6.0], [5.0]),
        "spikingjelly": Timing(error="missing"),
    }
    found = ratios(WORKLOADS["snn-28-rate"], timings, timing([4.0], [1.0]))
    assert found == {
        "snntorch-study": {"median": 11.0, "min": 10.0, "max": 12.0, "contender": "snntorch-study"},
        "fastest-peer": {"median": 4.0, "min": 4.0, "max": 4.0, "contender": "snntorch-fastest"},
        "fastest-peer+memory": {
            "median": 2.75,
            "min": 2.5,
            "max": 3.0,
            "contender": "spikingjelly-hoisted-bf16+memory",
        },
        "cnn": {"median": 1.25, "min": 0.5, "max": 2.0, "contender": "spikeduel"},
    }


def test_the_ratios_of_the_cnn():
    timings = {"spikeduel": timing([2.0]), "spikeduel-float32": timing([9.0]), "torch-cnn": timing([5.0])}
    found = ratios(WORKLOADS["cnn-28"], timings, None)
    assert found == {"torch-cnn": {"median": 2.5, "min": 2.5, "max": 2.5, "contender": "torch-cnn"}}


def test_there_is_no_ratio_to_what_failed():
    missing = {"spikeduel": timing([2.0]), "snntorch-study": Timing(error="missing")}
    assert ratios(WORKLOADS["snn-28-rate"], missing, Timing(error="broke")) == {}
    assert ratios(WORKLOADS["snn-28-rate"], {**missing, "spikeduel": Timing(error="broke")}, timing([1.0])) == {}


def test_only_spikeduels_own_failures_count_as_failed():
    def document(**errors):
        return {"rows": [{"contender": name, "error": error} for name, error in errors.items()], "scaling": []}

    assert not failed(document(spikeduel=None, **{"snntorch-study": "missing"}))
    assert failed(document(spikeduel="broke"))
    assert failed({"rows": [], "scaling": [{"contender": "spikeduel", "error": "broke"}]})
