"""What the published accountings say of a spiking network and another, in sentences and rows."""

import math
import re
from collections.abc import Sequence

from spikeduel.counting.amounts import MEANINGS
from spikeduel.results.columns import render
from spikeduel.results.costs import Range
from spikeduel.results.court import AXES, Accounting, Axis, Case, Court, Flip, Ruling, Side
from spikeduel.results.words.costs import amount, energy_in_words
from spikeduel.results.words.numbers import per_cent
from spikeduel.system.sentences import counted, listed

RELU_TWIN = "relu_twin"
"""The control that has a contender's weights and no spikes."""
MOST_SHOWN = 6
"""Cases that have a figure and a sentence of their own: contenders against contenders first."""
READ = {
    "source": "read at the source",
    "implementation": "read in a program that follows the source",
    "quotation": "read where others quote the source",
}
"""Where the numbers of an accounting were read."""
AXIS_NAMES: dict[Axis, str] = {
    "rate": "spike rate ",
    "steps": "T = ",
    "bits": "",
    "memory": "memory at ",
}


def shown(court: Court | None) -> list[Case]:
    """The cases to show: against other contenders; where there are none, against controls."""
    if court is None:
        return []
    contenders = [case for case in court.cases if case.control is None]
    return (contenders or court.cases)[:MOST_SHOWN]


def tabled(court: Court, twins: Sequence[tuple[str, str]]) -> list[Case]:
    """The cases to list row by row: no ReLU twin of the controls' where a contender that is shown
    is that twin.
    """
    known = {(case.spiking, case.other) for case in court.cases} & set(twins)
    return [
        case
        for case in court.cases
        if case.control != RELU_TWIN or not any(spiking == case.spiking for spiking, _ in known)
    ]


def figure_name(case: Case) -> str:
    """What a case's figure is called."""
    return "court-" + re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{case.spiking}-{case.other}").strip("-.")


def lines(court: Court | None) -> list[str]:
    """A line for each case that is shown."""
    return [summary(case) for case in shown(court)]


def summary(case: Case) -> str:
    """Who is cheaper, in how many accountings."""
    cheaper, dearer, left = (len(case.found(side)) for side in ("spiking", "other", None))
    kind = "accountings" if any(ruling.own for ruling in case.rulings) else "published accountings"
    who = f"{case.spiking} is cheaper than {case.other} in {cheaper} of {case.judged} {kind} of energy"
    left_open = f", {left} {'leaves' if left == 1 else 'leave'} it open" if left else ""
    return f"{who}, dearer in {dearer}{left_open}."


def by_side(case: Case, court: Court) -> list[tuple[str, str]]:
    """For each answer that some accounting gives: what it says, and who gives it."""
    titles: dict[Side | None, str] = {
        "spiking": f"{case.spiking} is cheaper",
        "other": f"{case.other} is cheaper",
        None: "open",
    }
    found = [
        (title, [_label(each, court) for each in case.found(side)])
        for side, title in titles.items()
    ]
    return [(title, listed(labels, len(labels))) for title, labels in found if labels]


def nearest(case: Case, court: Court) -> str | None:
    """The nearest change of an answer along each axis, in a sentence; None where none changes."""
    parts = []
    for axis in AXES:
        flips = [(flip, ruling) for ruling in case.rulings if (flip := ruling.flip(axis))]
        if flips:
            flip, ruling = min(flips, key=lambda each: abs(math.log(each[0].value / each[0].now)))
            parts.append(
                f"{_axis(flip)} instead of {_value(flip, flip.now)} ({_label(ruling, court)})"
            )
    return (
        f"The nearest changes of an answer, all else as it is: {'; '.join(parts)}."
        if parts
        else None
    )


def in_order(case: Case) -> list[Ruling]:
    """The rulings by who is cheaper, then by their ratio: the spiking network's best first, no
    number last.
    """
    sides: list[Side | None] = ["spiking", None, "other"]

    def place(ruling: Ruling) -> tuple[bool, int, float]:
        middle = math.sqrt(ruling.ratio.low * ruling.ratio.high) if ruling.ratio else math.inf
        return ruling.ratio is None, sides.index(ruling.cheaper), middle

    return sorted(case.rulings, key=place)


def rows(case: Case, court: Court) -> list[dict[str, str]]:
    """A row for each accounting: what both take, the ratio, who is cheaper, and where that
    changes.
    """
    return [
        {
            "accounting": _label(ruling, court),
            "spiking": _amounts(ruling.spiking, court.accounting(ruling.accounting).unit),
            "other": _amounts(ruling.other, court.accounting(ruling.accounting).unit),
            **_found(ruling, case),
        }
        for ruling in in_order(case)
    ]


def text(case: Case) -> str:
    """A case alone, as `print` shows it: the summary, and a row for each accounting by its name."""
    table = [{"accounting": ruling.accounting, **_found(ruling, case)} for ruling in in_order(case)]
    return f"{summary(case)} Ratio: {case.spiking} / {case.other}.\n{render(table)}"


def _found(ruling: Ruling, case: Case) -> dict[str, str]:
    names: dict[Side | None, str] = {"spiking": case.spiking, "other": case.other, None: "open"}
    return {
        "ratio": ratio(ruling.ratio),
        "cheaper": ruling.reason or names[ruling.cheaper],
        "changes": "; ".join(f"{_axis(flip)}: {names[flip.becomes]}" for flip in ruling.flips),
    }


def _label(ruling: Ruling, court: Court) -> str:
    return court.accounting(ruling.accounting).label


def constants(law: Accounting) -> list[tuple[str, str]]:
    """Each number of an accounting with its unit, and where it stands."""
    return [
        (f"{name} = {ratio(each)} {each.unit}".rstrip(), each.where)
        for name, each in law.constants.items()
    ]


def amounts(laws: Sequence[Accounting]) -> list[tuple[str, str]]:
    """The amounts that the formulas of `laws` name, and what each is."""
    used = {
        name for law in laws for name in re.findall(r"[A-Za-z_]+", f"{law.spiking} {law.other}")
    }
    return [(name, meaning) for name, meaning in MEANINGS.items() if name in used]


def ratio(found: Range | None) -> str:
    """A ratio in three digits, or its range."""
    if found is None:
        return ""
    low, high = f"{found.low:.3g}", f"{found.high:.3g}"
    return low if low == high else f"{low} to {high}"


def _amounts(found: Range | None, unit: str) -> str:
    if found is None:
        return ""
    texts = [
        energy_in_words(each) if unit == "J" else amount(each) for each in (found.low, found.high)
    ]
    return texts[0] if texts[0] == texts[1] else " to ".join(texts)


def _axis(flip: Flip) -> str:
    number, unit = _value(flip, flip.value), flip.unit if flip.axis == "memory" else ""
    if flip.axis == "bits":
        # Its unit says of what: "bits of a weight".
        number, unit = counted(round(flip.value), "bit"), flip.unit.removeprefix("bits").strip()
    return f"{AXIS_NAMES[flip.axis]}{number} {unit}".rstrip()


def _value(flip: Flip, value: float) -> str:
    match flip.axis:
        case "rate":
            return per_cent(value, 1 if value >= 0.01 else 3)
        case "steps" | "bits":
            return f"{value:.0f}"
        case _:
            return f"{value:.3g}"
