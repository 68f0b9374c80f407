"""Is one contender better than another, on the same test images? Usable alone, on anybody's predictions."""

from spikeduel.results.significance.differences import (
    ALPHA,
    MARGIN,
    Difference,
    adjusted,
    compare_predictions,
    difference,
)

__all__ = ["ALPHA", "MARGIN", "Difference", "adjusted", "compare_predictions", "difference"]
