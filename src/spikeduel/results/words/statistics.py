"""Statistics of recordings in words."""

from spikeduel.results.statistics import Name, Statistics
from spikeduel.results.words.numbers import listed, per_cent

UNITS: dict[Name, str] = {"length": " ms", "event rate": " a second"}
SHARES: tuple[Name, ...] = ("brighter events", "pixels in use", "at hot pixels")
SIDES = {"train": "training", "val": "validation", "test": "test"}


def amount(name: Name, value: float) -> str:
    """A statistic's value with its unit: "307 ms", "48.2 %"."""
    if name in SHARES:
        return per_cent(value)
    return f"{value:,.0f}{UNITS.get(name, '')}"


def told(share: float | None) -> str:
    """What was told, as "31.6 %"; of too few recordings, or where all have the same number, nothing was asked."""
    return "–" if share is None else per_cent(share)


def rows(found: Statistics) -> dict[str, str]:
    """What stands in the audit's table: the medians by side, and what is told by them alone."""
    table: dict[str, str] = {}
    for each in found.statistics:
        sides = [f"{amount(each.name, value)} {SIDES[side]}" for side, value in each.sides.items()]
        table[each.name] = f"median {', '.join(sides)}"
    table["hot pixels"] = listed([f"({x}, {y})" for x, y in found.hot_pixels]) or "none"
    if found.class_accuracy is not None:
        table["statistics alone"] = (
            f"{per_cent(found.class_accuracy)} accuracy (length, event rate and so on, no frame)"
        )
    if found.side_accuracy is not None:
        table["sides told"] = f"{per_cent(found.side_accuracy)} of training and test recordings (a coin: 50 %)"
    return table
