from functools import partial

import pytest

from bench_fakes import Fake
from spikeduel.measuring.bench.interleaving import LONG_STEP_MS, Milliseconds, Timing, interleaved
from spikeduel.measuring.bench.worker import Failed


def test_contenders_take_turns_there_and_back_with_an_uncounted_step_after_each_switch():
    log = []
    starts = {name: partial(Fake, name, log) for name in ("a", "b")}
    timings = interleaved(starts, rounds=3, visit_ms=200)
    warm_up = lambda name: [(name, "start"), (name, 1), (name, 2)]  # noqa: E731
    visits = [("a", 3), ("b", 3), ("b", 3), ("a", 3), ("a", 3), ("b", 3)]
    assert log == [*warm_up("a"), *warm_up("b"), *visits, ("a", "close"), ("b", "close")]
    assert timings["a"].rounds == [[100.0, 100.0]] * 3
    assert (timings["a"].precision, timings["a"].peak_memory_bytes, timings["a"].error) == ("float32", 1000, None)
    assert 0 <= timings["a"].start_seconds < 1


def test_the_step_after_a_switch_is_not_counted():
    # Three to warm up, then three visits, each with a slow step first.
    ms = [20.0, 10.0, 10.0] + [99.0, 1.0, 2.0] * 3
    timings = interleaved({"a": partial(Fake, "a", [], ms)}, rounds=3, visit_ms=20)
    assert timings["a"].rounds == [[1.0, 2.0]] * 3


@pytest.mark.parametrize(("ms", "asked"), [(0.01, 11), (25.0, 9), (190.0, 2), (float(LONG_STEP_MS), 1), (5000.0, 1)])
def test_a_visit_has_one_to_ten_counted_steps_and_long_ones_need_no_uncounted(ms, asked):
    log = []
    interleaved({"a": partial(Fake, "a", log, ms)}, rounds=1, visit_ms=200)
    assert log[-2] == ("a", asked)


def test_who_fails_keeps_the_reason_and_the_others_go_on():
    def missing():
        raise Failed("needs something")

    log, ticks = [], []
    starts = {
        "missing": missing,
        "breaks at once": partial(Fake, "x", log, fails_at=0),
        "breaks later": partial(Fake, "y", log, fails_at=3),
        "fine": partial(Fake, "z", log),
    }
    timings = interleaved(starts, rounds=3, visit_ms=100, tick=lambda: ticks.append(1))
    assert {name: timing.error for name, timing in timings.items()} == {
        "missing": "needs something",
        "breaks at once": "x broke",
        "breaks later": "y broke",
        "fine": None,
    }
    assert [len(timing.rounds) for timing in timings.values()] == [0, 0, 1, 3]
    assert timings["breaks later"].summary() is None
    assert len(ticks) == 4 * (1 + 3)
    assert {name for name, what in log if what == "close"} == {"x", "y", "z"}


def test_an_interruption_closes_everyone():
    def interrupted():
        raise KeyboardInterrupt

    log = []
    with pytest.raises(KeyboardInterrupt):
        interleaved({"a": partial(Fake, "a", log), "b": interrupted}, rounds=1, visit_ms=100)
    assert log[-1] == ("a", "close")


def test_a_summary_by_hand():
    timing = Timing([[4.0, 1.0], [2.0], [3.0, 10.0]])
    assert timing.summary() == Milliseconds(median=3.0, min=1.0, max=10.0, p25=2.0, p75=4.0, n=5)
    assert Timing([[7.0]]).summary() == Milliseconds(median=7.0, min=7.0, max=7.0, p25=7.0, p75=7.0, n=1)
    assert Timing().summary() is None
