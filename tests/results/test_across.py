"""The verdict over data sets: the rule, ranks against scipy and scikit-posthocs, profiles by
hand.
"""

import numpy as np
import pytest
import scikit_posthocs
from scipy import stats

from spikeduel.results import across
from spikeduel.results.significance import Conclusion
from spikeduel.results.uncertainty import holm


def table(values, seeds=1):
    """Accuracies by variant and data set from `[D, V]`, every seed with the same one."""
    return {
        f"v{v}": {f"d{d}": [float(value)] * seeds for d, value in enumerate(column)}
        for v, column in enumerate(np.asarray(values, float).T)
    }


def led(leads, margin=0.005):
    """The pair of two variants, of which the first leads by so much."""
    (pair,) = across.compare(table([[0.5 + lead, 0.5] for lead in leads]), margin)
    return pair


def test_a_lead_on_six_data_sets_is_shown_and_on_five_it_is_not():
    leads = [0.01, 0.012, 0.02, 0.009, 0.03, 0.011]
    shown, few = led(leads), led(leads[:5])
    assert (shown.conclusion, shown.wins, shown.losses) == (Conclusion.A_BETTER, 6, 0)
    assert (few.conclusion, few.ci95) == (Conclusion.INCONCLUSIVE, None)
    assert (shown.p_value, few.p_value) == pytest.approx((0.03125, 0.0625))
    assert shown.ci95 == pytest.approx((0.009, 0.03))


def test_small_differences_are_equivalent_and_a_small_sure_lead_is_negligible():
    level = led([0.001, -0.001, 0.0005, -0.0007, 0.0012, -0.0002, 0.0003])
    assert level.conclusion is Conclusion.EQUIVALENT
    assert level.p_equivalent == pytest.approx(1 / 128)
    sure = led([0.001, 0.0012, 0.002, 0.0009, 0.003, 0.0011])
    assert (sure.conclusion, sure.negligible) == (Conclusion.A_BETTER, True)
    assert not led([0.01, 0.012, 0.02, 0.009, 0.03, 0.011]).negligible


def test_the_one_that_leads_comes_first():
    pair = led([-0.01, -0.012, 0.002, -0.009])
    assert (pair.a, pair.b, pair.wins, pair.losses) == ("v1", "v0", 3, 1)
    assert pair.difference > 0
    assert pair.differences["d0"] == 0.01


def test_pairs_are_adjusted_for_one_another():
    random = np.random.default_rng(3)
    values = random.normal([0.8, 0.81, 0.82, 0.83], 0.01, (9, 4))
    pairs = across.compare(table(values), 0.005)
    raw = [
        stats.wilcoxon(np.array(list(pair.differences.values())), method="exact").pvalue
        for pair in pairs
    ]
    assert [pair.p_value_raw for pair in pairs] == pytest.approx(raw)
    assert [pair.p_value for pair in pairs] == pytest.approx(holm(raw))
    left = [pair for pair in pairs if pair.after_adjusting]
    assert left
    assert all(pair.p_value_raw <= 0.05 < pair.p_value for pair in left)


def test_a_pair_is_tested_where_both_are():
    accuracies = table([[0.5 + 0.01 * d, 0.5, 0.4] for d in range(5)])
    del accuracies["v1"]["d3"]
    pairs = {(pair.a, pair.b): pair for pair in across.compare(accuracies, 0.005)}
    assert list(pairs["v0", "v1"].differences) == ["d0", "d1", "d2", "d4"]
    assert len(pairs["v0", "v2"].differences) == 5


@pytest.mark.parametrize("seed", range(3))
def test_ranks_are_those_of_scipy_and_scikit_posthocs(seed):
    values = np.random.default_rng(seed).normal([0.8, 0.81, 0.82, 0.84], 0.02, (10, 4))
    ranks = across.ranks(table(values))
    expected = stats.rankdata(-values, axis=1).mean(0)
    assert ranks.means == pytest.approx({f"v{v}": rank for v, rank in enumerate(expected)})
    assert list(ranks.means.values()) == sorted(ranks.means.values())
    assert ranks.friedman == pytest.approx(stats.friedmanchisquare(*values.T).pvalue, abs=0.03)
    p_values = scikit_posthocs.posthoc_nemenyi_friedman(values).to_numpy()
    for a in range(4):
        for b in range(a):
            together = any({f"v{a}", f"v{b}"} <= set(group) for group in ranks.groups)
            assert together == (p_values[a, b] > 0.05)


def test_the_numbers_of_demsar():
    # Critical values of the two-tailed Nemenyi test at 5 % (Demšar 2006, table 5), times the root
    # for 10 data sets.
    for count, value in {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 10: 3.164}.items():
        values = np.random.default_rng(0).random((10, count))
        critical = across.ranks(table(values)).critical_difference
        assert critical == pytest.approx(value * np.sqrt(count * (count + 1) / 60), abs=0.002)


def test_friedman_by_hand():
    # Of the 6³ orders that three data sets can have, 6 agree on all; a chi-squared of 4.67 or more
    # have 42.
    assert across.ranks(table([[9, 5, 3]] * 3)).friedman == pytest.approx(6 / 216, abs=0.015)
    less = across.ranks(table([[9, 5, 3], [9, 5, 3], [9, 3, 5]]))
    assert less.means == pytest.approx({"v0": 1, "v1": 7 / 3, "v2": 8 / 3})
    assert less.friedman == pytest.approx(42 / 216, abs=0.03)
    assert across.ranks(table([[0.9, 0.9, 0.9]] * 3)).friedman == 1


def test_one_data_set_has_no_mean_ranks():
    assert across.ranks(table([[0.9, 0.8, 0.7]])) is None


def test_the_largest_table_without_a_gap_is_ranked():
    accuracies = table(np.random.default_rng(0).random((6, 3)))
    for data in ("d0", "d1", "d2", "d3"):
        del accuracies["v2"][data]
    ranks = across.ranks(accuracies)
    assert (set(ranks.means), len(ranks.datasets)) == ({"v0", "v1"}, 6)
    accuracies["v2"] |= {"d0": [0.4], "d1": [0.4], "d2": [0.4]}
    assert (set(across.ranks(accuracies).means), across.ranks(accuracies).datasets) == (
        {"v0", "v1", "v2"},
        ["d0", "d1", "d2", "d4", "d5"],
    )


def test_an_improvement_is_the_mean_of_mann_whitney_shares():
    random = np.random.default_rng(0)
    a, b = random.normal(0.51, 0.02, (5, 4)).tolist(), random.normal(0.5, 0.02, (5, 3)).tolist()
    b[0][0] = a[0][0]
    shares = [stats.mannwhitneyu(*of).statistic / 12 for of in zip(a, b, strict=True)]
    found = across.improvement(a, b)
    assert found.probability == pytest.approx(np.mean(shares))
    assert found.ci95[0] < found.probability < found.ci95[1]
    assert across.improvement([[0.5]], [[0.4]]) == across.Improvement(probability=1, ci95=None)


def test_profiles_by_hand():
    accuracies = {
        "a": {"x": [0.90, 0.86], "y": [0.70, 0.70]},
        "b": {"x": [0.80, 0.80], "y": [0.70, 0.72]},
    }
    # The best means are 0.88 and 0.71, so that trainings are −2, 2, 1, 1 and 8, 8, 1, −1 points
    # behind.
    found = across.profiles(accuracies)
    shares = {
        name: np.interp([0, 0.0101, 0.0201, 0.0801], profile.behind, profile.share)
        for name, profile in found.items()
    }
    assert found["a"].behind[-1] == pytest.approx(0.08)
    assert [found[name].share[0] for name in "ab"] == [0.25, 0.25]
    assert shares["a"][-1] == shares["b"][-1] == 1
    assert shares["b"][2] == 0.5
    assert all(
        low <= share <= high
        for low, share, high in zip(found["a"].low, found["a"].share, found["a"].high, strict=True)
    )


def test_the_headline_is_about_the_best_and_the_best_of_the_other_kind():
    values = [[0.9, 0.89, 0.8], [0.8, 0.79, 0.78], [0.7, 0.72, 0.6]]
    spiking = {"v0": True, "v1": True, "v2": False}
    assert across.over(table(values), spiking, 0.005).main == ("v0", "v2")
    alike = across.over(table(values), dict.fromkeys(spiking, True), 0.005)
    assert alike.main == ("v0", "v1")
    assert {alike.headline.a, alike.headline.b} == {"v0", "v1"}
    assert across.over(table([[0.5]]), {"v0": True}, 0.005).main is None
    assert across.over({}, {}, 0.005).headline is None
