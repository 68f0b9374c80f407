"""What an answer costs: who needs least by which counting, as data; and all of it as text, for terminal and page."""

import statistics
from collections.abc import Callable, Sequence
from typing import Literal

from spikeduel.results.costs import (
    Latency,
    Layer,
    Memory,
    Multiplications,
    Operations,
    Scope,
    TableEnergy,
    Totals,
    Way,
    Ways,
)
from spikeduel.results.run import Results
from spikeduel.results.trials import ControlResult, Trial
from spikeduel.results.words.numbers import counted, listed
from spikeduel.results.words.tables import render
from spikeduel.system.typed import Frozen

TWO_WAYS = (
    "Hoisted: what is the same at every time step (the first layer under direct encoding) counts once. Per step: it "
    "counts at every step, as in a plain loop."
)
"""What the two ways of counting are, wherever both are shown."""
LEGEND = (
    "Per image, means over the test set. MACs: multiplications of numbers with weights, hoisted. ACs: additions that "
    f"spikes cause. Spikes: per neuron and step. {TWO_WAYS} Energies are estimates, of arithmetic alone, and with "
    "neurons and on-chip memory. Times are measured on this machine."
)
"""What the columns of `table_rows` are."""
MEMORY_TITLES: dict[Memory, str] = {
    "compute": "arithmetic alone",
    "on_chip": "with memory on the chip",
    "off_chip": "with weights off the chip",
}
ALMOST = 0.9995
"""What is as much of a unit as this is written as one of it, not as a thousand of the smaller."""


def finished(results: Results) -> dict[str, list[Trial]]:
    """The finished trials of each contender, in the order of the run."""
    return {
        name: [trial for trial in results.of(name, tested=False) if trial.status == "done"]
        for name in results.contenders
    }


def mean(values: Sequence[float | None]) -> float | None:
    """Their mean; None where there are none, or any is not known."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


def control_results(trials: Sequence[Trial], control: str) -> list[ControlResult]:
    """What a control gave for each of `trials`; empty unless all have it."""
    controls = [trial.controls[control] for trial in trials if control in trial.controls]
    return controls if len(controls) == len(trials) else []


def control_title(control: ControlResult) -> str:
    """What a control is called, with the bits of its activations."""
    return control.title + (f" ({counted(control.bits, 'bit')})" if control.bits else "")


def joules_of(
    entry: Trial | ControlResult,
    table: str | None = None,
    memory: Memory = "compute",
    scope: Scope = "synapses",
    way: Way = "hoisted",
    multiplications: Multiplications = "dense",
) -> float | None:
    """Joules of one answer by the table of this name, or by the one that leads; see `TableEnergy.joules`."""
    if entry.energy is None:
        return None
    estimate = entry.energy.leading if table is None else entry.energy.tables.get(table)
    return estimate.joules(memory, scope, way, multiplications) if estimate else None


def with_memory(entry: Trial | ControlResult) -> float | None:
    """Joules of one answer, hoisted, with neurons and with memory on the chip."""
    return joules_of(entry, memory="on_chip", scope="with_neurons")


def per_step(entry: Trial | ControlResult) -> float | None:
    """Joules of one answer, arithmetic alone, per step."""
    return joules_of(entry, way="per_step")


class Ranking(Frozen):
    """Mean joules of one answer by contender, the least first; `turned`: in another order than hoisted."""

    counting: Literal["hoisted", "per_step", "with_memory"]
    joules: dict[str, float]
    turned: bool = False


def rankings(results: Results) -> list[Ranking]:
    """Who needs least energy: arithmetic alone, hoisted; then by each other counting that gives other numbers.

    Contenders with a trial whose energy is not known are left out; the list is empty where that holds for all.
    """
    trials = finished(results)
    means = {name: mean([joules_of(trial) for trial in of_one]) for name, of_one in trials.items()}
    first = _ranked({name: joules for name, joules in means.items() if joules is not None})
    if not first:
        return []
    known = [Ranking(counting="hoisted", joules=first)]
    others: list[tuple[Literal["per_step", "with_memory"], Callable[[Trial], float | None]]] = [
        ("per_step", per_step),
        ("with_memory", with_memory),
    ]
    for counting, of in others:
        other = {name: joules for name in first if (joules := mean([of(trial) for trial in trials[name]])) is not None}
        if len(other) == len(first) and any(other[name] >= 1.005 * first[name] for name in first):
            ranked = _ranked(other)
            known.append(Ranking(counting=counting, joules=ranked, turned=list(ranked) != list(first)))
    return known


def _ranked(joules: dict[str, float]) -> dict[str, float]:
    return {name: joules[name] for name in sorted(joules, key=joules.__getitem__)}


def amount(number: float) -> str:
    """A count in three digits: 12.3 M."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= ALMOST * size:
            return f"{_three_digits(number / size)}{unit}"
    return _three_digits(number)


def energy_in_words(value: float) -> str:
    """Joules in three digits: 12.3 µJ."""
    for size, unit in ((1e-3, "mJ"), (1e-6, "µJ"), (1e-9, "nJ")):
        if value >= ALMOST * size:
            return f"{_three_digits(value / size)} {unit}"
    return f"{_three_digits(value / 1e-12)} pJ"


def per_cent(share: float) -> str:
    """A share with one digit."""
    return f"{100 * share:.1f} %"


def _three_digits(number: float) -> str:
    return f"{number:.0f}" if number >= 100 or number == 0 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def mean_text(values: Sequence[float | None], form: Callable[[float], str]) -> str:
    """Their `mean`, written by `form`; "" where it is not known."""
    value = mean(values)
    return "" if value is None else form(value)


def table_title(results: Results) -> str:
    """What the table that leads is called; "" where nothing was counted."""
    return next((trial.energy.leading.title for trial in results.trials if trial.energy), "")


def cost_rows(results: Results) -> list[dict[str, str]]:
    """A row of text for each contender: what one answer takes, means over its trials; "" where it is not known."""
    return [_cost_row(name, trials) for name, trials in finished(results).items()]


def _cost_row(name: str, trials: Sequence[Trial]) -> dict[str, str]:
    latency = latency_of(trials)
    one_image, throughput = (latency.one_image, latency.throughput) if latency else (None, None)
    return {
        "model": name,
        **counts_in_words(trials),
        "spikes": mean_text([_total(trial, lambda t: t.spikes_per_neuron_and_step) for trial in trials], per_cent),
        "energy": mean_text([joules_of(trial) for trial in trials], energy_in_words),
        "with memory": mean_text([with_memory(trial) for trial in trials], energy_in_words),
        "one image": f"{one_image.median_ms:.2f} ms" if one_image else "",
        "images/s": f"{max(each.images_per_second for each in throughput.values()):,.0f}" if throughput else "",
    }


def counts_in_words(entries: Sequence[Trial | ControlResult]) -> dict[str, str]:
    """Mean MACs, hoisted and per step, and mean ACs."""
    return {
        "MACs": mean_text([_total(entry, lambda totals: totals.macs.dense.hoisted) for entry in entries], amount),
        "per step": mean_text([_total(entry, lambda totals: totals.macs.dense.per_step) for entry in entries], amount),
        "ACs": mean_text([_total(entry, lambda totals: totals.acs.total) for entry in entries], amount),
    }


def _total(entry: Trial | ControlResult, value: Callable[[Totals], float | None]) -> float | None:
    return value(entry.operations.totals) if entry.operations else None


def latency_of(trials: Sequence[Trial]) -> Latency | None:
    """The times of a contender: those of the trial that was timed."""
    return next((trial.latency for trial in trials if trial.latency), None)


def table_rows(results: Results) -> list[dict[str, str]]:
    """`cost_rows` for the terminal, without the columns that are empty; nothing where nothing was counted."""
    rows = cost_rows(results)
    titles = [title for title in rows[0] if any(row[title] for row in rows)]
    return [{title: row[title] for title in titles} for row in rows] if len(titles) > 1 else []


def words(results: Results) -> str | None:
    """`rankings` in sentences; None where there are none."""
    ranked = rankings(results)
    if not ranked:
        return None
    starts = {
        "hoisted": f"Estimated energy of one answer, arithmetic alone, hoisted ({table_title(results)})",
        "per_step": "Per step",
        "with_memory": "With neurons, and with weights, activations and membranes in on-chip memory",
    }
    sentences = []
    for ranking in ranked:
        listing = listed([f"{name} {energy_in_words(joules)}" for name, joules in ranking.joules.items()])
        turned = " The order changes: it depends on what is counted." if ranking.turned else ""
        sentences.append(f"{starts[ranking.counting]}: {listing}.{turned}")
    return " ".join([*sentences, "These are estimates from counted operations, not measurements."])


def conversion_note(num_steps: int) -> str:
    """What the figure of networks that were converted for `num_steps` steps shows."""
    return (
        "Solid: the converted network after each time step. Dashed: the ReLU network that it was made from. It was "
        f"converted for {num_steps} steps; a network converted for fewer steps is more accurate at that step."
    )


def network_text(operations: Operations, energy: TableEnergy, table: str) -> str:
    """One network's operations layer by layer, and its estimated energy by the table of this name."""
    steps, images = operations.num_steps, operations.images
    total = operations.totals
    rows = [
        *(_layer_row(layer.name or layer.type, layer.type if layer.name else "", layer) for layer in operations.layers),
        _layer_row("total", "", total),
    ]
    hoisting = any(layer.passes.per_step != layer.passes.hoisted for layer in operations.layers)
    lines = [
        f"Operations of one image, means over {counted(images, 'image')}, {counted(steps, 'time step')}",
        render(rows),
        "MACs: multiply-accumulates; effective: those whose input is not 0. ACs: additions that spikes cause.",
        *([f"MACs are per step, hoisted in brackets. {TWO_WAYS}"] if hoisting else []),
        f"Energy of one image, an ESTIMATE by table {table} ({energy.title}), MACs dense:",
    ]
    differ = total.macs.dense.per_step != total.macs.dense.hoisted
    for memory, title in _NETWORK_MEMORIES.items():
        number = _microjoules(energy.joules(memory, way="per_step"))
        if differ:
            number += f" per step, {_microjoules(energy.joules(memory))} hoisted"
        lines.append(f"  {title + ':':<30} {number}")
    return "\n".join(lines)


_NETWORK_MEMORIES: dict[Memory, str] = {
    "compute": "arithmetic of synapses alone",
    "on_chip": "with memory, all on the chip",
    "off_chip": "with memory, weights outside",
}


def _layer_row(name: str, kind: str, counts: Layer | Totals) -> dict[str, str]:
    layer = counts if isinstance(counts, Layer) else None
    rate = counts.spikes_per_neuron_and_step
    other = {what: getattr(counts, what).hoisted for what in ("additions", "multiplications", "functions")}
    return {
        "layer": name,
        "type": kind,
        "takes": (layer and layer.input) or "",
        "passes": _both(layer.passes) if layer else "",
        "MACs": _both(counts.macs.dense),
        "effective": _both(counts.macs.effective),
        "ACs": _whole(counts.acs.total),
        "neurons": _whole(counts.neurons or 0),
        "spikes/neuron/step": f"{rate:.4f}" if rate is not None else "",
        "weights": _whole(layer.weights) if layer else "",
        "other": f"folded into {layer.folded_into}"
        if layer and layer.folded_into
        else ", ".join(f"{_whole(number)} {what}" for what, number in other.items() if number),
    }


def _both(amounts: Ways) -> str:
    """Per step, and where it differs hoisted."""
    each, once = _whole(amounts.per_step), _whole(amounts.hoisted)
    return each if each == once else f"{each} ({once})"


def _whole(number: float) -> str:
    return f"{number:,.0f}" if number else ""


def _microjoules(joules: float | None) -> str:
    if joules is None:
        return "not known"
    microjoules = 1e6 * joules
    return f"{microjoules:,.0f} µJ" if microjoules >= 1000 else f"{microjoules:.3g} µJ"
