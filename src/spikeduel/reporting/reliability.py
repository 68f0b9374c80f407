"""How far answers can be relied on: calibration, accuracy on corrupted images, and what the audit
of the data found.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from spikeduel.data.prepared import Prepared
from spikeduel.measuring.robustness import CORRUPTIONS, SEVERITIES, corrupt
from spikeduel.reporting import style
from spikeduel.results.accuracy import share_of_most_frequent
from spikeduel.results.audit import Audit, Pair, SuspectLabel
from spikeduel.results.columns import scaled
from spikeduel.results.run import Results
from spikeduel.results.trials import Calibrated, Calibration, CalibrationBin, Robustness, Trial
from spikeduel.results.words.audit import move_in_words
from spikeduel.results.words.measures import robustness_by_contender

_TOLD = 201
"""Points at most of a line through many."""
_BESIDE = 3
"""Diagrams in a row."""
PAIRS_A_ROW = 3
LABELS_A_ROW = 6
_SIDES = {"train": "training", "val": "validation", "test": "test"}


def diagrams(measured: Mapping[str, Sequence[Calibration]], colours: Mapping[str, str]) -> Figure:
    """A reliability diagram for each contender, and below it the share of images in each bin."""
    columns = min(len(measured), 1 if style.canvas().narrow else _BESIDE)
    rows = -(-len(measured) // columns)
    figure = style.new_figure(0.5 + 2.9 * rows)
    parts = figure.subfigures(
        rows, columns if style.canvas().narrow else max(columns, 2), squeeze=False
    ).flat
    after_temperature = {
        "marker": "o",
        "markersize": 4,
        "markerfacecolor": "white",
        "linewidth": 0.9,
    }
    for part, (name, found) in zip(parts, measured.items(), strict=False):
        upper, lower = part.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        style.quiet(upper, style.shortened(name, 24), y="accuracy", grid=True)
        style.quiet(lower, x="confidence", y="share", grid=True)
        upper.plot([0, 1], [0, 1], color=style.QUIET, linewidth=0.9, linestyle=style.DASHED)
        before = pooled(found)
        centres = np.array([(each.low + each.high) / 2 for each in before])
        right = np.array([np.nan if each.accuracy is None else each.accuracy for each in before])
        for axes, heights in ((upper, right), (lower, _shares(before))):
            width = (before[0].high - before[0].low) * 0.92
            bars = axes.bar(centres, heights, width, color=colours[name], alpha=0.75)
            for bar, row in zip(bars, _by_bin(name, "raw", before), strict=True):
                style.told(bar, [row])
        if after := pooled(scaled(found)):
            filled = [each for each in after if each.count]
            points = [(each.confidence, each.accuracy) for each in filled]
            (line,) = upper.plot(
                *zip(*points, strict=True), color=style.INK, clip_on=False, **after_temperature
            )
            style.told(line, _by_bin(name, "after temperature", filled))
            lower.stairs(
                _shares(after), [each.low for each in after] + [1], color=style.INK, linewidth=0.9
            )
        upper.set_ylim(0, 1)
        lower.set_xlim(0, 1)
        for axis in (upper.yaxis, lower.yaxis, lower.xaxis):
            style.per_cent_axis(axis)
    style.legend(
        figure,
        [
            style.key("accuracy = confidence", linewidth=0.9, linestyle=style.DASHED),
            Patch(color=style.QUIET, alpha=0.75, label="raw"),
            style.key("after temperature", style.INK, **after_temperature),
        ],
    )
    return figure


def _by_bin(contender: str, answers: str, bins: Sequence[CalibrationBin]) -> list[style.Row]:
    return [
        {
            "contender": contender,
            "answers": answers,
            "confidence from, %": 100 * each.low,
            "confidence to, %": 100 * each.high,
            "mean confidence, %": style.percent(each.confidence),
            "accuracy, %": style.percent(each.accuracy),
            "number": each.count,
        }
        for each in bins
    ]


def pooled(found: Sequence[Calibrated]) -> list[CalibrationBin]:
    """The bins of several trials as if their images were one set."""
    bins = []
    for same in zip(*[each.bins for each in found], strict=True):
        count = sum(each.count for each in same)
        means = {
            name: sum(each.count * getattr(each, name) for each in same if each.count) / count
            if count
            else None
            for name in ("confidence", "accuracy")
        }
        bins.append(CalibrationBin(low=same[0].low, high=same[0].high, count=count, **means))
    return bins


def _shares(bins: Sequence[CalibrationBin]) -> np.ndarray:
    counts = np.array([each.count for each in bins], dtype=float)
    return counts / counts.sum()


def robustness(results: Results) -> Figure:
    """Seven panels and their mean: accuracy against severity, a line a contender, a band over
    seeds.
    """
    measured, colours = robustness_by_contender(results), style.contender_colours(results.trials)
    figure, panels = style.new_panels(
        len(CORRUPTIONS) + 1, 2.1, abreast=4, stacked=2, sharex=True, sharey=True
    )
    tested = [trial for trial in results.trials if trial.test]
    for axes, corruption in zip(panels, [*CORRUPTIONS, None], strict=True):
        style.quiet(axes, corruption or "mean of all", x="severity", y="accuracy", grid=True)
        for place, (name, found) in enumerate(measured.items()):
            line = _line(axes, found, corruption, colours[name], **_beneath(place, len(measured)))
            style.told(line, _by_severity(name, found, corruption))
        if tested:
            line = axes.axhline(
                share_of_most_frequent(tested), color=style.QUIET, linewidth=0.9, linestyle=":"
            )
            share = 100 * share_of_most_frequent(tested)
            style.told(line, [{"contender": "the most frequent class alone", "accuracy, %": share}])
    panels[0].set_ylim(0, 1)
    panels[0].set_xticks((0, *SEVERITIES))
    style.per_cent_axis(panels[0].yaxis)
    style.legend(figure, style.keys({name: colours[name] for name in measured}), columns=4)
    return figure


def _beneath(place: int, number: int) -> dict[str, Any]:
    """Widths of the line at `place` of so many, each drawn over those before it: of equal ones all
    are seen.
    """
    wider = (number - 1 - place) / max(number - 1, 2)
    return {"linewidth": 1.6 + 2.8 * wider, "markersize": 4 + 5 * wider}


def _line(
    axes: Axes, found: Sequence[Robustness], corruption: str | None, colour: str, **look: Any
) -> Line2D:
    at, steps = _at_severities(found, corruption), np.array((0, *SEVERITIES))
    (line,) = axes.plot(steps, at.mean(0), color=colour, marker="o", clip_on=False, **look)
    style.band(axes, steps, at, colour)
    return line


def _at_severities(found: Sequence[Robustness], corruption: str | None) -> np.ndarray:
    """Accuracies `[S, 6]` at severities 0 to 5 under `corruption`, or (None) averaged over all that
    were measured.
    """
    names = [name for name in CORRUPTIONS if corruption in (None, name)]
    return np.array(
        [
            [
                each.clean,
                *np.mean(
                    [each.corruptions[name] for name in names if name in each.corruptions], axis=0
                ),
            ]
            for each in found
        ]
    )


def _by_severity(
    contender: str, found: Sequence[Robustness], corruption: str | None
) -> list[style.Row]:
    means = _at_severities(found, corruption).mean(0)
    what = {"contender": contender, "corruption": corruption or "mean of all"}
    return [
        what | {"severity": severity, "accuracy, %": 100 * mean}
        for severity, mean in enumerate(means)
    ]


def corruptions(image: np.ndarray, index: int) -> Figure:
    """A test image uint8 `[C, H, W]`, clean and under each corruption at each severity, as the
    measure drew it.
    """
    height, width = image.shape[1:]
    cell = 0.75
    figure = style.new_figure(
        0.3 + len(CORRUPTIONS) * (cell + 0.04) * min(height / width, 1.6), 0.9 + 6 * cell
    )
    grid = figure.subplots(len(CORRUPTIONS), 1 + len(SEVERITIES))
    batch = torch.from_numpy(np.array(image))[None]
    for row, name in zip(grid, CORRUPTIONS, strict=True):
        for axes, severity in zip(row, (0, *SEVERITIES), strict=True):
            corrupted = corrupt(name, batch, severity, np.array([index])) if severity else batch
            title = f"severity {severity}" if severity else "clean"
            style.show_image(
                axes, corrupted[0].numpy(), title if axes.get_subplotspec().is_first_row() else ""
            )
        row[0].set_ylabel(name, fontsize=style.SMALL, color=style.INK)
    return figure


def distances(audit: Audit) -> Figure:
    """How far test images are from training, against how far training images are from one another:
    two ECDFs.
    """
    figure = style.new_figure(3.0)
    noun = audit.noun
    x = f"distance to the nearest training {noun} (0: equal up to brightness and contrast)"
    axes = style.quiet(figure.subplots(), x=x, y=f"share of {noun}s nearer", grid=True)
    test = np.sort([distance for distance in audit.details.test_distances if distance is not None])
    for values, label, colour, dashes in (
        (
            audit.details.within_quantiles,
            f"training {noun}s (to another one)",
            style.QUIET,
            style.DASHED,
        ),
        (test, f"test {noun}s", style.OTHER_COLOURS[0], "solid"),
    ):
        # As many as a reader can point at.
        every = np.unique(np.linspace(0, len(values) - 1, min(len(values), _TOLD)).astype(int))
        values, shares = np.asarray(values)[every], np.linspace(0, 1, len(values))[every]
        (line,) = axes.plot(
            values, shares, color=colour, linewidth=1.8, linestyle=dashes, label=label
        )
        style.told(
            line,
            [
                {"images": label, "nearer, %": 100 * share, "distance": value}
                for share, value in zip(shares, values, strict=True)
            ],
        )
    axes.set_ylim(0, 1.02)
    axes.set_xlim(left=0)
    style.per_cent_axis(axes.yaxis)
    style.axes_legend(axes, "lower right")
    return figure


def accuracy_by_distance(trials: Sequence[Trial]) -> Figure:
    """Accuracy of each contender (mean over seeds) on test images near to and far from training."""
    figure = style.new_figure(3.0)
    axes = style.quiet(
        figure.subplots(), x="distance to the nearest of training", y="accuracy", grid=True
    )
    binned = [
        (trial.contender, trial.test.by_distance)
        for trial in trials
        if trial.test and trial.test.by_distance
    ]
    bins = binned[0][1]
    places = np.arange(len(bins))
    colours = style.contender_colours(trials)
    for place, (name, colour) in enumerate(colours.items()):
        rows = [
            [b.accuracy if b.accuracy is not None else np.nan for b in row]
            for who, row in binned
            if who == name
        ]
        if rows:
            means, look = np.mean(rows, axis=0), _beneath(place, len(colours))
            (line,) = axes.plot(
                places, means, color=colour, marker="o", label=name, clip_on=False, **look
            )
            style.told(
                line,
                [
                    {
                        "contender": name,
                        "distance from": b.low,
                        "distance to": b.high,
                        "number": b.n,
                        "accuracy, %": 100 * mean,
                    }
                    for b, mean in zip(bins, means, strict=True)
                ],
            )
    wide, narrow = "{0.low:.2f} to {0.high:.2f}\n{0.n:,} answers", "{0.low:.2f}\nto\n{0.high:.2f}"
    axes.set_xticks(
        places, [(narrow if style.canvas().narrow else wide).format(each) for each in bins]
    )
    style.accuracy_axis(axes)
    style.axes_legend(axes)
    return figure


def pairs(listed: Sequence[Pair], prepared: Prepared) -> Figure:
    """Pairs of pictures side by side, each with its kind, and the side, label and file or index of
    both.
    """
    num_rows = -(-len(listed) // PAIRS_A_ROW)
    # How a copy was moved takes up to three lines.
    height = 2.25 if any(pair.move for pair in listed) else 1.85
    figure = style.new_figure(0.1 + height * num_rows)
    # A narrow column between two pairs.
    columns = 3 * PAIRS_A_ROW - 1
    widths = [0.25 if column % 3 == 2 else 1.0 for column in range(columns)]
    grid = figure.subplots(num_rows, columns, squeeze=False, width_ratios=widths)
    for axes in grid.flat:
        axes.set_visible(False)
    for number, pair in enumerate(listed):
        for half, image in enumerate((pair.a, pair.b)):
            axes = grid[number // PAIRS_A_ROW, 3 * (number % PAIRS_A_ROW) + half]
            axes.set_visible(True)
            style.show_image(axes, prepared.pictures[image.index])
            title = f"{_SIDES[image.side]}\n{style.shortened(image.label, 17)}"
            colour = style.INK if pair.a.label == pair.b.label else style.WRONG
            axes.set_title(title, fontsize=style.SMALL, color=colour)
            name = (
                style.shortened(Path(image.file).name, 16) if image.file else f"image {image.index}"
            )
            if pair.move and half:
                name += "\n" + fill(move_in_words(pair.move), 24)
            axes.set_xlabel(name, fontsize=6.5, color=style.QUIET)
    return figure


def labels(listed: Sequence[SuspectLabel], prepared: Prepared) -> Figure:
    """Pictures whose label looks wrong: the given label, the suggested one with its probability,
    file or index.
    """
    num_rows = -(-len(listed) // LABELS_A_ROW)
    figure = style.new_figure(0.1 + 1.95 * num_rows)
    grid = figure.subplots(num_rows, LABELS_A_ROW, squeeze=False)
    for axes in grid.flat:
        axes.set_visible(False)
    for axes, each in zip(grid.flat, listed, strict=False):
        axes.set_visible(True)
        style.show_image(axes, prepared.pictures[each.image.index])
        given, suggested = (
            style.shortened(each.image.label, 14),
            style.shortened(each.suggested, 14),
        )
        axes.set_title(
            f"{given} →\n{suggested}, {each.suggested_probability:.0%}", fontsize=style.SMALL
        )
        name = (
            style.shortened(Path(each.image.file).name, 16)
            if each.image.file
            else f"image {each.image.index}"
        )
        axes.set_xlabel(name, fontsize=6.5, color=style.QUIET)
    return figure
