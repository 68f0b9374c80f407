"""Timing contenders in turns, so that whatever slows the machine down for a while slows all of them."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from spikeduel.measuring.bench.worker import Failed, Worker
from spikeduel.system.typed import Frozen

LONG_STEP_MS = 300
"""A step as long as this is not affected by what another process left in the caches."""


class Milliseconds(Frozen):
    """How long the `n` counted steps took, with the quartiles `p25` and `p75`."""

    median: float
    min: float
    max: float
    p25: float
    p75: float
    n: int


@dataclass
class Timing:
    """The milliseconds of a contender's counted steps, a list a round; `error` says why there are no more.

    `start_seconds` passed until its first steps were done: imports, building, compiling.
    """

    rounds: list[list[float]] = field(default_factory=list)
    precision: str | None = None
    start_seconds: float | None = None
    peak_memory_bytes: int | None = None
    error: str | None = None

    def summary(self) -> Milliseconds | None:
        """Over all steps of all rounds; None if there are none, or the contender failed."""
        steps = sorted(ms for part in self.rounds for ms in part)
        if self.error is not None or not steps:
            return None
        quarters = statistics.quantiles(steps, n=4, method="inclusive") if len(steps) > 1 else steps * 3
        low, middle, high = quarters
        return Milliseconds(median=middle, min=steps[0], max=steps[-1], p25=low, p75=high, n=len(steps))


def interleaved(
    starts: Mapping[str, Callable[[], Worker]],
    rounds: int,
    visit_ms: float,
    tick: Callable[[], Any] = lambda: None,
) -> dict[str, Timing]:
    """Starts and warms up every contender, then visits them in turns, `rounds` times, there and back.

    A visit lasts about `visit_ms`: 1 to 10 counted steps, after one that is not counted. A contender that fails keeps
    its error and is left out from then on. `tick` is called after each start and each visit. Only one contender
    computes at a time.
    """
    timings = {name: Timing() for name in starts}
    workers: dict[str, Worker] = {}
    lengths: dict[str, float] = {}
    try:
        for name, start in starts.items():
            timing = timings[name]
            try:
                begun = time.perf_counter()
                workers[name] = start()
                timing.start_seconds = time.perf_counter() - begun
                timing.precision = workers[name].precision
                lengths[name] = _warmed_up(workers[name])
            except Failed as failure:
                timing.error = str(failure)
            tick()
        for number in range(rounds):
            # There and back: a machine that gets slower (or faster) all the while favours nobody.
            for name in list(starts) if number % 2 == 0 else list(starts)[::-1]:
                timing = timings[name]
                if timing.error is None:
                    try:
                        timing.rounds.append(_visit(workers[name], lengths[name], visit_ms))
                        timing.peak_memory_bytes = workers[name].peak_memory_bytes()
                    except Failed as failure:
                        timing.error = str(failure)
                tick()
    finally:
        for worker in workers.values():
            worker.close()
    return timings


def _warmed_up(worker: Worker) -> float:
    """The milliseconds of a step, after one or, where they are short, two that warm up."""
    (length,) = worker.steps(1)
    return length if length >= LONG_STEP_MS else worker.steps(2)[-1]


def _visit(worker: Worker, length: float, visit_ms: float) -> list[float]:
    count = min(max(int(visit_ms / max(length, 1e-3)), 1), 10)
    return worker.steps(count) if length >= LONG_STEP_MS else worker.steps(1 + count)[1:]
