"""The benchmark's document as text: tables for the terminal, and what has to be said below them."""

from typing import Any

from spikeduel.measuring.bench.results import CNN, FASTEST_PEER, FASTEST_WITH_MEMORY, STUDY
from spikeduel.results.words.tables import render

_AXES = {"num_steps": "steps T", "batch_size": "batch", "hidden": "width", "threads": "threads"}


def table(document: dict[str, Any]) -> str:
    """Rows, then ratios, then scaling, as far as they were measured."""
    parts = [heading(document), render([_row(row) for row in document["rows"]])] if document["rows"] else []
    if any(document["ratios"].values()):
        parts.append(render(_ratio_rows(document["ratios"])))
    if document["scaling"]:
        parts.append(render(_scaling_rows(document["scaling"])))
    return "\n\n".join(parts)


def heading(document: dict[str, Any]) -> str:
    """The machine and its limits, in one line."""
    machine, limits = document["machine"], document["limits"]
    threads = machine["threads"]
    return (
        f"{machine['cpu']}, {threads} thread{'s' if threads > 1 else ''}, torch {machine['torch']}: "
        f"bf16 {limits['bf16_gflops']:,.0f} GFLOP/s, float32 {limits['float32_gflops']:,.0f} GFLOP/s, "
        f"memory {limits['bandwidth_gbs']:.0f} GB/s"
    )


def notes(document: dict[str, Any]) -> list[str]:
    """What has to be known to read the tables: warnings, failures, the roofline's rule, what names stand for."""
    failures: dict[str, list[str]] = {}
    for row in document["rows"] + document["scaling"]:
        if row["error"]:
            names = failures.setdefault(row["error"], [])
            names += [row["contender"]] if row["contender"] not in names else []
    said = [*document["warnings"]]
    said += [f"{', '.join(names)}: {error}" for error, names in failures.items()]
    if any(error.startswith("needs ") for error in failures):
        said.append("The peers come with the extra bench: pip install 'spikeduel[bench]'")
    said.append(
        "ms: the median of the steps; a quarter of them took less and a quarter more than the quartiles. start: "
        "seconds until the first steps were done, compilation included (less where the compiler finds its work of an "
        "earlier run). MB: the peak of the process's memory."
    )
    said.append(document["roofline"])
    timed = dict.fromkeys(row["contender"] for row in document["rows"])
    said += [f"{name}: {document['contenders'][name]}." for name in timed if name in document["contenders"]]
    return said


def _row(row: dict[str, Any]) -> dict[str, str]:
    ms, memory = row["ms"], row["peak_memory_bytes"]
    return {
        "workload": row["workload"],
        "contender": row["contender"],
        "precision": row["precision"] or "",
        "ms": _number(ms["median"]) if ms else "failed",
        "quartiles": f"{_number(ms['p25'])} – {_number(ms['p75'])}" if ms else "",
        "start, s": f"{row['start_seconds']:.1f}" if ms else "",
        "MB": f"{memory / 1e6:,.0f}" if memory else "",
        "of roofline": f"{row['roofline_fraction']:.0%}" if ms else "",
    }


def _ratio_rows(ratios: dict[str, dict[str, Any]]) -> list[dict[str, str]]:
    meanings = {STUDY: "snnTorch as the study wrote it / spikeduel", CNN: "spikeduel's SNN / spikeduel's CNN"}
    rows = []
    for workload, found in ratios.items():
        for key, ratio in found.items():
            peer = f"fastest peer, {ratio['contender']}" if key in (FASTEST_PEER, FASTEST_WITH_MEMORY) else key
            rows.append(
                {
                    "workload": workload,
                    "ratio": meanings.get(key, f"{peer} / spikeduel"),
                    "median": f"{ratio['median']:.2f}",
                    "range over rounds": f"{ratio['min']:.2f} – {ratio['max']:.2f}",
                }
            )
    return rows


def _scaling_rows(entries: list[dict[str, Any]]) -> list[dict[str, str]]:
    rows: dict[tuple[str, int], dict[str, str]] = {}
    for entry in entries:
        row = rows.setdefault(
            (entry["axis"], entry["value"]),
            {"scaling": _AXES[entry["axis"]], "value": f"{entry['value']:,}"},
        )
        row[f"{entry['contender']}, ms"] = _number(entry["ms"]["median"]) if entry["ms"] else "failed"
        row["MB" + " " * len(row)] = f"{entry['peak_memory_bytes'] / 1e6:,.0f}" if entry["peak_memory_bytes"] else ""
    return list(rows.values())


def _number(ms: float) -> str:
    return f"{ms:.0f}" if ms >= 100 else f"{ms:.1f}" if ms >= 10 else f"{ms:.2f}"
