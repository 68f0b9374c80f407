"""Is one contender better than another, on the same test images? Usable alone, on anybody's predictions."""

from spikeduel.results.significance.differences import (
    ALPHA,
    FEWEST_GROUPS,
    MARGIN,
    Conclusion,
    Difference,
    Reservation,
    adjusted,
    compare_predictions,
    difference,
    reservation,
    smallest_p,
)

__all__ = [
    "ALPHA",
    "FEWEST_GROUPS",
    "MARGIN",
    "Conclusion",
    "Difference",
    "Reservation",
    "adjusted",
    "compare_predictions",
    "difference",
    "reservation",
    "smallest_p",
]
