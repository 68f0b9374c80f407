"""The whole benchmark, top to bottom."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch

from spikeduel.measuring.bench import machine
from spikeduel.measuring.bench.contenders import CONTENDERS, PEER_OF_SCALING, Contender, taking_part
from spikeduel.measuring.bench.document import CNN, Benchmark, Plan, ScalingPoint, ratios, rows
from spikeduel.measuring.bench.interleaving import interleaved
from spikeduel.measuring.bench.machine import Limits
from spikeduel.measuring.bench.networks import RULE
from spikeduel.measuring.bench.worker import Worker, call
from spikeduel.measuring.bench.workloads import WORKLOADS, Workload
from spikeduel.system import __version__, files, typed
from spikeduel.system.errors import InputError, unknown
from spikeduel.system.progress import Progress

Start = Callable[[Contender, Workload, int], Worker]
"""Begins a contender on a workload with a number of threads."""

Axis = Literal["num_steps", "batch_size", "hidden", "threads"]
BASE = WORKLOADS["snn-28-rate"]
AXES: dict[Axis, tuple[int, ...]] = {
    "num_steps": (5, 25, 50, 100, 200),
    "batch_size": (1, 32, 128, 512),
    "hidden": (256, 1024, 4096),
}
CONTENDERS_OF_SCALING = ("spikeduel", PEER_OF_SCALING)


def plan(
    only: Sequence[str] = (),
    quick: bool = False,
    rounds: int | None = None,
    threads: int | None = None,
    scaling: bool | None = None,
) -> Plan:
    """The plan with its defaults filled in. Raises `InputError`."""
    for name in only:
        if name not in WORKLOADS:
            raise unknown("workload", name, WORKLOADS)
    for option, number in (("--rounds", rounds), ("--threads", threads)):
        if number is not None and number < 1:
            raise InputError(f"{option} must be at least 1, not {number}.")
    return Plan(
        workloads=tuple(name for name in WORKLOADS if name in only or not only),
        threads=threads or torch.get_num_threads(),
        quick=quick,
        scaling=not quick if scaling is None else scaling,
        rounds=rounds or (2 if quick else 10),
        visit_ms=100 if quick else 200,
        limits_seconds=0.4 if quick else 2.0,
    )


def run(
    plan: Plan,
    progress: Progress | None = None,
    out: Path | None = None,
    start: Start = Worker,
) -> Benchmark:
    """Measures what `plan` says, and returns the document that `spikeduel bench --json` prints.

    `out` is written after every workload, so that an interruption keeps what is done (`finished` is then false).
    Raises `InputError` where `out` cannot be written.
    """
    if out is not None:
        files.require_writable(out.parent)
    surroundings = machine.describe(plan.threads)
    limits: Limits = call(machine.measure_limits, plan.threads, plan.limits_seconds)
    contests = {name: _starts(WORKLOADS[name], plan, limits, start) for name in plan.workloads}
    points = scaling_points(plan.threads) if plan.scaling else []
    visits = sum(map(len, contests.values())) + len(points) * len(CONTENDERS_OF_SCALING)
    document = Benchmark(
        schema=1,
        spikeduel=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        settings=plan,
        machine=surroundings,
        limits=limits,
        roofline=RULE,
        contenders={name: contender.about for name, contender in CONTENDERS.items()},
        workloads={name: WORKLOADS[name] for name in plan.workloads},
        warnings=machine.busy(surroundings.load_average, "at the start"),
    )

    def kept(**changes: Any) -> Benchmark:
        changed = msgspec.structs.replace(document, **changes)
        if out is not None:
            typed.write_json(out, changed)
        return changed

    document = kept()
    with _ticking(progress or Progress(), visits * (1 + plan.rounds)) as tick:
        for name, starts in contests.items():
            timings = interleaved(starts, plan.rounds, plan.visit_ms, tick)
            our_cnn = timings.pop(CNN, None)
            document = kept(
                rows=document.rows + rows(WORKLOADS[name], timings, limits),
                ratios={**document.ratios, name: ratios(WORKLOADS[name], timings, our_cnn)},
            )
        for point in points:
            document = kept(scaling=document.scaling + scaled(point, plan, start, tick))
    after = machine.load_average()
    return kept(
        machine=msgspec.structs.replace(surroundings, load_average_after=after),
        warnings=document.warnings + machine.busy(after, "at the end", own_threads=plan.threads),
        finished=True,
    )


def _starts(workload: Workload, plan: Plan, limits: Limits, start: Start) -> Mapping[str, Callable[[], Worker]]:
    """What starts each contender of `workload`; for a spiking one spikeduel's CNN too, for the ratio of the two."""
    starts = {
        contender.name: partial(start, contender, workload, plan.threads)
        for contender in taking_part(workload, plan.quick, limits.faster)
    }
    if workload.shape != "cnn":
        starts[CNN] = partial(start, CONTENDERS["spikeduel"], WORKLOADS[f"cnn-{workload.side}"], plan.threads)
    return starts


@dataclass(frozen=True)
class Point:
    """`workload` is `BASE` with its `axis` at `value`; all else as it is, `threads` included."""

    axis: Axis
    value: int
    workload: Workload
    threads: int


def scaling_points(threads: int) -> list[Point]:
    """Every axis through `BASE`, and 1, 2 and all `threads`."""
    along = [
        Point(axis, value, replace(BASE, **{axis: value}), threads)  # type: ignore[arg-type]
        for axis, values in AXES.items()
        for value in values
    ]
    counts = sorted({count for count in (1, 2, threads) if count <= threads})
    return along + [Point("threads", count, BASE, count) for count in counts]


def scaled(point: Point, plan: Plan, start: Start, tick: Callable[[], Any]) -> tuple[ScalingPoint, ...]:
    """One entry a contender, each timed in a fresh process."""
    starts = {name: partial(start, CONTENDERS[name], point.workload, point.threads) for name in CONTENDERS_OF_SCALING}
    return tuple(
        ScalingPoint(
            axis=point.axis,
            value=point.value,
            contender=name,
            ms=timing.summary(),
            peak_memory_bytes=timing.peak_memory_bytes,
            error=timing.error,
        )
        for name, timing in interleaved(starts, plan.rounds, plan.visit_ms, tick).items()
    )


@contextmanager
def _ticking(progress: Progress, total: int) -> Iterator[Callable[[], Any]]:
    """A bar of `total` steps, one at each call."""
    ticks = iter(progress.track(range(total), "bench"))
    try:
        yield lambda: next(ticks, None)
    finally:
        if isinstance(ticks, Generator):
            # Takes the bar away, also where it did not reach its end.
            ticks.close()
