"""Equal tuning: every contender gets the same number of trials, judged on validation images only.

Random search (Bergstra and Bengio 2012, "Random search for hyper-parameter optimization"): the trials do not depend on
one another, so that what fewer or more of them would have found can be told from them (Dodge et al. 2019, "Show your
work: improved reporting of experimental results", which assumes just that). For the same reason none is cut short: a
pruner judges by early epochs, where learning rates and families differ in nothing but haste.
"""

from spikeduel.trials.tuning.ranges import RANGES, Range, draw, read_ranges
from spikeduel.trials.tuning.searching import Tuning, expected_best, expected_maximum, read_tuning, record_for, search

__all__ = [
    "RANGES",
    "Range",
    "Tuning",
    "draw",
    "expected_best",
    "expected_maximum",
    "read_ranges",
    "read_tuning",
    "record_for",
    "search",
]
