"""How time and memory of a training step grow: with steps, batch, width and threads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from spikeduel.measuring.bench.contenders import CONTENDERS, PEER_OF_SCALING
from spikeduel.measuring.bench.interleaving import Runner, interleaved
from spikeduel.measuring.bench.workloads import WORKLOADS, Workload

BASE = WORKLOADS["snn-28-rate"]
AXES: dict[str, tuple[int, ...]] = {
    "num_steps": (5, 25, 50, 100, 200),
    "batch_size": (1, 32, 128, 512),
    "hidden": (256, 1024, 4096),
}
CONTENDERS_OF_SCALING = ("spikeduel", PEER_OF_SCALING)


@dataclass(frozen=True)
class Point:
    """`workload` is `BASE` with its `axis` at `value`; all else as it is, `threads` included."""

    axis: str
    value: int
    workload: Workload
    threads: int


def points(threads: int) -> list[Point]:
    """Every axis through `BASE`, and 1, 2 and all `threads`."""
    along = [
        Point(axis, value, replace(BASE, **{axis: value}), threads)  # type: ignore[arg-type]
        for axis, values in AXES.items()
        for value in values
    ]
    counts = sorted({count for count in (1, 2, threads) if count <= threads})
    return along + [Point("threads", count, BASE, count) for count in counts]


def measured(
    point: Point,
    rounds: int,
    visit_ms: float,
    start: Callable[..., Runner],
    tick: Callable[[], Any],
    names: Sequence[str] = CONTENDERS_OF_SCALING,
) -> list[dict[str, Any]]:
    """One entry a contender: `{axis, value, contender, ms, peak_memory_bytes, error}`, each in a fresh process."""
    starts = {name: partial(start, CONTENDERS[name], point.workload, point.threads) for name in names}
    timings = interleaved(starts, rounds, visit_ms, tick)
    return [
        {
            "axis": point.axis,
            "value": point.value,
            "contender": name,
            "ms": timing.summary(),
            "peak_memory_bytes": timing.peak_memory_bytes,
            "error": timing.error,
        }
        for name, timing in timings.items()
    ]
