"""Charts of trainings, from declared data."""

import numpy as np
import pytest
from msgspec import structs

from made_pages import places, told, told_in
from made_results import failed, with_trials
from made_trials import results as results_of
from made_trials import trial
from spikeduel.reporting import charts, learning, learning_curves
from spikeduel.results.optimism import curve
from spikeduel.results.trials import Epoch
from spikeduel.settings.recipes import baseline

SPIKING = charts.SPIKING_COLOURS[0]


def test_every_training_tells_its_epochs_in_both_panels(make_prepared, make_results):
    results = make_results(make_prepared(), baseline(seeds=2))
    expected = [
        {
            "contender": t.contender,
            "seed": t.seed,
            "images": images,
            "epoch": number + 1,
            "loss": getattr(epoch, f"{part}_loss"),
            "accuracy, %": 100 * getattr(epoch, f"{part}_accuracy"),
        }
        for t in results.trials
        for part, images in (("train", "training"), ("val", "validation"))
        for number, epoch in enumerate(t.history)
    ]
    chart = learning_curves(results)
    for panel in chart.panels:
        rows = told_in(panel)
        assert len(rows) == len(expected)
        assert all(row in rows for row in expected)


def validation_lines(results, panel=1):
    return [
        marks
        for marks in learning_curves(results).panels[panel].marks
        if marks.kind == "line" and marks.look.colour == SPIKING and not marks.look.dashes
    ]


def test_several_seeds_are_thin_lines_and_their_mean(make_prepared, make_results):
    made = make_results(make_prepared(), baseline(seeds=3))
    results = with_trials(made, history=lambda t: t.history[: 4 if t is made.trials[0] else None])
    lines = validation_lines(results)
    assert sorted(len(marks.rows) for marks in lines) == [4, 4, 5, 5]
    (mean,) = [marks for marks in lines if not marks.told]
    third = [100 * trial.history[2].val_accuracy for trial in results.of("dense-snn")]
    assert mean.rows[2]["accuracy, %"] == pytest.approx(np.mean(third))


def test_a_failed_trial_is_no_part_of_the_mean(make_prepared, make_results):
    made = make_results(make_prepared(), baseline(seeds=2))
    first, second, *others = made.trials
    broken = structs.replace(failed(first), history=[Epoch(val_loss=9.0, val_accuracy=0.1)])
    results = structs.replace(made, trials=[broken, failed(second), *others])
    (mean,) = [marks for marks in validation_lines(results) if not marks.told]
    whole = [100 * epoch.val_accuracy for epoch in results.trials[2].history]
    assert [row["accuracy, %"] for row in mean.rows] == pytest.approx(whole)


def course(*accuracies):
    return [Epoch(val_loss=1.0, val_accuracy=accuracy) for accuracy in accuracies]


def test_a_line_of_accuracy_over_time_begins_where_its_own_twin_ended():
    trials = [
        trial("cnn", 0.5, fold=0, seconds=[60, 60], history=course(0.2, 0.3)),
        trial("snn", 0.5, fold=0, seconds=[30], history=course(0.4), starts_from="cnn"),
        trial("cnn", 0.5, fold=1, seconds=[120], history=course(0.6)),
        trial("snn", 0.5, fold=1, seconds=[60, 60], history=course(0.7, 0.8), starts_from="cnn"),
        # The twin of this one failed.
        trial("snn", seed=1, starts_from="cnn"),
    ]
    (panel,) = learning.accuracy_over_time(results_of(trials)).panels
    drawn = {told: [] for told in (True, False)}
    for marks in panel.marks:
        drawn[marks.told].append(places(panel, marks))
    for line in (([1, 2], [20, 30]), ([2.5], [40]), ([3, 4], [70, 80])):
        assert line in drawn[True]
    assert drawn[False] == [([2, 2.5], [30, 40]), ([2, 3], [60, 70])]
    assert panel.x.column == "training, min"


def test_the_optimism_meter_marks_the_chosen_and_the_best_epoch_of_every_training(
    make_prepared, make_results
):
    meters = iter([curve([10, 30, 20, 25, 28], 100, 3), curve([50, 60, 70, 80, 90], 100, 4)])
    made = make_results(make_prepared(), baseline(seeds=1))
    chart = learning.optimism(with_trials(made, optimism=lambda trial: next(meters)))
    left, right = chart.panels
    assert [left.title, right.title] == ["dense-snn", "small-cnn"]
    line, best, chosen = (places(left, marks) for marks in left.marks)
    assert line == ([1, 2, 3, 4, 5], pytest.approx([10, 30, 20, 25, 28]))
    assert (best, chosen) == (([2], [30]), ([4], [25]))
    _, best, chosen = (places(right, marks) for marks in right.marks)
    assert best == chosen == ([5], [90])
    assert [row["epoch"] for row in told(chart) if row["chosen"]] == [4, 5]
