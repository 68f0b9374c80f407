import itertools

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

from spikeduel.statistics import PermutationTest, holm, mcnemar, sign_flips
from spikeduel.statistics.exact_tests import MAX_WAYS


def discordant(only_a, only_b, both=30):
    correct_a = np.array([True] * only_a + [False] * only_b + [True] * both)
    correct_b = np.array([False] * only_a + [True] * only_b + [True] * both)
    return correct_a, correct_b


def test_mcnemar_by_hand():
    # Nine coins, one head: 2·(1 + 9)/512.
    for only_a, only_b, p_value in ((1, 8, 20 / 512), (0, 0, 1), (5, 5, 1)):
        assert mcnemar(*discordant(only_a, only_b)) == pytest.approx(p_value)


def test_mcnemar_on_a_textbooks_numbers():
    # Agresti, Categorical Data Analysis, approval ratings: 150 against 86 changed sides; z² =
    # 17.36.
    p_value = mcnemar(*discordant(150, 86, 1364))
    assert p_value == pytest.approx(3.7e-5, rel=0.03)
    assert p_value == pytest.approx(2 * stats.binom.cdf(86, 236, 0.5))


@settings(deadline=None)
@given(st.lists(st.integers(-6, 6), min_size=1, max_size=9))
def test_sign_flips_are_those_that_one_counts(sums):
    totals = [
        sum(s * x for s, x in zip(signs, sums, strict=True))
        for signs in itertools.product((1, -1), repeat=len(sums))
    ]
    counted = sum(abs(total) >= abs(sum(sums)) for total in totals) / len(totals)
    assert sign_flips(np.array(sums)) == pytest.approx(counted)


def test_flipping_more_groups_than_can_be_counted_is_drawn():
    sums = np.random.default_rng(0).integers(-4, 7, 60)
    drawn = PermutationTest.of_pairs(sums.astype(float))
    assert drawn.how == "Monte Carlo"
    assert drawn.p_value == pytest.approx(sign_flips(sums), rel=0.1)


def test_thousands_of_groups_are_still_counted_exactly():
    rng = np.random.default_rng(0)
    sums = rng.integers(-4, 5, 3000)
    z = abs(sums.sum()) / np.sqrt((sums**2).sum())
    assert sign_flips(sums) == pytest.approx(2 * stats.norm.sf(z), rel=0.05)


@settings(deadline=None)
@given(st.lists(st.integers(0, 12), min_size=8, max_size=8))
def test_exchanging_seeds_is_scipys_permutation_test(counts):
    a, b = np.array(counts[:4]), np.array(counts[4:])
    # Sums of whole numbers, so that ties are ties.
    expected = stats.permutation_test(
        (a, b), lambda a, b, axis: a.sum(axis) - b.sum(axis), vectorized=True
    )
    assert PermutationTest.of_seeds(a / 12, b / 12).p_value == pytest.approx(
        min(1.0, expected.pvalue)
    )


def test_many_seeds_are_drawn_alike_every_time():
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 100, 12) / 100, rng.integers(15, 115, 12) / 100
    assert PermutationTest.of_seeds(a, b).how == "Monte Carlo"
    p_value = PermutationTest.of_seeds(a, b).p_value
    assert p_value == PermutationTest.of_seeds(a, b).p_value
    assert p_value == pytest.approx(PermutationTest.of_seeds(b, a).p_value, abs=0.005)
    assert p_value == pytest.approx(stats.ttest_ind(a, b).pvalue, abs=0.03)
    assert PermutationTest.of_seeds(np.arange(11), np.arange(100, 111)).p_value >= 1 / MAX_WAYS


def test_holm_by_hand():
    # Holm's own order: 4·0.005, 3·0.011, 2·0.02, 0.04 (raised to the one before).
    assert holm([0.02, 0.005, 0.04, 0.011]) == pytest.approx([0.04, 0.02, 0.04, 0.033])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_none_and_bonferroni_and_keeps_the_order(p_values):
    adjusted = holm(p_values)
    for raw, after in zip(p_values, adjusted, strict=True):
        assert raw <= after <= min(1.0, len(p_values) * raw) + 1e-12
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()
