"""The verdict over data sets: the rule, and the signed-rank test against scipy and by hand."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import stats

from spikeduel.results import across
from spikeduel.results.across import Outcome
from spikeduel.results.uncertainty import holm

DIFFERENT = st.lists(st.integers(-400, 400), min_size=2, max_size=14, unique_by=abs).filter(
    lambda differences: 0 not in differences
)
ANY = st.lists(st.integers(-4, 4), min_size=1, max_size=9)


def table(values, seeds=1):
    """Accuracies by variant and data set from `[D, V]`, every seed with the same one."""
    return {
        f"v{v}": {f"d{d}": [float(value)] * seeds for d, value in enumerate(column)}
        for v, column in enumerate(np.asarray(values, float).T)
    }


def led(leads, margin=0.005, families=()):
    """The pair of two variants, of which the first leads by so much; the first data sets are of
    `families`.
    """
    named = {f"d{d}": family for d, family in enumerate(families)}
    (pair,) = across.compare(table([[0.5 + lead, 0.5] for lead in leads]), margin, named)
    return pair


def test_a_lead_on_six_data_sets_is_shown_and_on_five_it_is_not():
    leads = [0.01, 0.012, 0.02, 0.009, 0.03, 0.011]
    shown, few = led(leads), led(leads[:5])
    assert (shown.conclusion, shown.wins, shown.losses) == (Outcome.BETTER, 6, 0)
    assert (few.conclusion, few.ci95) == (Outcome.INCONCLUSIVE, None)
    assert (shown.p_value, few.p_value) == pytest.approx((0.03125, 0.0625))
    assert shown.ci95 == pytest.approx((0.009, 0.03))


def test_small_differences_are_equivalent_and_a_small_sure_lead_is_negligible():
    level = led([0.001, -0.001, 0.0005, -0.0007, 0.0012, -0.0002, 0.0003])
    assert level.conclusion is Outcome.EQUIVALENT
    sure = led([0.001, 0.0012, 0.002, 0.0009, 0.003, 0.0011])
    assert (sure.conclusion, sure.negligible) == (Outcome.BETTER, True)
    assert not led([0.01, 0.012, 0.02, 0.009, 0.03, 0.011]).negligible


def test_data_sets_that_differ_are_not_equivalent_however_well_they_cancel():
    twenty = led([0.02, -0.02] * 10)
    assert (twenty.conclusion, twenty.inside, twenty.worst) == (Outcome.BALANCED, 0, "d0")
    tiny = [0.0001 * (n - 8) for n in range(17)]
    mostly, apart, far = (
        led([*tiny[: 20 - len(others)], *others])
        for others in ([0.02, 0.02, -0.02], [0.02, -0.02] * 3, [-0.2] * 3)
    )
    assert (mostly.conclusion, mostly.inside) == (Outcome.EQUIVALENT, 17)
    assert (apart.conclusion, apart.inside) == (Outcome.BALANCED, 14)
    # Most lie inside the margin, but the mean does not.
    assert (far.conclusion, far.inside, far.worst) == (Outcome.BALANCED, 17, "d17")


def test_a_typical_lead_against_the_mean_says_so_and_names_the_worst_data_set():
    pair = led([*(0.005 + 0.0005 * n for n in range(11)), -0.3])
    assert (pair.conclusion, pair.worst) == (Outcome.BETTER_TYPICALLY, "d11")
    assert (pair.difference, pair.mean) == pytest.approx((0.00725, -0.018125))
    assert not pair.negligible
    few = led([*(0.0001 * n for n in range(1, 10)), -0.1, -0.15, -0.2])
    assert (few.conclusion, few.negligible, few.worst) == (Outcome.INCONCLUSIVE, False, "d11")


def test_a_small_lead_is_not_negligible_where_a_data_set_is_far_off():
    small = [0.0001 * n for n in range(1, 12)]
    assert led([*small, 0.001]).negligible
    assert not led([*small, 0.3]).negligible


def test_related_data_sets_count_once():
    leads = [0.01, 0.012, 0.02, 0.009, 0.03, 0.011]
    pair = led(leads, families=["x", "x", "y", "y"])
    assert (pair.families, pair.conclusion) == (4, Outcome.INCONCLUSIVE)
    assert (pair.p_value, pair.wins) == (0.125, 6)
    assert pair.mean == pytest.approx((0.011 + 0.0145 + 0.03 + 0.011) / 4)
    assert list(pair.differences) == [f"d{d}" for d in range(6)]
    assert led(leads, families="abcdef") == led(leads)


def test_families_of_related_data_sets_hold_the_level_that_single_ones_break():
    """Seven families of four data sets, correlated by 0.8, without a true difference."""
    random, false = np.random.default_rng(5), np.zeros(2)
    names = [f"{n // 4}" for n in range(28)]
    for _ in range(400):
        common, rest = random.normal(size=(7, 1)), random.normal(size=(7, 4))
        apart = np.round((0.8**0.5 * common + 0.2**0.5 * rest).ravel(), 12)
        pairs = [(apart, apart), (apart, across.of_families(apart, names))]
        false += [across.tested([pair], 0.005)[0][0] <= 0.05 for pair in pairs]
    alone, by_family = false / 400
    assert alone > 0.2
    assert by_family <= 0.07


def test_the_one_that_leads_comes_first():
    pair = led([-0.01, -0.012, 0.002, -0.009])
    assert (pair.a, pair.b, pair.wins, pair.losses) == ("v1", "v0", 3, 1)
    assert pair.difference > 0
    assert pair.differences["d0"] == 0.01


def test_pairs_are_adjusted_for_one_another():
    random = np.random.default_rng(3)
    values = random.normal([0.8, 0.81, 0.82, 0.83], 0.01, (9, 4))
    pairs = across.compare(table(values), 0.005, {})
    raw = [
        stats.wilcoxon(np.array(list(pair.differences.values())), method="exact").pvalue
        for pair in pairs
    ]
    assert [pair.p_value for pair in pairs] == pytest.approx(holm(raw))


def test_a_pair_is_tested_where_both_are():
    accuracies = table([[0.5 + 0.01 * d, 0.5, 0.4] for d in range(5)])
    del accuracies["v1"]["d3"]
    pairs = {(pair.a, pair.b): pair for pair in across.compare(accuracies, 0.005, {})}
    assert list(pairs["v0", "v1"].differences) == ["d0", "d1", "d2", "d4"]
    assert len(pairs["v0", "v2"].differences) == 5


def test_the_headline_is_about_the_best_and_the_best_of_the_other_kind():
    values = [[0.9, 0.89, 0.8], [0.8, 0.79, 0.78], [0.7, 0.72, 0.6]]
    spiking = {"v0": True, "v1": True, "v2": False}
    assert across.over(table(values), spiking, 0.005, {}).main == ("v0", "v2")
    alike = across.over(table(values), dict.fromkeys(spiking, True), 0.005, {})
    assert alike.main == ("v0", "v1")
    assert {alike.headline.a, alike.headline.b} == {"v0", "v1"}
    assert across.over(table([[0.5]]), {"v0": True}, 0.005, {}).main is None
    assert across.over({}, {}, 0.005, {}).headline is None


# ---- the signed-rank test


@given(DIFFERENT)
def test_p_values_are_those_of_scipy(differences):
    differences = np.array(differences, float)
    two_sided, greater = (
        stats.wilcoxon(differences, alternative=alternative, method="exact").pvalue
        for alternative in ("two-sided", "greater")
    )
    assert across.wilcoxon(differences) == pytest.approx(two_sided)
    if across.signed_ranks(differences).sum() > 0:
        assert across.one_sided(differences) == pytest.approx(greater)


@given(ANY)
def test_with_ties_and_zeros_all_signs_are_flipped(differences):
    differences = np.array(differences, float)
    ranks = stats.rankdata(np.abs(differences)) * np.sign(differences)
    signs = np.array(np.meshgrid(*[[-1, 1]] * len(differences))).reshape(len(differences), -1)
    totals = np.abs(np.abs(ranks) @ signs)
    assert across.wilcoxon(differences) == pytest.approx((totals >= abs(ranks.sum()) - 1e-9).mean())


def test_five_data_sets_cannot_reach_five_per_cent_and_six_can():
    assert across.wilcoxon(np.arange(1.0, 6.0)) == pytest.approx(0.0625)
    assert across.wilcoxon(np.arange(1.0, 7.0)) == pytest.approx(0.03125)
    assert [across.fewest_datasets(pairs) for pairs in (1, 3, 6, 45)] == [6, 7, 8, 11]


def test_the_typical_difference_by_hand():
    # The means of any two of 1, 2 and 6: 1, 1.5, 2, 3.5, 4, 6.
    assert across.averages(np.array([6.0, 1.0, 2.0])).tolist() == [1, 1.5, 2, 3.5, 4, 6]
    assert across.centre(np.array([6.0, 1.0, 2.0])) == 2.75


def test_intervals_by_hand():
    differences = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 9.0])
    # Of 64 ways one has a sum of 0, one of 1, one of 2 and two of 3: 1/64 is below 2.5 %, and 3/64
    # below 5 %.
    intervals = {
        (num, level): across.interval(differences[:num], level)
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
    low, high = across.interval(differences, 0.95)
    for inside in (low + 1e-6, (low + high) / 2 + 1e-7, high - 1e-6):
        assert not low < inside < high or across.wilcoxon(differences - inside) > 0.05
    for outside in (low - 1e-6, high + 1e-6):
        assert across.wilcoxon(differences - outside) <= 0.05


@given(ANY)
def test_the_margin_is_shown_as_the_90_per_cent_interval_shows_it(differences):
    apart = np.array(differences) + np.linspace(0, 0.4, len(differences))
    ends = across.interval(apart, 0.90)
    inside = ends is not None and max(map(abs, ends)) < 2.203
    assert (across.not_within(apart, 2.203) <= 0.05) == inside
