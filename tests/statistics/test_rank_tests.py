"""The signed-rank test, against SciPy and by hand."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import stats

from spikeduel.statistics import rank_tests

DIFFERENT = st.lists(st.integers(-400, 400), min_size=2, max_size=14, unique_by=abs).filter(
    lambda differences: 0 not in differences
)
ANY = st.lists(st.integers(-4, 4), min_size=1, max_size=9)


def test_families_of_related_data_sets_hold_the_level_that_single_ones_break():
    """Seven families of four data sets, correlated by 0.8, without a true difference."""
    random, false = np.random.default_rng(5), np.zeros(2)
    names = [f"{n // 4}" for n in range(28)]
    for _ in range(400):
        common, rest = random.normal(size=(7, 1)), random.normal(size=(7, 4))
        apart = np.round((0.8**0.5 * common + 0.2**0.5 * rest).ravel(), 12)
        pairs = [(apart, apart), (apart, rank_tests.family_means(apart, names))]
        false += [
            rank_tests.compare_over_datasets([pair], 0.005)[0].p_value <= 0.05 for pair in pairs
        ]
    alone, by_family = false / 400
    assert alone > 0.2
    assert by_family <= 0.07


@given(DIFFERENT)
def test_p_values_are_those_of_scipy(differences):
    differences = np.array(differences, float)
    two_sided, greater = (
        stats.wilcoxon(differences, alternative=alternative, method="exact").pvalue
        for alternative in ("two-sided", "greater")
    )
    assert rank_tests.wilcoxon(differences) == pytest.approx(two_sided)
    if rank_tests.signed_ranks(differences).sum() > 0:
        assert rank_tests.one_sided(differences) == pytest.approx(greater)


@given(ANY)
def test_with_ties_and_zeros_all_signs_are_flipped(differences):
    differences = np.array(differences, float)
    ranks = stats.rankdata(np.abs(differences)) * np.sign(differences)
    signs = np.array(np.meshgrid(*[[-1, 1]] * len(differences))).reshape(len(differences), -1)
    totals = np.abs(np.abs(ranks) @ signs)
    assert rank_tests.wilcoxon(differences) == pytest.approx(
        (totals >= abs(ranks.sum()) - 1e-9).mean()
    )


def test_five_data_sets_cannot_reach_five_per_cent_and_six_can():
    assert rank_tests.wilcoxon(np.arange(1.0, 6.0)) == pytest.approx(0.0625)
    assert rank_tests.wilcoxon(np.arange(1.0, 7.0)) == pytest.approx(0.03125)
    assert [rank_tests.min_datasets(pairs) for pairs in (1, 3, 6, 45)] == [6, 7, 8, 11]


def test_the_means_of_any_two_by_hand():
    # Of 1, 2 and 6: 1, 1.5, 2, 3.5, 4, 6.
    assert rank_tests.walsh_averages(np.array([6.0, 1.0, 2.0])).tolist() == [1, 1.5, 2, 3.5, 4, 6]


def test_intervals_by_hand():
    differences = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 9.0])
    # Of 64 ways one has a sum of 0, one of 1, one of 2 and two of 3: 1/64 is below 2.5 %, and 3/64
    # below 5 %.
    intervals = {
        (num, level): rank_tests.interval(differences[:num], level)
        for num in (6, 5)
        for level in (0.95, 0.90)
    }
    assert intervals == {
        (6, 0.95): (1.0, 9.0),
        (6, 0.90): (2.0, 6.5),
        (5, 0.95): None,
        (5, 0.90): (1.0, 5.0),
    }


@given(DIFFERENT.filter(lambda differences: len(differences) > 5))
def test_an_interval_holds_what_the_test_does_not_reject(differences):
    differences = np.array(differences, float)
    low, high = rank_tests.interval(differences, 0.95)
    for inside in (low + 1e-6, (low + high) / 2 + 1e-7, high - 1e-6):
        assert not low < inside < high or rank_tests.wilcoxon(differences - inside) > 0.05
    for outside in (low - 1e-6, high + 1e-6):
        assert rank_tests.wilcoxon(differences - outside) <= 0.05


@given(ANY)
def test_the_margin_is_shown_as_the_90_per_cent_interval_shows_it(differences):
    apart = np.array(differences) + np.linspace(0, 0.4, len(differences))
    ends = rank_tests.interval(apart, 0.90)
    inside = ends is not None and max(map(abs, ends)) < 2.203
    assert (rank_tests.not_within(apart, 2.203) <= 0.05) == inside
