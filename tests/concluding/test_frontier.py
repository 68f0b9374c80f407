"""Families of made networks, whose curves are computed by hand."""

import numpy as np
import pytest
from msgspec.structs import replace

from made_costs import control
from made_operations import plain, spiking
from made_trials import trial
from spikeduel.concluding.frontier import (
    DRAWS,
    Network,
    at_equal_accuracy,
    break_even,
    costs_at,
)
from spikeduel.energy import accounting
from spikeduel.results.costs import Range, Threshold
from spikeduel.results.frontier import CostKind, Member

OPERATIONS = {"operations": CostKind(label="operations", family="arithmetic")}


def network(accuracy, cost, val_accuracy=None, spread=0.0, number=0):
    """A network that one accounting prices; its draws lie `spread` around its accuracy."""
    drawn = accuracy + spread * np.random.default_rng(number).standard_normal(DRAWS)
    entry = Member(
        contender="net",
        member=str(cost),
        title=str(cost),
        spiking=False,
        val_accuracy=accuracy if val_accuracy is None else val_accuracy,
        accuracy=accuracy,
        ci95=Range(low=0.0, high=1.0),
        rate=None,
        num_steps=None,
        seconds=1.0,
        amounts={},
    )
    return Network(entry, np.append(accuracy, drawn), {"operations": np.array([float(cost)])})


def measured(level, *networks):
    return costs_at(level, networks, "operations")[0, 0]


def test_between_two_networks_images_are_shared_out():
    family = network(0.8, 10), network(0.9, 1000)
    assert measured(0.85, *family) == pytest.approx(505)
    assert measured(0.9, *family) == pytest.approx(1000)
    assert measured(0.5, *family) == pytest.approx(10)  # no cheaper one was made
    assert measured(0.91, *family) == np.inf


def test_a_network_that_a_cheaper_one_beats_on_validation_images_is_not_taken():
    """Whatever its accuracy on test images."""
    family = network(0.8, 10), network(0.95, 100, val_accuracy=0.79), network(0.9, 1000)
    assert measured(0.85, *family) == pytest.approx(505)
    assert measured(0.93, *family) == np.inf


def test_a_dearer_network_is_not_taken_where_it_is_worse_on_test_images():
    family = network(0.8, 10), network(0.7, 100, val_accuracy=0.85), network(0.9, 1000)
    assert measured(0.8, *family) == pytest.approx(10)
    assert 10 < measured(0.85, *family) <= 1000


def pair(cheaper_by, spread):
    ours = [
        network(accuracy, cost / cheaper_by, spread=spread, number=index)
        for index, (accuracy, cost) in enumerate([(0.8, 10), (0.9, 100), (0.95, 1000)])
    ]
    theirs = [
        network(accuracy, cost, spread=spread, number=10 + index)
        for index, (accuracy, cost) in enumerate([(0.8, 10), (0.9, 100), (0.95, 1000)])
    ]
    return at_equal_accuracy(ours, theirs, OPERATIONS)


@pytest.mark.parametrize(
    ("cheaper_by", "spread", "cheaper"),
    [(10, 0.001, "spiking"), (0.1, 0.001, "other"), (1, 0.001, None), (1.5, 0.02, None)],
)
def test_who_takes_less_is_shown_by_the_interval(cheaper_by, spread, cheaper):
    found = pair(cheaper_by, spread)
    assert [at.accuracy for at in found] == [0.95, 0.94, 0.93, 0.91]
    for at in found[1:]:
        (ratio,) = at.ratios
        assert ratio.ratio.low == ratio.ratio.high == pytest.approx(1 / cheaper_by)
        assert (ratio.low or 0) < 1 / cheaper_by
        assert ratio.high is None or ratio.high > 1 / cheaper_by
        assert ratio.cheaper == cheaper


def test_an_end_beyond_all_networks_is_open():
    """Half of the draws of one side do not reach the accuracy."""
    ours = [network(0.85, 0.25), network(0.95, 1)]
    theirs = [network(0.8, 10), network(0.9, 100, spread=0.01)]
    (ratio,) = at_equal_accuracy(ours, theirs, OPERATIONS)[0].ratios
    assert ratio.ratio.low == pytest.approx(0.625 / 100)
    assert ratio.low is None
    assert ratio.cheaper == "spiking"
    (ratio,) = at_equal_accuracy(theirs, ours, OPERATIONS)[0].ratios
    assert ratio.high is None
    assert ratio.cheaper == "other"


def test_a_curve_that_begins_above_is_taken_at_its_start():
    """The cheapest network reaches more than is asked for."""
    ours, theirs = [network(0.8, 4), network(0.85, 8)], [network(0.9, 2), network(0.95, 9)]
    found = at_equal_accuracy(ours, theirs, OPERATIONS)
    assert [at.accuracy for at in found] == [0.85, 0.84, 0.83, 0.81]
    assert [at.ratios[0].ratio.low for at in found] == pytest.approx([4, 3.6, 3.2, 2.4])
    assert found[0].cheapest == {"net": "2"}
    (found,) = at_equal_accuracy([network(0.902, 9)], [network(0.901, 1)], OPERATIONS)
    assert (found.accuracy, found.ratios[0].ratio.low) == (0.901, 9)


def test_a_ratio_that_measurements_of_one_thing_could_have_shows_nothing():
    ours = [network(0.8, 10 / 1.05), network(0.9, 100 / 1.05)]
    theirs = [network(0.8, 10), network(0.9, 100)]
    (ratio,) = at_equal_accuracy(ours, theirs, OPERATIONS)[0].ratios
    assert ratio.high < 1
    assert ratio.cheaper is None


def rates(monkeypatch, by_trial):
    """The break-even rates of trials, given by seed and fold."""
    values = iter(by_trial.values())
    monkeypatch.setattr(
        accounting,
        "break_even_rate",
        lambda *_: Threshold(axis="rate", value=next(values), now=0.3, becomes=None, unit=""),
    )
    twin = replace(control("twin", 0.9), operations=plain())
    trials = [
        replace(
            trial("snn", seed=seed, fold=fold),
            operations=spiking(),
            controls={"quantised_twin": twin},
        )
        for seed, fold in by_trial
    ]
    (found,) = break_even(trials, [accounting.read("yan")])
    return found


def test_folds_of_a_seed_count_as_one_for_the_break_even_rate(monkeypatch):
    found = rates(monkeypatch, {(0, 0): 0.1, (0, 1): 0.3, (1, 0): 0.2, (1, 1): 0.4})
    assert found.rate == pytest.approx(0.25)
    assert found.measured == pytest.approx(0.3)
    # Of 0.2 and 0.3: Student's t for one degree of freedom is 12.706.
    assert found.ci95.high == pytest.approx(0.25 + 12.706 * 0.05, abs=1e-4)
    assert found.ci95.low == 0


def test_one_seed_has_a_break_even_rate_without_an_interval(monkeypatch):
    found = rates(monkeypatch, {(0, 0): 0.1, (0, 1): 0.3})
    assert (found.rate, found.ci95) == (pytest.approx(0.2), None)
