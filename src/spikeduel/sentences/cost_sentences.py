"""Costs per inference, and energy accountings, as text."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import NamedTuple

from spikeduel.engine.counting.operations import (
    MEANINGS as MEANINGS,  # for the page
    Way,
)
from spikeduel.results.cost_results import (
    GROUPS,
    MEMORIES,
    AccountedPair,
    AccountingResult,
    EnergyAccountings,
    Group,
    Kind,
    Memory,
    Range,
    TableEnergy,
    Threshold,
)
from spikeduel.results.means import (
    finished,
    joules_of,
    latency_of,
    mean,
    mean_range,
)
from spikeduel.results.run import Results
from spikeduel.results.trials import Latency, Trial
from spikeduel.sentences.columns import Column
from spikeduel.system.numbers import counted, per_cent

TWO_WAYS = (
    "Hoisted: what is the same at every time step (the first layer under direct encoding) counts "
    "once. Per step: it counts at every step, as in a plain loop."
)
ZEROS = (
    "Energy of arithmetic ranges from skipping all zeros, of numbers and of spikes, to skipping "
    "none. Energy with memory ranges from the cheapest to the most expensive way to compute each "
    "layer: input by input, or whole at every step, with weights read each time or once per image."
)
LEGEND = (
    "Per image, means over the test set. MACs: multiplications of numbers with weights, hoisted. "
    f"ACs: additions that spikes cause. {TWO_WAYS} Energies are estimates, with neurons and memory "
    f"on the chip, and of arithmetic alone. {ZEROS} Times are measured on this machine."
)
MEMORY_TITLES: dict[Memory, str] = {
    "compute": "arithmetic alone",
    "on_chip": "with memory on the chip",
    "off_chip": "with weights off the chip",
}
_ALMOST = 0.9995
"""Share of a unit from which an amount is written in it, not as a thousand of the smaller."""
_COUNTS = ((1e9, " G"), (1e6, " M"), (1e3, " k"), (1.0, ""))
_JOULES = ((1.0, " J"), (1e-3, " mJ"), (1e-6, " µJ"), (1e-9, " nJ"), (1e-12, " pJ"))


def amount(number: float, units: tuple[tuple[float, str], ...] = _COUNTS) -> str:
    """Return a count in three digits: 12.3 M."""
    size, unit = next((unit for unit in units if number >= _ALMOST * unit[0]), units[-1])
    scaled = number / size
    digits = 0 if scaled >= 100 or scaled == 0 else 1 if scaled >= 10 else 2
    return f"{scaled:.{digits}f}{unit}"


def energy_in_words(joules: float | None) -> str:
    """Return joules in three digits: 12.3 µJ; "" for None."""
    return "" if joules is None else amount(joules, _JOULES)


def range_in_words(joules: Range | None) -> str:
    """Return a range in three digits, 1.2 to 12.3 µJ; "" for None."""
    if joules is None:
        return ""
    low, high = energy_in_words(joules.low), energy_in_words(joules.high)
    if low == high:
        return low
    same_unit = low.rpartition(" ")[2] == high.rpartition(" ")[2]
    return f"{low.rpartition(' ')[0] if same_unit else low} to {high}"


class Network(NamedTuple):
    """A contender's finished trials."""

    name: str
    trials: Sequence[Trial]

    @property
    def latency(self) -> Latency | None:
        return latency_of(self.trials)

    def joules(
        self, table: str | None = None, memory: Memory = "compute", way: Way = "hoisted"
    ) -> Range | None:
        return mean_range([joules_of(trial, table, memory, way) for trial in self.trials])


def _counted(title: str, path: str, form: Callable[[float], str] = amount) -> Column[Network]:
    """Return the column of an attribute of `Operations.totals`, a mean over trials."""
    total = attrgetter(f"totals.{path}")

    def value(network: Network) -> float | None:
        counts = [trial.operations for trial in network.trials]
        return mean([total(operations) if operations else None for operations in counts])

    return Column(title, value, form)


def _one_image(network: Network) -> str | None:
    times = network.latency and network.latency.one_image
    if not times:
        return None
    # Few repetitions have no 95th percentile.
    slow = "" if times.p95_ms is None else f" ({times.p95_ms:.2f})"
    return f"{times.median_ms:.2f} ms{slow}"


def _throughput(network: Network) -> float | None:
    batches = ((network.latency and network.latency.throughput) or {}).values()
    return max((batch.images_per_second for batch in batches), default=None)


COUNTED: list[Column[Network]] = [
    _counted("MACs", "macs.dense.hoisted"),
    _counted("MACs per step", "macs.dense.per_step"),
    _counted("MACs not of 0", "macs.effective.hoisted"),
    _counted("ACs", "acs.total"),
    _counted("spikes/neuron/step", "spikes_per_neuron_and_step", per_cent),
    Column("energy", lambda network: network.joules(memory="on_chip"), range_in_words),
    Column("arithmetic alone", Network.joules, range_in_words),
    Column("arithmetic per step", lambda network: network.joules(way="per_step"), range_in_words),
]
TIMED: list[Column[Network]] = [
    Column("one image (95 % within)", _one_image),
    Column("images/s", _throughput, "{:,.0f}".format),
    Column(
        "first inference of a process",
        lambda network: network.latency and network.latency.start_up_seconds,
        "{:.1f} s".format,
    ),
]


def networks(results: Results) -> list[Network]:
    return [Network(name, trials) for name, trials in finished(results).items()]


def rows(results: Results) -> list[dict[str, str]]:
    """Return a row for each known cost, a cell for each contender."""
    cells = {
        column.title: {network.name: str(column.cell(network)) for network in networks(results)}
        for column in (*COUNTED, *TIMED)
    }
    if cells["MACs per step"] == cells["MACs"]:
        del cells["MACs per step"], cells["arithmetic per step"]
    return [{"cost": title, **row} for title, row in cells.items() if any(row.values())]


def leading(results: Results) -> TableEnergy | None:
    """Return a trial's energy by the leading table; None if nothing was counted."""
    return next((trial.energy.leading for trial in results.trials if trial.energy), None)


def energies(results: Results) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Return a row for each table and memory model: titles, and for each contender the energy
    hoisted, and as most papers count.
    """
    first = next((trial.energy for trial in results.trials if trial.energy), None)
    return [
        (
            entry.title,
            MEMORY_TITLES[memory],
            [
                (range_in_words(network.joules(table, memory)), _usual(network, table, memory))
                for network in networks(results)
            ],
        )
        for table, entry in (first.tables if first else {}).items()
        for memory in MEMORIES
        if getattr(entry, memory) is not None
    ]


def _usual(network: Network, table: str, memory: Memory) -> str:
    tables = [trial.energy.tables.get(table) for trial in network.trials if trial.energy]
    joules = [estimate.of(memory).dense if estimate else None for estimate in tables]
    return energy_in_words(mean(joules))


def events(results: Results) -> str:
    """Return events and frames of recordings; "" for images."""
    if (rates := results.dataset.events) is None:
        return ""
    return (
        f"The test recordings have {rates.a_second:,.0f} events a second. Their frames count "
        f"{rates.in_frames:,.0f} of {rates.each:,.0f} events a recording, and "
        f"{per_cent(rates.non_zero)} of their entries are not zero. The first layer of a spiking "
        "network adds once for each event and synapse, three times for a pixel with three; other "
        "networks multiply the entries of frames, or their mean."
    )


MAX_SHOWN = 6
"""Limit of pairs with a figure and a sentence; contenders against contenders come first."""
GROUP_TITLES: dict[Group, str] = {
    "memory": "with memory on both sides",
    "arithmetic": "by arithmetic alone",
    "chip": "on named chips",
    "device": "on measured devices",
    "operations": "in operations or bits",
    "measured": "as measured on this machine",
    "size": "in bytes of weights",
}
READ = {
    "source": "read at the source",
    "implementation": "read in a program that follows the source",
    "quotation": "read where others quote the source",
}
CHANGES_AT = (
    "The nearest value at which the result becomes another, all else as it is: spike rates up to "
    "100 %, T up to 128, bits and memory within the limits of the accounting; – : none of them "
    "changes it."
)


def main_pairs(accountings: EnergyAccountings | None) -> list[AccountedPair]:
    """Return the pairs to show: contenders, or else variants."""
    if accountings is None:
        return []
    contenders = [accounted for accounted in accountings.pairs if accounted.variant is None]
    return (contenders or accountings.pairs)[:MAX_SHOWN]


def summary(accounted: AccountedPair) -> str:
    """Return which of two networks needs less energy, by each group of accountings."""
    pair = f"Energy of {accounted.spiking} and {accounted.other} by published accountings"
    return f"{pair}: {by_groups(accounted.by_group) or 'no accounting gives a number'}."


def by_groups(by_group: Mapping[Group, Sequence[str | None]]) -> str:
    """Return which network needs less energy by how many accountings of each group."""
    return "; ".join(of_groups(by_group))


def of_groups(by_group: Mapping[Group, Sequence[str | None]]) -> list[str]:
    """Return which network needs less energy, a text for each group of accountings."""
    return [f"{GROUP_TITLES[group]}, {_needs_less(names)}" for group, names in by_group.items()]


def _needs_less(names: Sequence[str | None]) -> str:
    counts = Counter(names)
    undecided = counts.pop(None, 0)
    if not counts:
        return f"undecided by {undecided} of {len(names)}"
    (name, most), *others = counts.most_common()
    text = f"{name} needs less by {most} of {len(names)}"
    text += "".join(f", {other} by {fewer}" for other, fewer in others)
    return f"{text} ({undecided} undecided)" if undecided else text


def in_order(accounted: AccountedPair) -> list[AccountingResult]:
    """Sort by group, who is cheaper, and ratio; no number last."""
    kinds: list[Kind | None] = ["spiking", None, "other"]

    def order(result: AccountingResult) -> tuple[bool, int, int, float]:
        middle = math.sqrt(result.ratio.low * result.ratio.high) if result.ratio else math.inf
        group, kind = GROUPS.index(result.group), kinds.index(result.cheaper)
        return result.ratio is None, group, kind, middle

    return sorted(accounted.by_accounting, key=order)


def accounting_table(
    accounted: AccountedPair, accountings: EnergyAccountings
) -> list[Column[AccountingResult]]:
    """Return the columns of a table of accountings, with the amounts of both networks."""
    names: dict[Kind | None, str] = {
        "spiking": accounted.spiking,
        "other": accounted.other,
        None: "open",
    }

    def name(result: AccountingResult) -> str:
        return accountings.accounting(result.accounting).label

    def amounts(result: AccountingResult, kind: Kind) -> str | None:
        bounds = getattr(result, kind)
        return bounds and ratio(bounds, accountings.accounting(result.accounting).unit)

    def changes(result: AccountingResult) -> str:
        return "; ".join(
            f"{_axis(threshold)}: {names[threshold.becomes]}" for threshold in result.thresholds
        )

    return [
        Column("accounting", name, is_text=True),
        Column("group", lambda result: result.group, is_text=True),
        Column(accounted.spiking, partial(amounts, kind="spiking"), unknown="–"),
        Column(accounted.other, partial(amounts, kind="other"), unknown="–"),
        Column("ratio", lambda result: result.ratio, ratio, unknown="–"),
        Column("cheaper", lambda result: result.reason or names[result.cheaper], is_text=True),
        Column("changes at", changes, definition=CHANGES_AT, is_text=True),
    ]


def ratio(bounds: Range, unit: str | None = None) -> str:
    """Return a number or range in three digits; a `unit` such as "pJ" makes it an amount."""
    form = "{:.3g}".format if unit is None else energy_in_words if unit == "pJ" else amount
    low, high = form(bounds.low), form(bounds.high)
    return low if low == high else f"{low} to {high}"


def _axis(threshold: Threshold) -> str:
    value, unit = threshold.value, threshold.unit
    match threshold.axis:
        case "rate":
            return f"spike rate {per_cent(value, 1 if value >= 0.01 else 3)}"
        case "steps":
            return f"T = {value:.0f}"
        case "bits":
            # The unit says of what: "bits of a weight".
            return f"{counted(round(value), 'bit')} {unit.removeprefix('bits').strip()}".rstrip()
        case "memory":
            return f"memory at {value:.3g} {unit}"
