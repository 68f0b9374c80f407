"""Accuracy on corrupted images: curves, and what the corruptions look like."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spikeduel.data.prepared import Prepared
from spikeduel.measuring.robustness import ALTERATIONS, CORRUPTIONS, SEVERITIES, corrupt
from spikeduel.reporting import gallery, style
from spikeduel.reporting.style import Shown
from spikeduel.results.run import Results
from spikeduel.results.trials import Robustness
from spikeduel.results.words.report import one_digit, robustness_by_contender
from spikeduel.results.words.tables import Averaged, averaged


@dataclass(frozen=True)
class Section:
    """What the page shows: figures, a table with a row of `rows` a corruption and a cell each of `measured`.

    `altered` names the data set's own alterations in the table, with their numbers of images.
    """

    measured: list[str]
    curves: Shown
    strip: Shown | None
    rows: list[tuple[str, list[Averaged | None]]]
    altered: list[str]


def section(results: Results, prepared: Prepared | None, test: np.ndarray | None, folder: Path) -> Section | None:
    """The section; None where nothing was measured. There is no `strip` where the data is not at hand."""
    measured = robustness_by_contender(results)
    if not measured:
        return None
    spread = " Band: one standard deviation over seeds." if any(len(found) > 1 for found in measured.values()) else ""
    # All trials of a run were asked about the same images.
    images = {name: number for found in measured.values() for each in found for name, number in each.images.items()}
    return Section(
        measured=list(measured),
        curves=Shown(
            style.save(curves(results), folder / "robustness.png"),
            "accuracy against severity under seven corruptions, and their mean, for every contender",
            "Accuracy on the whole test set, from clean images (0) to the strongest corruption (5), the same corrupted "
            f"images for all.{spread} Dotted: naming the most frequent class.",
        ),
        strip=None if prepared is None or test is None or not len(test) else _strip(prepared, test, folder),
        rows=_rows(list(measured.values()), list(images)),
        altered=[f"{name} ({images[name]:,} images)" for name in ALTERATIONS if name in images],
    )


def curves(results: Results) -> Figure:
    """Seven panels and their mean: accuracy against severity, a line a contender, a band over seeds."""
    measured, colours = robustness_by_contender(results), style.contender_colours(results.trials)
    figure = style.new_figure(4.6)
    panels = list(figure.subplots(2, 4, sharex=True, sharey=True).flat)
    chance = _chance(results)
    for place, (axes, corruption) in enumerate(zip(panels, [*CORRUPTIONS, None], strict=False)):
        style.quiet(axes, corruption or "mean of all", x="severity" if place >= 4 else "", grid=True)
        for name, found in measured.items():
            _line(axes, found, corruption, colours[name])
        if chance is not None:
            axes.axhline(chance, color=style.QUIET, linewidth=0.9, linestyle=":")
    panels[0].set_ylim(0, 1)
    panels[0].set_xticks((0, *SEVERITIES))
    style.per_cent_axis(panels[0].yaxis)
    for axes in panels[::4]:
        axes.set_ylabel("accuracy", fontsize=style.SMALL, color=style.QUIET)
    style.legend(figure, style.keys({name: colours[name] for name in measured}), columns=4)
    return figure


def strip(image: np.ndarray, index: int) -> Figure:
    """A test image uint8 `[C, H, W]`, clean and under each corruption at each severity, as the measure drew it."""
    height, width = image.shape[1:]
    cell = 0.75
    figure = style.new_figure(0.3 + len(CORRUPTIONS) * (cell + 0.04) * min(height / width, 1.6), 0.9 + 6 * cell)
    grid = figure.subplots(len(CORRUPTIONS), 1 + len(SEVERITIES))
    titles = ("clean", *(f"severity {severity}" for severity in SEVERITIES))
    batch = torch.from_numpy(np.array(image))[None]
    for row, name in zip(grid, CORRUPTIONS, strict=True):
        for axes, severity in zip(row, (0, *SEVERITIES), strict=True):
            corrupted = corrupt(name, batch, severity, np.array([index])) if severity else batch
            style.show_image(
                axes, corrupted[0].numpy(), titles[severity] if axes.get_subplotspec().is_first_row() else ""
            )
        row[0].set_ylabel(name, fontsize=style.SMALL, color=style.INK)
    return figure


def _strip(prepared: Prepared, test: np.ndarray, folder: Path) -> Shown:
    index = gallery.telling_image(prepared, test)
    return Shown(
        style.save(strip(np.asarray(prepared.images[index]), index), folder / "corruptions.png"),
        "a test image, clean and under seven corruptions at five severities",
        "One test image, as the networks got it. Strengths are shares of the image's side or brightness; at severity 5 "
        "a person can still tell most objects (blur removes fine texture earlier).",
        "The seven corruptions",
    )


def _line(axes: Axes, found: Sequence[Robustness], corruption: str | None, colour: str) -> None:
    """The accuracy at severities 0 to 5 under `corruption`, or (None) averaged over all that were measured."""
    names = [name for name in CORRUPTIONS if corruption in (None, name)]
    at = np.array([
        [each.clean, *np.mean([each.corruptions[name] for name in names if name in each.corruptions], axis=0)]
        for each in found
    ])  # fmt: skip
    steps = np.array((0, *SEVERITIES))
    axes.plot(steps, at.mean(0), color=colour, linewidth=1.6, marker="o", markersize=2.6)
    style.band(axes, steps, at, colour)


def _rows(contenders: Sequence[Sequence[Robustness]], names: Sequence[str]) -> list[tuple[str, list[Averaged | None]]]:
    """A row for each of the corruptions `names`, and for their mean; a cell for each contender's trials."""

    def row(title: str, value: Callable[[Robustness], float | None]) -> tuple[str, list[Averaged | None]]:
        known = [[share for each in found if (share := value(each)) is not None] for found in contenders]
        return title, [averaged(shares, one_digit) for shares in known]

    return [
        row("clean images", lambda each: each.clean),
        *(row(name, lambda each, name=name: each.area.get(name)) for name in names),  # type: ignore[misc]
        row("mean of seven", lambda each: each.mean),
        row("mean / clean", lambda each: each.mean_relative),
    ]


def _chance(results: Results) -> float | None:
    tests = [trial.test for trial in results.trials if trial.test]
    return max(row.support for row in tests[0].per_class) / tests[0].n if tests else None
