"""Charts of accuracy: differences of pairs, and trainings."""

import numpy as np
import pytest
from msgspec import structs

import factories
from factories import failed, run_results, with_trials
from made_pages import rows_in
from spikeduel.experiment.recipes import baseline
from spikeduel.reporting import charts, learning_curves
from spikeduel.reporting.accuracies import intervals, pair_differences, with_intervals
from spikeduel.reporting.charts import Name
from spikeduel.results.significance import Conclusion, Reservation
from spikeduel.results.trials import Epoch

# ---- pairs


def of_pair(difference, half, conclusion, **changes):
    changes |= {"a": "dense-snn", "b": "small-cnn", "conclusion": Conclusion(conclusion)}
    return factories.pair(difference, half=half, **changes)


PAIRS = [
    of_pair(0.02, 0.01, "a_better"),
    of_pair(-0.001, 0.003, "equivalent"),
    of_pair(0.002, 0.02, "inconclusive"),
    of_pair(-0.002, 0.001, "b_better", negligible=True),
]


def test_a_row_a_pair_with_both_intervals_and_what_was_concluded():
    chart = pair_differences(PAIRS)
    (panel,) = chart.panels
    assert len(chart.rows) == len(PAIRS)
    for place, (row, pair) in enumerate(zip(chart.rows, PAIRS, strict=True)):
        assert (row["pair"], row["p"]) == (f"{pair.a} − {pair.b}", pair.p_value)
        assert row["difference, points"] == pytest.approx(100 * pair.difference)
        bounds = [
            row[f"{level} % interval {end}, points"] for level in (95, 90) for end in ("from", "to")
        ]
        assert bounds == pytest.approx([100 * bound for bound in (*pair.ci95, *pair.ci90)])
        assert {marks.place for marks in panel.marks[3 * place : 3 * place + 3]} == {place}
    assert [name.concluded for name in panel.names] == [
        "dense-snn better",
        "equivalent",
        "inconclusive",
        "small-cnn better (within the margin)",
    ]
    assert panel.names[0].text == "dense-snn − small-cnn"


def test_too_few_seeds_stand_beside_an_interval_that_excludes_0():
    few = (Reservation.TOO_FEW_SEEDS, Reservation.TOO_FEW_GROUPS)
    pairs = [of_pair(0.1, 0.01, "inconclusive", reservation=reason) for reason in few]
    names = pair_differences(pairs).panels[0].names
    assert [name.concluded for name in names] == ["too few seeds", "too few groups"]


def test_the_margin_is_shaded_and_in_sight_and_no_interval_is_cut_off():
    (panel,) = pair_differences(PAIRS).panels
    zone = panel.rules[0]
    assert (zone.at, zone.until) == (-0.5, 0.5)
    assert panel.x.low < -1.8
    assert panel.x.high > 3.0
    assert pair_differences([of_pair(0.0, 0.0001, "equivalent")]).panels[0].x.high > 0.5


def test_an_axis_ends_at_its_reach():
    row = with_intervals(0.1, (-0.1, 0.9), (0.0, 0.3), "open")
    rows = [(Name("a"), row)]
    limits = [intervals("x", rows, 0.005, reach).panels[0].x.high for reach in (0.3, 1.0)]
    assert limits == pytest.approx([32.4, 97.2])
    assert "95 % interval to, points" not in with_intervals(0.1, None, None, "not tested")


# ---- trainings

SPIKING = charts.SPIKING_COLOURS[0]


def validation(results, panel=1):
    """The marks of the spiking network on validation images, in the panel of accuracies."""
    marks = learning_curves(results).panels[panel].marks
    return [mark for mark in marks if mark.look.colour == SPIKING and not mark.look.dashes]


def test_a_training_shows_its_epochs_and_the_best_one(make_prepared):
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
                for row in rows_in(panel)
                if (row["contender"], row["images"]) == ("dense-snn", images)
            ]
            assert [row["epoch"] for row in rows] == [*range(1, len(values) + 1)]
            assert [row[name] for row in rows] == pytest.approx(expected)
    line, best = validation(results)
    assert best.rows[0] == pytest.approx(
        {key: line.rows[trained.best_epoch][key] for key in ("epoch", "accuracy, %")}
    )


def test_several_seeds_have_their_mean_and_a_band(make_prepared):
    made = run_results(make_prepared(), baseline(seeds=3))
    results = with_trials(made, history=lambda t: t.history[: 4 if t is made.trials[0] else None])
    _, line, band, best = validation(results)  # the first is the band of training
    third = [100 * trial.history[2].val_accuracy for trial in results.of("dense-snn")]
    assert len(line.rows) == 4
    assert line.rows[2]["accuracy, %"] == pytest.approx(np.mean(third))
    assert band.rows[2]["high"] == pytest.approx(np.mean(third) + np.std(third, ddof=1))
    assert len(best.rows) == sum(
        trial.best_epoch < len(trial.history) for trial in results.of("dense-snn")
    )


def test_a_failed_trial_is_no_part_of_the_mean(make_prepared):
    made = run_results(make_prepared(), baseline(seeds=2))
    first, second, *others = made.trials
    broken = structs.replace(failed(first), history=[Epoch(val_loss=9.0, val_accuracy=0.1)])
    results = structs.replace(made, trials=[broken, failed(second), *others])
    whole = [100 * epoch.val_accuracy for epoch in results.trials[2].history]
    assert [row["accuracy, %"] for row in validation(results)[0].rows] == pytest.approx(whole)
