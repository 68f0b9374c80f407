"""Why nobody is called better though the interval of the difference excludes 0: the reason, for those who see both.

Interval and exact test ask about different kinds of luck (`differences`), and an exact test of few things that can be
exchanged has no small p-values at all, however large the difference.
"""

import math
from collections.abc import Mapping
from typing import Any

from spikeduel.results.significance.variances import ALPHA, FEWEST_SEEDS

FEWEST_GROUPS = 6
"""Of test images, for flipping their signs to reach a p-value below `ALPHA`: 2 of 2^6 ways."""

BRIEF = {
    "few_seeds": "too few seeds",
    "few_groups": "too few groups of test images",
    "comparisons": "not after adjusting for the comparisons",
    "exact_test": "not by the exact test",
}
"""Each reason in a few words, for a table."""


def reservation(found: Mapping[str, Any]) -> str | None:
    """One of `BRIEF`, for a pair of results.json or `Difference.to_dict()`; None where interval and conclusion agree.

    They also agree where the difference is too small to count, and called equivalent.
    """
    interval = found.get("ci95")
    if found.get("conclusion") != "inconclusive" or interval is None or interval[0] <= 0 <= interval[1]:
        return None
    if 1 < found["seeds"] < FEWEST_SEEDS:
        return "few_seeds"
    groups = found.get("groups")
    if found["seeds"] == 1 and groups is not None and groups < FEWEST_GROUPS:
        return "few_groups"
    tests = (found.get("p_value_raw"), found.get("p_permutation"))
    return "comparisons" if all(p is None or p <= ALPHA for p in tests) else "exact_test"


def reserved(found: Mapping[str, Any]) -> str | None:
    """The reason as a clause: "the interval excludes 0, yet …"; None where there is none."""
    reason = reservation(found)
    if reason is None:
        return None
    because = {
        "few_seeds": lambda: (
            f"with {found['seeds']} seeds nobody can be called better, however large the difference (exchanging them "
            f"gives no p below {2 / math.comb(2 * found['seeds'], found['seeds']):.2g}; --seeds 6 can)"
        ),
        "few_groups": lambda: (
            f"{found['groups']} group{'s' if found['groups'] > 1 else ''} of test images can show no difference, "
            f"however large (exchanging them gives no p below {smallest_p(found['groups']):.2g})"
        ),
        "comparisons": lambda: "not after adjusting for the number of comparisons",
        "exact_test": lambda: "the exact test does not bear that out",
    }[reason]()
    return f"the interval excludes 0, yet {because}"


def smallest_p(groups: int) -> float:
    """The smallest p-value that flipping the signs of so many groups can reach."""
    return 2.0 ** (1 - groups)
