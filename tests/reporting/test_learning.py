"""Charts of trainings, from declared data."""

import numpy as np
import pytest
from msgspec import structs

from factories import failed, run_results, with_trials
from made_pages import told_in
from spikeduel.experiment.recipes import baseline
from spikeduel.reporting import charts, learning_curves
from spikeduel.results.trials import Epoch

SPIKING = charts.SPIKING_COLOURS[0]


def validation(results, panel=1):
    """The marks of the spiking network on validation images, in the panel of accuracies."""
    marks = learning_curves(results).panels[panel].marks
    return [mark for mark in marks if mark.look.colour == SPIKING and not mark.look.dashes]


def test_a_training_tells_its_epochs_and_which_weights_were_kept(make_prepared):
    results = run_results(make_prepared(), baseline(seeds=1))
    (trained,) = results.of("dense-snn")
    chart = learning_curves(results)
    for panel, name in zip(chart.panels, ("loss", "accuracy, %"), strict=True):
        for part, images in (("train", "training"), ("val", "validation")):
            field = f"{part}_{name.partition(',')[0]}"
            values = [getattr(epoch, field) for epoch in trained.history]
            expected = [100 * value if name == "accuracy, %" else value for value in values]
            rows = [
                row
                for row in told_in(panel)
                if (row["contender"], row["images"]) == ("dense-snn", images)
            ]
            assert [row["epoch"] for row in rows] == [*range(1, len(values) + 1)]
            assert [row[name] for row in rows] == pytest.approx(expected)
    line, kept = validation(results)
    assert kept.rows[0] == pytest.approx(
        {key: line.rows[trained.best_epoch][key] for key in ("epoch", "accuracy, %")}
    )


def test_several_seeds_have_their_mean_and_a_band(make_prepared):
    made = run_results(make_prepared(), baseline(seeds=3))
    results = with_trials(made, history=lambda t: t.history[: 4 if t is made.trials[0] else None])
    _, line, band, kept = validation(results)  # the first is the band of training
    third = [100 * trial.history[2].val_accuracy for trial in results.of("dense-snn")]
    assert len(line.rows) == 4
    assert line.rows[2]["accuracy, %"] == pytest.approx(np.mean(third))
    assert band.rows[2]["high"] == pytest.approx(np.mean(third) + np.std(third, ddof=1))
    assert len(kept.rows) == sum(
        trial.best_epoch < len(trial.history) for trial in results.of("dense-snn")
    )


def test_a_failed_trial_is_no_part_of_the_mean(make_prepared):
    made = run_results(make_prepared(), baseline(seeds=2))
    first, second, *others = made.trials
    broken = structs.replace(failed(first), history=[Epoch(val_loss=9.0, val_accuracy=0.1)])
    results = structs.replace(made, trials=[broken, failed(second), *others])
    whole = [100 * epoch.val_accuracy for epoch in results.trials[2].history]
    assert [row["accuracy, %"] for row in validation(results)[0].rows] == pytest.approx(whole)
