import numpy as np
import pytest
from msgspec import structs
from msgspec.structs import replace

from made_costs import energy_of, followed, latency, leaving, with_accuracy, with_trial
from made_operations import spiking
from made_pages import told
from spikeduel.measuring import energy
from spikeduel.reporting import anytime, style
from spikeduel.settings.recipes import baseline

STEPS = [0.4, 0.6, 0.7, 0.75]


def made_anytime(shift=0.0):
    """Three thresholds: all leave at once, half at once and half at the end, nobody early; the
    second was chosen.
    """
    curve = [
        leaving(0.5, 0.4 + shift, [20, 0, 0, 0]),
        leaving(0.9, 0.7 + shift, [10, 0, 0, 10]),
        leaving(None, 0.75 + shift, [0, 0, 0, 20]),
    ]
    return followed([accuracy + shift for accuracy in STEPS], curve, chosen=1)


@pytest.fixture
def results(make_prepared, make_results, with_trials, monkeypatch):
    """Two seeds; each step of the spiking network costs a microjoule, the CNN ten."""
    made = with_trials(make_results(make_prepared(), baseline(seeds=2)), energy=energy_of(1e-5))
    for seed in (0, 1):
        made = with_trial(made, 2 * seed, anytime=made_anytime(0.1 * seed))
    made = with_trial(made, 0, latency=latency(1.5, stream=[1.0, 2.0, 3.0, 4.0]))
    monkeypatch.setattr(anytime, "joules_over_time", lambda trial, table: [1e-6, 2e-6, 3e-6, 4e-6])
    return with_trial(made, 1, latency=latency(0.5))


def panels(results):
    figure = anytime.curves(results, energy.read("45nm-fp32"))
    figure.draw_without_rendering()
    return dict(zip(("steps", "joules", "left", "times"), figure.axes, strict=True))


def dashed(axes):
    return next(line for line in axes.lines if line.get_linestyle() == "--")


def test_the_curves_are_means_over_seeds(results):
    steps = panels(results)["steps"]
    solid = steps.lines[0]
    assert solid.get_color() == style.SPIKING_COLOURS[0]
    np.testing.assert_allclose(solid.get_xdata(), [1, 2, 3, 4])
    np.testing.assert_allclose(solid.get_ydata(), np.array(STEPS) + 0.05)
    band = steps.collections[0].get_paths()[0].vertices
    at_four = band[band[:, 0] == 4][:, 1]
    assert np.ptp(at_four) == pytest.approx(2 * np.std([0, 0.1], ddof=1))


def test_leaving_early_and_the_chosen_threshold(results):
    steps = panels(results)["steps"]
    curve = dashed(steps)
    x, y = np.array(curve.get_xdata()), np.array(curve.get_ydata())
    assert (x[0], x[-1]) == (1, 4)
    assert np.interp([1, 2.5, 4], x, y) == pytest.approx([0.45, 0.75, 0.8], abs=2e-3)
    (star,) = steps.collections[-1].get_offsets()
    assert tuple(star) == pytest.approx((2.5, 0.75))


def test_energy_is_that_up_to_each_step_and_of_leaving_its_mean(results):
    joules = panels(results)["joules"]
    np.testing.assert_allclose(joules.lines[0].get_xdata(), [1e-6, 2e-6, 3e-6, 4e-6])
    places = [tuple(each.get_offsets()[0]) for each in joules.collections[1:]]
    assert places[0] == pytest.approx((2.5e-6, 0.75))
    # The network without time stands at its own energy, zeros skipped as well.
    accuracy = np.mean([trial.test.accuracy for trial in results.trials[1::2]])
    assert places[1] == pytest.approx((0.5e-5, accuracy))
    assert joules.get_xscale() == "log"


def test_who_has_left_and_how_long_it_takes(results):
    drawn = panels(results)
    np.testing.assert_allclose(drawn["left"].lines[0].get_ydata(), [0.5, 0.5, 0.5, 1])
    stream, line = drawn["times"].lines
    np.testing.assert_allclose(stream.get_ydata(), [1, 2, 3, 4])
    assert set(line.get_ydata()) == {0.5}
    assert tuple(drawn["times"].collections[0].get_offsets()[0]) == (4, 1.5)


def test_seeds_meet_at_equal_cost():
    one, other = made_anytime().early_exit, made_anytime(0.2).early_exit
    first, second, last = other.curve
    other = replace(
        other, curve=[first, replace(second, exit_steps=[20, 0, 0, 0], accuracy=0.6), last]
    )
    cost, accuracy = anytime._mean_curve([([1, 2, 3, 4], one), ([1, 2, 3, 4], other)])
    # The other one has nothing between 1 and 4 steps: a straight line, from 0.6 to 0.95.
    assert np.interp(2.5, cost, accuracy) == pytest.approx((0.7 + (0.6 + 0.95) / 2) / 2, abs=2e-3)


def test_what_is_not_known_is_said_and_nothing_breaks(results, with_trials, monkeypatch):
    results = with_trials(results, latency=None, energy=None)
    results = with_trial(results, 0, anytime=replace(results.trials[0].anytime, early_exit=None))
    monkeypatch.setattr(anytime, "joules_over_time", lambda trial, table: None)
    drawn = panels(results)
    for name in ("joules", "times"):
        assert [text.get_text() for text in drawn[name].texts] == ["not known"]
    assert not [line for line in drawn["steps"].lines if line.get_linestyle() == "--"]


@pytest.mark.parametrize("num_steps", [1, 300])
def test_one_step_and_many(make_prepared, make_results, num_steps):
    exits = leaving(None, 0.5, [0] * (num_steps - 1) + [20])
    made = make_results(make_prepared(), baseline())
    panels(with_trial(made, 0, anytime=followed([0.5] * num_steps, [exits])))


def test_followed_are_those_with_as_many_steps_as_the_first(results):
    assert {name: len(trials) for name, trials in anytime.followed(results).items()} == {
        "dense-snn": 2
    }
    shorter = followed([0.5], [leaving(None, 0.5, [20])])
    assert len(anytime.followed(with_trial(results, 2, anytime=shorter))["dense-snn"]) == 1


@pytest.fixture
def converted(make_prepared, make_results):
    """Two seeds of small-cnn, at 0.8 and 0.84, and what they were converted to."""
    made = make_results(make_prepared(), baseline(seeds=2))
    for index, accuracies in ((0, [0.1, 0.5, 0.6, 0.79]), (2, [0.1, 0.7, 0.8, 0.83])):
        found = followed(accuracies, [leaving(None, accuracies[-1], [0, 0, 0, 20])])
        made = with_trial(
            made, index, contender="converted", converted_from="small-cnn", anytime=found
        )
    return with_accuracy(with_accuracy(made, 1, 0.8), 3, 0.84)


def test_each_step_is_a_mean_over_seeds_and_the_source_a_line(converted):
    (axes,) = anytime.conversion(converted).axes
    curve, source = axes.lines
    assert curve.get_xdata().tolist() == [1, 2, 3, 4]
    assert curve.get_ydata() == pytest.approx([0.1, 0.6, 0.7, 0.81])
    assert np.unique(source.get_ydata()) == pytest.approx([0.82])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["converted", "small-cnn"]
    assert len(axes.collections) == 1
    # Guesses of the first step would take most of the height.
    assert axes.get_ylim()[0] == pytest.approx(0.82 - 0.4)


def test_only_what_was_followed_beside_a_tested_source_is_shown(converted, with_trials):
    assert anytime.sources(converted) == {"converted": "small-cnn"}
    assert anytime.sources(with_trials(converted, anytime=None)) == {}
    assert (
        anytime.sources(with_trials(converted, test=lambda t: t.test if t.converted_from else None))
        == {}
    )


def test_energy_up_to_each_step(make_prepared, make_results, with_trials):
    (trial, *_) = with_trials(
        make_results(make_prepared(), baseline()), operations=spiking()
    ).trials
    table = energy.read("45nm-int8")
    # 20 MACs whose input is not zero at once, then 15 and 5 ACs.
    spent = [1e-12 * (20 * 0.3 + acs * 0.1) for acs in (15, 20)]
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


def test_what_is_told_at_each_step_and_on_leaving(results):
    rows = told(anytime.curves(results, energy.read("45nm-fp32")))
    by_steps = [
        row for row in rows if "accuracy, %" in row and "steps" in row and "energy, J" not in row
    ]
    assert [row["steps"] for row in by_steps] == [1, 2, 3, 4]
    np.testing.assert_allclose(
        [row["accuracy, %"] for row in by_steps], 100 * (np.array(STEPS) + 0.05)
    )
    by_energy = [row for row in rows if "steps" in row and "energy, J" in row]
    assert [row["energy, J"] for row in by_energy] == [1e-6, 2e-6, 3e-6, 4e-6]
    (chosen,) = [row for row in rows if "mean steps" in row]
    # Half leave after the first step, half at the fourth.
    assert (chosen["accuracy, %"], chosen["mean steps"]) == (pytest.approx(75), 2.5)
    assert [row["time step by step, ms"] for row in rows if "time step by step, ms" in row] == [
        1,
        2,
        3,
        4,
    ]
    assert [row["time in one call, ms"] for row in rows if "time in one call, ms" in row] == [
        1.5,
        0.5,
    ]
