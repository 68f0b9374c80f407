"""Charts of trainings: learning curves, accuracy over time, the optimism meter, tuning."""

from collections.abc import Sequence

import numpy as np

from spikeduel.reporting import charts
from spikeduel.reporting.charts import DASHES, INK, Axis, Chart, Key, Look, Marks, Panel, Row
from spikeduel.results.run import Results
from spikeduel.results.trials import Trial
from spikeduel.results.tuned import TuningRecord

_ACCURACY = "accuracy, %"
_BEST = Look(INK, size=8, width=1.1, filled=False)


def learning_curves(results: Results) -> Chart:
    """Return loss and accuracy after each epoch, on training (dashed) and validation images.

    A thick line is the mean of trainings, a dot the epoch whose weights were kept.
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
        Key("weights kept", "points", Look(size=4)),
    ]
    return Chart("learning-curves", panels, keys)


def _curves(trials: Sequence[Trial], images: str, quantity: str, colour: str) -> list[Marks]:
    several, dashes = len(trials) > 1, DASHES if images == "training" else ()
    width, opacity = (0.8, 0.35) if several else (1.6, 1.0)
    rows = [_by_epoch(trial, images) for trial in trials]
    thin = Look(colour, "none", width=width, dashes=dashes, opacity=opacity)
    marks = [Marks("line", of_trial, thin) for of_trial in rows]
    finished = [
        [row[quantity] for row in of_trial]
        for of_trial, trial in zip(rows, trials, strict=True)
        if trial.status == "done"
    ]
    if several and finished:
        shortest = min(map(len, finished))
        values = np.array([curve[:shortest] for curve in finished], dtype=float)
        mean = charts.rows_of({"epoch": range(1, shortest + 1), quantity: values.mean(0)})
        thick = Look(colour, "none", width=2.0, dashes=dashes)
        marks.append(Marks("line", mean, thick, told=False))
    if images == "validation":
        kept = [
            of_trial[trial.best_epoch]
            for of_trial, trial in zip(rows, trials, strict=True)
            if trial.best_epoch is not None and trial.best_epoch < len(of_trial)
        ]
        marks.append(Marks("points", kept, Look(colour, size=3.5 if several else 5), told=False))
    return marks


def _by_epoch(trial: Trial, images: str) -> list[Row]:
    part = "train" if images == "training" else "val"
    shares = [getattr(epoch, f"{part}_accuracy") for epoch in trial.history]
    columns = {
        "epoch": range(1, len(trial.history) + 1),
        "loss": [getattr(epoch, f"{part}_loss") for epoch in trial.history],
        _ACCURACY: [None if share is None else 100 * share for share in shares],
    }
    return charts.rows_of(columns, charts.training_row(trial) | {"images": images})


def accuracy_over_time(results: Results) -> Chart:
    """Return validation accuracy against the time of training; a dashed line joins a training to
    its twin's.
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
            reached = [100 * epoch.val_accuracy for epoch in trial.history]
            columns = {
                "epoch": range(1, len(reached) + 1),
                column: spent[: len(reached)],
                _ACCURACY: reached[: len(spent)],
            }
            rows = charts.rows_of(columns, charts.training_row(trial))
            marks.append(Marks("line", rows, Look(colour, size=2.5, width=1.4)))
            if source and rows:
                last = 100 * source.history[-1].val_accuracy
                joint = Look(colour, "none", width=0.9, dashes=DASHES)
                first: Row = {column: before / length, _ACCURACY: last}
                marks.append(Marks("line", [first, rows[0]], joint, told=False))
    x, y = Axis(column, scale="log"), Axis(_ACCURACY, "validation accuracy, %")
    return Chart("accuracy-over-time", [Panel(x, y, marks)], charts.contender_keys(colours))


def optimism(results: Results) -> Chart:
    """Return test accuracy after each epoch; a dot marks the chosen epoch, a ring the best one for
    the test.
    """
    column = "test accuracy, %"
    meters = [(trial, trial.optimism) for trial in results.trials if trial.test and trial.optimism]
    gains = [100 * (meter.best - meter.chosen) for _, meter in meters]
    y = Axis(column, most=4 * max(*gains, charts.LEAST_RANGE))
    panels = []
    for name, colour in charts.contender_colours(results.trials).items():
        marks = []
        for trial, meter in meters:
            if trial.contender != name:
                continue
            epochs = range(1, len(meter.accuracies) + 1)
            columns = {
                "epoch": epochs,
                column: [100 * share for share in meter.accuracies],
                "chosen": ["chosen" if k == meter.chosen_epoch + 1 else None for k in epochs],
            }
            rows = charts.rows_of(columns, charts.training_row(trial))
            line = Look(colour, "none", width=1.2, opacity=0.5)
            marks += [
                Marks("line", rows, line),
                Marks("points", [rows[meter.best_epoch]], _BEST, told=False),
                Marks("points", [rows[meter.chosen_epoch]], Look(colour, size=5), told=False),
            ]
        if marks:
            title = charts.shortened(name, 30)
            panels.append(Panel(Axis("epoch", ticks="whole"), y, marks, title))
    keys = [Key("chosen", "points", Look(size=5)), Key("best for the test", "points", _BEST)]
    return Chart("optimism", panels, keys)


def tuning_trials(record: TuningRecord) -> Chart:
    """Return every trial's validation accuracy, and the expected best of so many trials; a ring
    marks the chosen trial.
    """
    colours = charts.contender_colours(record.contenders)
    tried, expected = list[Marks](), list[Marks]()
    for tuned, colour in zip(record.contenders, colours.values(), strict=True):
        rows: dict[int, Row] = {
            trial.number: {
                "contender": tuned.contender,
                "trial": trial.number + 1,
                _ACCURACY: 100 * trial.validation.accuracy,
                **trial.settings,
                "chosen": "chosen" if trial.number == tuned.best else None,
            }
            for trial in tuned.trials
            if trial.validation
        }
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
    x, y = Axis("trial", ticks="whole"), Axis(_ACCURACY, "validation accuracy, %")
    number, best = Axis("trials", "number of trials", ticks="whole"), Axis("expected best, %")
    panels = [Panel(x, y, tried, "Every trial"), Panel(number, best, expected, "Expected best")]
    return Chart("tuning", panels, charts.contender_keys(colours, "points"))
