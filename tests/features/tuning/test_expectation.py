import itertools
import statistics

import pytest
from hypothesis import given, settings, strategies as st

from spikeduel.features.tuning.tuning import expected_best, expected_maximum

ACCURACIES = st.lists(st.floats(0, 1), min_size=1, max_size=6)


def test_expected_maxima_by_hand():
    values = [0.3, 0.1, 0.2]
    assert expected_maximum(values, 1) == pytest.approx((0.2, (2 / 3) ** 0.5 / 10))
    # Of nine pairs, one has 0.1 as its largest, three 0.2, five 0.3.
    mean, variance = 2.2 / 9, (0.01 + 3 * 0.04 + 5 * 0.09) / 9 - (2.2 / 9) ** 2
    assert expected_maximum(values, 2) == pytest.approx((mean, variance**0.5))
    assert expected_maximum(values, 3)[0] == pytest.approx((0.1 + 7 * 0.2 + 19 * 0.3) / 27)
    assert expected_maximum(values, 1000) == pytest.approx((0.3, 0.0))


@settings(deadline=None)
@given(ACCURACIES, st.integers(1, 4))
def test_it_is_the_mean_over_all_ways_to_draw(values, n):
    largest = [max(drawn) for drawn in itertools.product(values, repeat=n)]
    assert expected_maximum(values, n) == pytest.approx(
        (statistics.fmean(largest), statistics.pstdev(largest)), abs=1e-7
    )


def test_the_first_trial_is_always_among_them():
    one, two, three = expected_best([0.2, 0.1, 0.4])
    assert (one.trials, one.mean, one.standard_deviation) == (1, 0.2, 0.0)
    # The second trial is either draw: the one below the first changes nothing.
    assert two.mean == pytest.approx((0.2 + 0.4) / 2)
    assert two.standard_deviation == pytest.approx(0.1)
    assert three.mean == pytest.approx(0.2 / 4 + 0.4 * 3 / 4)
    assert (two.low, two.high) == pytest.approx((0.2, 0.4))


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=12))
def test_more_trials_never_find_less_and_no_band_leaves_what_was_seen(accuracies):
    curve = expected_best(accuracies)
    assert [point.trials for point in curve] == list(range(1, len(accuracies) + 1))
    means = [point.mean for point in curve]
    assert all(later >= earlier - 1e-9 for earlier, later in itertools.pairwise(means))
    for point in curve:
        assert accuracies[0] <= point.low <= point.mean + 1e-9
        assert point.mean - 1e-9 <= point.high <= max(accuracies)
