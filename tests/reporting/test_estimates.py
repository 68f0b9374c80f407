from itertools import pairwise

import numpy as np
import pytest
import torch

from made_models import make
from spikeduel.measuring import energy
from spikeduel.measuring.operations import operations as operations_of
from spikeduel.reporting import estimates, style
from spikeduel.reporting.estimates import Estimate
from spikeduel.settings.recipes import baseline


def entry(joules):
    counted = {way: {"dense": joules, "effective": joules / 2} for way in energy.COUNTINGS}
    models = {memory: dict.fromkeys(energy.SCOPES, counted) for memory in energy.MEMORIES}
    return {"energy": {"tables": {"45nm-fp32": models}}}


def test_which_joules_are_meant():
    assert Estimate().joules(entry(3e-6)) == 3e-6
    assert Estimate(macs="effective").joules(entry(3e-6)) == 1.5e-6
    assert Estimate(energy.read("45nm-int8")).joules(entry(3e-6)) is None
    assert Estimate().joules({"energy": None}) is None
    assert Estimate(memory="off_chip").words == "estimate: 45nm-fp32, with weights off the chip"
    written = Estimate(scope="with_neurons", counting="as_written")
    assert written.words == "estimate: 45nm-fp32, arithmetic alone;\nthe first layer at every step, neurons too"


def test_energy_up_to_each_step_is_by_the_same_rules():
    images = torch.randint(0, 256, (6, 1, 10, 10), dtype=torch.uint8)
    operations = operations_of(make(encoding="direct"), [(images, torch.arange(6) % 3, np.arange(6))])
    trial = {"operations": operations, "energy": energy.energies(operations)}
    for estimate in (
        Estimate(),
        Estimate(energy.read("45nm-int8"), "on_chip", "with_neurons", "as_written", "effective"),
    ):
        assert estimate.over_time(trial)[-1] == pytest.approx(estimate.joules(trial))
    assert Estimate().over_time({"operations": None}) is None


def test_times_are_those_of_the_trial_that_was_timed(make_prepared, make_results):
    trials = make_results(make_prepared(), baseline(seeds=2))["trials"]
    assert estimates.one_image_ms(trials) is None
    trials[1]["latency"] = {"one_image": {"median_ms": 2.5, "p95_ms": None}, "stream_ms": [1.0, 2.0]}
    assert estimates.one_image_ms(trials) == 2.5
    assert estimates.stream_ms(trials) == [1.0, 2.0]
    trials[1]["latency"] = {"one_image": None, "stream_ms": None}
    assert (estimates.one_image_ms(trials), estimates.stream_ms(trials)) == (None, None)


def test_a_mean_needs_all():
    assert estimates.mean([1.0, 3.0]) == 2
    assert estimates.mean([1.0, None]) is None
    assert estimates.mean([]) is None
    assert (estimates.deviation([1.0]), estimates.deviation([1.0, 3.0])) == (0, pytest.approx(2**0.5))


@pytest.mark.parametrize("low", [1e-9, 3.7e-6, 2e-3])
@pytest.mark.parametrize("ratio", [1.2, 2, 4, 30, 200, 5e4])
def test_a_cost_axis_has_a_few_ticks_that_do_not_touch(low, ratio):
    figure = style.new_figure(3, 4)
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.plot([low, low * ratio], [0, 1])
    estimates.cost_axis(axes, "J")
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
    estimates.accuracy_axis(axes)
    low, high = axes.get_ylim()
    assert high - low == pytest.approx(estimates.SMALLEST_RANGE)
    assert (low + high) / 2 == pytest.approx((0.8765 + 0.8784) / 2)
    assert axes.yaxis.get_major_formatter()(0.875, 0) == "87.5 %"
