"""Energy accountings in sentences and rows."""

import math
import re
from collections.abc import Sequence

from spikeduel.counting.amounts import MEANINGS
from spikeduel.results.columns import render
from spikeduel.results.costs import Range
from spikeduel.results.energy_accountings import (
    AXES,
    AccountedPair,
    Accounting,
    AccountingResult,
    Axis,
    EnergyAccountings,
    Side,
    Threshold,
)
from spikeduel.results.words.costs import amount, energy_in_words
from spikeduel.results.words.numbers import per_cent
from spikeduel.system.sentences import counted, listed

RELU_TWIN = "relu_twin"
"""The control with a contender's weights and without spikes."""
MOST_SHOWN = 6
"""Limit of pairs with a figure and a sentence; contenders against contenders come first."""
READ = {
    "source": "read at the source",
    "implementation": "read in a program that follows the source",
    "quotation": "read where others quote the source",
}
"""Places of reading the numbers of an accounting, in words."""
AXIS_NAMES: dict[Axis, str] = {
    "rate": "spike rate ",
    "steps": "T = ",
    "bits": "",
    "memory": "memory at ",
}


def shown(accountings: EnergyAccountings | None) -> list[AccountedPair]:
    """Return the pairs to show: against other contenders, or against controls where there are no
    others.
    """
    if accountings is None:
        return []
    contenders = [accounted for accounted in accountings.pairs if accounted.control is None]
    return (contenders or accountings.pairs)[:MOST_SHOWN]


def tabled(accountings: EnergyAccountings, twins: Sequence[tuple[str, str]]) -> list[AccountedPair]:
    """Return the pairs to list row by row, without the control's ReLU twin where a contender is
    that twin.
    """
    known = {(accounted.spiking, accounted.other) for accounted in accountings.pairs} & set(twins)
    return [
        accounted
        for accounted in accountings.pairs
        if accounted.control != RELU_TWIN
        or not any(spiking == accounted.spiking for spiking, _ in known)
    ]


def figure_name(accounted: AccountedPair) -> str:
    """Return the name of a pair's figure."""
    return "accountings-" + re.sub(
        r"[^A-Za-z0-9_.-]+", "-", f"{accounted.spiking}-{accounted.other}"
    ).strip("-.")


def lines(accountings: EnergyAccountings | None) -> list[str]:
    """Return a line for each pair that is shown."""
    return [summary(accounted) for accounted in shown(accountings)]


def summary(accounted: AccountedPair) -> str:
    """Say who is cheaper, by how many accountings."""
    cheaper, dearer, left = (len(accounted.found(side)) for side in ("spiking", "other", None))
    kind = (
        "accountings"
        if any(result.own for result in accounted.by_accounting)
        else "published accountings"
    )
    who = (
        f"{accounted.spiking} is cheaper than {accounted.other} in {cheaper} of {accounted.judged} "
        f"{kind} of energy"
    )
    left_open = f", {left} {'leaves' if left == 1 else 'leave'} it open" if left else ""
    return f"{who}, dearer in {dearer}{left_open}."


def by_side(accounted: AccountedPair, accountings: EnergyAccountings) -> list[tuple[str, str]]:
    """Return each answer that some accounting gives, with the accountings that give it."""
    titles: dict[Side | None, str] = {
        "spiking": f"{accounted.spiking} is cheaper",
        "other": f"{accounted.other} is cheaper",
        None: "open",
    }
    answers = [
        (title, [_label(result, accountings) for result in accounted.found(side)])
        for side, title in titles.items()
    ]
    return [(title, listed(labels, len(labels))) for title, labels in answers if labels]


def nearest(accounted: AccountedPair, accountings: EnergyAccountings) -> str | None:
    """Name the nearest change of an answer along each axis; None where no answer changes."""
    parts = []
    for axis in AXES:
        thresholds = [
            (threshold, result)
            for result in accounted.by_accounting
            if (threshold := result.threshold(axis))
        ]
        if thresholds:
            threshold, result = min(
                thresholds, key=lambda change: abs(math.log(change[0].value / change[0].now))
            )
            parts.append(
                f"{_axis(threshold)} instead of {_value(threshold, threshold.now)} "
                f"({_label(result, accountings)})"
            )
    return (
        f"The nearest changes of an answer, all else as it is: {'; '.join(parts)}."
        if parts
        else None
    )


def in_order(accounted: AccountedPair) -> list[AccountingResult]:
    """Sort the accountings by who is cheaper, then by ratio: the spiking network's best first, no
    number last.
    """
    sides: list[Side | None] = ["spiking", None, "other"]

    def place(result: AccountingResult) -> tuple[bool, int, float]:
        middle = math.sqrt(result.ratio.low * result.ratio.high) if result.ratio else math.inf
        return result.ratio is None, sides.index(result.cheaper), middle

    return sorted(accounted.by_accounting, key=place)


def rows(accounted: AccountedPair, accountings: EnergyAccountings) -> list[dict[str, str]]:
    """Return a row for each accounting: both amounts, the ratio, who is cheaper, and where that
    changes.
    """
    return [
        {
            "accounting": _label(result, accountings),
            "spiking": _amounts(result.spiking, accountings.accounting(result.accounting).unit),
            "other": _amounts(result.other, accountings.accounting(result.accounting).unit),
            **_found(result, accounted),
        }
        for result in in_order(accounted)
    ]


def text(accounted: AccountedPair) -> str:
    """Return a pair alone, as `print` shows it: the summary and a row for each accounting."""
    table = [
        {"accounting": result.accounting, **_found(result, accounted)}
        for result in in_order(accounted)
    ]
    return f"{summary(accounted)} Ratio: {accounted.spiking} / {accounted.other}.\n{render(table)}"


def _found(result: AccountingResult, accounted: AccountedPair) -> dict[str, str]:
    names: dict[Side | None, str] = {
        "spiking": accounted.spiking,
        "other": accounted.other,
        None: "open",
    }
    return {
        "ratio": ratio(result.ratio),
        "cheaper": result.reason or names[result.cheaper],
        "changes": "; ".join(
            f"{_axis(threshold)}: {names[threshold.becomes]}" for threshold in result.thresholds
        ),
    }


def _label(result: AccountingResult, accountings: EnergyAccountings) -> str:
    return accountings.accounting(result.accounting).label


def constants(definition: Accounting) -> list[tuple[str, str]]:
    """Return each number of an accounting with its unit, and its place in the source."""
    return [
        (f"{name} = {ratio(constant)} {constant.unit}".rstrip(), constant.where)
        for name, constant in definition.constants.items()
    ]


def amounts(definitions: Sequence[Accounting]) -> list[tuple[str, str]]:
    """Return the amounts that the formulas of `all_accountings` name, with their meanings."""
    used = {
        name
        for definition in definitions
        for name in re.findall(r"[A-Za-z_]+", f"{definition.spiking} {definition.other}")
    }
    return [(name, meaning) for name, meaning in MEANINGS.items() if name in used]


def ratio(bounds: Range | None) -> str:
    """Return a ratio in three digits, or its range."""
    if bounds is None:
        return ""
    low, high = f"{bounds.low:.3g}", f"{bounds.high:.3g}"
    return low if low == high else f"{low} to {high}"


def _amounts(bounds: Range | None, unit: str) -> str:
    if bounds is None:
        return ""
    texts = [
        energy_in_words(end) if unit == "J" else amount(end) for end in (bounds.low, bounds.high)
    ]
    return texts[0] if texts[0] == texts[1] else " to ".join(texts)


def _axis(threshold: Threshold) -> str:
    number, unit = (
        _value(threshold, threshold.value),
        threshold.unit if threshold.axis == "memory" else "",
    )
    if threshold.axis == "bits":
        # Its unit says of what: "bits of a weight".
        number, unit = (
            counted(round(threshold.value), "bit"),
            threshold.unit.removeprefix("bits").strip(),
        )
    return f"{AXIS_NAMES[threshold.axis]}{number} {unit}".rstrip()


def _value(threshold: Threshold, value: float) -> str:
    match threshold.axis:
        case "rate":
            return per_cent(value, 1 if value >= 0.01 else 3)
        case "steps" | "bits":
            return f"{value:.0f}"
        case _:
            return f"{value:.3g}"
