"""Calibration: reliability diagrams, and the table of errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from spikeduel.networks.models import Model
from spikeduel.reporting import style
from spikeduel.reporting.style import Shown
from spikeduel.results.run import Results
from spikeduel.results.trials import Calibrated, Calibration, CalibrationBin
from spikeduel.results.words import report
from spikeduel.results.words.tables import Averaged, averaged
from spikeduel.spiking.readouts import SpikeCountReadout

_BESIDE = 3
"""Diagrams in a row."""


@dataclass(frozen=True)
class Row:
    """A contender's errors: ECE in points, the others as they are; `temperature` is None for probabilities as given."""

    name: str
    colour: str
    temperature: Averaged | None
    ece: Averaged | None
    nll: Averaged | None
    brier: Averaged | None


@dataclass(frozen=True)
class Section:
    """What the page shows."""

    shown: Shown
    rows: list[Row]
    note: str


def section(results: Results, models: Mapping[str, Model], folder: Path) -> Section | None:
    """The section; None where nothing was measured."""
    colours = style.contender_colours(results.trials)
    measured = {name: of_contender(results, name) for name in colours}
    measured = {name: found for name, found in measured.items() if found}
    if not measured:
        return None
    pooled = " Images of all trials are pooled." if any(len(found) > 1 for found in measured.values()) else ""
    counting = [name for name in measured if name in models and isinstance(models[name].readout, SpikeCountReadout)]
    return Section(
        shown=Shown(
            style.save(diagrams(measured, colours), folder / "reliability.png"),
            "accuracy against confidence for every contender, with the number of images below",
            "Confidence is the probability of the answer. Bars: accuracy of the answers given with this confidence. On "
            "the diagonal they agree; below it, the network is overconfident. Rings: after temperature scaling. "
            f"Underneath: share of images by confidence.{pooled}",
        ),
        rows=[row for name, found in measured.items() for row in _rows(name, colours[name], found)],
        note=report.probabilities_of_counts(counting),
    )


def of_contender(results: Results, name: str) -> list[Calibration]:
    """The calibration of each tested trial of contender `name` that has one."""
    return [trial.test.calibration for trial in results.of(name) if trial.test and trial.test.calibration]


def diagrams(measured: Mapping[str, Sequence[Calibration]], colours: Mapping[str, str]) -> Figure:
    """A reliability diagram for each contender, and below it the share of images in each bin."""
    columns = min(len(measured), _BESIDE)
    rows = -(-len(measured) // columns)
    figure = style.new_figure(0.5 + 3.4 * rows)
    parts = figure.subfigures(rows, max(columns, 2), squeeze=False).flat
    for part, (name, found) in zip(parts, measured.items(), strict=False):
        upper, lower = part.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        style.quiet(upper, style.shortened(name, 24), y="accuracy", grid=True)
        style.quiet(lower, x="confidence", y="share of images", grid=True)
        upper.plot([0, 1], [0, 1], color=style.QUIET, linewidth=0.9, linestyle=style.DASHED)
        before = pooled(found)
        centres = np.array([(each.low + each.high) / 2 for each in before])
        width = before[0].high - before[0].low
        right = np.array([np.nan if each.accuracy is None else each.accuracy for each in before])
        upper.bar(centres, right, width * 0.92, color=colours[name], alpha=0.75)
        lower.bar(centres, _shares(before), width * 0.92, color=colours[name], alpha=0.75)
        if scaled := _scaled(found):
            after = pooled(scaled)
            points = [(each.confidence, each.accuracy) for each in after if each.count]
            upper.plot(*zip(*points, strict=True), color=style.INK, marker="o", markersize=4, markerfacecolor="white",
                       linewidth=0.9)  # fmt: skip
            lower.stairs(_shares(after), [each.low for each in after] + [1], color=style.INK, linewidth=0.9)
        upper.set_ylim(0, 1)
        lower.set_xlim(0, 1)
        for axis in (upper.yaxis, lower.yaxis, lower.xaxis):
            style.per_cent_axis(axis)
    style.legend(figure, [
        style.key("accuracy = confidence", linewidth=0.9, linestyle=style.DASHED),
        Patch(color=style.QUIET, alpha=0.75, label="as given"),
        style.key("after temperature", style.INK, marker="o", markersize=4, markerfacecolor="white", linewidth=0.9),
    ])  # fmt: skip
    return figure


def pooled(found: Sequence[Calibrated]) -> list[CalibrationBin]:
    """The bins of several trials as if their images were one set."""
    bins = []
    for same in zip(*[each.bins for each in found], strict=True):
        count = sum(each.count for each in same)
        known = [each for each in same if each.count]
        bins.append(
            CalibrationBin(
                low=same[0].low,
                high=same[0].high,
                count=count,
                confidence=sum(each.count * (each.confidence or 0.0) for each in known) / count if count else None,
                accuracy=sum(each.count * (each.accuracy or 0.0) for each in known) / count if count else None,
            )
        )
    return bins


def _scaled(found: Sequence[Calibration]) -> list[Calibrated]:
    """All after their temperatures; none where one has no temperature."""
    scaled = [each.scaled for each in found if each.scaled]
    return scaled if len(scaled) == len(found) else []


def _shares(bins: Sequence[CalibrationBin]) -> np.ndarray:
    counts = np.array([each.count for each in bins], dtype=float)
    return counts / counts.sum()


def _rows(name: str, colour: str, found: Sequence[Calibration]) -> list[Row]:
    """The rows of a contender: its probabilities as given, and after the temperature where there is one."""

    def row(temperature: Averaged | None, judged: Sequence[Calibrated]) -> Row:
        errors = averaged([each.ece for each in judged], report.one_digit)
        losses = averaged([each.nll for each in judged], "{:.3f}".format)
        return Row(
            name, colour, temperature, errors, losses, averaged([each.brier for each in judged], "{:.3f}".format)
        )

    rows = [row(None, found)]
    if scaled := _scaled(found):
        rows.append(row(averaged([each.temperature for each in found if each.temperature], "{:.2f}".format), scaled))
    return rows
