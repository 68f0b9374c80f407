"""How sure the contenders are, and whether rightly: reliability diagrams, the table and the words around them."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from spikeduel.networks.models import Model
from spikeduel.reporting import style
from spikeduel.reporting.gallery import Shown
from spikeduel.spiking.readouts import SpikeCountReadout

_BESIDE = 3
"""Diagrams in a row."""


def section(results: dict[str, Any], models: Mapping[str, Model], folder: Path) -> dict[str, Any] | None:
    """What the page's section needs: `shown`, the table's `rows` and the `notes`; None where nothing was measured."""
    colours = style.contender_colours(results["trials"])
    measured = {name: of_contender(results, name) for name in colours}
    measured = {name: trials for name, trials in measured.items() if trials}
    if not measured:
        return None
    pooled = " Images of all seeds are added up." if any(len(trials) > 1 for trials in measured.values()) else ""
    return {
        "shown": Shown(
            style.save(diagrams(measured, colours), folder / "reliability.png"),
            "share of right answers against confidence for every contender, with the number of images below",
            "An answer's confidence is the probability that the network gives it. Bars: of the test images whose "
            "answer was given with this confidence, how many are right. On the diagonal, the network is right as often "
            "as it says; below it, it is too sure. Rings: the same after one temperature. Underneath: how many images "
            f"have which confidence.{pooled}",
        ),
        "rows": [row for name, trials in measured.items() for row in _rows(name, colours[name], trials)],
        "notes": _notes(measured, models),
    }


def of_contender(results: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The `calibration` of each finished trial of contender `name` that has one."""
    trials = [trial for trial in results["trials"] if trial["contender"] == name]
    found = [(trial["test"] or {}).get("calibration") for trial in trials]
    return [calibration for calibration in found if calibration]


def diagrams(measured: Mapping[str, Sequence[dict[str, Any]]], colours: Mapping[str, str]) -> Figure:
    """A reliability diagram for each contender, and below it the share of images in each bin."""
    columns = min(len(measured), _BESIDE)
    rows = -(-len(measured) // columns)
    figure = style.new_figure(0.5 + 3.4 * rows)
    parts = figure.subfigures(rows, max(columns, 2), squeeze=False).flat
    for part, (name, trials) in zip(parts, measured.items(), strict=False):
        upper, lower = part.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        style.quiet(upper, style.shortened(name, 24), y="share right", grid=True)
        style.quiet(lower, x="confidence", y="share of images", grid=True)
        upper.plot([0, 1], [0, 1], color=style.QUIET, linewidth=0.9, linestyle=(0, (4, 2)))
        before = pooled(trials)
        centres = np.array([(entry["low"] + entry["high"]) / 2 for entry in before])
        width = before[0]["high"] - before[0]["low"]
        right = np.array([np.nan if entry["accuracy"] is None else entry["accuracy"] for entry in before])
        upper.bar(centres, right, width * 0.92, color=colours[name], alpha=0.75)
        lower.bar(centres, _shares(before), width * 0.92, color=colours[name], alpha=0.75)
        if all(trial["scaled"] for trial in trials):
            after = pooled([trial["scaled"] for trial in trials])
            points = [(entry["confidence"], entry["accuracy"]) for entry in after if entry["count"]]
            upper.plot(*zip(*points, strict=True), color=style.INK, marker="o", markersize=4, markerfacecolor="white",
                       linewidth=0.9)  # fmt: skip
            lower.stairs(_shares(after), [entry["low"] for entry in after] + [1], color=style.INK, linewidth=0.9)
        upper.set_ylim(0, 1)
        lower.set_xlim(0, 1)
        for axis in (upper.yaxis, lower.yaxis, lower.xaxis):
            axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    figure.legend(
        handles=[
            Line2D([], [], color=style.QUIET, linewidth=0.9, linestyle=(0, (4, 2)), label="right as often as it says"),
            Patch(color=style.QUIET, alpha=0.75, label="as given"),
            Line2D([], [], color=style.INK, marker="o", markersize=4, markerfacecolor="white", linewidth=0.9,
                   label="after one temperature"),
        ],
        loc="outside upper center", ncols=3, frameon=False, fontsize=style.SMALL, labelcolor=style.INK,
    )  # fmt: skip
    return figure


def pooled(trials: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The bins of several trials as if their images were one set."""
    bins = []
    for same in zip(*[trial["bins"] for trial in trials], strict=True):
        count = sum(entry["count"] for entry in same)
        bins.append({
            **{edge: same[0][edge] for edge in ("low", "high")},
            "count": count,
            **{
                key: sum(entry["count"] * entry[key] for entry in same if entry["count"]) / count if count else None
                for key in ("confidence", "accuracy")
            },
        })  # fmt: skip
    return bins


def mean_and_sd(values: Sequence[float], form: Callable[[float], str]) -> str:
    """The mean, and of several values ± their standard deviation, each as `form` writes it."""
    mean = form(statistics.fmean(values))
    return mean if len(values) == 1 else f"{mean} ± {form(statistics.stdev(values))}"


def _shares(bins: Sequence[dict[str, Any]]) -> np.ndarray:
    counts = np.array([entry["count"] for entry in bins], dtype=float)
    return counts / counts.sum()


def _rows(name: str, colour: str, trials: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """The rows of a contender: its probabilities as given, and after the temperature where there is one."""

    def row(which: str, judged: Sequence[dict[str, Any]]) -> dict[str, str]:
        return {
            "name": name,
            "colour": colour,
            "which": which,
            "ece": mean_and_sd([each["ece"] for each in judged], lambda error: f"{100 * error:.1f}"),
            **{
                key: mean_and_sd([each[key] for each in judged], lambda loss: f"{loss:.3f}") for key in ("nll", "brier")
            },
        }

    rows = [row("as given", trials)]
    if all(trial["scaled"] for trial in trials):
        temperature = mean_and_sd([trial["temperature"] for trial in trials], lambda value: f"{value:.2f}")
        rows.append(row(f"after temperature {temperature}", [trial["scaled"] for trial in trials]))
    return rows


def _notes(measured: Mapping[str, Sequence[dict[str, Any]]], models: Mapping[str, Model]) -> list[str]:
    counting = [name for name in measured if name in models and isinstance(models[name].readout, SpikeCountReadout)]
    if not counting:
        return []
    return [
        f"The probabilities of {' and '.join(counting)} are a softmax of spike counts: every spike more multiplies a "
        "class's odds by e, about 2.7, whatever the number of time steps. Training never looked at them (the loss is "
        "that of the membrane potential), so that their calibration as given says little about spiking. After the "
        "temperature the comparison is fairer."
    ]
