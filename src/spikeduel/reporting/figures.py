"""Figures of a run's results: samples, confusions, differences, controls."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from spikeduel.data.prepared import Prepared
from spikeduel.reporting import style
from spikeduel.results.run import Pair, Results
from spikeduel.results.significance import Conclusion, Reservation
from spikeduel.results.words.verdict import BRIEF
from spikeduel.system.sentences import counted

MOST_SAMPLES = 10
MOST_COUNTED_CLASSES = 20
MOST_NAMED_CLASSES = 40
PAIR_HEIGHT = 0.3
"""Inches of a pair of contenders in `forest`."""
CONCLUSION_COLOURS = {Conclusion.EQUIVALENT: style.RIGHT, Conclusion.INCONCLUSIVE: style.QUIET}
_NARROW = {
    **BRIEF,
    Reservation.FEW_GROUPS: "too few groups",
    Reservation.COMPARISONS: "not after adjusting",
    Reservation.EXACT_TEST: "inconclusive",
}
"""`BRIEF` where there is little room."""


def samples(prepared: Prepared) -> Figure:
    """One picture a class before preprocessing, and below it what a network is given; at most ten
    classes.
    """
    originals = dict(prepared.samples[:MOST_SAMPLES])
    firsts = np.unique(np.asarray(prepared.labels), return_index=True)[1].tolist()
    indices = list(originals) or firsts[:MOST_SAMPLES]
    columns = min(max(len(indices), 2), 4) if style.canvas().narrow else max(len(indices), 5)
    rows = 2 if originals else 1
    bands = -(-len(indices) // columns)
    figure = style.new_figure(0.35 + bands * rows * (style.canvas().width / columns) * 0.98)
    grid = figure.subplots(bands * rows, columns, squeeze=False)
    _, height, width = prepared.image_shape
    sizes = {original.shape[:2] for original in originals.values()}
    size = "{1}×{0}".format(*min(sizes)) if len(sizes) == 1 else "sizes vary"
    labels = (["original\n" + size] if originals else []) + [f"prepared\n{width}×{height}"]
    for axes in grid.flat:
        axes.set_visible(False)
    for place, index in enumerate(indices):
        name = prepared.classes[int(prepared.labels[index])]
        shown = ([originals[index]] if originals else []) + [np.asarray(prepared.pictures[index])]
        for row, (image, label) in enumerate(zip(shown, labels, strict=True)):
            axes = grid[place // columns * rows + row, place % columns]
            axes.set_visible(True)
            style.show_image(
                axes, image, "" if row else style.shortened(name, max(13, 110 // columns))
            )
            axes.title.set_fontsize(style.SMALL if columns < 9 else 7)
            style.told(axes.images[0], [{"class": name, "image": label.replace("\n", ", ")}])
            if place % columns == 0:
                axes.set_ylabel(label, fontsize=style.SMALL, color=style.QUIET)
    return figure


def confusion_matrix(
    counts: ArrayLike, classes: Sequence[str], colour: str = style.OTHER_COLOURS[0]
) -> Figure:
    """A confusion matrix: `counts` `[K, K]`, rows the truth; colours are shares of a row.

    Up to 20 classes the counts are written in their cells; zeros are left blank.
    """
    matrix = np.asarray(counts)
    num_classes = len(matrix)
    totals = matrix.sum(1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    side = float(np.clip(1.8 + 0.36 * num_classes, 3.0, style.canvas().width))
    figure = style.new_figure(side * 0.92, side)
    axes = style.bare(figure.subplots())
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    image = axes.imshow(
        shares, cmap=style.shades_of(colour), vmin=0, vmax=1, interpolation="nearest"
    )
    every = -(-num_classes // MOST_NAMED_CLASSES)
    ticks = list(range(0, num_classes, every))
    names = [style.shortened(str(classes[k]), 16) for k in ticks]
    size = (
        style.SMALL
        if num_classes <= MOST_COUNTED_CLASSES
        else max(4.5, 330 / (side * num_classes / every))
    )
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
                column,
                row,
                str(matrix[row, column]),
                ha="center",
                va="center",
                fontsize=count_size,
                color="white" if shares[row, column] > 0.55 else style.INK,
            )
    bar = figure.colorbar(image, ax=axes, shrink=0.6, aspect=24, pad=0.02)
    style.per_cent_axis(bar.ax.yaxis)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=style.SMALL, colors=style.QUIET, length=0)
    bar.set_label("share of the true class", fontsize=style.SMALL, color=style.QUIET)
    return figure


@dataclass(frozen=True)
class Interval:
    """A row of a forest plot: a difference with its intervals, None where there are none,
    fractions.
    """

    name: str
    difference: float
    ci95: tuple[float, float] | None
    ci90: tuple[float, float] | None
    concluded: str
    colour: str
    row: style.Row


def forest(pairs: Sequence[Pair]) -> Figure:
    """A forest plot of differences in accuracy: points, 95 % and 90 % intervals, the margin shaded.

    Each row says at its right what was concluded.
    """
    rows = [
        Interval(
            f"{style.shortened(pair.a, 24)} − {style.shortened(pair.b, 24)}",
            pair.difference,
            pair.ci95,
            pair.ci90,
            _concluded(pair),
            CONCLUSION_COLOURS.get(pair.conclusion, style.INK),
            _told(pair),
        )
        for pair in pairs
    ]
    return intervals(rows, pairs[0].margin)


def intervals(
    rows: Sequence[Interval], margin: float, height: float = PAIR_HEIGHT, reach: float = math.inf
) -> Figure:
    """The forest plot of any rows, `height` inches each; the margin is a fraction. Intervals end at
    `reach`: an arrow says where one goes on.
    """
    narrow = style.canvas().narrow
    figure = style.new_figure(0.95 + height * len(rows) * (2 if narrow else 1))
    axes = style.quiet(figure.subplots(), x="accuracy difference, points")
    keys = [style.margin_band(axes, 100 * margin)]
    for place, row in enumerate(rows):
        for ends, width in ((row.ci95, 1.2), (row.ci90, 3.4)):
            low, high = (100 * bound for bound in ends or (row.difference, row.difference))
            look: dict[str, Any] = {
                "color": row.colour,
                "linewidth": width,
                "solid_capstyle": "butt",
                "zorder": 2,
            }
            (line,) = axes.plot([low, high], [place, place], **look)
            style.told(line, [row.row])
        (dot,) = axes.plot(
            [100 * row.difference], [place], "o", color=row.colour, markersize=6, zorder=3
        )
        style.told(dot, [row.row])
        if not narrow:
            style.beside(axes, place, row.concluded, row.colour, x=1.01)
    names = [row.name for row in rows]
    if narrow:
        names = [f"{row.name}:\n{row.concluded}" for row in rows]
    style.name_rows(axes, range(len(rows)), names)
    axes.set_ylim(len(rows) - 0.4, -0.8 if narrow else -0.6)
    bounds = [bound for row in rows for bound in (row.difference, *(row.ci95 or ()))]
    farthest = 108 * min(reach, max(margin, *map(abs, bounds)))
    axes.set_xlim(-farthest, farthest)
    for place, row in enumerate(rows):
        low, high = (100 * bound for bound in row.ci95 or (row.difference, row.difference))
        for marker, edge, goes_on in (
            ("<", -farthest, low < -farthest),
            (">", farthest, high > farthest),
        ):
            if goes_on:
                axes.plot(
                    [edge], [place], marker, color=row.colour, markersize=5, clip_on=False, zorder=3
                )
    style.signed_axis(axes.xaxis)
    axes.spines["left"].set_visible(False)
    keys += [style.key("95 % interval", linewidth=1.2), style.key("90 % interval", linewidth=3.4)]
    style.legend(figure, keys)
    return figure


def _told(pair: Pair) -> style.Row:
    (low, high), (low_90, high_90) = pair.ci95, pair.ci90
    return {
        "pair": f"{pair.a} − {pair.b}",
        "difference, points": 100 * pair.difference,
        "95 % interval from, points": 100 * low,
        "95 % interval to, points": 100 * high,
        "90 % interval from, points": 100 * low_90,
        "90 % interval to, points": 100 * high_90,
        "p": pair.p_value,
        "conclusion": _concluded(pair),
    }


def _concluded(pair: Pair) -> str:
    if pair.reservation:
        return _NARROW[pair.reservation]
    if not pair.conclusion.better:
        return pair.conclusion.value
    return f"{style.shortened(pair.leader, 24)} better" + (
        " (within the margin)" if pair.negligible else ""
    )


def controls(results: Results) -> Figure:
    """A panel for each spiking contender: its accuracy and that of each control, a dot a training,
    a stroke their mean.

    Warm colours spike, cool ones do not.
    """
    controlled = results.comparison.controls
    colours = style.contender_colours(results.trials)
    longest = 1 + max(len(each.rows) for each in controlled)
    figure, panels = style.new_panels(
        len(controlled), max(2.3, 0.8 + 0.46 * longest * style.canvas().narrow)
    )
    for axes, each in zip(panels, controlled, strict=True):
        title = f"{style.shortened(each.contender, 30)}, {counted(each.num_steps or 1, 'step')}"
        style.quiet(axes, title, x="test accuracy, %")
        trials, warm = (
            [trial for trial in results.of(each.contender) if trial.controls],
            colours[each.contender],
        )
        shown = [("itself", [(trial, trial.test.accuracy) for trial in trials if trial.test], warm)]
        for row in each.rows:
            found = [
                (t, t.controls[row.control].accuracy) for t in trials if row.control in t.controls
            ]
            shown.append((row.title, found, warm if row.spikes else style.OTHER_COLOURS[0]))
        own = float(np.mean([accuracy for _, accuracy in shown[0][1]]))
        axes.axvline(
            100 * own, color=warm, linewidth=0.9, linestyle=style.DASHED, alpha=0.7, zorder=1
        )
        for place, (title, measured, colour) in enumerate(shown):
            if not measured:
                axes.text(
                    0.02,
                    place,
                    "not measured",
                    transform=axes.get_yaxis_transform(),
                    fontsize=style.SMALL,
                    color=style.QUIET,
                    va="center",
                )
                continue
            values = 100 * np.array([accuracy for _, accuracy in measured])
            dots = axes.scatter(
                values,
                [place] * len(values),
                s=16,
                color=colour,
                alpha=0.45,
                linewidths=0,
                zorder=2,
            )
            style.told(
                dots,
                [
                    style.of_training(trial)
                    | {"control": title, "test accuracy, %": 100 * accuracy}
                    for trial, accuracy in measured
                ],
            )
            axes.vlines(
                values.mean(), place - 0.28, place + 0.28, color=colour, linewidth=2.4, zorder=3
            )
        style.name_rows(
            axes, range(len(shown)), [style.shortened(name, 24) for name, _, _ in shown]
        )
        axes.set_ylim(len(shown) - 0.5, -0.9 if style.canvas().narrow else -0.5)
        axes.grid(axis="x", color=style.FAINT, linewidth=0.8)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.margins(x=0.08)
    return figure
