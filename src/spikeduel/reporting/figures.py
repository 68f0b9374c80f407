"""Figures of a run's results: samples, learning curves, confusions, differences, controls, tuning."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from spikeduel.data.prepared import Prepared
from spikeduel.reporting import style
from spikeduel.results.run import Pair, Results, TuningRecord
from spikeduel.results.significance import Conclusion, Reservation
from spikeduel.results.trials import Trial
from spikeduel.results.words.numbers import counted
from spikeduel.results.words.verdict import BRIEF

MOST_SAMPLES = 10
MOST_COUNTED_CLASSES = 20
MOST_NAMED_CLASSES = 40
PAIR_HEIGHT = 0.3
"""Inches of a pair of contenders in `forest`."""
PANELS_ABREAST = 2
_CONCLUSION_COLOURS = {Conclusion.EQUIVALENT: style.RIGHT, Conclusion.INCONCLUSIVE: style.QUIET}
_NARROW = {
    **BRIEF,
    Reservation.FEW_GROUPS: "too few groups",
    Reservation.COMPARISONS: "not after adjusting",
    Reservation.EXACT_TEST: "inconclusive",
}
"""`BRIEF` where there is little room."""


def samples(prepared: Prepared) -> Figure:
    """One picture a class before preprocessing, and below it what a network is given; at most ten classes."""
    originals = dict(prepared.samples[:MOST_SAMPLES])
    firsts = np.unique(np.asarray(prepared.labels), return_index=True)[1].tolist()
    indices = list(originals) or firsts[:MOST_SAMPLES]
    columns, rows = max(len(indices), 5), 2 if originals else 1
    figure = style.new_figure(0.35 + rows * (style.WIDTH / columns) * 0.98)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid[:, len(indices) :].flat:
        axes.set_visible(False)
    for column, index in enumerate(indices):
        title = style.shortened(prepared.classes[int(prepared.labels[index])], max(13, 110 // columns))
        style.show_image(grid[-1, column], np.asarray(prepared.pictures[index]), "" if originals else title)
        if originals:
            style.show_image(grid[0, column], originals[index], title)
            grid[0, column].title.set_fontsize(style.SMALL if columns < 9 else 7)
    _, height, width = prepared.image_shape
    grid[-1, 0].set_ylabel(f"prepared\n{width}×{height}", fontsize=style.SMALL, color=style.QUIET)
    if originals:
        sizes = {original.shape[:2] for original in originals.values()}
        height, width = min(sizes)
        size = f"{width}×{height}" if len(sizes) == 1 else "sizes vary"
        grid[0, 0].set_ylabel(f"original\n{size}", fontsize=style.SMALL, color=style.QUIET)
    return figure


def learning_curves(results: Results) -> Figure:
    """Loss and accuracy after each epoch, training (dashed) and validation (solid), of all contenders.

    With several seeds each is a thin line, and their mean, as long as all of them train, a thick one. A dot marks the
    epoch whose weights were kept.
    """
    colours = style.contender_colours(results.trials)
    figure = style.new_figure(3.5)
    panels = figure.subplots(1, 2)
    for axes, quantity in zip(panels, ("loss", "accuracy"), strict=True):
        style.quiet(axes, quantity, x="epoch", grid=True)
        for name, colour in colours.items():
            trials = [trial for trial in results.of(name, tested=False) if trial.history]
            for part in ("train", "val"):
                _curves(axes, trials, part, quantity, colour)
        style.count_axis(axes.xaxis)
    panels[0].set_ylim(bottom=0)
    style.per_cent_axis(panels[1].yaxis, exact=True)
    parts = [
        style.key("validation", linewidth=1.5),
        style.key("training", linewidth=1.5, linestyle=style.DASHED),
        style.key("weights kept", marker="o", linestyle="none", markersize=5),
    ]
    style.legend(figure, [*style.keys(colours), *parts])
    return figure


def accuracy_over_time(results: Results) -> Figure:
    """Validation accuracy against the minutes that were trained, a line a training, dots at the ends of epochs.

    What starts from a trained twin begins where that one ended: a line joins the two.
    """
    colours = style.contender_colours(results.trials)
    figure = style.new_figure(3.3)
    axes = figure.subplots()
    style.quiet(axes, "", x="minutes of training", y="validation accuracy", grid=True)
    for name, colour in colours.items():
        for trial in results.of(name, tested=False):
            source = results.source_of(trial)
            before = sum(source.epoch_seconds) if source else 0.0
            minutes = (before + np.cumsum(trial.epoch_seconds)) / 60
            accuracies = [epoch.val_accuracy for epoch in trial.history]
            axes.plot(minutes[: len(accuracies)], accuracies, color=colour, linewidth=1.4, marker=".", markersize=4)
            if source and accuracies:
                axes.plot(
                    [before / 60, minutes[0]], [source.history[-1].val_accuracy, accuracies[0]], color=colour,
                    linewidth=0.9, linestyle=style.DASHED,
                )  # fmt: skip
    style.cost_axis(axes, "")
    axes.xaxis.set_major_formatter("{x:g}")
    style.per_cent_axis(axes.yaxis, exact=True)
    style.legend(figure, style.keys(colours))
    return figure


def _curves(axes: Axes, trials: Sequence[Trial], part: str, quantity: str, colour: str) -> None:
    values = [[getattr(epoch, f"{part}_{quantity}") for epoch in trial.history] for trial in trials]
    series = [np.array([np.nan if value is None else value for value in each], dtype=float) for each in values]
    look: dict[str, Any] = {"color": colour, "linestyle": "solid" if part == "val" else style.DASHED}
    several = len(series) > 1
    for each in series:
        axes.plot(
            np.arange(1, len(each) + 1), each, linewidth=0.8 if several else 1.6, alpha=0.35 if several else 1.0,
            marker="." if len(each) == 1 else None, **look,
        )  # fmt: skip
    finished = [each for each, trial in zip(series, trials, strict=True) if trial.status == "done"]
    if several and finished:
        shortest = min(map(len, finished))
        mean = np.mean([each[:shortest] for each in finished], axis=0)
        axes.plot(np.arange(1, shortest + 1), mean, linewidth=2.0, **look)
    for each, trial in zip(series, trials, strict=True):
        best = trial.best_epoch
        if part == "val" and best is not None and best < len(each):
            axes.scatter([best + 1], each[[best]], s=12 if several else 26, color=colour, zorder=3, linewidths=0)


def optimism(results: Results) -> Figure:
    """Test accuracy after each epoch, a line a training: a dot at the chosen epoch, a ring at the best one.

    A panel for each contender, so that its trainings can be told apart.
    """
    colours = style.contender_colours(results.trials)
    shown = {name: [t.optimism for t in results.of(name) if t.optimism] for name in colours}
    shown = {name: found for name, found in shown.items() if found}
    columns = min(PANELS_ABREAST, len(shown))
    rows = -(-len(shown) // columns)
    figure = style.new_figure(0.4 + 2.5 * rows, style.WIDTH if columns > 1 else 0.72 * style.WIDTH)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes in panels.flat[len(shown) :]:
        axes.set_visible(False)
    for axes, (name, found) in zip(panels.flat, shown.items(), strict=False):
        style.quiet(axes, style.shortened(name, 30), x="epoch", y="test accuracy", grid=True)
        for each in found:
            epochs = np.arange(1, len(each.accuracies) + 1)
            axes.plot(epochs, each.accuracies, color=colours[name], linewidth=1.2, alpha=0.5, zorder=2)
            axes.scatter([each.chosen_epoch + 1], [each.chosen], s=24, color=colours[name], linewidths=0, zorder=4)
            axes.scatter([each.best_epoch + 1], [each.best], s=64, facecolors="none", edgecolors=style.INK,
                         linewidths=1.1, zorder=3)  # fmt: skip
        axes.tick_params(labelleft=True)
        style.count_axis(axes.xaxis)
    # What is chosen and what is best differ by little: the climb of the first epochs may leave below.
    every = [each for found in shown.values() for each in found]
    low, high = min(each.chosen for each in every), max(each.best for each in every)
    least = min(min(each.accuracies) for each in every)
    panels[0, 0].set_ylim(max(least, low - 2 * max(high - low, style.SMALLEST_RANGE)), high + 0.1 * (high - low))
    style.accuracy_axis(panels[0, 0])
    ring: dict[str, Any] = {"markersize": 8, "markerfacecolor": "none", "markeredgecolor": style.INK}
    keys = [
        style.key("chosen", marker="o", linestyle="none", markersize=5),
        style.key("best for the test", marker="o", linestyle="none", **ring),
    ]
    style.legend(figure, keys)
    return figure


def confusion_matrix(counts: ArrayLike, classes: Sequence[str], colour: str = style.OTHER_COLOURS[0]) -> Figure:
    """A confusion matrix: `counts` `[K, K]`, rows the truth; colours are shares of a row.

    Up to 20 classes the counts are written in their cells; zeros are left blank.
    """
    matrix = np.asarray(counts)
    num_classes = len(matrix)
    totals = matrix.sum(1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    side = float(np.clip(1.8 + 0.36 * num_classes, 3.0, style.WIDTH))
    figure = style.new_figure(side * 0.92, side)
    axes = style.bare(figure.subplots())
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    image = axes.imshow(shares, cmap=style.shades_of(colour), vmin=0, vmax=1, interpolation="nearest")
    every = -(-num_classes // MOST_NAMED_CLASSES)
    ticks = list(range(0, num_classes, every))
    names = [style.shortened(str(classes[k]), 16) for k in ticks]
    size = style.SMALL if num_classes <= MOST_COUNTED_CLASSES else max(4.5, 330 / (side * num_classes / every))
    size = min(size, style.SMALL)
    upright = num_classes > 12 or max(map(len, names)) > 4
    axes.set_xticks(ticks, names, fontsize=size, rotation=90 if upright else 0)
    axes.set_yticks(ticks, names, fontsize=size)
    axes.tick_params(length=0)
    if num_classes <= MOST_COUNTED_CLASSES:
        digits = len(str(matrix.max(initial=0)))
        count_size = min(style.SMALL, 40 / digits * (side / 3.0) * 4 / num_classes)
        for row, column in zip(*np.nonzero(matrix), strict=True):
            axes.text(
                column, row, str(matrix[row, column]), ha="center", va="center", fontsize=count_size,
                color="white" if shares[row, column] > 0.55 else style.INK,
            )  # fmt: skip
    bar = figure.colorbar(image, ax=axes, shrink=0.6, aspect=24, pad=0.02)
    style.per_cent_axis(bar.ax.yaxis)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=style.SMALL, colors=style.QUIET, length=0)
    bar.set_label("share of the true class", fontsize=style.SMALL, color=style.QUIET)
    return figure


def forest(pairs: Sequence[Pair]) -> Figure:
    """A forest plot of differences in accuracy: points, 95 % and 90 % intervals, the margin shaded.

    Each row says at its right what was concluded.
    """
    figure = style.new_figure(0.75 + PAIR_HEIGHT * len(pairs))
    axes = style.quiet(figure.subplots(), x="accuracy difference, points")
    margin = 100 * pairs[0].margin
    axes.axvspan(-margin, margin, color=style.FAINT, alpha=0.6, linewidth=0, zorder=0)
    axes.axvline(0, color=style.QUIET, linewidth=0.8, zorder=1)
    for row, pair in enumerate(pairs):
        colour = _CONCLUSION_COLOURS.get(pair.conclusion, style.INK)
        for interval, width in ((pair.ci95, 1.2), (pair.ci90, 3.4)):
            low, high = (100 * bound for bound in interval)
            axes.plot([low, high], [row, row], color=colour, linewidth=width, solid_capstyle="butt", zorder=2)
        axes.plot([100 * pair.difference], [row], "o", color=colour, markersize=6, zorder=3)
        style.beside(axes, row, _concluded(pair), colour, x=1.01)
    names = [f"{style.shortened(pair.a, 24)} − {style.shortened(pair.b, 24)}" for pair in pairs]
    axes.set_yticks(range(len(pairs)), names, fontsize=style.SMALL, color=style.INK)
    axes.set_ylim(len(pairs) - 0.4, -0.6)
    farthest = 1.08 * max(margin, *(100 * abs(bound) for pair in pairs for bound in pair.ci95))
    axes.set_xlim(-farthest, farthest)
    axes.xaxis.set_major_formatter(lambda value, place: f"{value:+.4g}".replace("-", "−") if value else "0")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return figure


def _concluded(pair: Pair) -> str:
    if pair.reservation:
        return _NARROW[pair.reservation]
    if not pair.conclusion.better:
        return pair.conclusion.value
    return f"{style.shortened(pair.leader, 24)} better" + (" (within the margin)" if pair.negligible else "")


def controls(results: Results) -> Figure:
    """A panel for each spiking contender: its accuracy and that of each control, a dot a training, a stroke their mean.

    Warm colours spike, cool ones do not.
    """
    controlled = results.comparison.controls
    colours = style.contender_colours(results.trials)
    columns = min(PANELS_ABREAST, len(controlled))
    rows = -(-len(controlled) // columns)
    figure = style.new_figure(0.3 + 2.3 * rows, style.WIDTH if columns > 1 else 0.72 * style.WIDTH)
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat[len(controlled) :]:
        axes.set_visible(False)
    for axes, each in zip(panels.flat, controlled, strict=False):
        title = f"{style.shortened(each.contender, 30)}, {counted(each.num_steps or 1, 'step')}"
        style.quiet(axes, title, x="test accuracy, %")
        trials, warm = [trial for trial in results.of(each.contender) if trial.controls], colours[each.contender]
        shown = [("itself", [trial.test.accuracy for trial in trials if trial.test], warm)]
        for row in each.rows:
            found = [trial.controls[row.control].accuracy for trial in trials if row.control in trial.controls]
            shown.append((row.title, found, warm if row.spikes else style.OTHER_COLOURS[0]))
        axes.axvline(100 * np.mean(shown[0][1]), color=warm, linewidth=0.9, linestyle=style.DASHED, alpha=0.7, zorder=1)
        for place, (_, accuracies, colour) in enumerate(shown):
            if not accuracies:
                axes.text(
                    0.02, place, "not measured", transform=axes.get_yaxis_transform(), fontsize=style.SMALL,
                    color=style.QUIET, va="center",
                )  # fmt: skip
                continue
            values = 100 * np.array(accuracies)
            axes.scatter(values, [place] * len(values), s=16, color=colour, alpha=0.45, linewidths=0, zorder=2)
            axes.vlines(values.mean(), place - 0.28, place + 0.28, color=colour, linewidth=2.4, zorder=3)
        axes.set_yticks(range(len(shown)), [style.shortened(name, 24) for name, _, _ in shown])
        axes.tick_params(axis="y", length=0, labelcolor=style.INK)
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.grid(axis="x", color=style.FAINT, linewidth=0.8)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.margins(x=0.08)
    return figure


def tuning_trials(record: TuningRecord) -> Figure:
    """Left, the validation accuracy of every trial, a ring around the chosen; right, the expected best of so many."""
    colours = style.contender_colours(record.contenders)
    figure = style.new_figure(3.4)
    left, right = figure.subplots(1, 2, sharey=True)
    style.quiet(left, "every trial", x="trial", y="validation accuracy", grid=True)
    style.quiet(right, "expected best", x="number of trials", grid=True)
    for place, (tuned, colour) in enumerate(zip(record.contenders, colours.values(), strict=True)):
        # Beside one another: equal accuracies would hide one another.
        aside = 0.16 * (place - (len(colours) - 1) / 2)
        done = {t.number: (t.number + 1 + aside, t.validation.accuracy) for t in tuned.trials if t.validation}
        left.scatter([x for x, _ in done.values()], [y for _, y in done.values()], s=22, color=colour, linewidths=0,
                     zorder=3)  # fmt: skip
        if tuned.best is not None:
            left.scatter(*done[tuned.best], s=90, facecolors="none", edgecolors=colour, linewidths=1.4, zorder=4)
        curve = tuned.expected_best
        numbers, low, high = [point.trials for point in curve], [p.low for p in curve], [p.high for p in curve]
        right.fill_between(numbers, low, high, color=colour, alpha=0.16, linewidth=0)
        right.plot(numbers, [point.mean for point in curve], color=colour, linewidth=2.0, marker=".")
    for axes in (left, right):
        style.count_axis(axes.xaxis)
        style.per_cent_axis(axes.yaxis, exact=True)
    right.tick_params(labelleft=True)
    style.legend(figure, style.keys(colours, marker="o"))
    return figure
