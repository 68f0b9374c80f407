"""Adjust p-values for the number of tests."""

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values that are adjusted for their number.

    The probability that any true null hypothesis is rejected is at most the level of the tests,
    however they depend on one another.

    Parameters
    ----------
    p_values : sequence of float
        The p-values of all tests of an experiment.

    Returns
    -------
    list of float
        Adjusted p-values in the same order.

    References
    ----------
    Holm 1979, "A simple sequentially rejective multiple test procedure".

    Examples
    --------
    >>> [round(p, 3) for p in holm([0.02, 0.005, 0.04, 0.011])]
    [0.04, 0.02, 0.04, 0.033]
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable").tolist()):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted
