import json
import os
from dataclasses import replace
from functools import partial

import pytest
import torch

from bench_fakes import Fake
from spikeduel.measuring import bench
from spikeduel.measuring.bench import (
    BASE,
    LONG_STEP_MS,
    busy,
    described,
    interleaved,
    plan,
    run,
    scaling_points,
)
from spikeduel.measuring.bench.contenders import CONTENDERS, Failed, is_spikeduel
from spikeduel.measuring.bench.workloads import WORKLOADS, Limits, Workload
from spikeduel.system import typed
from spikeduel.system.errors import InputError
from spikeduel.system.load import load_average
from spikeduel.system.progress import Progress

LIMITS = Limits(bf16_gflops=200.0, float32_gflops=100.0, bandwidth_gbs=10.0)
KEYS = {
    "schema",
    "spikeduel",
    "created",
    "settings",
    "machine",
    "limits",
    "roofline",
    "contenders",
    "workloads",
    "rows",
    "ratios",
    "scaling",
    "warnings",
    "finished",
}


@pytest.fixture(autouse=True)
def _known_limits(monkeypatch):
    monkeypatch.setattr(bench, "call", lambda function, threads, seconds: LIMITS)


@pytest.fixture
def fakes(monkeypatch):
    """Nobody computes: every step takes as long as `fake` says."""
    monkeypatch.setattr(bench, "Worker", fake)


def fake(contender, workload, threads):
    if contender.name.startswith("spikingjelly"):
        raise Failed("needs spikingjelly: pip install 'spikeduel[bench]'")
    return Fake(contender.name, [], {"spikeduel": 10.0}.get(contender.name, 50.0))


def test_the_defaults_of_the_plan():
    full, quick = plan(), plan(quick=True)
    assert full.workloads == quick.workloads == tuple(WORKLOADS)
    assert (full.scaling, quick.scaling) == (True, False)
    assert (full.rounds, quick.rounds) == (10, 2)
    assert full.threads >= 1
    chosen = plan(only=["cnn-28", "snn-28-rate"], rounds=2, threads=3, scaling=False)
    assert (chosen.workloads, chosen.rounds, chosen.threads) == (("snn-28-rate", "cnn-28"), 2, 3)
    assert not chosen.scaling
    assert plan(quick=True, scaling=True).scaling


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"only": ["snn-28-rat"]}, "unknown workload 'snn-28-rat': did you mean 'snn-28-rate'?"),
        ({"rounds": 0}, "--rounds must be at least 1, not 0."),
        ({"threads": -1}, "--threads must be at least 1, not -1."),
    ],
)
def test_mistakes_are_said_before_anything_runs(given, says):
    with pytest.raises(InputError) as caught:
        plan(**given)
    assert str(caught.value).startswith(says)


def test_the_document(tmp_path, fakes):
    out = tmp_path / "speed.json"
    chosen = plan(only=["snn-28-direct", "cnn-28"], quick=True, rounds=2, scaling=True)
    document = run(chosen, out=out)
    written = json.loads(out.read_text())
    assert written == json.loads(json.dumps(typed.plain(document)))
    assert set(written) == KEYS
    assert document.finished
    assert document.limits == LIMITS
    assert [(row.workload, row.contender) for row in document.rows] == [
        ("snn-28-direct", "spikeduel"),
        ("snn-28-direct", "snntorch-study"),
        ("snn-28-direct", "snntorch-fastest-bf16"),
        ("snn-28-direct", "spikingjelly-hoisted-bf16"),
        ("cnn-28", "spikeduel"),
        ("cnn-28", "torch-cnn"),
        ("cnn-28", "torch-cnn-tuned"),
    ]
    ours, _, _, missing, *_ = document.rows
    assert ours.ms.median == 10.0
    assert 0 < ours.roofline_fraction < 1
    assert missing.error == "needs spikingjelly: pip install 'spikeduel[bench]'"
    assert missing.ms is None
    assert document.ratios["snn-28-direct"]["snntorch-study"].median == 5.0
    assert document.ratios["snn-28-direct"]["cnn"].median == 1.0
    assert document.ratios["cnn-28"]["torch-cnn-tuned"].median == 5.0
    assert {entry.axis for entry in document.scaling} == {
        "num_steps",
        "batch_size",
        "hidden",
        "threads",
    }
    assert set(document.contenders) == set(CONTENDERS)
    assert str(tmp_path) not in out.read_text()


def test_the_bar_has_a_step_for_each_start_and_visit(fakes):
    class Counting(Progress):
        def track(self, items, description, total=None):
            self.total, self.taken = total, 0
            for item in items:
                self.taken += 1
                yield item

    progress = Counting()
    run(plan(only=["snn-28-rate"], quick=True, rounds=2, scaling=True), progress)
    assert progress.taken == progress.total


def test_an_interruption_keeps_the_workloads_that_are_done(tmp_path, monkeypatch):
    log = []

    def start(contender, workload, threads):
        if workload.name == "cnn-28":
            raise KeyboardInterrupt
        return Fake(contender.name, log)

    monkeypatch.setattr(bench, "Worker", start)
    out = tmp_path / "speed.json"
    with pytest.raises(KeyboardInterrupt):
        run(plan(only=["cnn-28", "cnn-97"], quick=True, rounds=1), out=out)
    kept = json.loads(out.read_text())
    assert (kept["rows"], kept["finished"]) == ([], False)
    with pytest.raises(KeyboardInterrupt):
        run(replace(plan(quick=True, rounds=1), workloads=("cnn-97", "cnn-28")), out=out)
    kept = json.loads(out.read_text())
    assert [row["contender"] for row in kept["rows"]] == [
        "spikeduel",
        "torch-cnn",
        "torch-cnn-tuned",
    ]
    assert kept["finished"] is False
    assert log.count(("spikeduel", "start")) == log.count(("spikeduel", "close")) == 1


def test_a_place_that_cannot_be_written_is_said_at_once(tmp_path, fakes):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write to"):
        run(plan(only=["cnn-28"]), out=tmp_path / "file" / "speed.json")


def test_the_real_thing_in_processes_of_its_own(monkeypatch):
    small = {"batch_size": 4, "hidden": 8}
    monkeypatch.setitem(
        WORKLOADS, "snn-28-rate", Workload("snn-28-rate", "dense", 28, "rate", 2, **small)
    )
    monkeypatch.setitem(WORKLOADS, "cnn-28", Workload("cnn-28", "cnn", 28, **small))
    monkeypatch.setitem(
        WORKLOADS, "events-34", Workload("events-34", "conv", 8, "events", 2, channels=2, **small)
    )
    document = run(
        plan(only=["snn-28-rate", "cnn-28", "events-34"], quick=True, rounds=1, threads=1)
    )
    timed = {(row.workload, row.contender): row for row in document.rows}
    for key in (("snn-28-rate", "spikeduel"), ("cnn-28", "spikeduel"), ("cnn-28", "torch-cnn")):
        assert timed[key].error is None
        assert timed[key].ms.median > 0
        assert timed[key].peak_memory_bytes > 50 << 20
    for row in document.rows:
        assert row.error is None or row.error.startswith("needs ")
    assert document.ratios["snn-28-rate"]["cnn"].median > 0
    assert (
        document.ratios["events-34"]["rate"].median
        > document.ratios["events-34"]["binning"].median
        > 0
    )
    assert document.finished


# ---- scaling


def test_every_axis_changes_one_thing():
    found = scaling_points(threads=4)
    values = {
        axis: [value for name, value, _, _ in found if name == axis] for axis, _, _, _ in found
    }
    assert values == {
        "num_steps": [5, 25, 50, 100, 200],
        "batch_size": [1, 32, 128, 512],
        "hidden": [256, 1024, 4096],
        "threads": [1, 2, 4],
    }
    for axis, value, workload, threads in found:
        if axis == "threads":
            assert (workload, threads) == (BASE, value)
        else:
            changed = {
                name for name in vars(BASE) if getattr(BASE, name) != getattr(workload, name)
            }
            assert changed <= {axis}
            assert getattr(workload, axis) == value
            assert threads == 4
    assert [value for axis, value, _, _ in scaling_points(threads=1) if axis == "threads"] == [1]


def test_a_point_is_measured_by_a_fresh_runner_of_each(monkeypatch):
    started = []

    def start(contender, workload, threads):
        started.append((contender.name, workload, threads))
        return Fake(contender.name, [], fails_at=None if is_spikeduel(contender.name) else 0)

    monkeypatch.setattr(bench, "Worker", start)
    document = run(plan(only=["cnn-28"], quick=True, threads=2, scaling=True))
    longest = replace(BASE, num_steps=200)
    both = [(name, longest, 2) for name in ("spikeduel", "spikingjelly-hoisted-bf16")]
    assert [each for each in started if each[1] == longest] == both
    ours, peer = [
        entry for entry in document.scaling if (entry.axis, entry.value) == ("num_steps", 200)
    ]
    assert (ours.axis, ours.value, ours.contender) == ("num_steps", 200, "spikeduel")
    assert (ours.ms.median, ours.peak_memory_bytes, ours.error) == (100.0, 1000, None)
    assert (peer.ms, peer.error) == (None, "spikingjelly-hoisted-bf16 broke")


# ---- the machine


def test_a_description_names_hardware_versions_and_load():
    found = described(threads=3)
    assert found.threads == 3
    assert found.torch == torch.__version__
    assert set(found.peers) == {"snntorch", "spikingjelly"}
    assert (found.load_average is None) == (load_average() is None)


def test_a_busy_machine_is_warned_of(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert (
        busy(2.0, "at the start")
        == busy(None, "at the start")
        == busy(4.0, "at the end", own_threads=2)
        == ()
    )
    (warning,) = busy(2.1, "at the start")
    assert "at the start (load 2.1 on 8 cores)" in warning
    assert busy(4.1, "at the end", own_threads=2)


# ---- in turns


def driven(starts, rounds, visit_ms):
    """What `interleaved` returns, and the number of turns that it yields."""
    turns, parts = 0, interleaved(starts, rounds, visit_ms)
    while True:
        try:
            next(parts)
        except StopIteration as end:
            return end.value, turns
        turns += 1


def test_contenders_take_turns_there_and_back_with_an_uncounted_step_after_each_switch():
    log = []
    starts = {name: partial(Fake, name, log) for name in ("a", "b")}
    timings, _ = driven(starts, rounds=3, visit_ms=200)
    warm_up = lambda name: [(name, "start"), (name, 1), (name, 2)]  # noqa: E731
    visits = [("a", 3), ("b", 3), ("b", 3), ("a", 3), ("a", 3), ("b", 3)]
    assert log == [*warm_up("a"), *warm_up("b"), *visits, ("a", "close"), ("b", "close")]
    assert timings["a"].rounds == [[100.0, 100.0]] * 3
    assert (timings["a"].precision, timings["a"].peak_memory_bytes, timings["a"].error) == (
        "float32",
        1000,
        None,
    )
    assert 0 <= timings["a"].start_seconds < 1


def test_the_step_after_a_switch_is_not_counted():
    # Three to warm up, then three visits, each with a slow step first.
    ms = [20.0, 10.0, 10.0] + [99.0, 1.0, 2.0] * 3
    timings, _ = driven({"a": partial(Fake, "a", [], ms)}, rounds=3, visit_ms=20)
    assert timings["a"].rounds == [[1.0, 2.0]] * 3


@pytest.mark.parametrize(
    ("ms", "asked"), [(0.01, 11), (25.0, 9), (190.0, 2), (float(LONG_STEP_MS), 1), (5000.0, 1)]
)
def test_a_visit_has_one_to_ten_counted_steps_and_long_ones_need_no_uncounted(ms, asked):
    log = []
    driven({"a": partial(Fake, "a", log, ms)}, rounds=1, visit_ms=200)
    assert log[-2] == ("a", asked)


def test_who_fails_keeps_the_reason_and_the_others_go_on():
    def missing():
        raise Failed("needs something")

    log = []
    starts = {
        "missing": missing,
        "breaks at once": partial(Fake, "x", log, fails_at=0),
        "breaks later": partial(Fake, "y", log, fails_at=3),
        "fine": partial(Fake, "z", log),
    }
    timings, turns = driven(starts, rounds=3, visit_ms=100)
    assert {name: timing.error for name, timing in timings.items()} == {
        "missing": "needs something",
        "breaks at once": "x broke",
        "breaks later": "y broke",
        "fine": None,
    }
    assert [len(timing.rounds) for timing in timings.values()] == [0, 0, 1, 3]
    assert timings["breaks later"].ms is None
    assert turns == 4 * (1 + 3)
    assert {name for name, what in log if what == "close"} == {"x", "y", "z"}


def test_an_interruption_closes_everyone():
    def interrupted():
        raise KeyboardInterrupt

    log = []
    with pytest.raises(KeyboardInterrupt):
        driven({"a": partial(Fake, "a", log), "b": interrupted}, rounds=1, visit_ms=100)
    assert log[-1] == ("a", "close")
