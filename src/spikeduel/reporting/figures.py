"""What goes in and what comes out of training: samples, learning curves, confusion matrices."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from spikeduel.data.prepared import Prepared
from spikeduel.reporting import style

MOST_SAMPLES = 10
MOST_COUNTED_CLASSES = 20
MOST_NAMED_CLASSES = 40


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
        grid[0, 0].set_ylabel(f"as it came\n{size}", fontsize=style.SMALL, color=style.QUIET)
    return figure


def learning_curves(results: dict[str, Any]) -> Figure:
    """Loss and accuracy after each epoch, training (dashed) and validation (solid), of all contenders.

    With several seeds each is a thin line, and their mean, as long as all of them train, a thick one. A dot marks the
    epoch whose weights were kept. `results` is the content of results.json.
    """
    colours = style.contender_colours(results["trials"])
    figure = style.new_figure(3.5)
    panels = figure.subplots(1, 2)
    for axes, quantity in zip(panels, ("loss", "accuracy"), strict=True):
        style.quiet(axes, quantity, x="epoch", grid=True)
        for name, colour in colours.items():
            trials = [t for t in results["trials"] if t["contender"] == name and t["history"]]
            for part, dashes in (("train", (0, (4, 2))), ("val", "solid")):
                _curves(axes, trials, f"{part}_{quantity}", colour, dashes)
            _kept_epochs(axes, trials, f"val_{quantity}", colour)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    panels[0].set_ylim(bottom=0)
    panels[1].yaxis.set_major_formatter(lambda value, place: f"{100 * value:.4g} %")
    handles = [
        Line2D([], [], color=colour, linewidth=2.2, label=style.shortened(name, 40)) for name, colour in colours.items()
    ]
    handles += [
        Line2D([], [], color=style.QUIET, linewidth=1.5, label="validation"),
        Line2D([], [], color=style.QUIET, linewidth=1.5, linestyle=(0, (4, 2)), label="training"),
        Line2D([], [], color=style.QUIET, marker="o", linestyle="none", markersize=5, label="weights kept"),
    ]
    figure.legend(
        handles=handles, loc="outside upper center", ncols=min(len(handles), 5), frameon=False,
        fontsize=style.SMALL, labelcolor=style.INK,
    )  # fmt: skip
    return figure


def _curves(axes: Axes, trials: list[dict[str, Any]], key: str, colour: str, dashes: Any) -> None:
    series = [_series(trial, key) for trial in trials]
    several = len(series) > 1
    for values in series:
        axes.plot(
            np.arange(1, len(values) + 1), values, color=colour, linestyle=dashes, linewidth=0.8 if several else 1.6,
            alpha=0.35 if several else 1.0, marker="." if len(values) == 1 else None,
        )  # fmt: skip
    finished = [
        values for values, trial in zip(series, trials, strict=True) if trial["status"] == "done" and len(values)
    ]
    if several and finished:
        shortest = min(len(values) for values in finished)
        mean = np.mean([values[:shortest] for values in finished], axis=0)
        axes.plot(np.arange(1, shortest + 1), mean, color=colour, linestyle=dashes, linewidth=2.0)


def _kept_epochs(axes: Axes, trials: list[dict[str, Any]], key: str, colour: str) -> None:
    size = 26 if len(trials) == 1 else 12
    for trial in trials:
        best = trial["best_epoch"]
        if best is not None and best < len(trial["history"]):
            axes.scatter([best + 1], _series(trial, key)[[best]], s=size, color=colour, zorder=3, linewidths=0)


def _series(trial: dict[str, Any], key: str) -> np.ndarray:
    return np.array([np.nan if epoch.get(key) is None else epoch[key] for epoch in trial["history"]], dtype=float)


def confusion_matrix(counts: Any, classes: Any, colour: str = style.OTHER_COLOURS[0]) -> Figure:
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
    ticks = np.arange(0, num_classes, every)
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
    bar = figure.colorbar(image, ax=axes, shrink=0.6, aspect=24, pad=0.02, format=PercentFormatter(1.0, decimals=0))
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=style.SMALL, colors=style.QUIET, length=0)
    bar.set_label("share of the true class", fontsize=style.SMALL, color=style.QUIET)
    return figure
