"""Counts and lists in sentences."""

from collections.abc import Sequence

MOST_NAMED = 6


def listed(names: Sequence[str], most: int = MOST_NAMED) -> str:
    """Return `names` as "a, b and c", cut short after `most`."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def counted(number: int, thing: str) -> str:
    """Return a number with its noun: "1 seed", "6 seeds"."""
    plural = f"{thing}s"
    if thing.endswith("s"):
        plural = f"{thing}es"
    elif thing.endswith("y"):
        plural = f"{thing[:-1]}ies"
    return f"{number:,} {thing if number == 1 else plural}"
