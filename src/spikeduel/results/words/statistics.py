"""Statistics of recordings in words."""

from spikeduel.results.audit import StatisticName, Statistics
from spikeduel.results.words.numbers import per_cent
from spikeduel.system.sentences import listed

UNITS: dict[StatisticName, str] = {"length": " ms", "event rate": "/s"}
SHARES: tuple[StatisticName, ...] = ("brighter events", "pixels in use", "at hot pixels")
SIDES = {"train": "training", "val": "validation", "test": "test"}


def amount(name: StatisticName, value: float) -> str:
    """A statistic's value with its unit: "307 ms", "48.2 %"."""
    if name in SHARES:
        return per_cent(value)
    return f"{value:,.0f}{UNITS.get(name, '')}"


def told(share: float | None) -> str:
    """What was told, as "31.6 %"; of too few recordings, or where all have the same number, nothing
    was asked.
    """
    return "–" if share is None else per_cent(share)


def rows(found: Statistics) -> dict[str, str]:
    """What stands in the audit's table."""
    table = {"hot pixels": listed([f"({x}, {y})" for x, y in found.hot_pixels]) or "none"}
    if found.class_accuracy is not None:
        table["statistics alone"] = (
            f"{per_cent(found.class_accuracy)} accuracy (length, event rate and so on, no frame)"
        )
    if found.side_accuracy is not None:
        table["sides told"] = (
            f"{per_cent(found.side_accuracy)} of training and test recordings (a coin: 50 %)"
        )
    return table


def medians(found: Statistics) -> list[dict[str, str]]:
    """A row for each statistic: its median on each side, and how often it alone tells class and
    side.
    """
    return [
        {
            "median": each.name,
            **{SIDES[side]: amount(each.name, value) for side, value in each.sides.items()},
            "class told": told(each.class_accuracy),
            "side told": told(each.side_accuracy),
        }
        for each in found.statistics
    ]
