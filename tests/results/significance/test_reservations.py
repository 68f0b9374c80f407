import numpy as np
import pytest

from spikeduel.results.significance.permutations import sign_flips
from spikeduel.results.significance.reservations import BRIEF, reservation, reserved, smallest_p


def pair(**changes):
    made = {
        "ci95": [0.01, 0.03], "conclusion": "inconclusive", "seeds": 6, "groups": None, "p_value_raw": 0.01,
        "p_permutation": 0.002,
    }  # fmt: skip
    return {**made, **changes}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"seeds": 3, "p_permutation": 0.1}, "few_seeds"),
        ({"seeds": 4, "p_permutation": 0.06}, "exact_test"),
        ({"ci95": [-0.03, -0.01], "seeds": 2, "p_permutation": 1 / 3}, "few_seeds"),
        ({"seeds": 1, "p_permutation": None, "p_value_raw": 0.0625, "groups": 5}, "few_groups"),
        ({"seeds": 1, "p_permutation": None, "p_value_raw": 0.0625, "groups": 6}, "exact_test"),
        ({"seeds": 1, "p_permutation": None, "p_value_raw": 0.051}, "exact_test"),
        ({}, "comparisons"),
        ({"conclusion": "a_better"}, None),
        ({"conclusion": "equivalent"}, None),
        ({"ci95": [-0.01, 0.03]}, None),
        ({"ci95": None}, None),
    ],
)
def test_the_reason(changes, reason):
    assert reservation(pair(**changes)) == reason
    assert (reserved(pair(**changes)) is None) == (reason is None)
    assert reason is None or reason in BRIEF


@pytest.mark.parametrize(("seeds", "floor"), [(2, "0.33"), (3, "0.1")])
def test_the_floor_of_seeds_is_that_of_exchanging_them(seeds, floor):
    assert f"with {seeds} seeds nobody" in reserved(pair(seeds=seeds))
    assert f"no p below {floor};" in reserved(pair(seeds=seeds))


def test_the_floor_of_groups_is_that_of_flipping_all_of_them():
    for groups in range(1, 8):
        assert smallest_p(groups) == pytest.approx(sign_flips(np.arange(groups) + 3))
