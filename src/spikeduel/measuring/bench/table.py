"""The benchmark's document as text: tables for the terminal, and notes on how to read them."""

from collections.abc import Mapping, Sequence

from spikeduel.measuring.bench.document import (
    CNN,
    FASTEST_PEER,
    FASTEST_WITH_MEMORY,
    STUDY,
    Benchmark,
    Ratio,
    Row,
    ScalingPoint,
)
from spikeduel.results.words.tables import render

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
