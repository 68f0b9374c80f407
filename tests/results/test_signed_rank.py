"""The signed-rank test against scipy and by hand; its Bayesian counterpart against baycomp."""

import baycomp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from spikeduel.results import signed_rank

DIFFERENT = st.lists(st.integers(-400, 400), min_size=2, max_size=14, unique_by=abs).filter(
    lambda each: 0 not in each
)
ANY = st.lists(st.integers(-4, 4), min_size=1, max_size=9)


@given(DIFFERENT)
def test_p_values_are_those_of_scipy(differences):
    differences = np.array(differences, float)
    for alternative, ours in (
        ("two-sided", signed_rank.wilcoxon),
        ("greater", signed_rank.one_sided),
    ):
        expected = stats.wilcoxon(differences, alternative=alternative, method="exact").pvalue
        if alternative == "two-sided" or signed_rank.signed_ranks(differences).sum() > 0:
            assert ours(differences) == pytest.approx(expected)


@given(ANY)
def test_with_ties_and_zeros_all_signs_are_flipped(differences):
    differences = np.array(differences, float)
    ranks = stats.rankdata(np.abs(differences)) * np.sign(differences)
    signs = np.array(np.meshgrid(*[[-1, 1]] * len(differences))).reshape(len(differences), -1)
    totals = np.abs(np.abs(ranks) @ signs)
    assert signed_rank.wilcoxon(differences) == pytest.approx(
        (totals >= abs(ranks.sum()) - 1e-9).mean()
    )


def test_five_data_sets_cannot_reach_five_per_cent_and_six_can():
    assert signed_rank.wilcoxon(np.arange(1.0, 6.0)) == pytest.approx(0.0625)
    assert signed_rank.wilcoxon(np.arange(1.0, 7.0)) == pytest.approx(0.03125)
    assert [signed_rank.fewest(pairs) for pairs in (1, 3, 6, 45)] == [6, 7, 8, 11]


def test_the_typical_difference_by_hand():
    # The means of any two of 1, 2 and 6: 1, 1.5, 2, 3.5, 4, 6.
    assert signed_rank.averages(np.array([6.0, 1.0, 2.0])).tolist() == [1, 1.5, 2, 3.5, 4, 6]
    assert signed_rank.centre(np.array([6.0, 1.0, 2.0])) == 2.75


def test_intervals_by_hand():
    differences = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 9.0])
    # Of 64 ways one has a sum of 0, one of 1, one of 2 and two of 3: 1/64 is below 2.5 %, and 3/64
    # below 5 %.
    assert signed_rank.interval(differences, 0.95) == (1.0, 9.0)
    assert signed_rank.interval(differences, 0.90) == (2.0, 6.5)
    assert signed_rank.interval(differences[:5], 0.95) is None
    assert signed_rank.interval(differences[:5], 0.90) == (1.0, 5.0)


@given(DIFFERENT.filter(lambda each: len(each) > 5))
def test_an_interval_holds_what_the_test_does_not_reject(differences):
    differences = np.array(differences, float)
    low, high = signed_rank.interval(differences, 0.95)
    for inside in (low + 1e-6, (low + high) / 2 + 1e-7, high - 1e-6):
        assert not low < inside < high or signed_rank.wilcoxon(differences - inside) > 0.05
    for outside in (low - 1e-6, high + 1e-6):
        assert signed_rank.wilcoxon(differences - outside) <= 0.05


@given(ANY)
def test_the_margin_is_shown_as_the_90_per_cent_interval_shows_it(differences):
    apart = np.array(differences) + np.linspace(0, 0.4, len(differences))
    ends = signed_rank.interval(apart, 0.90)
    inside = ends is not None and max(map(abs, ends)) < 2.203
    assert (signed_rank.not_within(apart, 2.203) <= 0.05) == inside


@pytest.mark.parametrize("seed", range(4))
def test_the_posterior_is_that_of_baycomp(seed):
    random = np.random.default_rng(seed)
    a, b = random.normal(0.004 * seed, 0.01, 11), random.normal(0, 0.01, 11)
    expected = baycomp.SignedRankTest.probs(a, b, rope=0.005, nsamples=10_000, random_state=seed)
    found = signed_rank.posterior(a - b, 0.005)
    assert (found.a, found.equivalent, found.b) == pytest.approx(expected, abs=0.03)


def test_a_posterior_without_any_difference_is_sure_of_the_margin():
    found = signed_rank.posterior(np.zeros(6), 0.005)
    assert (found.a, found.equivalent, found.b) == (0, 1, 0)


def test_more_data_sets_are_needed_for_a_smaller_lead_and_for_more_pairs():
    spread = np.linspace(-1, 1, 12)
    needed = [signed_rank.needed(spread + lead) for lead in (4.0, 0.6, 0.4)]
    assert needed[0] == 6
    assert needed[0] < needed[1] < needed[2]
    assert signed_rank.needed(spread + 0.4, pairs=6) > needed[2]
    assert signed_rank.needed(spread) is None
    assert signed_rank.needed(np.array([0.3])) is None


def test_as_many_as_are_needed_find_the_lead_in_80_per_cent():
    random, number = np.random.default_rng(0), signed_rank.needed(np.array([-0.5, 0.5, 1.5, 2.5]))
    spread = float(np.std([-0.5, 0.5, 1.5, 2.5], ddof=1))
    found = [signed_rank.wilcoxon(random.normal(1.0, spread, number)) <= 0.05 for _ in range(400)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.06)


def test_with_six_data_sets_a_lead_is_found_where_all_are_won():
    won = 0.01 * stats.norm.ppf(0.8 ** (1 / 6))
    assert signed_rank.smallest_lead(np.full(6, 0.01)) == pytest.approx(won, abs=3e-4)
    assert signed_rank.smallest_lead(np.full(5, 0.01)) is None
    assert signed_rank.smallest_lead(np.full(6, 0.01), pairs=3) is None


def test_the_smallest_lead_is_found_in_80_per_cent(random):
    spreads = np.linspace(0.002, 0.02, 12)
    lead = signed_rank.smallest_lead(spreads, pairs=3)
    found = [
        signed_rank.wilcoxon(lead + random.normal(size=12) * spreads) <= 0.05 / 3
        for _ in range(1500)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.04)
