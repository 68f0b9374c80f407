"""Charts of early exits, from declared data."""

import numpy as np
import pytest
from msgspec import structs
from msgspec.structs import replace

from factories import energy_of, run_results, with_accuracy, with_trial, with_trials
from made_operations import spiking
from made_pages import places, rows_in
from spikeduel import energy
from spikeduel.experiment.recipes import baseline
from spikeduel.features.early_exit import exit_charts
from spikeduel.features.early_exit.exit_charts import followed, joules_over_time, over_time
from spikeduel.reporting import charts, drawing
from spikeduel.results.cost_results import Range
from spikeduel.results.trials import Anytime, EarlyExit, ExitChoice, Leaving, Received

TABLE = energy.read("45nm-fp32")


def leaving(threshold, accuracy, exit_steps):
    steps = sum(step * images for step, images in enumerate(exit_steps, 1)) / sum(exit_steps)
    return Leaving(threshold=threshold, mean_steps=steps, accuracy=accuracy, exit_steps=exit_steps)


def anytime(accuracies, curve, chosen=0):
    """Accuracies by step, and an early exit at one of the thresholds of `curve`."""
    at = curve[chosen]
    exits = EarlyExit(
        **{name: getattr(at, name) for name in Leaving.__struct_fields__},
        tolerance=0.002,
        curve=curve,
        validation=ExitChoice(n=20, mean_steps=at.mean_steps, accuracy=at.accuracy),
    )
    return Anytime(num_steps=len(accuracies), n=20, accuracies=accuracies, early_exit=exits)


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
    return anytime([accuracy + shift for accuracy in STEPS], curve, chosen=1)


@pytest.fixture
def timed(make_prepared, monkeypatch):
    """Two seeds; each step of the spiking network costs a microjoule, the CNN ten."""
    made = with_trials(run_results(make_prepared(), baseline(seeds=2)), energy=energy_of(1e-5))
    for seed in (0, 1):
        made = with_trial(made, 2 * seed, anytime=made_anytime(0.1 * seed))
    by_step = [Range(low=low, high=1e-5) for low in (1e-6, 2e-6, 3e-6, 4e-6)]
    monkeypatch.setattr(exit_charts, "joules_over_time", lambda trial, table: by_step)
    return made


def panels(results):
    """Return the panels by the column of their x axis."""
    return {panel.x.column: panel for panel in over_time(results, TABLE).panels}


def test_the_curves_are_means_over_seeds(timed):
    panel = panels(timed)["time steps"]
    line, band, star = panel.marks
    assert line.look.colour == charts.SPIKING_COLOURS[0]
    assert places(panel, line) == (
        [1, 2, 3, 4],
        pytest.approx([100 * (accuracy + 0.05) for accuracy in STEPS]),
    )
    last = band.rows[-1]
    assert last["high"] - last["low"] == pytest.approx(200 * np.std([0, 0.1], ddof=1))
    assert places(panel, star) == ([2.5], [pytest.approx(75)])
    assert star.look.shape == "star"
    accuracy = 100 * np.mean([trial.test.accuracy for trial in timed.trials[1::2]])
    assert [rule.at for rule in panel.rules] == [pytest.approx(accuracy)]


def test_energy_is_that_up_to_each_step_and_of_leaving_its_mean(timed):
    panel = panels(timed)["energy, J"]
    line, _, star, square = panel.marks
    assert places(panel, line)[0] == pytest.approx([1e-6, 2e-6, 3e-6, 4e-6])
    assert places(panel, star) == ([pytest.approx(2.5e-6)], [pytest.approx(75)])
    # The network without time stands at its own energy, computed in the cheapest way as well.
    accuracy = 100 * np.mean([trial.test.accuracy for trial in timed.trials[1::2]])
    assert places(panel, square) == ([pytest.approx(0.5e-5)], [pytest.approx(accuracy)])
    assert panel.x.scale == "log"


def test_panels_of_what_is_not_known_are_left_out(timed, monkeypatch):
    results = with_trials(timed, energy=None)
    results = with_trial(results, 0, anytime=replace(results.trials[0].anytime, early_exit=None))
    monkeypatch.setattr(exit_charts, "joules_over_time", lambda trial, table: None)
    drawn = panels(results)
    assert set(drawn) == {"time steps"}
    assert not [marks for marks in drawn["time steps"].marks if marks.look.shape == "star"]


@pytest.mark.parametrize("num_steps", [1, 300])
def test_one_step_and_many(make_prepared, num_steps):
    exits = leaving(None, 0.5, [0] * (num_steps - 1) + [20])
    made = run_results(make_prepared(), baseline())
    followed_over = with_trial(made, 0, anytime=anytime([0.5] * num_steps, [exits]))
    chart = over_time(followed_over, TABLE)
    assert drawing.panels(chart, "").count("<svg") == len(chart.panels)


def test_followed_are_those_with_as_many_steps_as_the_first(timed):
    assert {name: len(trials) for name, trials in followed(timed).items()} == {"dense-snn": 2}
    shorter = anytime([0.5], [leaving(None, 0.5, [20])])
    assert len(followed(with_trial(timed, 2, anytime=shorter))["dense-snn"]) == 1


def test_energy_up_to_each_step(make_prepared):
    (trial, *_) = with_trials(run_results(make_prepared(), baseline()), operations=spiking()).trials
    # A table without memory is asked for arithmetic.
    table = replace(energy.read("45nm-int8"), memory=energy.Memory())
    # 20 MACs whose input is not zero at once, then 15 and 5 ACs.
    spent = [1e-12 * (20 * 0.3 + acs * 0.1) for acs in (15, 20)]
    joules = joules_over_time(trial, table)
    assert [bounds.low for bounds in joules] == pytest.approx(spent)
    (trial, *_) = run_results(make_prepared(), baseline()).trials
    assert joules_over_time(trial, table) is None


@pytest.fixture
def recorded(make_prepared):
    """A spiking network that was followed over two frames, and another that needs all."""
    made = run_results(make_prepared(), baseline(seeds=1))
    early = anytime([0.4, 0.8], [leaving(0.9, 0.7, [15, 5])])
    received = Received(milliseconds=[10.0, 30.0], events=[100.0, 500.0])
    early = structs.replace(early, received=received)
    return with_accuracy(with_trial(made, 0, anytime=early), 1, 0.6)


def test_accuracy_against_what_was_received(recorded):
    drawn = panels(recorded)
    for column, came, on_leaving in (("recording, ms", (10, 30), 15), ("events", (100, 500), 200)):
        first, second, star = rows_in(drawn[column])
        accuracies = [(row["accuracy, %"], row[column]) for row in (first, second)]
        assert accuracies == [(40, came[0]), (80, came[1])]
        # Three of four leave after the first frame.
        assert (star["accuracy, %"], star[column]) == (pytest.approx(70), on_leaving)
        assert [rule.at for rule in drawn[column].rules] == [pytest.approx(60)]
