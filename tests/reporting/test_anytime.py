import numpy as np
import pytest
from msgspec import structs
from msgspec.structs import replace

from made_costs import energy_of, followed, latency, leaving, with_accuracy, with_trial
from made_operations import spiking
from made_pages import places, told
from spikeduel.measuring import energy
from spikeduel.reporting import anytime, charts, drawing
from spikeduel.results.trials import Received
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
    """Return the panels by their y axis, and a second one of accuracy by energy."""
    names = {"Accuracy by time steps": "steps", "Accuracy by energy": "joules"}
    names |= {"Early exit": "left", "Time until the answer": "times"}
    chart = anytime.curves(results, energy.read("45nm-fp32"))
    return {names[panel.title]: panel for panel in chart.panels}


def test_the_curves_are_means_over_seeds(results):
    panel = panels(results)["steps"]
    line, band, *_ = panel.marks
    assert line.look.colour == charts.SPIKING_COLOURS[0]
    xs, ys = places(panel, line)
    assert xs == [1, 2, 3, 4]
    assert ys == pytest.approx(100 * (np.array(STEPS) + 0.05))
    last = band.rows[-1]
    assert last["high"] - last["low"] == pytest.approx(200 * np.std([0, 0.1], ddof=1))


def test_leaving_early_and_the_chosen_threshold(results):
    panel = panels(results)["steps"]
    curve, star = panel.marks[2:]
    xs, ys = places(panel, curve)
    assert (xs[0], xs[-1]) == (1, 4)
    assert np.interp([1, 2.5, 4], xs, ys) == pytest.approx([45, 75, 80], abs=0.5)
    assert places(panel, star) == ([2.5], [pytest.approx(75)])
    assert star.look.shape == "star"


def test_energy_is_that_up_to_each_step_and_of_leaving_its_mean(results):
    panel = panels(results)["joules"]
    assert places(panel, panel.marks[0])[0] == pytest.approx([1e-6, 2e-6, 3e-6, 4e-6])
    star, square = panel.marks[3:]
    assert places(panel, star) == ([pytest.approx(2.5e-6)], [pytest.approx(75)])
    # The network without time stands at its own energy, zeros skipped as well.
    accuracy = 100 * np.mean([trial.test.accuracy for trial in results.trials[1::2]])
    assert places(panel, square) == ([pytest.approx(0.5e-5)], [pytest.approx(accuracy)])
    assert panel.x.scale == "log"


def test_who_has_left_and_how_long_it_takes(results):
    drawn = panels(results)
    assert places(drawn["left"], drawn["left"].marks[0])[1] == pytest.approx([50, 50, 50, 100])
    stream, whole = drawn["times"].marks
    assert places(drawn["times"], stream)[1] == [1, 2, 3, 4]
    assert places(drawn["times"], whole) == ([4], [1.5])
    (rule,) = drawn["times"].rules
    assert (rule.at, rule.row["contender"]) == (0.5, "small-cnn")


def test_seeds_meet_at_equal_cost():
    one, other = made_anytime().early_exit, made_anytime(0.2).early_exit
    first, second, last = other.curve
    other = replace(
        other, curve=[first, replace(second, exit_steps=[20, 0, 0, 0], accuracy=0.6), last]
    )
    cost, accuracy = anytime._mean_curve([([1, 2, 3, 4], one), ([1, 2, 3, 4], other)])
    # The other one has nothing between 1 and 4 steps: a straight line, from 0.6 to 0.95.
    assert np.interp(2.5, cost, accuracy) == pytest.approx((0.7 + (0.6 + 0.95) / 2) / 2, abs=2e-3)


def test_panels_of_what_is_not_known_are_left_out(results, with_trials, monkeypatch):
    results = with_trials(results, latency=None, energy=None)
    results = with_trial(results, 0, anytime=replace(results.trials[0].anytime, early_exit=None))
    monkeypatch.setattr(anytime, "joules_over_time", lambda trial, table: None)
    drawn = panels(results)
    assert set(drawn) == {"steps", "left"}
    assert not [marks for marks in drawn["steps"].marks if marks.look.dashes]


@pytest.mark.parametrize("num_steps", [1, 300])
def test_one_step_and_many(make_prepared, make_results, num_steps):
    exits = leaving(None, 0.5, [0] * (num_steps - 1) + [20])
    made = make_results(make_prepared(), baseline())
    followed_over = with_trial(made, 0, anytime=followed([0.5] * num_steps, [exits]))
    chart = anytime.curves(followed_over, energy.read("45nm-fp32"))
    assert drawing.panels(chart, "").count("<svg") == len(chart.panels)


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
    chart = anytime.conversion(converted)
    (panel,) = chart.panels
    curve, band = panel.marks
    xs, ys = places(panel, curve)
    assert xs == [1, 2, 3, 4]
    assert ys == pytest.approx([10, 60, 70, 81])
    assert band.kind == "band"
    assert [rule.at for rule in panel.rules] == pytest.approx([82])
    assert [key.label for key in chart.keys] == ["converted", "small-cnn"]
    # Guesses of the first step would take most of the height.
    assert panel.y.low == pytest.approx(82 - 40)


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


@pytest.fixture
def recorded(make_prepared, make_results):
    """A spiking network that was followed over two frames, and another that needs all."""
    made = make_results(make_prepared(), baseline(seeds=1))
    early = followed([0.4, 0.8], [leaving(0.9, 0.7, [15, 5])])
    received = Received(milliseconds=[10.0, 30.0], events=[100.0, 500.0])
    early = structs.replace(early, received=received)
    return with_accuracy(with_trial(made, 0, anytime=early), 1, 0.6)


def test_accuracy_is_told_by_what_had_come(recorded):
    rows = told(anytime.while_it_happens(recorded))
    for column, came, on_leaving in (("recording, ms", (10, 30), 15), ("events", (100, 500), 200)):
        first, second, star, late = [row for row in rows if column in row]
        assert [(row["accuracy, %"], row[column]) for row in (first, second)] == [
            (40, came[0]),
            (80, came[1]),
        ]
        # Three of four leave after the first frame.
        assert (star["accuracy, %"], star[column]) == (70, on_leaving)
        assert (late["contender"], late["accuracy, %"], late[column]) == ("small-cnn", 60, came[1])


def test_of_images_there_is_none(make_prepared, make_results):
    assert anytime.while_it_happens(make_results(make_prepared(), baseline(seeds=1))) is None
