"""What `bench` writes: one document of types, and its tables of text."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from benchmarks.speed.step.contenders import CONTENDERS, is_spikeduel
from benchmarks.speed.step.workloads import Limits, Workload, needs
from spikeduel.sentences.columns import render
from spikeduel.system.typed import Frozen

STUDY, CNN = "snntorch-study", "cnn"
FASTEST_PEER, FASTEST_WITH_MEMORY = "fastest-peer", "fastest-peer+memory"


@dataclass(frozen=True)
class Plan:
    """What is measured: `workloads` by name, in `rounds` of visits of about `visit_ms`, with
    `threads`.

    `quick` skips what has to be compiled and slower variants of peers; each of the machine's limits
    is measured for about `limits_seconds`.
    """

    workloads: tuple[str, ...]
    threads: int
    quick: bool
    rounds: int
    visit_ms: float
    limits_seconds: float


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
    """The milliseconds of a contender's counted steps, a list a round; `error` says why there are
    no more.

    `start_seconds` passed until its first steps were done: imports, building, compiling.
    """

    rounds: list[list[float]] = field(default_factory=list)
    precision: str | None = None
    start_seconds: float | None = None
    peak_memory_bytes: int | None = None
    error: str | None = None

    @property
    def ms(self) -> Milliseconds | None:
        """Over all steps of all rounds; None if there are none, or the contender failed."""
        steps = sorted(ms for part in self.rounds for ms in part)
        if self.error is not None or not steps:
            return None
        low, middle, high = (
            statistics.quantiles(steps, n=4, method="inclusive") if len(steps) > 1 else steps * 3
        )
        return Milliseconds(
            median=middle, min=steps[0], max=steps[-1], p25=low, p75=high, n=len(steps)
        )


class Row(Frozen):
    """One contender on one workload. `flop`, `bytes` and `roofline_ms` are the least work of the
    workload (see `workloads.RULE`); `roofline_fraction` is `roofline_ms` by the median.
    """

    workload: str
    contender: str
    precision: str | None
    start_seconds: float | None
    ms: Milliseconds | None
    peak_memory_bytes: int | None
    flop: int
    bytes: int
    roofline_ms: float
    roofline_fraction: float | None
    error: str | None


class Ratio(Frozen):
    """How many times as long as spikeduel `contender` takes: over the rounds, paired by round (see
    `ratios`).
    """

    median: float
    min: float
    max: float
    contender: str


class Benchmark(Frozen):
    """The whole document. `machine` is its hardware, versions and other work, `roofline` the rule in
    words; `contenders` says what each name stands for.
    """

    schema: Literal[1]
    spikeduel: str
    created: str
    settings: Plan
    machine: dict[str, Any]
    limits: Limits
    roofline: str
    contenders: dict[str, str]
    workloads: dict[str, Workload]
    rows: tuple[Row, ...] = ()
    ratios: dict[str, dict[str, Ratio]] = msgspec.field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    finished: bool = False


def failed(document: Benchmark) -> bool:
    """Whether spikeduel itself could not be timed somewhere."""
    return any(row.error is not None and is_spikeduel(row.contender) for row in document.rows)


def rows(workload: Workload, timings: Mapping[str, Timing], limits: Limits) -> tuple[Row, ...]:
    """One row a contender."""
    flop, moved = needs(workload, 2 if limits.faster == "bf16" else 4)
    roofline_ms = limits.roofline_ms(flop, moved)
    return tuple(
        Row(
            workload=workload.name,
            contender=name,
            flop=flop,
            bytes=moved,
            roofline_ms=roofline_ms,
            roofline_fraction=roofline_ms / timing.ms.median if timing.ms else None,
            precision=timing.precision,
            start_seconds=timing.start_seconds,
            ms=timing.ms,
            peak_memory_bytes=timing.peak_memory_bytes,
            error=timing.error,
        )
        for name, timing in timings.items()
    )


def ratios(
    workload: Workload, timings: Mapping[str, Timing], our_cnn: Timing | None = None
) -> dict[str, Ratio]:
    """The ratios of one workload, by what spikeduel is compared with.

    Spiking workloads: `snntorch-study`; `fastest-peer`, the fastest of those in settings that their
    users have; `fastest-peer+memory`, the fastest of those that are given spikeduel's setting of
    the allocator. The CNN: `torch-cnn` and `torch-cnn-tuned`.

    `cnn` is the other way round: spikeduel's SNN step by its CNN step on the same images, timed in
    the same rounds (`our_cnn`); an epoch has the same number of steps for both.
    """
    ours = timings["spikeduel"]
    if ours.ms is None:
        return {}
    medians = {
        name: timing.ms.median
        for name, timing in timings.items()
        if timing.ms and not is_spikeduel(name)
    }
    if workload.shape == "cnn":
        compared = {name: name for name in medians}
    else:
        compared = {STUDY: STUDY} if STUDY in medians else {}
        for key, with_memory in ((FASTEST_PEER, False), (FASTEST_WITH_MEMORY, True)):
            if names := [name for name in medians if CONTENDERS[name].keeps_memory == with_memory]:
                compared[key] = min(names, key=medians.__getitem__)
    by_key = {key: paired(timings[name], ours, name) for key, name in compared.items()}
    if our_cnn and our_cnn.ms:
        by_key[CNN] = paired(ours, our_cnn, "spikeduel")
    return by_key


def paired(numerator: Timing, denominator: Timing, contender: str) -> Ratio:
    """The ratios of the two medians of each round; `contender` is whose time stands above."""
    by_round = [
        statistics.median(above) / statistics.median(below)
        for above, below in zip(numerator.rounds, denominator.rounds, strict=True)
    ]
    return Ratio(
        median=statistics.median(by_round),
        min=min(by_round),
        max=max(by_round),
        contender=contender,
    )


def summary(document: Benchmark) -> str:
    """Return the rows, the ratios, the warnings and the roofline's rule as text, as far as they were
    measured.
    """
    timed = [
        {
            "workload": row.workload,
            "contender": row.contender,
            "precision": row.precision or "",
            "ms": f"{row.ms.median:,.2f}" if row.ms else f"failed: {row.error}",
            "start, s": "" if row.start_seconds is None else f"{row.start_seconds:.1f}",
            "MB": f"{row.peak_memory_bytes / 1e6:,.0f}" if row.peak_memory_bytes else "",
            "of roofline": "" if row.roofline_fraction is None else f"{row.roofline_fraction:.0%}",
        }
        for row in document.rows
    ]
    compared = [
        {
            "workload": workload,
            "ratio": f"{ratio.contender} / spikeduel" + ("'s CNN" if key == CNN else ""),
            "median": f"{ratio.median:.2f}",
            "range over rounds": f"{ratio.min:.2f} – {ratio.max:.2f}",
        }
        for workload, by_key in document.ratios.items()
        for key, ratio in by_key.items()
    ]
    tables = [render(rows) for rows in (timed, compared) if rows]
    return "\n\n".join([*tables, *document.warnings, document.roofline])
