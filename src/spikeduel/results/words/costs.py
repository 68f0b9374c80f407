"""What an answer costs: who needs least by which counting, as data; and all of it as text, for terminal and page."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Literal

from spikeduel.results.costs import MEMORIES, Latency, Memory, Multiplications, Operations, Scope, Way
from spikeduel.results.run import Results
from spikeduel.results.trials import ControlResult, Trial
from spikeduel.results.words.numbers import listed, per_cent
from spikeduel.results.words.tables import TWO_WAYS, percent
from spikeduel.results.words.verdict import titled
from spikeduel.system.typed import Frozen

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

Counting = Literal["hoisted", "per_step", "with_memory"]
Entries = Sequence[Trial] | Sequence[ControlResult]


def finished(results: Results) -> dict[str, list[Trial]]:
    """The finished trials of each contender, in the order of the run."""
    return {
        name: [trial for trial in results.of(name, tested=False) if trial.status == "done"]
        for name in results.contenders
    }


def counted_operations(results: Results) -> dict[str, Operations]:
    """The operations of each contender that was counted: those of its first trial."""
    counts = {
        name: [trial.operations for trial in trials if trial.operations] for name, trials in finished(results).items()
    }
    return {name: of_trials[0] for name, of_trials in counts.items() if of_trials}


def mean(values: Sequence[float | None]) -> float | None:
    """Their mean; None where there are none, or any is not known."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


def control_results(trials: Sequence[Trial], control: str) -> list[ControlResult]:
    """What a control gave for each of `trials`; empty unless all have it."""
    controls = [trial.controls[control] for trial in trials if control in trial.controls]
    return controls if len(controls) == len(trials) else []


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


with_memory = partial(joules_of, memory="on_chip", scope="with_neurons")
"""Joules of one answer, hoisted, with neurons and with memory on the chip."""
per_step = partial(joules_of, way="per_step")
"""Joules of one answer, arithmetic alone, per step."""


class Ranking(Frozen):
    """Mean joules of one answer by contender, the least first; `turned`: in another order than hoisted."""

    counting: Counting
    joules: dict[str, float]
    turned: bool = False


def rankings(results: Results) -> list[Ranking]:
    """Who needs least energy: arithmetic alone, hoisted; then by each other counting that gives other numbers.

    Contenders with a trial whose energy is not known are left out; the list is empty where that holds for all.
    """
    trials = finished(results)
    first = _ranked(trials, joules_of)
    if not first:
        return []
    known = [Ranking(counting="hoisted", joules=first)]
    others: dict[Counting, Callable[[Trial], float | None]] = {"per_step": per_step, "with_memory": with_memory}
    for counting, joules in others.items():
        ranked = _ranked({name: trials[name] for name in first}, joules)
        if len(ranked) == len(first) and any(ranked[name] >= 1.005 * first[name] for name in first):
            known.append(Ranking(counting=counting, joules=ranked, turned=list(ranked) != list(first)))
    return known


def _ranked(trials: Mapping[str, Sequence[Trial]], joules: Callable[[Trial], float | None]) -> dict[str, float]:
    means = {name: mean([joules(trial) for trial in of_one]) for name, of_one in trials.items()}
    known = {name: value for name, value in means.items() if value is not None}
    return {name: known[name] for name in sorted(known, key=known.__getitem__)}


def amount(number: float) -> str:
    """A count in three digits: 12.3 M."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= ALMOST * size:
            return f"{_three_digits(number / size)}{unit}"
    return _three_digits(number)


def energy_in_words(value: float | None) -> str:
    """Joules in three digits, 12.3 µJ; "" where they are not known."""
    if value is None:
        return ""
    for size, unit in ((1e-3, "mJ"), (1e-6, "µJ"), (1e-9, "nJ")):
        if value >= ALMOST * size:
            return f"{_three_digits(value / size)} {unit}"
    return f"{_three_digits(value / 1e-12)} pJ"


def _three_digits(number: float) -> str:
    return f"{number:.0f}" if number >= 100 or number == 0 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def _of_totals(path: str) -> Callable[[Trial | ControlResult], float | None]:
    value = attrgetter(path)
    return lambda entry: value(entry.operations.totals) if entry.operations else None


def _accuracy(entry: Trial | ControlResult) -> float | None:
    tested = entry.test if isinstance(entry, Trial) else entry
    return tested.accuracy if tested else None


_AMOUNTS: dict[str, tuple[Callable[[Trial | ControlResult], float | None], Callable[[float], str]]] = {
    "MACs": (_of_totals("macs.dense.hoisted"), amount),
    "per step": (_of_totals("macs.dense.per_step"), amount),
    "ACs": (_of_totals("acs.total"), amount),
    "spikes": (_of_totals("spikes_per_neuron_and_step"), per_cent),
    "energy": (joules_of, energy_in_words),
    "with memory": (with_memory, energy_in_words),
    "energy per step": (per_step, energy_in_words),
    "accuracy": (_accuracy, percent),
}
"""What a mean over trials or controls is shown of: its value, and how it is written."""


def mean_text(entries: Entries, name: str) -> str:
    """The mean of one of `_AMOUNTS` over `entries`; "" where it is not known."""
    of, form = _AMOUNTS[name]
    value = mean([of(entry) for entry in entries])
    return "" if value is None else form(value)


def table_title(results: Results) -> str:
    """What the table that leads is called; "" where nothing was counted."""
    return next((trial.energy.leading.title for trial in results.trials if trial.energy), "")


def cost_rows(results: Results) -> list[dict[str, str]]:
    """A row of text for each contender: what one answer takes, means over its trials; "" where it is not known."""
    rows = []
    for name, trials in finished(results).items():
        latency = latency_of(trials)
        one_image, throughput = (latency.one_image, latency.throughput) if latency else (None, None)
        columns = ("MACs", "per step", "ACs", "spikes", "energy", "with memory")
        row = {"model": name} | {column: mean_text(trials, column) for column in columns}
        row["one image"] = f"{one_image.median_ms:.2f} ms" if one_image else ""
        fastest = max((each.images_per_second for each in (throughput or {}).values()), default=None)
        row["images/s"] = "" if fastest is None else f"{fastest:,.0f}"
        rows.append(row)
    return rows


def latency_of(trials: Sequence[Trial]) -> Latency | None:
    """The times of a contender: those of the trial that was timed."""
    return next((trial.latency for trial in trials if trial.latency), None)


def table_rows(results: Results) -> list[dict[str, str]]:
    """`cost_rows` for the terminal, without the columns that are empty; nothing where nothing was counted."""
    rows = cost_rows(results)
    titles = [title for title in rows[0] if any(row[title] for row in rows)]
    return [{title: row[title] for title in titles} for row in rows] if len(titles) > 1 else []


_ON_THE_PAGE = {
    "MACs": "MACs, hoisted",
    "per step": "MACs, per step",
    "ACs": "ACs",
    "spikes": "spikes per neuron and step",
    "energy": "energy, arithmetic alone (estimate)",
    "with memory": "energy with memory (estimate)",
}


def page_rows(results: Results) -> dict[str, list[str]]:
    """The same for the page: a cell for each contender by what it says; rows that say nothing are left out."""
    of_contenders = list(finished(results).values())
    rows = {title: [mean_text(trials, name) for trials in of_contenders] for name, title in _ON_THE_PAGE.items()}
    if rows["MACs, per step"] == rows["MACs, hoisted"]:
        del rows["MACs, per step"]
    times = [_times(latency) if (latency := latency_of(trials)) else {} for trials in of_contenders]
    titles = next((list(each) for each in times if each), [])
    rows |= {title: [each.get(title, "") for each in times] for title in titles}
    return {title: cells for title, cells in rows.items() if any(cells)}


def _times(latency: Latency) -> dict[str, str]:
    one, start, joules = latency.one_image, latency.start_up, latency.joules_per_image
    peak = latency.peak_memory_bytes.first_answer if latency.peak_memory_bytes else None
    # Of few repetitions, none is the 95th of a hundred.
    slow = f" ({one.p95_ms:.2f})" if one and one.p95_ms is not None else ""
    rows = {"time of one image, median (95 % within)": f"{one.median_ms:.2f} ms{slow}" if one else ""}
    for size in ("1", "32", "256"):
        times = (latency.throughput or {}).get(size)
        rows[f"images a second, {size} at a time"] = f"{times.images_per_second:,.0f}" if times else ""
    rows["start of a process until its first answer"] = f"{start.total_seconds:.1f} s" if start else ""
    rows["peak memory of that process"] = "" if peak is None else f"{peak / 1e9:.2f} GB"
    measured = f"{energy_in_words(joules)} ({latency.joules_source})"
    return rows | {"energy of one image, measured": "" if joules is None else measured}


def energies(results: Results) -> list[tuple[str, str, list[tuple[str, str, str]]]]:
    """A row for each table and memory model that it covers: both titles, and for each contender the energy hoisted, per
    step, and hoisted with zeros skipped. Per step is "" where it is the same as hoisted.
    """
    contenders = finished(results)
    first = next((trial.energy for trials in contenders.values() for trial in trials if trial.energy), None)
    return [
        (entry.title, MEMORY_TITLES[memory], [_energy_cell(trials, name, memory) for trials in contenders.values()])
        for name, entry in (first.tables if first else {}).items()
        for memory in MEMORIES
        if getattr(entry, memory) is not None
    ]


def _energy_cell(trials: Sequence[Trial], table: str, memory: Memory) -> tuple[str, str, str]:
    scope: Scope = "synapses" if memory == "compute" else "with_neurons"

    def joules(way: Way, multiplications: Multiplications) -> float | None:
        return mean([joules_of(trial, table, memory, scope, way, multiplications) for trial in trials])

    hoisted, each = joules("hoisted", "dense"), joules("per_step", "dense")
    differs = hoisted is not None and each is not None and each > 1.005 * hoisted
    effective = joules("hoisted", "effective")
    return energy_in_words(hoisted), energy_in_words(each) if differs else "", energy_in_words(effective)


def twins(results: Results) -> dict[str, list[tuple[str, Entries]]]:
    """For each spiking contender whose trained controls were counted: itself and them, by title."""
    shown: dict[str, list[tuple[str, Entries]]] = {}
    for name, trials in finished(results).items():
        controls = [control_results(trials, control) for control in trials[0].controls] if trials else []
        if known := [found for found in controls if any(control.energy for control in found)]:
            shown[name] = [("itself", trials), *((titled(found[0]), found) for found in known)]
    return shown


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
