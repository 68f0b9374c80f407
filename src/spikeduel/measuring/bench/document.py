"""What `bench` writes: one document of types, and its tables of text."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec import field

from spikeduel.measuring.bench.contenders import CONTENDERS, is_spikeduel
from spikeduel.measuring.bench.interleaving import Milliseconds, Timing
from spikeduel.measuring.bench.machine import Limits, Machine
from spikeduel.measuring.bench.networks import needs
from spikeduel.measuring.bench.workloads import Workload
from spikeduel.results.words.tables import render
from spikeduel.system.typed import Frozen

STUDY, CNN = "snntorch-study", "cnn"
FASTEST_PEER, FASTEST_WITH_MEMORY = "fastest-peer", "fastest-peer+memory"


@dataclass(frozen=True)
class Plan:
    """What is measured: `workloads` by name, in `rounds` of visits of about `visit_ms`, with `threads`.

    `quick` skips what has to be compiled and slower variants of peers; each of the machine's limits is measured for
    about `limits_seconds`.
    """

    workloads: tuple[str, ...]
    threads: int
    quick: bool
    scaling: bool
    rounds: int
    visit_ms: float
    limits_seconds: float


class Row(Frozen):
    """One contender on one workload. `flop`, `bytes` and `roofline_ms` are the least work of the workload (see
    `networks.RULE`); `roofline_fraction` is `roofline_ms` by the median.
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
    """How many times as long as spikeduel `contender` takes: over the rounds, paired by round."""

    median: float
    min: float
    max: float
    contender: str


class ScalingPoint(Frozen):
    """One contender on the base workload with its `axis` at `value`."""

    axis: Literal["num_steps", "batch_size", "hidden", "threads"]
    value: int
    contender: str
    ms: Milliseconds | None
    peak_memory_bytes: int | None
    error: str | None


class Benchmark(Frozen):
    """The whole document. `roofline` is the rule in words; `contenders` says what each name stands for."""

    schema: Literal[1]
    spikeduel: str
    created: str
    settings: Plan
    machine: Machine
    limits: Limits
    roofline: str
    contenders: dict[str, str]
    workloads: dict[str, Workload]
    rows: tuple[Row, ...] = ()
    ratios: dict[str, dict[str, Ratio]] = field(default_factory=dict)
    scaling: tuple[ScalingPoint, ...] = ()
    warnings: tuple[str, ...] = ()
    finished: bool = False

    def errors(self) -> list[tuple[str, str | None]]:
        """Every contender that was to be timed, as often as it was, with its error."""
        return [(row.contender, row.error) for row in self.rows] + [
            (point.contender, point.error) for point in self.scaling
        ]


def failed(document: Benchmark) -> bool:
    """Whether spikeduel itself could not be timed somewhere."""
    return any(error is not None and is_spikeduel(contender) for contender, error in document.errors())


def rows(workload: Workload, timings: Mapping[str, Timing], limits: Limits) -> tuple[Row, ...]:
    """One row a contender."""
    least = needs(workload, limits.operand_bytes)
    roofline_ms = least.milliseconds(limits.gflops, limits.bandwidth_gbs)
    summaries = {name: timing.summary() for name, timing in timings.items()}
    return tuple(
        Row(
            workload=workload.name,
            contender=name,
            precision=timing.precision,
            start_seconds=timing.start_seconds,
            ms=(ms := summaries[name]),
            peak_memory_bytes=timing.peak_memory_bytes,
            flop=least.flop,
            bytes=least.bytes,
            roofline_ms=roofline_ms,
            roofline_fraction=roofline_ms / ms.median if ms else None,
            error=timing.error,
        )
        for name, timing in timings.items()
    )


def ratios(workload: Workload, timings: Mapping[str, Timing], our_cnn: Timing | None) -> dict[str, Ratio]:
    """The ratios of one workload, by what spikeduel is compared with.

    Spiking workloads: `snntorch-study`; `fastest-peer`, the fastest of those in settings that their users have;
    `fastest-peer+memory`, the fastest of those that are given spikeduel's setting of the allocator. `cnn` is the other
    way round, spikeduel's SNN step by its CNN step on the same images (`our_cnn`, timed in the same rounds); an epoch
    has the same number of steps for both. The CNN: `torch-cnn` and `torch-cnn-tuned`.
    """
    ours = timings["spikeduel"]
    if ours.summary() is None:
        return {}
    peers = {name: timing for name, timing in timings.items() if not is_spikeduel(name) and timing.summary()}
    if workload.shape == "cnn":
        compared = {name: name for name in peers}
    else:
        medians = {name: ms.median for name, timing in peers.items() if (ms := timing.summary())}
        compared = {STUDY: STUDY} if STUDY in medians else {}
        for key, with_memory in ((FASTEST_PEER, False), (FASTEST_WITH_MEMORY, True)):
            names = [name for name in medians if CONTENDERS[name].keeps_memory == with_memory]
            if names:
                compared[key] = min(names, key=lambda name: medians[name])
    by_key = {key: paired(peers[name], ours, name) for key, name in compared.items()}
    if our_cnn is not None and our_cnn.summary():
        by_key[CNN] = paired(ours, our_cnn, "spikeduel")
    return by_key


def paired(numerator: Timing, denominator: Timing, contender: str) -> Ratio:
    """The ratios of the two medians of each round; `contender` is whose time stands above."""
    by_round = [
        statistics.median(above) / statistics.median(below)
        for above, below in zip(numerator.rounds, denominator.rounds, strict=True)
    ]
    return Ratio(median=statistics.median(by_round), min=min(by_round), max=max(by_round), contender=contender)


_AXES = {"num_steps": "steps T", "batch_size": "batch", "hidden": "width", "threads": "threads"}


def table(document: Benchmark) -> str:
    """Rows, then ratios, then scaling, as far as they were measured."""
    parts = [heading(document), render([_row(row) for row in document.rows])] if document.rows else []
    if any(document.ratios.values()):
        parts.append(render(_ratio_rows(document.ratios)))
    if document.scaling:
        parts.append(render(_scaling_rows(document.scaling)))
    return "\n\n".join(parts)


def heading(document: Benchmark) -> str:
    """The machine and its limits, in one line."""
    machine, limits = document.machine, document.limits
    return (
        f"{machine.cpu}, {machine.threads} thread{'s' if machine.threads > 1 else ''}, torch {machine.torch}: "
        f"bf16 {limits.bf16_gflops:,.0f} GFLOP/s, float32 {limits.float32_gflops:,.0f} GFLOP/s, "
        f"memory {limits.bandwidth_gbs:.0f} GB/s"
    )


def notes(document: Benchmark) -> list[str]:
    """How to read the tables: warnings and failures, the columns, the roofline's rule, what the names stand for."""
    failures: dict[str, dict[str, None]] = {}
    for contender, error in document.errors():
        if error:
            failures.setdefault(error, {})[contender] = None
    timed = dict.fromkeys(row.contender for row in document.rows)
    return [
        *document.warnings,
        *(f"{', '.join(names)}: {error}" for error, names in failures.items()),
        "ms: median time of a step; quartiles: the 25th and 75th percentile. start: seconds until the first steps were "
        "done, compilation included (less if the compiler finds its cache of an earlier run). MB: peak memory of the "
        "process.",
        document.roofline,
        *(f"{name}: {document.contenders[name]}." for name in timed if name in document.contenders),
    ]


def _row(row: Row) -> dict[str, str]:
    ms = row.ms
    return {
        "workload": row.workload,
        "contender": row.contender,
        "precision": row.precision or "",
        "ms": _number(ms.median) if ms else "failed",
        "quartiles": f"{_number(ms.p25)} – {_number(ms.p75)}" if ms else "",
        "start, s": f"{row.start_seconds:.1f}" if ms and row.start_seconds is not None else "",
        "MB": _megabytes(row.peak_memory_bytes),
        "of roofline": f"{row.roofline_fraction:.0%}" if row.roofline_fraction is not None else "",
    }


def _ratio_rows(ratios: Mapping[str, Mapping[str, Ratio]]) -> list[dict[str, str]]:
    meanings = {STUDY: "snnTorch as the study wrote it / spikeduel", CNN: "spikeduel's SNN / spikeduel's CNN"}
    rows = []
    for workload, by_key in ratios.items():
        for key, ratio in by_key.items():
            peer = f"fastest peer, {ratio.contender}" if key in (FASTEST_PEER, FASTEST_WITH_MEMORY) else key
            rows.append(
                {
                    "workload": workload,
                    "ratio": meanings.get(key, f"{peer} / spikeduel"),
                    "median": f"{ratio.median:.2f}",
                    "range over rounds": f"{ratio.min:.2f} – {ratio.max:.2f}",
                }
            )
    return rows


def _scaling_rows(entries: Sequence[ScalingPoint]) -> list[dict[str, str]]:
    rows: dict[tuple[str, int], dict[str, str]] = {}
    for entry in entries:
        row = rows.setdefault((entry.axis, entry.value), {"scaling": _AXES[entry.axis], "value": f"{entry.value:,}"})
        row[f"{entry.contender}, ms"] = _number(entry.ms.median) if entry.ms else "failed"
        # A column for each contender, all of one name: keys have to differ.
        row["MB" + " " * len(row)] = _megabytes(entry.peak_memory_bytes)
    return list(rows.values())


def _megabytes(memory: int | None) -> str:
    return f"{memory / 1e6:,.0f}" if memory else ""


def _number(ms: float) -> str:
    return f"{ms:.0f}" if ms >= 100 else f"{ms:.1f}" if ms >= 10 else f"{ms:.2f}"
