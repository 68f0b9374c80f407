"""Timing contenders in turns, so that whatever slows the machine down for a while slows all of them."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from spikeduel.measuring.bench.worker import Failed

Key = TypeVar("Key")

LONG_STEP_MS = 300
"""A step as long as this does not feel what another process left in the caches."""


class Runner(Protocol):
    """What can be timed: a `Worker`. Raises `Failed`."""

    precision: str

    def steps(self, count: int) -> list[float]:
        """Milliseconds of `count` steps."""

    def peak_memory_bytes(self) -> int | None:
        """The most memory held so far."""

    def close(self) -> None:
        """The end of it."""


@dataclass
class Timing:
    """The milliseconds of a contender's counted steps, a list a round; `error` says why it has no more of them.

    `start_seconds` went by until its first steps were done: imports, building, compiling.
    """

    rounds: list[list[float]] = field(default_factory=list)
    precision: str | None = None
    start_seconds: float | None = None
    peak_memory_bytes: int | None = None
    error: str | None = None

    def summary(self) -> dict[str, float] | None:
        """`{median, min, max, p25, p75, n}` in milliseconds, or None where there is nothing or it failed."""
        steps = sorted(ms for part in self.rounds for ms in part)
        if self.error is not None or not steps:
            return None
        quarters = statistics.quantiles(steps, n=4, method="inclusive") if len(steps) > 1 else steps * 3
        low, middle, high = quarters
        return {"median": middle, "min": steps[0], "max": steps[-1], "p25": low, "p75": high, "n": len(steps)}


def interleaved(
    starts: Mapping[Key, Callable[[], Runner]],
    rounds: int,
    visit_ms: float,
    tick: Callable[[], Any] = lambda: None,
) -> dict[Key, Timing]:
    """Starts and warms up every contender, then visits them in turns, `rounds` times, there and back.

    A visit lasts about `visit_ms`, 1 to 10 counted steps after one that is not. Who fails keeps its error and is left
    out from then on. `tick` is called after each start and each visit. Only one contender computes at a time.
    """
    timings: dict[Key, Timing] = {key: Timing() for key in starts}
    runners: dict[Key, Runner] = {}
    lengths: dict[Key, float] = {}
    try:
        for key, start in starts.items():
            try:
                begun = time.perf_counter()
                runners[key] = start()
                timings[key].start_seconds = time.perf_counter() - begun
                timings[key].precision = runners[key].precision
                lengths[key] = _warmed_up(runners[key])
            except Failed as failure:
                timings[key].error = str(failure)
            tick()
        for number in range(rounds):
            # There and back: a machine that gets slower (or faster) all the while favours nobody.
            for key in _order(starts, number):
                if timings[key].error is None:
                    try:
                        timings[key].rounds.append(_visit(runners[key], lengths[key], visit_ms))
                        timings[key].peak_memory_bytes = runners[key].peak_memory_bytes()
                    except Failed as failure:
                        timings[key].error = str(failure)
                tick()
    finally:
        for runner in runners.values():
            runner.close()
    return timings


def _order(keys: Iterable[Key], number: int) -> list[Key]:
    order = list(keys)
    return order if number % 2 == 0 else order[::-1]


def _warmed_up(runner: Runner) -> float:
    """The milliseconds of a step, after one that is like it, or two where they are short."""
    (length,) = runner.steps(1)
    return length if length >= LONG_STEP_MS else runner.steps(2)[-1]


def _visit(runner: Runner, length: float, visit_ms: float) -> list[float]:
    count = min(max(int(visit_ms / max(length, 1e-3)), 1), 10)
    return runner.steps(count) if length >= LONG_STEP_MS else runner.steps(1 + count)[1:]
