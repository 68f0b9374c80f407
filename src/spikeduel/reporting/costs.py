"""What an answer costs: operations, estimated energy and measured time of every contender, as tables and words."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from spikeduel.measuring.energy import Table
from spikeduel.reporting import anytime, break_even, conversion, pareto, style
from spikeduel.reporting.cost_numbers import (
    amount,
    as_written,
    by_contender,
    energy_in_words,
    headline,
    joules_of,
    mean,
    mean_in_words,
    per_cent,
    table_title,
    with_memory,
)
from spikeduel.reporting.estimates import MEMORIES, Estimate
from spikeduel.reporting.gallery import Shown
from spikeduel.results.words.verdict import listed


def section(results: dict[str, Any], folder: Path, table: Table | None = None) -> dict[str, Any] | None:
    """What the page's section needs: `words`, `rows`, `twins`, `energies`, `layers`, `figures`, `left_out`; else None.

    Energies are by the first table of each trial's, which is `table` where that is given. `left_out` says why a
    contender could not be counted.
    """
    rows = contenders(results)
    if not any(row["MACs"] or row["ACs"] or row["one image"] for row in rows):
        return None
    colours = style.contender_colours(results["trials"])
    reasons = {t["contender"]: t["not_counted"] for t in results["trials"] if t.get("not_counted")}
    return {
        "words": words(results),
        "table": table_title(results),
        "contenders": [{"name": row["model"], "colour": colours[row["model"]]} for row in rows],
        "rows": _rows(results),
        "energies": energies(results),
        "layers": layers(results),
        "twins": twins(results),
        "figures": _figures(results, folder, Estimate(table) if table else Estimate()),
        "left_out": [f"{name}: {reason}" for name, reason in reasons.items()],
    }


def _figures(results: dict[str, Any], folder: Path, estimate: Estimate) -> list[Shown]:
    shown = []
    known = any(headline(trial) is not None for trial in results["trials"])
    of_energy = (
        f"Energy is an estimate, of arithmetic alone ({estimate.table.title}), the first layer counted once. "
        if known
        else f"By {estimate.table.title}, arithmetic alone has no energy to show. "
    )
    if (figure := pareto.pareto(results, estimate)) is not None:
        shown.append(Shown(
            style.save(figure, folder / "pareto.png"),
            "accuracy of every contender against its estimated energy, and against the measured time of one image",
            f"Up and to the left is better; the dashed line joins those that no other beats. {of_energy}Times are this "
            "machine's, which runs spikes as ordinary numbers; early exit is timed as a stream, step after step. "
            "Accuracies are of the networks as trained, whatever the width of the table.",
            "Accuracy against cost",
        ))  # fmt: skip
    colours = style.contender_colours(results["trials"])
    for name, trials in by_contender(results).items():
        counted = next((t["operations"] for t in trials if t.get("operations")), None)
        if counted and trials[0]["family"] == "snn" and counted["totals"]["neurons"]:
            shown.append(Shown(
                style.save(
                    break_even.break_even(counted, name, colours[name]),
                    folder / f"break-even-{style.file_name(name)}.png",
                ),
                f"the spike rate below which {name} takes less energy than its ReLU twin, by its number of time steps",
                "The twin has the same layers and answers in one pass without spikes. The dot is this network: where "
                "it lies above a line, it costs more than its twin by that table, and would have to spike more rarely "
                "or take fewer steps. Estimates; the first layer is counted once.",
                f"Where spiking pays: {name}",
            ))  # fmt: skip
    if anytime.contenders(results):
        shown.append(Shown(
            style.save(anytime.curves(results, estimate), folder / "anytime.png"),
            "accuracy against time steps and energy, how many images leave early, and time against steps",
            "A spiking network has an answer after every step. Early exit: an image leaves once the network is sure "
            "enough, by a threshold that was chosen on validation images (the star).",
            "Answers at any time",
        ))  # fmt: skip
    if conversion.contenders(results):
        shown.append(Shown(
            style.save(conversion.accuracy_over_steps(results), folder / "conversion.png"),
            "accuracy of converted networks after each time step, beside the networks that they were made of",
            conversion.explained(results),
            "Converted networks",
        ))  # fmt: skip
    return shown


def contenders(results: dict[str, Any]) -> list[dict[str, str]]:
    """A row of text for each contender: what one answer takes, as means over its trials; "" where it is not known."""
    rows = []
    for name, trials in by_contender(results).items():
        operations = [trial["operations"] for trial in trials if trial.get("operations")]
        latency = next((trial["latency"] for trial in trials if trial.get("latency")), None)
        rows.append({
            "model": name,
            "MACs": mean_in_words(operations, lambda each: each["totals"]["macs"]["dense"]["cached"], amount),
            "as written": mean_in_words(operations, lambda each: each["totals"]["macs"]["dense"]["as_written"], amount),
            "ACs": mean_in_words(operations, lambda each: each["totals"]["acs"]["total"], amount),
            "spikes": mean_in_words(operations, lambda each: each["totals"]["spikes_per_neuron_and_step"], per_cent),
            "energy": mean_in_words(trials, headline, energy_in_words),
            "with memory": mean_in_words(trials, with_memory, energy_in_words),
            "one image": f"{latency['one_image']['median_ms']:.2f} ms" if latency and latency["one_image"] else "",
            "images/s": _fastest(latency) if latency and latency["throughput"] else "",
        })  # fmt: skip
    return rows


LEGEND = (
    "Of one image, means over the whole test set. MACs: multiplications where numbers arrive, the first layer counted "
    "once; as written: at every time step. ACs: additions that spikes cause. Spikes: per neuron and step. Energies are "
    "estimates, of arithmetic alone, and with neurons and on-chip memory. Times are measured here."
)
"""What the columns of `table_rows` are."""


def table_rows(results: dict[str, Any]) -> list[dict[str, str]]:
    """`contenders` for the terminal, without the columns that nobody has; nothing where nothing was counted."""
    rows = contenders(results)
    titles = [title for title in rows[0] if any(row[title] for row in rows)]
    return [{title: row[title] for title in titles} for row in rows] if len(titles) > 1 else []


def _rows(results: dict[str, Any]) -> list[dict[str, Any]]:
    """The table of the page: `term` and a cell for each contender; rows that say nothing are left out."""
    by_name = {row["model"]: row for row in contenders(results)}
    rows: list[dict[str, Any]] = [
        {"term": term, "cells": [by_name[name][key] for name in by_name]} for term, key in _TERMS.items()
    ]
    for term, value in _MEASURED.items():
        cells = []
        for trials in by_contender(results).values():
            latency = next((trial["latency"] for trial in trials if trial.get("latency")), None)
            cells.append("" if latency is None else value(latency))
        rows.append({"term": term, "cells": cells})
    same = rows[0]["cells"] == rows[1]["cells"]
    return [row for row in rows if any(row["cells"]) and not (same and row is rows[1])]


def energies(results: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each table and memory model: `title`, `memory`, and for each contender the estimates `cells`.

    Each cell has `cached`, `as_written` (empty where it is the same) and `effective` as text.
    """
    found = by_contender(results)
    known = [trial for trials in found.values() for trial in trials if trial.get("energy")]
    if not known:
        return []
    rows = []
    for name, entry in known[0]["energy"]["tables"].items():
        for memory, meaning in MEMORIES.items():
            if entry.get(memory) is not None:
                cells = [_cell([t for t in trials if t.get("energy")], name, memory) for trials in found.values()]
                rows.append({"title": entry["title"], "memory": meaning, "cells": cells})
    return rows


def twins(results: dict[str, Any]) -> list[dict[str, Any]]:
    """For each spiking contender that has them, itself and its trained controls: accuracy beside cost, as text."""
    shown = []
    for name, trials in by_contender(results).items():
        controlled = [trial for trial in trials if trial.get("controls")]
        rows = [_twin("itself", [{**trial, "accuracy": trial["test"]["accuracy"]} for trial in controlled])]
        for control, title in _TWINS.items():
            found = [trial["controls"][control] for trial in controlled if trial["controls"].get(control)]
            if any(each.get("energy") for each in found):
                bits = f" ({found[0]['bits']} bits)" if found[0].get("bits") else ""
                rows.append(_twin(f"{title}{bits}", found))
        if len(rows) > 1:
            shown.append({"name": name, "rows": rows})
    return shown


_TWINS = {"relu_twin": "ReLU twin", "quantised_twin": "quantised twin", "one_step": "one time step"}


def _twin(name: str, entries: Sequence[dict[str, Any]]) -> dict[str, str]:
    counted = [each["operations"]["totals"] for each in entries if each.get("operations")]
    return {
        "name": name,
        "accuracy": mean_in_words(entries, lambda each: each["accuracy"], lambda value: f"{100 * value:.2f}"),
        "MACs": mean_in_words(counted, lambda each: each["macs"]["dense"]["cached"], amount),
        "ACs": mean_in_words(counted, lambda each: each["acs"]["total"], amount),
        "energy": mean_in_words(entries, headline, energy_in_words),
        "as written": mean_in_words(entries, as_written, energy_in_words),
        "with memory": mean_in_words(entries, with_memory, energy_in_words),
    }


def layers(results: dict[str, Any]) -> list[dict[str, Any]]:
    """For each contender its layers, of the first trial that was counted: rows of text."""
    shown = []
    for name, trials in by_contender(results).items():
        counted = next((trial["operations"] for trial in trials if trial.get("operations")), None)
        if counted is not None:
            shown.append({"name": name, "rows": [_layer(layer) for layer in counted["layers"]]})
    return shown


def words(results: dict[str, Any]) -> str | None:
    """What the estimates say, in words; None where nothing was counted."""
    found = {
        name: value
        for name, trials in by_contender(results).items()
        if (value := mean([t for t in trials if t.get("energy")], headline)) is not None
    }
    if not found:
        return None
    ranked = sorted(found, key=found.__getitem__)
    told = listed([f"{name} {energy_in_words(found[name])}" for name in ranked])
    said = [f"Estimated energy of one answer, of arithmetic alone ({table_title(results)}): {told}."]
    for how, of in (
        ("Written as a loop that computes the first layer anew at each step", as_written),
        ("With neurons, and with reads and writes of weights, activations and membranes on the chip", with_memory),
    ):
        other = {name: mean(trials, of) for name, trials in by_contender(results).items() if name in found}
        known = {name: joules for name, joules in other.items() if joules is not None}
        if len(known) < len(found) or all(known[name] < 1.005 * found[name] for name in found):
            continue
        told = listed([f"{name} {energy_in_words(known[name])}" for name in sorted(known, key=known.__getitem__)])
        turned = sorted(known, key=known.__getitem__) != ranked
        said.append(f"{how}: {told}{', another order: what is counted decides' if turned else ''}.")
    said.append("These are estimates from counted operations, not measurements.")
    return " ".join(said)


def _gigabytes(size: float | None) -> str:
    return "" if size is None else f"{size / 1e9:.2f} GB"


def _joules_measured(latency: dict[str, Any]) -> str:
    joules_per_image = latency["joules_per_image"]
    return "" if joules_per_image is None else f"{energy_in_words(joules_per_image)} ({latency['joules_source']})"


def _one_image(timed: dict[str, Any] | None) -> str:
    if timed is None:
        return ""
    # Of few repetitions, none is the 95th of a hundred.
    slow = "" if timed["p95_ms"] is None else f" ({timed['p95_ms']:.2f})"
    return f"{timed['median_ms']:.2f} ms{slow}"


_TERMS = {
    "MACs": "MACs",
    "MACs as written, the first layer at every step": "as written",
    "ACs": "ACs",
    "spikes a neuron and step": "spikes",
    "energy, arithmetic alone (estimate)": "energy",
    "energy with memory (estimate)": "with memory",
}
_MEASURED: dict[str, Callable[[dict[str, Any]], str]] = {
    "time of one image, median (95 % within)": lambda each: _one_image(each["one_image"]),
    **{
        f"images a second, {size} at a time": lambda each, size=size: (  # type: ignore[misc]
            f"{each['throughput'][size]['images_per_second']:,.0f}" if (each["throughput"] or {}).get(size) else ""
        )
        for size in ("1", "32", "256")
    },
    "start of a process until its first answer": lambda each: (
        f"{each['start_up']['total_seconds']:.1f} s" if each["start_up"] else ""
    ),
    "peak memory of that process": lambda each: _gigabytes((each["peak_memory_bytes"] or {}).get("first_answer")),
    "energy of one image, measured": _joules_measured,
}


def _fastest(latency: dict[str, Any]) -> str:
    return f"{max(each['images_per_second'] for each in latency['throughput'].values()):,.0f}"


def _cell(trials: Sequence[dict[str, Any]], table: str, memory: str) -> dict[str, str]:
    def estimated(counting: str, macs: str) -> float | None:
        scope = "synapses" if memory == "compute" else "with_neurons"
        return mean(trials, lambda trial: joules_of(trial, table, memory, counting, macs, scope))

    cached, written, effective = (
        estimated(*ways) for ways in (("cached", "dense"), ("as_written", "dense"), ("cached", "effective"))
    )
    differs = None not in (cached, written) and written > 1.005 * cached  # type: ignore[operator]
    return {
        "cached": "" if cached is None else energy_in_words(cached),
        "as_written": energy_in_words(written) if differs and written is not None else "",
        "effective": "" if effective is None else energy_in_words(effective),
    }


def _layer(layer: dict[str, Any]) -> dict[str, str]:
    dense = layer["macs"]["dense"]
    rate = layer.get("spikes_per_neuron_and_step")
    return {
        "name": layer["name"] or "(the network itself)",
        "type": layer["type"],
        "input": layer["input"] or "",
        "weights": f"{layer['weights']:,}" if layer["weights"] else "",
        "MACs": amount(dense["cached"]) if dense["cached"] else "",
        "as written": amount(dense["as_written"]) if dense["as_written"] != dense["cached"] else "",
        "ACs": amount(layer["acs"]["total"]) if layer["acs"]["total"] else "",
        "zeros": "" if layer["input_zeros"] is None else per_cent(layer["input_zeros"]),
        "neurons": f"{layer['neurons']:,}" if layer.get("neurons") else "",
        "rate": "" if rate is None else per_cent(rate),
        "note": layer.get("note") or (f"folded into {layer['folded_into']}" if layer.get("folded_into") else ""),
    }
