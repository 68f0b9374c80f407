"""The verdict over data sets."""

import numpy as np
import pytest
from scipy import stats

from spikeduel.features.study import across
from spikeduel.statistics import Outcome, holm


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
