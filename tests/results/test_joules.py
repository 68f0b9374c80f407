"""Joules of answers from windows, by hand."""

import json

import numpy as np
import pytest

from made_joules import STEADY, measured
from spikeduel.results.costs import Range
from spikeduel.results.joules import MeasuredJoules, net
from spikeduel.results.words.joules import table
from spikeduel.system import typed


def test_idle_power_is_subtracted_and_answers_are_counted():
    made = measured(STEADY)
    # 20 W for 10 s are 200 J, for 100 answers.
    assert made.networks["a"].repeats == pytest.approx([2.0] * 5)
    assert made.networks["b"].joules == pytest.approx(0.5)
    assert made.networks["b"].net_watts == pytest.approx(5.0)
    assert (made.networks["a"].ratio, made.networks["b"].ratio) == pytest.approx((1, 0.25))
    interval = made.networks["a"].interval
    assert (interval.low, interval.high) == pytest.approx((2.0, 2.0))


def test_an_idle_power_that_changes_evenly_is_subtracted_where_it_is():
    rising = [(network, watts + 0.03 * place) for place, (network, watts) in enumerate(STEADY)]
    made = measured(rising)
    assert made.refused == []
    assert made.networks["a"].repeats == pytest.approx([2.0] * 5)
    assert made.networks["b"].repeats == pytest.approx([0.5] * 5)


def test_an_interval_holds_the_repeats_and_a_step_of_the_counter():
    # In the repeats "a" takes 20, 20.2, 19.8, 20.1, 19.9 W.
    noise = np.repeat([0.0, 0.2, -0.2, 0.1, -0.1, 0.0], 4)
    watts = [
        (name, power + (name == "a") * more)
        for (name, power), more in zip(STEADY, noise[:21], strict=True)
    ]
    by_chance = 2.776 * np.std([2.0, 2.02, 1.98, 2.01, 1.99], ddof=1) / np.sqrt(5)
    interval = measured(watts).networks["a"].interval
    assert (interval.low, interval.high) == pytest.approx((2 - by_chance, 2 + by_chance), rel=1e-4)
    # A step of 0.1 s of 30.2 W may be missing, of 200 J.
    wider = measured(watts, step_seconds=0.1).networks["a"].interval
    assert wider.high - interval.high == pytest.approx(2.0 * 0.1 * 30.2 / 200)
    # And one of "b" in the ratio to "a".
    steady = measured(STEADY, step_seconds=0.1).networks
    assert steady["a"].ratio_interval == Range(low=1.0, high=1.0)
    half = 0.25 * (0.1 * 30 / 200 + 0.1 * 15 / 50)
    assert steady["b"].ratio_interval.high == pytest.approx(0.25 + half)


def test_limits_are_inclusive_of_what_is_allowed():
    def spread(watts):
        return [("a", watts) if place == 5 else pair for place, pair in enumerate(STEADY)]

    # One of two windows of a repeat counts by half: 20 W become 21.04 / 2 more.
    assert [reason.id for reason in measured(spread(31.9)).refused] == []
    (reason,) = measured(spread(32.1)).refused
    assert (reason.id, reason.values["network"]) == ("joules_noisy", "a")
    # Five per cent of the 5 W of "b".
    step = [(None, 10.26) if place == 8 else pair for place, pair in enumerate(STEADY)]
    reasons = [reason for reason in measured(step).refused if reason.id == "joules_drift"]
    assert [reason.values["network"] for reason in reasons] == ["b"]
    assert reasons[0].values == {
        "network": "b",
        "drift": pytest.approx(0.26),
        "net": pytest.approx(4.87, abs=0.01),
        "most": 0.05,
    }


def test_a_measurement_that_was_cut_short_has_no_net_energy():
    made = measured(STEADY[:3], range_share=0.6)
    assert net(made) == {}
    assert ([reason.id for reason in made.refused], made.networks) == (["joules_wrapped"], {})


def test_the_measurement_is_the_same_after_json():
    for made in (measured(STEADY, step_seconds=0.01), measured(STEADY, range_share=0.5)):
        document = json.loads(json.dumps(typed.plain(made), allow_nan=False))
        assert typed.converted(document, MeasuredJoules) == made


def test_the_table_has_a_row_for_each_network():
    first, second = table(measured(STEADY, step_seconds=0.1)).splitlines()[-2:]
    assert "2.00 J" in first
    assert "500 mJ" in second
    assert "0.25" in second
    assert "0.239 to 0.261" in second
