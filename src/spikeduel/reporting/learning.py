"""Charts of trainings: learning curves, accuracy over time, the optimism meter, tuning."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spikeduel.reporting import style
from spikeduel.results.run import Results
from spikeduel.results.trials import Trial
from spikeduel.results.tuned import TunedContender, TuningRecord, TuningTrial


def learning_curves(results: Results) -> Figure:
    """Loss and accuracy after each epoch, training (dashed) and validation (solid), of all
    contenders.

    With several seeds each is a thin line, and their mean, as long as all of them train, a thick
    one. A dot marks the epoch whose weights were kept.
    """
    colours = style.contender_colours(results.trials)
    figure, panels = style.new_panels(2, 2.9)
    for axes, quantity in zip(panels, ("loss", "accuracy"), strict=True):
        style.quiet(axes, quantity, x="epoch", grid=True)
        for name, colour in colours.items():
            trials = [trial for trial in results.of(name, tested=False) if trial.history]
            for part in ("train", "val"):
                _curves(axes, trials, part, quantity, colour)
        style.count_axis(axes.xaxis)
    panels[0].set_ylim(bottom=0)
    style.per_cent_axis(panels[1].yaxis)
    parts = [
        style.key("validation", linewidth=1.5),
        style.key("training", linewidth=1.5, linestyle=style.DASHED),
        style.key("weights kept", marker="o", linestyle="none", markersize=5),
    ]
    style.legend(figure, [*style.keys(colours), *parts])
    return figure


def accuracy_over_time(results: Results) -> Figure:
    """Validation accuracy against the time that was trained, a line a training, dots at the ends of
    epochs.

    What starts from a trained twin begins where that one ended: a line joins the two.
    """
    colours = style.contender_colours(results.trials)
    figure = style.new_figure(3.3)
    longest = max(sum(trial.epoch_seconds) for trial in results.trials)
    unit, length = ("minutes", 60) if longest >= 120 else ("seconds", 1)
    axes = style.quiet(
        figure.subplots(), "", x=f"{unit} of training", y="validation accuracy", grid=True
    )
    for name, colour in colours.items():
        for trial in results.of(name, tested=False):
            source = results.source_of(trial)
            before = sum(source.epoch_seconds) if source else 0.0
            spent = (before + np.cumsum(trial.epoch_seconds)) / length
            accuracies = [epoch.val_accuracy for epoch in trial.history]
            (line,) = axes.plot(
                spent[: len(accuracies)],
                accuracies,
                color=colour,
                linewidth=1.4,
                marker=".",
                markersize=4,
            )
            style.told(
                line,
                [
                    style.of_training(trial)
                    | {
                        "epoch": epoch,
                        "training, min": at * length / 60,
                        "accuracy, %": 100 * accuracy,
                    }
                    for epoch, (at, accuracy) in enumerate(zip(spent, accuracies, strict=False), 1)
                ],
            )
            if source and accuracies:
                axes.plot(
                    [before / length, spent[0]],
                    [source.history[-1].val_accuracy, accuracies[0]],
                    color=colour,
                    linewidth=0.9,
                    linestyle=style.DASHED,
                )
    style.cost_axis(axes, "")
    axes.xaxis.set_major_formatter("{x:g}")
    style.per_cent_axis(axes.yaxis)
    style.legend(figure, style.keys(colours))
    return figure


def _curves(axes: Axes, trials: Sequence[Trial], part: str, quantity: str, colour: str) -> None:
    values = [[getattr(epoch, f"{part}_{quantity}") for epoch in trial.history] for trial in trials]
    series = [
        np.array([np.nan if value is None else value for value in each], dtype=float)
        for each in values
    ]
    look: dict[str, Any] = {
        "color": colour,
        "linestyle": "solid" if part == "val" else style.DASHED,
    }
    several = len(series) > 1
    for each, trial in zip(series, trials, strict=True):
        (line,) = axes.plot(
            np.arange(1, len(each) + 1),
            each,
            linewidth=0.8 if several else 1.6,
            alpha=0.35 if several else 1.0,
            marker="." if len(each) == 1 else None,
            **look,
        )
        style.told(line, _by_epoch(trial, part))
    finished = [each for each, trial in zip(series, trials, strict=True) if trial.status == "done"]
    if several and finished:
        shortest = min(map(len, finished))
        mean = np.mean([each[:shortest] for each in finished], axis=0)
        axes.plot(np.arange(1, shortest + 1), mean, linewidth=2.0, **look)
    for each, trial in zip(series, trials, strict=True):
        best = trial.best_epoch
        if part == "val" and best is not None and best < len(each):
            axes.scatter(
                [best + 1],
                each[[best]],
                s=12 if several else 26,
                color=colour,
                zorder=3,
                linewidths=0,
            )


def _by_epoch(trial: Trial, part: str) -> list[style.Row]:
    images = {"images": "training" if part == "train" else "validation"}
    return [
        style.of_training(trial)
        | images
        | {
            "epoch": number,
            "loss": getattr(epoch, f"{part}_loss"),
            "accuracy, %": style.percent(getattr(epoch, f"{part}_accuracy")),
        }
        for number, epoch in enumerate(trial.history, 1)
    ]


def optimism(results: Results) -> Figure:
    """Test accuracy after each epoch, a line a training: a dot at the chosen epoch, a ring at the
    best one.

    A panel for each contender, so that its trainings can be told apart.
    """
    colours = style.contender_colours(results.trials)
    shown = {name: [trial for trial in results.of(name) if trial.optimism] for name in colours}
    shown = {name: found for name, found in shown.items() if found}
    figure, panels = style.new_panels(len(shown), 2.5, sharey=True)
    every = []
    for axes, (name, trials) in zip(panels, shown.items(), strict=True):
        style.quiet(axes, style.shortened(name, 30), x="epoch", y="test accuracy", grid=True)
        for trial, each in ((trial, trial.optimism) for trial in trials if trial.optimism):
            epochs = np.arange(1, len(each.accuracies) + 1)
            (line,) = axes.plot(
                epochs, each.accuracies, color=colours[name], linewidth=1.2, alpha=0.5, zorder=2
            )
            style.told(
                line,
                [
                    style.of_training(trial)
                    | {"epoch": epoch + 1, "test accuracy, %": 100 * accuracy, "chosen": chosen}
                    for epoch, accuracy in enumerate(each.accuracies)
                    for chosen in ["chosen" if epoch == each.chosen_epoch else None]
                ],
            )
            axes.scatter(
                [each.chosen_epoch + 1],
                [each.chosen],
                s=24,
                color=colours[name],
                linewidths=0,
                zorder=4,
            )
            axes.scatter(
                [each.best_epoch + 1],
                [each.best],
                s=64,
                facecolors="none",
                edgecolors=style.INK,
                linewidths=1.1,
                zorder=3,
            )
            every.append(each)
        axes.tick_params(labelleft=True)
        style.count_axis(axes.xaxis)
    # What is chosen and what is best differ by little: the climb of the first epochs may leave
    # below.
    low, high = min(each.chosen for each in every), max(each.best for each in every)
    least = min(min(each.accuracies) for each in every)
    panels[0].set_ylim(
        max(least, low - 2 * max(high - low, style.SMALLEST_RANGE)), high + 0.1 * (high - low)
    )
    style.accuracy_axis(panels[0])
    ring: dict[str, Any] = {
        "markersize": 8,
        "markerfacecolor": "none",
        "markeredgecolor": style.INK,
    }
    keys = [
        style.key("chosen", marker="o", linestyle="none", markersize=5),
        style.key("best for the test", marker="o", linestyle="none", **ring),
    ]
    style.legend(figure, keys)
    return figure


def tuning_trials(record: TuningRecord) -> Figure:
    """Left, the validation accuracy of every trial, a ring around the chosen; right, the expected
    best of so many.
    """
    colours = style.contender_colours(record.contenders)
    figure, (left, right) = style.new_panels(2, 3.0, sharey=True)
    style.quiet(left, "every trial", x="trial", y="validation accuracy", grid=True)
    style.quiet(right, "expected best", x="number of trials", grid=True)
    for place, (tuned, colour) in enumerate(zip(record.contenders, colours.values(), strict=True)):
        # Beside one another: equal accuracies would hide one another.
        aside = 0.16 * (place - (len(colours) - 1) / 2)
        done = {
            t.number: (t.number + 1 + aside, t.validation.accuracy)
            for t in tuned.trials
            if t.validation
        }
        dots = left.scatter(
            [x for x, _ in done.values()],
            [y for _, y in done.values()],
            s=22,
            color=colour,
            linewidths=0,
            zorder=3,
        )
        style.told(dots, [_tried(tuned, tuned.trials[number]) for number in done])
        if tuned.best is not None:
            left.scatter(
                *done[tuned.best],
                s=90,
                facecolors="none",
                edgecolors=colour,
                linewidths=1.4,
                zorder=4,
            )
        curve = tuned.expected_best
        numbers, low, high = (
            [point.trials for point in curve],
            [p.low for p in curve],
            [p.high for p in curve],
        )
        right.fill_between(numbers, low, high, color=colour, alpha=0.16, linewidth=0)
        (line,) = right.plot(
            numbers, [point.mean for point in curve], color=colour, linewidth=2.0, marker="."
        )
        style.told(
            line,
            [
                {
                    "contender": tuned.contender,
                    "trials": point.trials,
                    "expected best, %": 100 * point.mean,
                    "standard deviation, points": 100 * point.standard_deviation,
                }
                for point in curve
            ],
        )
    for axes in (left, right):
        style.count_axis(axes.xaxis)
        style.per_cent_axis(axes.yaxis)
    right.tick_params(labelleft=True)
    style.legend(figure, style.keys(colours, marker="o"))
    return figure


def _tried(tuned: TunedContender, trial: TuningTrial) -> style.Row:
    row: dict[str, str | float | None] = {"contender": tuned.contender, "trial": trial.number + 1}
    if trial.validation:
        row["accuracy, %"] = 100 * trial.validation.accuracy
    return row | trial.settings | ({"chosen": "chosen"} if trial.number == tuned.best else {})
