"""The page's section on cost: counts, estimated energy and measured time of each contender, in tables and figures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spikeduel.measuring import energy
from spikeduel.reporting import anytime, estimates, gains, pareto, style
from spikeduel.reporting.gallery import Shown
from spikeduel.results.costs import MEMORIES, Latency, Layer, Memory, Multiplications, Operations, Scope, Times, Way
from spikeduel.results.run import Results
from spikeduel.results.trials import ControlResult, Trial
from spikeduel.results.words.costs import (
    MEMORY_TITLES,
    TWO_WAYS,
    amount,
    control_results,
    control_title,
    conversion_note,
    cost_rows,
    counts_in_words,
    energy_in_words,
    finished,
    joules_of,
    latency_of,
    mean,
    mean_text,
    per_cent,
    per_step,
    table_title,
    with_memory,
    words,
)


@dataclass(frozen=True)
class Estimated:
    """Energy in three countings as text; `per_step` is empty where it is the same as `hoisted`."""

    hoisted: str
    per_step: str
    effective: str


@dataclass(frozen=True)
class EnergyRow:
    """Energies by one table and memory model, for each contender."""

    title: str
    memory: str
    cells: list[Estimated]


Rows = list[dict[str, str]]
"""Cells of text by column."""


@dataclass(frozen=True)
class Section:
    """What the template shows.

    `table` is the energy table that leads; `rows` has a cell for each contender, `layers` and `twins` have rows by
    contender; `left_out` says why a contender was not counted.
    """

    words: str | None
    two_ways: str
    table: str
    contenders: list[dict[str, str]]
    rows: dict[str, list[str]]
    energies: list[EnergyRow]
    layers: dict[str, Rows]
    twins: dict[str, Rows]
    figures: list[Shown]
    left_out: list[str]


def section(results: Results, folder: Path, table: energy.Table | None = None) -> Section | None:
    """The section, with its figures in `folder`; None where nothing was counted or timed.

    Energies in words and tables are by the first table of each trial's, which is `table` where that is given.
    """
    costs = cost_rows(results)
    if not any(row["MACs"] or row["ACs"] or row["one image"] for row in costs):
        return None
    colours = style.contender_colours(results.trials)
    reasons = {trial.contender: trial.not_counted for trial in results.trials if trial.not_counted}
    return Section(
        words=words(results),
        two_ways=TWO_WAYS,
        table=table_title(results),
        contenders=[{"name": row["model"], "colour": colours[row["model"]]} for row in costs],
        rows=rows(results),
        energies=energies(results),
        layers=layers(results),
        twins=twins(results),
        figures=_figures(results, folder, table or energy.read(energy.HEADLINE)),
        left_out=[f"{name}: {reason}" for name, reason in reasons.items()],
    )


def rows(results: Results) -> dict[str, list[str]]:
    """The table of contenders: a cell for each; rows that say nothing are left out."""
    costs = cost_rows(results)
    table = {term: [row[key] for row in costs] for term, key in _COUNTED.items()}
    if table["MACs, per step"] == table["MACs, hoisted"]:
        del table["MACs, per step"]
    latencies = [latency_of(trials) for trials in finished(results).values()]
    table |= {term: [value(latency) if latency else "" for latency in latencies] for term, value in _MEASURED.items()}
    return {term: cells for term, cells in table.items() if any(cells)}


_COUNTED = {
    "MACs, hoisted": "MACs",
    "MACs, per step": "per step",
    "ACs": "ACs",
    "spikes per neuron and step": "spikes",
    "energy, arithmetic alone (estimate)": "energy",
    "energy with memory (estimate)": "with memory",
}


def _one_image(times: Times) -> str:
    # Of few repetitions, none is the 95th of a hundred.
    return f"{times.median_ms:.2f} ms" + ("" if times.p95_ms is None else f" ({times.p95_ms:.2f})")


def _throughput(latency: Latency, size: str) -> str:
    times = (latency.throughput or {}).get(size)
    return f"{times.images_per_second:,.0f}" if times else ""


def _peak_memory(latency: Latency) -> str:
    peak = latency.peak_memory_bytes.first_answer if latency.peak_memory_bytes else None
    return "" if peak is None else f"{peak / 1e9:.2f} GB"


def _joules_measured(latency: Latency) -> str:
    joules = latency.joules_per_image
    return "" if joules is None else f"{energy_in_words(joules)} ({latency.joules_source})"


_MEASURED: dict[str, Callable[[Latency], str]] = {
    "time of one image, median (95 % within)": lambda it: _one_image(it.one_image) if it.one_image else "",
    "images a second, 1 at a time": lambda it: _throughput(it, "1"),
    "images a second, 32 at a time": lambda it: _throughput(it, "32"),
    "images a second, 256 at a time": lambda it: _throughput(it, "256"),
    "start of a process until its first answer": lambda it: f"{it.start_up.total_seconds:.1f} s" if it.start_up else "",
    "peak memory of that process": _peak_memory,
    "energy of one image, measured": _joules_measured,
}


def energies(results: Results) -> list[EnergyRow]:
    """A row for each table and memory model that it covers."""
    contenders = finished(results)
    first = next((trial.energy for trials in contenders.values() for trial in trials if trial.energy), None)
    return [
        EnergyRow(
            entry.title,
            MEMORY_TITLES[memory],
            [_estimated(trials, name, memory) for trials in contenders.values()],
        )
        for name, entry in (first.tables if first else {}).items()
        for memory in MEMORIES
        if getattr(entry, memory) is not None
    ]


def _estimated(trials: Sequence[Trial], table: str, memory: Memory) -> Estimated:
    def of(way: Way, multiplications: Multiplications) -> float | None:
        scope: Scope = "synapses" if memory == "compute" else "with_neurons"
        return mean([joules_of(trial, table, memory, scope, way, multiplications) for trial in trials])

    def text(joules: float | None) -> str:
        return "" if joules is None else energy_in_words(joules)

    hoisted, each, effective = of("hoisted", "dense"), of("per_step", "dense"), of("hoisted", "effective")
    differs = hoisted is not None and each is not None and each > 1.005 * hoisted
    return Estimated(text(hoisted), text(each) if differs else "", text(effective))


def twins(results: Results) -> dict[str, Rows]:
    """For each spiking contender whose trained controls were counted, itself and them: accuracy beside cost."""
    shown = {}
    for name, trials in finished(results).items():
        controls = [control_results(trials, control) for control in trials[0].controls] if trials else []
        counted = [found for found in controls if any(control.energy for control in found)]
        if counted:
            itself = _twin("itself", [trial.test.accuracy if trial.test else None for trial in trials], trials)
            others = [_twin(control_title(found[0]), [c.accuracy for c in found], found) for found in counted]
            shown[name] = [itself, *others]
    return shown


def _twin(
    name: str, accuracies: Sequence[float | None], entries: Sequence[Trial] | Sequence[ControlResult]
) -> dict[str, str]:
    return {
        "name": name,
        "accuracy": mean_text(accuracies, lambda accuracy: f"{100 * accuracy:.2f}"),
        **counts_in_words(entries),
        "energy": mean_text([joules_of(entry) for entry in entries], energy_in_words),
        "per step": mean_text([per_step(entry) for entry in entries], energy_in_words),
        "with memory": mean_text([with_memory(entry) for entry in entries], energy_in_words),
    }


def layers(results: Results) -> dict[str, Rows]:
    """For each contender its layers, of the first trial that was counted."""
    counted = {name: _counted(trials) for name, trials in finished(results).items()}
    return {name: [_layer(layer) for layer in operations.layers] for name, operations in counted.items() if operations}


def _counted(trials: Sequence[Trial]) -> Operations | None:
    return next((trial.operations for trial in trials if trial.operations), None)


def _layer(layer: Layer) -> dict[str, str]:
    dense, rate = layer.macs.dense, layer.spikes_per_neuron_and_step
    return {
        "name": layer.name or "(the network itself)",
        "type": layer.type,
        "input": layer.input or "",
        "weights": f"{layer.weights:,}" if layer.weights else "",
        "MACs": amount(dense.hoisted) if dense.hoisted else "",
        "per step": amount(dense.per_step) if dense.per_step != dense.hoisted else "",
        "ACs": amount(layer.acs.total) if layer.acs.total else "",
        "zeros": "" if layer.input_zeros is None else per_cent(layer.input_zeros),
        "neurons": f"{layer.neurons:,}" if layer.neurons else "",
        "rate": "" if rate is None else per_cent(rate),
        "note": layer.note or (f"folded into {layer.folded_into}" if layer.folded_into else ""),
    }


def _figures(results: Results, folder: Path, table: energy.Table) -> list[Shown]:
    shown = []
    if (figure := pareto.pareto(results, table)) is not None:
        known = any(joules_of(trial) is not None for trial in results.trials)
        of_energy = (
            f"Energy is an estimate, of arithmetic alone ({table.title}), hoisted. "
            if known
            else f"{table.title} has no energy for arithmetic alone. "
        )
        shown.append(Shown(
            style.save(figure, folder / "pareto.png"),
            "accuracy of every contender against its estimated energy, and against the measured time of one image",
            "Up and to the left is better; the dashed line is the Pareto front: no other is better for less. "
            f"{of_energy}Times are this machine's, which runs spikes as ordinary numbers; early exit is timed as a "
            "stream, step after step. Accuracies are of the networks as trained, whatever the width of the table.",
            "Accuracy against cost",
        ))  # fmt: skip
    colours = style.contender_colours(results.trials)
    for name, trials in finished(results).items():
        counted = _counted(trials)
        if counted and trials[0].spiking and counted.totals.neurons:
            figure = estimates.break_even(counted, name, colours[name])
            shown.append(Shown(
                style.save(figure, folder / f"break-even-{style.file_name(name)}.png"),
                f"the spike rate below which {name} takes less energy than its ReLU twin, by its number of time steps",
                "The twin has the same layers and answers in one pass without spikes. The dot is this network. Above a "
                "line it costs more than its twin by that table: it would need fewer spikes or fewer steps. Estimates, "
                "hoisted.",
                f"Where spiking pays: {name}",
            ))  # fmt: skip
    if anytime.followed(results):
        shown.append(Shown(
            style.save(anytime.curves(results, table), folder / "anytime.png"),
            "accuracy against time steps and energy, how many images leave early, and time against steps",
            "A spiking network has an answer after every step. Early exit: an image leaves once the network is sure "
            "enough, by a threshold that was chosen on validation images (the star).",
            "Answers at any time",
        ))  # fmt: skip
    if converted := gains.sources(results):
        steps = anytime.num_steps(anytime.followed(results)[next(iter(converted))][0])
        shown.append(Shown(
            style.save(gains.accuracy_over_steps(results), folder / "conversion.png"),
            "accuracy of converted networks after each time step, beside the networks that they were made of",
            conversion_note(steps),
            "Converted networks",
        ))  # fmt: skip
    return shown
