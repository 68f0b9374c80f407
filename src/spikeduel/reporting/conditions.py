"""Accuracy under worse conditions: curves, what the corruptions look like, the table and the words."""

import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from spikeduel.data.prepared import Prepared
from spikeduel.measuring.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from spikeduel.measuring.robustness import ALTERATIONS
from spikeduel.reporting import gallery, style
from spikeduel.reporting.gallery import Shown
from spikeduel.reporting.reliability import mean_and_sd


def section(
    results: dict[str, Any], prepared: Prepared | None, test: np.ndarray | None, folder: Path
) -> dict[str, Any] | None:
    """What the page's section needs: `words`, `curves`, `strip`, and the table's `contenders`, `rows` and `altered`.

    None where nothing was measured; the strip is None where the data is not at hand.
    """
    found = by_contender(results)
    if not found:
        return None
    spread = " The band is one standard deviation over the seeds on either side." if _several(found) else ""
    # All trials of a run were asked about the same images.
    images = {name: number for trials in found.values() for trial in trials for name, number in trial["images"].items()}
    colours = style.contender_colours(results["trials"])
    return {
        "words": words(results),
        "curves": Shown(
            style.save(curves(results), folder / "robustness.png"),
            "accuracy against severity under seven corruptions, and their mean, for every contender",
            "Accuracy on the whole test set, from the images as they are (0) to the worst (5); every contender meets "
            f"the same spoilt images.{spread} Dotted: what naming the most frequent class would give.",
        ),
        "strip": None if prepared is None or test is None or not len(test) else _strip(prepared, test, folder),
        "contenders": [{"name": name, "colour": colours[name]} for name in found],
        "rows": _rows(list(found.values()), list(images)),
        "altered": [f"{name} ({images[name]:,} images)" for name in ALTERATIONS if name in images],
    }


def by_contender(results: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The `robustness` of each contender's finished trials, where it was measured."""
    found: dict[str, list[dict[str, Any]]] = {}
    for trial in results["trials"]:
        if trial.get("robustness"):
            found.setdefault(trial["contender"], []).append(trial["robustness"])
    return found


def words(results: dict[str, Any]) -> str | None:
    """What the curves show, in words, from the content of results.json; None where nothing was measured."""
    found = {
        name: trials for name, trials in by_contender(results).items() if all(t["mean"] is not None for t in trials)
    }
    if not found:
        return None
    means = {name: _mean([trial["mean"] for trial in trials]) for name, trials in found.items()}
    clean = {name: _mean([trial["clean"] for trial in trials]) for name, trials in found.items()}
    area = {name: {c: _mean([t["area"][c] for t in trials]) for c in CORRUPTIONS} for name, trials in found.items()}
    ranked = sorted(found, key=lambda name: -means[name])
    kept = [f"{name} is right on {means[name]:.1%} ({clean[name]:.1%} on the images as they are)" for name in ranked]
    said = [f"Over seven corruptions at five severities, {_listed(kept)} of the test images on average."]
    worst = {name: min(area[name], key=area[name].__getitem__) for name in ranked}
    said.append(f"What costs most is {_listed([f'{worst[n]} for {n} ({area[n][worst[n]]:.1%})' for n in ranked])}.")
    if len(ranked) > 1:
        said.append(_leads(found))
    if not _several(found):
        said.append("One seed each: other trainings of the same networks can differ.")
    return " ".join(said)


def _leads(found: dict[str, list[dict[str, Any]]]) -> str:
    """Who had the highest mean under what, leaving out leads that the spread over trainings swallows."""
    leads: dict[str, list[str]] = {}
    left_out = []
    for corruption in CORRUPTIONS:
        areas = {name: [trial["area"][corruption] for trial in trials] for name, trials in found.items()}
        first, second = sorted(areas, key=lambda name: -_mean(areas[name]))[:2]
        spread = max(statistics.stdev(areas[name]) if len(areas[name]) > 1 else 0.0 for name in (first, second))
        if _mean(areas[first]) - _mean(areas[second]) > spread:
            leads.setdefault(first, []).append(corruption)
        else:
            left_out.append(corruption)
    over = ", by more than the spread over trainings" if _several(found) else ""
    said = [f"{name} under {_listed(kinds)}" for name, kinds in leads.items()]
    if said:
        close = f" Under {_listed(left_out)} the first two are no farther apart than that." if left_out else ""
        return f"The highest observed mean{over}: {'; '.join(said)} (not tested for significance).{close}"
    return "Under no corruption is one's observed mean ahead by more than the spread over trainings."


def curves(results: dict[str, Any]) -> Figure:
    """Seven panels and their mean: accuracy against severity, a line a contender, a band over seeds."""
    found, colours = by_contender(results), style.contender_colours(results["trials"])
    figure = style.new_figure(4.6)
    panels = list(figure.subplots(2, 4, sharex=True, sharey=True).flat)
    chance = _chance(results)
    for place, (axes, corruption) in enumerate(zip(panels, [*CORRUPTIONS, None], strict=False)):
        style.quiet(axes, corruption or "mean of all", x="severity" if place >= 4 else "", grid=True)
        for name, trials in found.items():
            _line(axes, trials, corruption, colours[name])
        if chance is not None:
            axes.axhline(chance, color=style.QUIET, linewidth=0.9, linestyle=":")
    panels[0].set_ylim(0, 1)
    panels[0].set_xticks((0, *SEVERITIES))
    panels[0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    for axes in panels[::4]:
        axes.set_ylabel("accuracy", fontsize=style.SMALL, color=style.QUIET)
    figure.legend(
        handles=[Line2D([], [], color=colours[name], linewidth=2.2, label=name) for name in found],
        loc="outside upper center", ncols=min(len(found), 4), frameon=False, fontsize=style.SMALL,
        labelcolor=style.INK,
    )  # fmt: skip
    return figure


def strip(image: np.ndarray, index: int) -> Figure:
    """A test image uint8 `[C, H, W]`, as it is and under each corruption at each severity, as the measure drew it."""
    height, width = image.shape[1:]
    cell = 0.75
    figure = style.new_figure(0.3 + len(CORRUPTIONS) * (cell + 0.04) * min(height / width, 1.6), 0.9 + 6 * cell)
    grid = figure.subplots(len(CORRUPTIONS), 1 + len(SEVERITIES))
    for axes, title in zip(grid[0], ("as it is", *(f"severity {severity}" for severity in SEVERITIES)), strict=True):
        axes.set_title(title)
    batch = torch.from_numpy(np.array(image))[None]
    for row, name in zip(grid, CORRUPTIONS, strict=True):
        for axes, severity in zip(row, (0, *SEVERITIES), strict=True):
            spoilt = corrupt(name, batch, severity, np.array([index])) if severity else batch
            style.show_image(axes, spoilt[0].numpy(), axes.get_title())
        row[0].set_ylabel(name, fontsize=style.SMALL, color=style.INK)
    return figure


def _strip(prepared: Prepared, test: np.ndarray, folder: Path) -> Shown:
    index = gallery.telling_image(prepared, test)
    return Shown(
        style.save(strip(np.asarray(prepared.images[index]), index), folder / "corruptions.png"),
        "a test image as it is and under seven corruptions at five severities",
        "One test image, as the networks met it. Strengths are shares of the image's side or of its brightness, chosen "
        "so that a person can still tell most objects at severity 5 (blur takes fine texture away before). How likely "
        "your images are to look like this is for you to judge.",
        "The seven corruptions",
    )


def _line(axes: Axes, trials: Sequence[dict[str, Any]], corruption: str | None, colour: str) -> None:
    """The accuracy at severities 0 to 5 under `corruption`, or (None) averaged over all that were measured."""
    at = np.array([
        [trial["clean"], *np.mean([trial["corruptions"][c] for c in CORRUPTIONS if c in trial["corruptions"]
                                   and corruption in (None, c)], axis=0)]
        for trial in trials
    ])  # fmt: skip
    steps, mean = np.array((0, *SEVERITIES)), at.mean(0)
    axes.plot(steps, mean, color=colour, linewidth=1.6, marker="o", markersize=2.6)
    if len(at) > 1:
        deviation = at.std(0, ddof=1)
        axes.fill_between(steps, mean - deviation, mean + deviation, color=colour, alpha=0.2, linewidth=0)


def _rows(contenders: Sequence[Sequence[dict[str, Any]]], names: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each of the corruptions `names`, and for their mean; a cell for each contender's trials."""

    def row(term: str, value: Callable[[dict[str, Any]], float | None]) -> dict[str, Any]:
        known = [[share for trial in trials if (share := value(trial)) is not None] for trials in contenders]
        cells = [mean_and_sd(shares, lambda share: f"{100 * share:.1f}") if shares else "" for shares in known]
        return {"term": term, "cells": cells}

    def area(name: str, trial: dict[str, Any]) -> float | None:
        return trial["area"].get(name)

    return [
        row("the images as they are", lambda trial: trial["clean"]),
        *(row(name, partial(area, name)) for name in names),
        row("mean of the seven", lambda trial: trial["mean"]),
        row("that, of the accuracy on the images as they are", lambda trial: trial["mean_relative"]),
    ]


def _chance(results: dict[str, Any]) -> float | None:
    tests = [trial["test"] for trial in results["trials"] if trial["test"]]
    return max(row["support"] for row in tests[0]["per_class"]) / tests[0]["n"] if tests else None


def _several(found: dict[str, list[dict[str, Any]]]) -> bool:
    return any(len(trials) > 1 for trials in found.values())


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values)


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
