"""How fast a training step is: spikeduel, its peers and plain PyTorch in one run, against what the
machine can do.
"""

import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import torch

from benchmarks import shared
from benchmarks.speed.step.contenders import (
    CONTENDERS,
    PEERS,
    Failed,
    Worker,
    taking_part,
)
from benchmarks.speed.step.document import (
    CNN,
    Benchmark,
    Plan,
    Timing,
    failed,
    ratios,
    rows,
    summary,
)
from benchmarks.speed.step.workloads import (
    RULE,
    WORKLOADS,
    Limits,
    Workload,
    last_level_cache_bytes,
    measure_limits,
)
from spikeduel.system import __version__, files, typed
from spikeduel.system.hardware import environment, package_version, resolve
from spikeduel.system.load import is_busy, load_average
from spikeduel.system.progress import Progress

__all__ = ["WORKLOADS", "Benchmark", "Plan", "failed", "plan", "run", "summary"]

LONG_STEP_MS = 300
"""A step as long as this is not affected by what another process left in the caches."""

Starts = Mapping[str, Callable[[], Worker]]


def plan(
    only: Sequence[str] = (),
    quick: bool = False,
    rounds: int | None = None,
    threads: int | None = None,
) -> Plan:
    """The plan with its defaults filled in."""
    return Plan(
        workloads=tuple(name for name in WORKLOADS if name in only or not only),
        threads=threads or torch.get_num_threads(),
        quick=quick,
        rounds=rounds or (2 if quick else 10),
        visit_ms=100 if quick else 200,
        limits_seconds=0.4 if quick else 2.0,
    )


def run(plan: Plan, progress: Progress | None = None, out: Path | None = None) -> Benchmark:
    """Measures what `plan` says, and returns the document.

    `out` is written after every workload, so that an interruption keeps what is done (`finished` is
    then false). Raises `InputError` where `out` cannot be written.
    """
    if out is not None:
        files.require_writable(out.parent)
    machine = described(plan.threads)
    command = shared.command(measure_limits, plan.threads, plan.limits_seconds)
    limits = Limits(**shared.apart(command))
    contests = {name: _starts(WORKLOADS[name], plan, limits) for name in plan.workloads}
    document = Benchmark(
        schema=1,
        spikeduel=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        settings=plan,
        machine=machine,
        limits=limits,
        roofline=RULE,
        contenders={name: contender.about for name, contender in CONTENDERS.items()},
        workloads={name: WORKLOADS[name] for name in plan.workloads},
        warnings=busy(machine["load_average"], "at the start"),
    )

    def keep(**changes: Any) -> None:
        nonlocal document
        document = msgspec.structs.replace(document, **changes)
        if out is not None:
            typed.write_json(out, document)

    def measured() -> Generator[None, None, None]:
        for name, starts in contests.items():
            timings = yield from interleaved(starts, plan.rounds, plan.visit_ms)
            by_key = ratios(WORKLOADS[name], timings, timings.pop(CNN, None))
            keep(
                rows=document.rows + rows(WORKLOADS[name], timings, limits),
                ratios={**document.ratios, name: by_key},
            )

    keep()
    turns = sum(map(len, contests.values())) * (1 + plan.rounds)
    with closing(measured()) as visits:
        for _ in (progress or Progress()).track(visits, "bench", turns):
            pass
    after = load_average(plan.threads)
    keep(
        machine={**machine, "load_average_after": after},
        warnings=document.warnings + busy(after, "at the end", own_threads=plan.threads),
        finished=True,
    )
    return document


def described(threads: int) -> dict[str, Any]:
    """This machine now, computing with `threads` threads; `peers` have None if not installed."""
    return {
        **environment(resolve("cpu")),
        "threads": threads,
        "last_level_cache_bytes": last_level_cache_bytes(),
        "load_average": load_average(),
        "peers": {package: package_version(package) for package in PEERS},
        "load_average_after": None,
    }


def busy(load: float | None, when: str, own_threads: int = 0) -> tuple[str, ...]:
    """A warning if more than `own_threads` and a few of the cores were in use, by `load_average`;
    else none.
    """
    cores = os.cpu_count() or 1
    if not is_busy(load, cores, own_threads):
        return ()
    was_busy = f"The machine was busy {when} (load {load:.1f} on {cores} cores)"
    return (f"{was_busy}: times and ratios are unreliable. Measure again when it is idle.",)


def _starts(workload: Workload, plan: Plan, limits: Limits) -> Starts:
    """What starts each contender of `workload`, and spikeduel's CNN beside a spiking network."""
    starts = {
        contender.name: partial(Worker, contender, workload, plan.threads)
        for contender in taking_part(workload, plan.quick, limits.faster)
    }
    if workload.shape != "cnn":
        starts[CNN] = partial(
            Worker, CONTENDERS["spikeduel"], WORKLOADS[f"cnn-{workload.side}"], plan.threads
        )
    return starts


def interleaved(
    starts: Starts, rounds: int, visit_ms: float
) -> Generator[None, None, dict[str, Timing]]:
    """Starts and warms up every contender, then visits them in turns, `rounds` times, there and
    back.

    So whatever slows the machine down for a while slows all of them; only one computes at a time. A
    visit lasts about `visit_ms`: 1 to 10 counted steps, after one that is not counted. A contender
    that fails keeps its error and is left out from then on. Yields after each start and each visit.
    """
    timings = {name: Timing() for name in starts}
    workers: dict[str, Worker] = {}
    lengths: dict[str, float] = {}

    def begin(name: str) -> None:
        begun = time.perf_counter()
        worker = workers[name] = starts[name]()
        timings[name].start_seconds = time.perf_counter() - begun
        timings[name].precision = worker.precision
        # One step to warm up or, where they are short, two more.
        (length,) = worker.steps(1)
        lengths[name] = length if length >= LONG_STEP_MS else worker.steps(2)[-1]

    def visit(name: str) -> None:
        worker, length = workers[name], lengths[name]
        count = min(max(int(visit_ms / max(length, 1e-3)), 1), 10)
        timings[name].rounds.append(
            worker.steps(count) if length >= LONG_STEP_MS else worker.steps(1 + count)[1:]
        )
        timings[name].peak_memory_bytes = worker.peak_memory_bytes()

    # There and back: a machine that gets slower (or faster) all the while favours nobody.
    orders = [list(starts) if number % 2 == 0 else list(starts)[::-1] for number in range(rounds)]
    turns = [(begin, name) for name in starts] + [
        (visit, name) for order in orders for name in order
    ]
    try:
        for turn, name in turns:
            if timings[name].error is None:
                try:
                    turn(name)
                except Failed as failure:
                    timings[name].error = str(failure)
            yield
    finally:
        for worker in workers.values():
            worker.close()
    return timings
