"""The whole benchmark, top to bottom."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch

from spikeduel.measuring.bench import machine, results, scaling
from spikeduel.measuring.bench.contenders import CONTENDERS, Contender, taking_part
from spikeduel.measuring.bench.interleaving import Runner, interleaved
from spikeduel.measuring.bench.machine import Limits
from spikeduel.measuring.bench.roofline import RULE
from spikeduel.measuring.bench.worker import Worker, call
from spikeduel.measuring.bench.workloads import WORKLOADS, Workload
from spikeduel.system import __version__, files
from spikeduel.system.errors import InputError, unknown
from spikeduel.system.progress import Progress

SCHEMA = 1

Start = Callable[[Contender, Workload, int], Runner]
"""Begins a contender on a workload with a number of threads."""


@dataclass(frozen=True)
class Plan:
    """What is measured: `workloads` by name, in `rounds` of visits of about `visit_ms`, with `threads`.

    `quick` leaves out what has to be compiled, and forms that a contender has a faster one for; `limits_seconds` go to
    each of the machine's limits.
    """

    workloads: tuple[str, ...]
    threads: int
    quick: bool
    scaling: bool
    rounds: int
    visit_ms: float
    limits_seconds: float


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
) -> dict[str, Any]:
    """Measures what `plan` says, and returns the document that `spikeduel bench --json` prints.

    `out` is written after every workload, so that an interruption keeps what is done (`finished` is then false).
    Raises `InputError` where `out` cannot be written.
    """
    progress = progress or Progress()
    if out is not None:
        files.require_writable(out.parent)
    surroundings = machine.describe(plan.threads)
    limits: Limits = call(machine.measure_limits, plan.threads, plan.limits_seconds)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "spikeduel": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": asdict(plan),
        "machine": surroundings,
        "limits": asdict(limits),
        "roofline": RULE,
        "contenders": {name: contender.about for name, contender in CONTENDERS.items()},
        "workloads": {name: asdict(WORKLOADS[name]) for name in plan.workloads},
        "rows": [],
        "ratios": {},
        "scaling": [],
        "warnings": machine.busy(surroundings["load_average"], "at the start"),
        "finished": False,
    }
    contests = [Contest.of(WORKLOADS[name], plan, limits) for name in plan.workloads]
    points = scaling.points(plan.threads) if plan.scaling else []
    visits = sum(len(contest.starts(start)) for contest in contests) + len(points) * len(scaling.CONTENDERS_OF_SCALING)

    def keep() -> None:
        if out is not None:
            files.write_json(out, document)

    keep()
    with _ticking(progress, visits * (1 + plan.rounds)) as tick:
        for contest in contests:
            rows, ratios = contest.measured(limits, start, tick)
            document["rows"] += rows
            document["ratios"][contest.workload.name] = ratios
            keep()
        for point in points:
            document["scaling"] += scaling.measured(point, plan.rounds, plan.visit_ms, start, tick)
            keep()
    surroundings["load_average_after"] = machine.load_average()
    document["warnings"] += machine.busy(surroundings["load_average_after"], "at the end", own_threads=plan.threads)
    document["finished"] = True
    keep()
    return document


@dataclass(frozen=True)
class Contest:
    """One workload and everyone who is timed on it, in turns."""

    workload: Workload
    contenders: tuple[Contender, ...]
    plan: Plan

    @classmethod
    def of(cls, workload: Workload, plan: Plan, limits: Limits) -> "Contest":
        """The contest that `plan` has for `workload`."""
        return cls(workload, tuple(taking_part(workload, plan.quick, limits.faster)), plan)

    def starts(self, start: Start) -> Mapping[str, Callable[[], Runner]]:
        """What starts each of them; for a spiking workload spikeduel's CNN too, for the ratio of the two."""
        threads = self.plan.threads
        found = {each.name: partial(start, each, self.workload, threads) for each in self.contenders}
        if self.workload.shape != "cnn":
            cnn = WORKLOADS[f"cnn-{self.workload.side}"]
            found[results.CNN] = partial(start, CONTENDERS["spikeduel"], cnn, threads)
        return found

    def measured(
        self, limits: Limits, start: Start, tick: Callable[[], Any]
    ) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
        """Its rows and ratios; see `results`."""
        timings = interleaved(self.starts(start), self.plan.rounds, self.plan.visit_ms, tick)
        own_cnn = timings.pop(results.CNN, None)
        return results.rows(self.workload, timings, limits), results.ratios(self.workload, timings, own_cnn)


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
