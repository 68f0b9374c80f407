from itertools import pairwise

import pytest
from msgspec import structs

from made_costs import latency
from made_operations import spiking
from spikeduel.measuring import energy
from spikeduel.reporting import anytime, style
from spikeduel.settings.recipes import baseline


def test_energy_up_to_each_step(make_prepared, make_results, with_trials):
    (trial, *_) = with_trials(make_results(make_prepared(), baseline()), operations=spiking()).trials
    table = energy.read("45nm-int8")
    # 40 MACs at once, then 15 and 5 ACs.
    spent = [1e-12 * (40 * 0.3 + acs * 0.1) for acs in (15, 20)]
    assert anytime.joules_over_time(trial, table) == pytest.approx(spent)
    (trial, *_) = make_results(make_prepared(), baseline()).trials
    assert anytime.joules_over_time(trial, table) is None


def test_times_are_those_of_the_trial_that_was_timed(make_prepared, make_results):
    one, other = make_results(make_prepared(), baseline(seeds=1)).trials
    assert anytime.one_image_ms([one, other]) is None
    timed = structs.replace(other, latency=latency(2.5, stream=[1.0, 2.0]))
    assert anytime.one_image_ms([one, timed]) == 2.5
    assert anytime.stream_ms([one, timed]) == [1.0, 2.0]
    neither = structs.replace(other, latency=latency())
    assert (anytime.one_image_ms([neither]), anytime.stream_ms([neither])) == (None, None)


@pytest.mark.parametrize("low", [1e-9, 3.7e-6, 2e-3])
@pytest.mark.parametrize("ratio", [1.2, 2, 4, 30, 200, 5e4])
def test_a_cost_axis_has_a_few_ticks_that_do_not_touch(low, ratio):
    figure = style.new_figure(3, 4)
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.plot([low, low * ratio], [0, 1])
    style.cost_axis(axes, "J")
    figure.draw_without_rendering()
    left, right = axes.get_xlim()
    shown = [tick for tick in axes.xaxis.get_major_ticks() if left <= tick.get_loc() <= right]
    boxes = [tick.label1.get_window_extent() for tick in shown]
    assert 1 <= len(shown) <= 8
    assert all(tick.label1.get_text().endswith("J") for tick in shown)
    assert all(one.x1 < other.x0 for one, other in pairwise(boxes))


def test_small_differences_are_not_blown_up():
    axes = style.new_figure(3).subplots()
    axes.plot([1, 2], [0.8765, 0.8784])
    style.accuracy_axis(axes)
    low, high = axes.get_ylim()
    assert high - low == pytest.approx(style.SMALLEST_RANGE)
    assert (low + high) / 2 == pytest.approx((0.8765 + 0.8784) / 2)
    assert axes.yaxis.get_major_formatter()(0.875, 0) == "87.5 %"
