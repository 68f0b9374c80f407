"""Costs of an answer, and rankings by energy, as text: for terminal and page."""

from collections.abc import Callable, Sequence
from operator import attrgetter

from spikeduel.counting.operations import WAYS, Operations
from spikeduel.results.columns import layer_rows, percent, render
from spikeduel.results.costs import MEMORIES, Memory, Range, TableEnergy
from spikeduel.results.rankings import (
    Counting,
    Entries,
    Entry,
    Ranking,
    control_results,
    finished,
    joules_of,
    mean,
    mean_range,
    per_step,
    rankings,
    with_memory,
)
from spikeduel.results.run import Results
from spikeduel.results.trials import Latency, Trial
from spikeduel.results.words.numbers import counted, listed, per_cent
from spikeduel.results.words.verdict import titled

TWO_WAYS = (
    "Hoisted: what is the same at every time step (the first layer under direct encoding) counts "
    "once. Per step: it counts at every step, as in a plain loop."
)
"""The two ways of counting, wherever both are shown."""
ZEROS = (
    "Energy of arithmetic goes from zeros skipped by all, numbers and spikes alike, to nothing "
    "skipped by anybody; energy with memory from the cheapest to the dearest way to compute each "
    "layer: input by input, or whole at every step, with weights read each time or once an image."
)
"""Meaning of the ranges of energies."""
LEGEND = (
    "Per image, means over the test set. MACs: multiplications of numbers with weights, hoisted. "
    "ACs: additions that "
    f"spikes cause. Spikes: per neuron and step. {TWO_WAYS} Energies are estimates, of arithmetic "
    f"alone, and with "
    f"neurons and on-chip memory. {ZEROS} Times are measured on this machine."
)
"""Meaning of the columns of `table_rows`."""
MEMORY_TITLES: dict[Memory, str] = {
    "compute": "arithmetic alone",
    "on_chip": "with memory on the chip",
    "off_chip": "with weights off the chip",
}
ALMOST = 0.9995
"""Share of a unit from which an amount is written in it, and not as a thousand of the smaller."""


def amount(number: float) -> str:
    """Return a count in three digits: 12.3 M."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= ALMOST * size:
            return f"{_three_digits(number / size)}{unit}"
    return _three_digits(number)


def energy_in_words(value: float | None) -> str:
    """Return joules in three digits, 12.3 µJ; "" where they are not known."""
    if value is None:
        return ""
    for size, unit in ((1e-3, "mJ"), (1e-6, "µJ"), (1e-9, "nJ")):
        if value >= ALMOST * size:
            return f"{_three_digits(value / size)} {unit}"
    return f"{_three_digits(value / 1e-12)} pJ"


def _three_digits(number: float) -> str:
    return (
        f"{number:.0f}"
        if number >= 100 or number == 0
        else f"{number:.1f}"
        if number >= 10
        else f"{number:.2f}"
    )


def range_in_words(joules: Range | None) -> str:
    """Return both ends in three digits, 1.2 to 12.3 µJ, or one where they are the same; "" where
    they are not known.
    """
    if joules is None:
        return ""
    low, high = energy_in_words(joules.low), energy_in_words(joules.high)
    if low == high:
        return low
    same_unit = low.rpartition(" ")[2] == high.rpartition(" ")[2]
    return f"{low.rpartition(' ')[0] if same_unit else low} to {high}"


def _of_totals(path: str) -> Callable[[Entry], float | None]:
    value = attrgetter(path)
    return lambda entry: value(entry.operations.totals) if entry.operations else None


def _accuracy(entry: Entry) -> float | None:
    tested = entry.test if isinstance(entry, Trial) else entry
    return tested.accuracy if tested else None


_AMOUNTS: dict[str, tuple[Callable[[Entry], float | None], Callable[[float], str]]] = {
    "MACs": (_of_totals("macs.dense.hoisted"), amount),
    "per step": (_of_totals("macs.dense.per_step"), amount),
    "not zero": (_of_totals("macs.effective.hoisted"), amount),
    "ACs": (_of_totals("acs.total"), amount),
    "spikes": (_of_totals("spikes_per_neuron_and_step"), per_cent),
    "accuracy": (_accuracy, percent),
}
_ENERGIES: dict[str, Callable[[Entry], Range | None]] = {
    "energy": joules_of,
    "with memory": with_memory,
    "energy per step": per_step,
}


def mean_text(entries: Entries, name: str) -> str:
    """Return the mean of one of `_AMOUNTS` or `_ENERGIES` over `entries`; "" where it is not
    known.
    """
    if name in _ENERGIES:
        return range_in_words(mean_range([_ENERGIES[name](entry) for entry in entries]))
    of, form = _AMOUNTS[name]
    value = mean([of(entry) for entry in entries])
    return "" if value is None else form(value)


def table_title(results: Results) -> str:
    """Return the title of the table that leads; "" where nothing was counted."""
    return next((trial.energy.leading.title for trial in results.trials if trial.energy), "")


def cost_rows(results: Results) -> list[dict[str, str]]:
    """Return a row of text for each contender: costs of one answer, means over trials; "" where a
    cost is not known.
    """
    rows = []
    for name, trials in finished(results).items():
        latency = latency_of(trials)
        one_image, throughput = (latency.one_image, latency.throughput) if latency else (None, None)
        columns = ("MACs", "per step", "ACs", "spikes", "energy", "with memory")
        row = {"model": name} | {column: mean_text(trials, column) for column in columns}
        row["one image"] = f"{one_image.median_ms:.2f} ms" if one_image else ""
        fastest = max(
            (each.images_per_second for each in (throughput or {}).values()), default=None
        )
        row["images/s"] = "" if fastest is None else f"{fastest:,.0f}"
        rows.append(row)
    return rows


def latency_of(trials: Sequence[Trial]) -> Latency | None:
    """Return the times of the contender's trial that was timed."""
    return next((trial.latency for trial in trials if trial.latency), None)


def table_rows(results: Results) -> list[dict[str, str]]:
    """Return `cost_rows` without empty columns; nothing where nothing was counted."""
    rows = cost_rows(results)
    titles = [title for title in rows[0] if any(row[title] for row in rows)]
    return [{title: row[title] for title in titles} for row in rows] if len(titles) > 1 else []


_ON_THE_PAGE = {
    "MACs": "MACs, hoisted",
    "not zero": "of these with an input that is not zero",
    "per step": "MACs, per step",
    "ACs": "ACs",
    "spikes": "spikes per neuron and step",
}
TITLES: dict[Counting, str] = {
    "skipped": "arithmetic alone, zeros skipped by all",
    "computed": "arithmetic alone, nothing skipped",
    "per_step_skipped": "per step, zeros skipped by all",
    "per_step_computed": "per step, nothing skipped",
    "with_memory": "with neurons and on-chip memory",
}
LEAST = "least"
"""Mark at the least energy of a ranking."""


def page_rows(results: Results) -> dict[str, list[str]]:
    """Return the costs for the page: a cell for each contender, by title, without empty rows."""
    contenders = finished(results)
    rows = {
        title: [mean_text(trials, name) for trials in contenders.values()]
        for name, title in _ON_THE_PAGE.items()
    }
    if rows["MACs, per step"] == rows["MACs, hoisted"]:
        del rows["MACs, per step"]
    for ranking in rankings(results):
        cells = {name: range_in_words(joules) for name, joules in ranking.joules.items()}
        if ranking.least:
            cells[ranking.least] += f" ({LEAST})"
        rows[f"energy, {TITLES[ranking.counting]} (estimate)"] = [
            cells.get(name, "") for name in contenders
        ]
    times = [
        _times(latency) if (latency := latency_of(trials)) else {} for trials in contenders.values()
    ]
    titles = next((list(of_contender) for of_contender in times if of_contender), [])
    rows |= {title: [of_contender.get(title, "") for of_contender in times] for title in titles}
    return {title: cells for title, cells in rows.items() if any(cells)}


def _times(latency: Latency) -> dict[str, str]:
    one, start, joules = latency.one_image, latency.start_up_seconds, latency.joules_per_image
    peak = latency.peak_memory_bytes
    # Of few repetitions, none is the 95th of a hundred.
    slow = f" ({one.p95_ms:.2f})" if one and one.p95_ms is not None else ""
    rows = {
        "time of one image, median (95 % within)": f"{one.median_ms:.2f} ms{slow}" if one else ""
    }
    for size in ("1", "32", "256"):
        times = (latency.throughput or {}).get(size)
        rows[f"images a second, {size} at a time"] = (
            f"{times.images_per_second:,.0f}" if times else ""
        )
    rows["start of a process until its first answer"] = f"{start:.1f} s" if start else ""
    rows["peak memory of that process"] = "" if peak is None else f"{peak / 1e9:.2f} GB"
    measured = f"{energy_in_words(joules)} ({latency.joules_source})"
    return rows | {"energy of one image, measured": "" if joules is None else measured}


def energies(results: Results) -> list[tuple[str, str, list[tuple[str, str, str]]]]:
    """Return a row for each table and memory model that it covers: both titles, and for each
    contender the energy hoisted, per step, and as most papers count. Per step is "" where it is the
    same as hoisted.
    """
    contenders = finished(results)
    first = next(
        (trial.energy for trials in contenders.values() for trial in trials if trial.energy), None
    )
    return [
        (
            entry.title,
            _memory_title(entry, memory),
            [_energy_cell(trials, name, memory) for trials in contenders.values()],
        )
        for name, entry in (first.tables if first else {}).items()
        for memory in MEMORIES
        if getattr(entry, memory) is not None
    ]


def _memory_title(entry: TableEnergy, memory: Memory) -> str:
    return "whatever the chip's figures hold" if entry.is_chip else MEMORY_TITLES[memory]


def _energy_cell(trials: Sequence[Trial], table: str, memory: Memory) -> tuple[str, str, str]:
    hoisted, each = (
        mean_range([joules_of(trial, table, memory, way) for trial in trials])
        for way in ("hoisted", "per_step")
    )
    differs = hoisted and each and each.high > 1.005 * hoisted.high
    tables = [trial.energy.tables.get(table) for trial in trials if trial.energy]
    usual = mean([entry.of(memory).dense if entry else None for entry in tables])
    return range_in_words(hoisted), range_in_words(each) if differs else "", energy_in_words(usual)


def twins(results: Results) -> dict[str, list[tuple[str, Entries]]]:
    """Return spiking contenders whose trained controls were counted, with these controls by
    title.
    """
    shown: dict[str, list[tuple[str, Entries]]] = {}
    for name, trials in finished(results).items():
        controls = (
            [control_results(trials, control) for control in trials[0].controls] if trials else []
        )
        counted_ones = [
            entries for entries in controls if any(control.energy for control in entries)
        ]
        if counted_ones:
            titles = [(titled(entries[0]), entries) for entries in counted_ones]
            shown[name] = [("itself", trials), *titles]
    return shown


def words(results: Results) -> str | None:
    """Return the rankings in sentences; None where nobody is compared."""
    ranked = [ranking for ranking in rankings(results) if len(ranking.joules) > 1]
    if not ranked:
        return None
    return (
        f"Estimated energy of one answer ({table_title(results)}): {_who_takes_least(ranked)} "
        "These are estimates from counts, not measurements."
    )


def events(results: Results) -> str:
    """Return the number of events of recordings, and the sparseness and cost of frames; "" for
    images.
    """
    if (rates := results.dataset.events) is None:
        return ""
    return (
        f"The test recordings have {rates.a_second:,.0f} events a second. Their frames count "
        f"{rates.in_frames:,.0f} "
        f"of {rates.each:,.0f} events a recording, and {per_cent(rates.non_zero)} of their entries "
        f"are not zero. The "
        "first layer of a spiking network adds once for each event and synapse, three times for a "
        "pixel with three; "
        "other networks multiply the entries of frames, or their mean."
    )


def _who_takes_least(ranked: Sequence[Ranking]) -> str:
    by_name: dict[str | None, list[str]] = {}
    for ranking in ranked:
        by_name.setdefault(ranking.least, []).append(TITLES[ranking.counting])
    undecided = by_name.pop(None, [])
    parts = [f"{name} in {len(titles)} ({'; '.join(titles)})" for name, titles in by_name.items()]
    if undecided:
        parts.append(f"nobody in {len(undecided)}, where ranges overlap ({'; '.join(undecided)})")
    if len(parts) == 1 and not undecided:
        return f"{next(iter(by_name))} takes the least in all {len(ranked)} ways of counting."
    if not by_name:
        return f"nobody takes the least in any of {len(ranked)} ways of counting: ranges overlap."
    return (
        f"who takes the least depends on how it is counted. Of {len(ranked)} ways: "
        f"{', '.join(parts)}."
    )


def network_text(operations: Operations, energy: TableEnergy, table: str) -> str:
    """Return a network's operations layer by layer, and its estimated energy by a table."""
    images, steps = counted(operations.images, "image"), counted(operations.num_steps, "time step")
    lines = [
        f"Operations of one image, means over {images}, {steps}",
        render(layer_rows(operations)),
        "MACs: multiply-accumulates; effective: those whose input is not 0. ACs: additions that "
        "spikes cause.",
    ]
    if any(layer.passes.per_step != layer.passes.hoisted for layer in operations.layers):
        lines.append(f"MACs are per step, hoisted in brackets. {TWO_WAYS}")
    return "\n".join([*lines, energy_text(energy, f"table {table} ({energy.title})")])


def energy_text(energy: TableEnergy, table: str | None = None) -> str:
    """Return a network's estimated energy by a `table`, by default the title of `energy`."""
    lines = [
        f"Energy of one image, an ESTIMATE by {table or energy.title}, from the cheapest to the "
        f"dearest way to compute "
        "each layer:"
    ]
    for memory, title in _NETWORK_MEMORIES.items():
        per_step, hoisted = (_microjoules(energy.of(memory, way=way).range) for way in WAYS)
        number = per_step if per_step == hoisted else f"{per_step} per step, {hoisted} hoisted"
        lines.append(f"  {title + ':':<30} {number}")
    if energy.unknown:
        lines.append(f"  It has no energy for {listed(energy.unknown)}.")
    return "\n".join(lines)


_NETWORK_MEMORIES: dict[Memory, str] = {
    "compute": "arithmetic of synapses alone",
    "on_chip": "with memory, all on the chip",
    "off_chip": "with memory, weights outside",
}


def _microjoules(joules: Range | None) -> str:
    if joules is None:
        return "not known"
    low, high = (
        f"{1e6 * end:,.0f}" if 1e6 * end >= 1000 else f"{1e6 * end:.3g}"
        for end in (joules.low, joules.high)
    )
    return f"{low} µJ" if low == high else f"{low} to {high} µJ"
