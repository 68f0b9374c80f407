"""Charts of trainings: learning curves, accuracy over time, the optimism meter, tuning."""

from collections.abc import Sequence

import numpy as np

from spikeduel.reporting import charts
from spikeduel.reporting.charts import DASHES, INK, Axis, Chart, Key, Look, Marks, Panel, Row
from spikeduel.results.run import Results
from spikeduel.results.trials import Trial
from spikeduel.results.tuned import TunedContender, TuningRecord, TuningTrial

_ACCURACY = "accuracy, %"
_KEPT = Look(shape="circle", size=4)


def learning_curves(results: Results) -> Chart:
    """Return loss and accuracy after each epoch, on training (dashed) and validation images.

    With several trainings, each is a thin line, and their mean, as long as all of them train, a
    thick one. A dot marks the epoch whose weights were kept.
    """
    colours = charts.contender_colours(results.trials)
    panels = []
    for quantity in ("loss", _ACCURACY):
        marks = []
        for name, colour in colours.items():
            trials = [trial for trial in results.of(name, tested=False) if trial.history]
            for images in ("training", "validation"):
                marks += _curves(trials, images, quantity, colour)
        lowest = 0.0 if quantity == "loss" else None
        panels.append(Panel(Axis("epoch", ticks="whole"), Axis(quantity, low=lowest), marks))
    keys = [
        *charts.contender_keys(colours),
        Key("validation", "line", Look()),
        Key("training", "line", Look(dashes=DASHES)),
        Key("weights kept", "points", _KEPT),
    ]
    return Chart("learning-curves", panels, keys)


def _curves(trials: Sequence[Trial], images: str, quantity: str, colour: str) -> list[Marks]:
    several = len(trials) > 1
    dashes = DASHES if images == "training" else ()
    look = Look(colour, "none", width=0.8 if several else 1.6, dashes=dashes)
    faint = Look(colour, "none", width=0.8, dashes=dashes, opacity=0.35)
    rows = [_by_epoch(trial, images) for trial in trials]
    marks = [Marks("line", of_trial, faint if several else look) for of_trial in rows]
    finished = [
        [row[quantity] for row in of_trial]
        for of_trial, trial in zip(rows, trials, strict=True)
        if trial.status == "done"
    ]
    if several and finished:
        shortest = min(map(len, finished))
        values = np.array([curve[:shortest] for curve in finished], dtype=float)
        mean = charts.line("epoch", range(1, shortest + 1), quantity, values.mean(0))
        thick = Look(colour, "none", width=2.0, dashes=dashes)
        marks.append(Marks("line", mean, thick, told=False))
    if images == "validation":
        kept = [
            of_trial[trial.best_epoch]
            for of_trial, trial in zip(rows, trials, strict=True)
            if trial.best_epoch is not None and trial.best_epoch < len(of_trial)
        ]
        dot = Look(colour, size=3.5 if several else 5)
        marks.append(Marks("points", kept, dot, told=False))
    return marks


def _by_epoch(trial: Trial, images: str) -> list[Row]:
    part = "train" if images == "training" else "val"
    return [
        charts.training_row(trial)
        | {
            "images": images,
            "epoch": number,
            "loss": getattr(epoch, f"{part}_loss"),
            _ACCURACY: charts.percent(getattr(epoch, f"{part}_accuracy")),
        }
        for number, epoch in enumerate(trial.history, 1)
    ]


def accuracy_over_time(results: Results) -> Chart:
    """Return validation accuracy against the time of training, a line a training.

    A training that starts from a trained twin begins where the twin's training ended: a dashed line
    joins the two.
    """
    colours = charts.contender_colours(results.trials)
    longest = max(sum(trial.epoch_seconds) for trial in results.trials)
    column, length = ("training, min", 60) if longest >= 120 else ("training, s", 1)
    marks = []
    for name, colour in colours.items():
        for trial in results.of(name, tested=False):
            source = results.source_of(trial)
            before = sum(source.epoch_seconds) if source else 0.0
            spent = (before + np.cumsum(trial.epoch_seconds)) / length
            rows = [
                charts.training_row(trial)
                | {"epoch": number, column: time, _ACCURACY: 100 * epoch.val_accuracy}
                for number, (time, epoch) in enumerate(zip(spent, trial.history, strict=False), 1)
            ]
            marks.append(Marks("line", rows, Look(colour, size=2.5, width=1.4)))
            if source and rows:
                first: Row = {
                    column: before / length,
                    _ACCURACY: 100 * source.history[-1].val_accuracy,
                }
                joint = Look(colour, "none", width=0.9, dashes=DASHES)
                marks.append(Marks("line", [first, rows[0]], joint, told=False))
    x, y = Axis(column, scale="log"), Axis(_ACCURACY, "validation accuracy, %")
    keys = charts.contender_keys(colours)
    return Chart("accuracy-over-time", [Panel(x, y, marks)], keys)


def optimism(results: Results) -> Chart:
    """Return test accuracy after each epoch, a panel a contender and a line a training.

    A dot marks the chosen epoch, a ring the best one for the test. The first epochs may lie below
    the panel.
    """
    colours = charts.contender_colours(results.trials)
    column = "test accuracy, %"
    metered = [trial for trial in results.trials if trial.test and trial.optimism]
    meters = [trial.optimism for trial in metered if trial.optimism]
    low, high = min(meter.chosen for meter in meters), max(meter.best for meter in meters)
    least = min(min(meter.accuracies) for meter in meters)
    bottom = max(least, low - 2 * max(high - low, charts.LEAST_RANGE / 100))
    y = Axis(
        column,
        low=100 * bottom - 0.2,
        high=100 * high + max(10 * (high - low), charts.LEAST_RANGE / 10),
    )
    panels = []
    for name, colour in colours.items():
        marks = []
        for trial in (trial for trial in metered if trial.contender == name):
            meter = trial.optimism
            assert meter is not None
            rows: list[Row] = [
                charts.training_row(trial)
                | {
                    "epoch": epoch + 1,
                    column: 100 * accuracy,
                    "chosen": "chosen" if epoch == meter.chosen_epoch else None,
                }
                for epoch, accuracy in enumerate(meter.accuracies)
            ]
            chosen, best = rows[meter.chosen_epoch], rows[meter.best_epoch]
            marks += [
                Marks("line", rows, Look(colour, "none", width=1.2, opacity=0.5)),
                Marks("points", [best], _BEST, told=False),
                Marks("points", [chosen], Look(colour, size=5), told=False),
            ]
        if marks:
            title = charts.shortened(name, 30)
            panels.append(Panel(Axis("epoch", ticks="whole"), y, marks, title))
    keys = [Key("chosen", "points", Look(size=5)), Key("best for the test", "points", _BEST)]
    return Chart("optimism", panels, keys)


_BEST = Look(INK, size=8, width=1.1, filled=False)


def tuning_trials(record: TuningRecord) -> Chart:
    """Return the validation accuracy of every trial, and the expected best of so many trials.

    A ring marks the chosen trial.
    """
    colours = charts.contender_colours(record.contenders)
    tried, expected = list[Marks](), list[Marks]()
    for tuned, colour in zip(record.contenders, colours.values(), strict=True):
        rows = {trial.number: _tried(tuned, trial) for trial in tuned.trials if trial.validation}
        tried.append(Marks("points", list(rows.values()), Look(colour, size=5)))
        if tuned.best is not None:
            ring = Look(colour, size=9.5, width=1.4, filled=False)
            tried.append(Marks("points", [rows[tuned.best]], ring, told=False))
        curve: list[Row] = [
            {
                "contender": tuned.contender,
                "trials": point.trials,
                "expected best, %": 100 * point.mean,
                "standard deviation, points": 100 * point.standard_deviation,
            }
            for point in tuned.expected_best
        ]
        band: list[Row] = [
            {"trials": point.trials, "low": 100 * point.low, "high": 100 * point.high}
            for point in tuned.expected_best
        ]
        expected += [
            Marks("band", band, Look(colour), ("low", "high"), told=False),
            Marks("line", curve, Look(colour, size=3, width=2.0)),
        ]
    panels = [
        Panel(
            Axis("trial", ticks="whole"),
            Axis(_ACCURACY, "validation accuracy, %"),
            tried,
            "Every trial",
        ),
        Panel(
            Axis("trials", "number of trials", ticks="whole"),
            Axis("expected best, %"),
            expected,
            "Expected best",
        ),
    ]
    return Chart("tuning", panels, charts.contender_keys(colours, "points"))


def _tried(tuned: TunedContender, trial: TuningTrial) -> Row:
    row: dict[str, charts.Value] = {"contender": tuned.contender, "trial": trial.number + 1}
    if trial.validation:
        row[_ACCURACY] = 100 * trial.validation.accuracy
    return row | trial.settings | ({"chosen": "chosen"} if trial.number == tuned.best else {})
