"""What goes in and what comes out of training: samples, learning curves, confusion matrices, differences."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from spikeduel.data.prepared import Prepared
from spikeduel.reporting import style
from spikeduel.results.run import Pair, Results
from spikeduel.results.significance import Conclusion, Reservation
from spikeduel.results.trials import Trial
from spikeduel.results.words.verdict import BRIEF

MOST_SAMPLES = 10
MOST_COUNTED_CLASSES = 20
MOST_NAMED_CLASSES = 40
PAIR_HEIGHT = 0.3
"""Inches of a pair of contenders in `forest`."""
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
    shown = prepared.samples[:MOST_SAMPLES]
    if not shown:
        firsts = np.unique(np.asarray(prepared.labels), return_index=True)[1]
        return _image_rows(prepared, [(int(index), None) for index in firsts[:MOST_SAMPLES]])
    return _image_rows(prepared, list(shown))


def _image_rows(prepared: Prepared, shown: list[tuple[int, np.ndarray | None]]) -> Figure:
    has_originals = shown[0][1] is not None
    columns = max(len(shown), 5)
    rows = 2 if has_originals else 1
    figure = style.new_figure(0.35 + rows * (style.WIDTH / columns) * 0.98)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid[:, len(shown) :].flat:
        axes.set_visible(False)
    for column, (index, original) in enumerate(shown):
        name = prepared.classes[int(prepared.labels[index])]
        title = style.shortened(name, max(13, 110 // columns))
        if original is not None:
            style.show_image(grid[0, column], original, title)
        grid[0, column].title.set_fontsize(style.SMALL if columns < 9 else 7)
        style.show_image(grid[-1, column], np.asarray(prepared.images[index]), "" if has_originals else title)
    _, height, width = prepared.image_shape
    grid[-1, 0].set_ylabel(f"prepared\n{width}×{height}", fontsize=style.SMALL, color=style.QUIET)
    if shown[0][1] is not None:
        sizes = {original.shape[:2] for _, original in shown if original is not None}
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
            for part, dashes in (("train", style.DASHED), ("val", "solid")):
                _curves(axes, trials, f"{part}_{quantity}", colour, dashes)
            _kept_epochs(axes, trials, f"val_{quantity}", colour)
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


def _curves(axes: Axes, trials: Sequence[Trial], key: str, colour: str, dashes: Any) -> None:
    series = [_series(trial, key) for trial in trials]
    several = len(series) > 1
    for values in series:
        axes.plot(
            np.arange(1, len(values) + 1), values, color=colour, linestyle=dashes, linewidth=0.8 if several else 1.6,
            alpha=0.35 if several else 1.0, marker="." if len(values) == 1 else None,
        )  # fmt: skip
    finished = [values for values, trial in zip(series, trials, strict=True) if trial.status == "done" and len(values)]
    if several and finished:
        shortest = min(len(values) for values in finished)
        mean = np.mean([values[:shortest] for values in finished], axis=0)
        axes.plot(np.arange(1, shortest + 1), mean, color=colour, linestyle=dashes, linewidth=2.0)


def _kept_epochs(axes: Axes, trials: Sequence[Trial], key: str, colour: str) -> None:
    size = 26 if len(trials) == 1 else 12
    for trial in trials:
        best = trial.best_epoch
        if best is not None and best < len(trial.history):
            axes.scatter([best + 1], _series(trial, key)[[best]], s=size, color=colour, zorder=3, linewidths=0)


def _series(trial: Trial, key: str) -> np.ndarray:
    values = [getattr(epoch, key) for epoch in trial.history]
    return np.array([np.nan if value is None else value for value in values], dtype=float)


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
    axes = style.quiet(figure.subplots(), x="predicted", y="true")
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
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(style.FAINT)
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
        axes.annotate(
            _concluded(pair), (1.01, row), xycoords=("axes fraction", "data"), va="center", fontsize=style.SMALL,
            color=colour,
        )  # fmt: skip
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
