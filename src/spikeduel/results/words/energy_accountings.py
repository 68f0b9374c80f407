"""Energy accountings in sentences and rows."""

import math
import re
from functools import partial

from spikeduel.counting.operations import MEANINGS as MEANINGS  # for the page
from spikeduel.results.columns import Column, render, text_rows
from spikeduel.results.costs import (
    AccountedPair,
    Accounting,
    AccountingResult,
    EnergyAccountings,
    Range,
    Side,
    Threshold,
)
from spikeduel.results.words.costs import amount, energy_in_words
from spikeduel.results.words.numbers import per_cent
from spikeduel.system.sentences import counted

MOST_SHOWN = 6
"""Limit of pairs with a figure and a sentence; contenders against contenders come first."""
READ = {
    "source": "read at the source",
    "implementation": "read in a program that follows the source",
    "quotation": "read where others quote the source",
}
"""Places where an accounting's numbers were read, in words."""


CHANGES_AT = (
    "The nearest value at which the answer becomes another, all else as it is: spike rates up to "
    "100 %, T up to 128, bits and memory within the limits of the accounting; – : none of them "
    "changes it."
)


def shown(accountings: EnergyAccountings | None) -> list[AccountedPair]:
    """Return the pairs to show: contenders, or else controls."""
    if accountings is None:
        return []
    contenders = [accounted for accounted in accountings.pairs if accounted.control is None]
    return (contenders or accountings.pairs)[:MOST_SHOWN]


def figure_name(accounted: AccountedPair) -> str:
    return "accountings-" + re.sub(
        r"[^A-Za-z0-9_.-]+", "-", f"{accounted.spiking}-{accounted.other}"
    ).strip("-.")


def summary(accounted: AccountedPair) -> str:
    """Say who is cheaper, by how many accountings."""
    cheaper, dearer, left = (len(accounted.found(side)) for side in ("spiking", "other", None))
    left_open = f", {left} {'leaves' if left == 1 else 'leave'} it open" if left else ""
    return (
        f"{accounted.spiking} is cheaper than {accounted.other} in {cheaper} of "
        f"{accounted.judged} accountings of energy, dearer in {dearer}{left_open}."
    )


def in_order(accounted: AccountedPair) -> list[AccountingResult]:
    """Sort accountings by who is cheaper, then by ratio; no number last."""
    sides: list[Side | None] = ["spiking", None, "other"]

    def place(result: AccountingResult) -> tuple[bool, int, float]:
        middle = math.sqrt(result.ratio.low * result.ratio.high) if result.ratio else math.inf
        return result.ratio is None, sides.index(result.cheaper), middle

    return sorted(accounted.by_accounting, key=place)


def table(
    accounted: AccountedPair, accountings: EnergyAccountings | None = None
) -> list[Column[AccountingResult]]:
    """Return the columns of accountings; with definitions, amounts too."""
    names: dict[Side | None, str] = {
        "spiking": accounted.spiking,
        "other": accounted.other,
        None: "open",
    }

    def changes(result: AccountingResult) -> str:
        return "; ".join(
            f"{_axis(threshold)}: {names[threshold.becomes]}" for threshold in result.thresholds
        )

    columns: list[Column[AccountingResult]] = [
        Column("ratio", lambda result: result.ratio, ratio, unknown="–"),
        Column("cheaper", lambda result: result.reason or names[result.cheaper], is_text=True),
        Column("changes at", changes, definition=CHANGES_AT, is_text=True),
    ]
    if accountings is None:
        return [Column("accounting", lambda result: result.accounting, is_text=True), *columns]

    def amounts(result: AccountingResult, side: Side) -> str | None:
        bounds = getattr(result, side)
        return bounds and ratio(bounds, accountings.accounting(result.accounting).unit)

    return [
        Column(
            "accounting",
            lambda result: accountings.accounting(result.accounting).label,
            is_text=True,
        ),
        Column(accounted.spiking, partial(amounts, side="spiking"), unknown="–"),
        Column(accounted.other, partial(amounts, side="other"), unknown="–"),
        *columns,
    ]


def text(accounted: AccountedPair) -> str:
    rows = render(text_rows(table(accounted), in_order(accounted)))
    return f"{summary(accounted)} Ratio: {accounted.spiking} / {accounted.other}.\n{rows}"


def constants(definition: Accounting) -> list[tuple[str, str]]:
    """Return the numbers of an accounting with units, and their places in the source."""
    return [
        (f"{name} = {ratio(constant)} {constant.unit}".rstrip(), constant.where)
        for name, constant in definition.constants.items()
    ]


def ratio(bounds: Range, unit: str | None = None) -> str:
    """Return a number or range in three digits; a `unit` such as "J" makes it an amount."""
    form = "{:.3g}".format if unit is None else energy_in_words if unit == "J" else amount
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
