"""What spiking adds: each spiking contender beside its controls, and converted networks over their steps."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spikeduel.reporting import anytime, estimates, style
from spikeduel.results.run import Results
from spikeduel.results.words.numbers import counted

PANELS_ABREAST = 2


def accuracies(results: Results) -> Figure:
    """A panel for each spiking contender: its accuracy and that of each control, a dot a seed, a stroke their mean.

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
        title = f"{style.shortened(each.contender, 30)}, {counted(each.num_steps, 'step')}"
        style.quiet(axes, title, x="test accuracy, %")
        trials = [trial for trial in results.of(each.contender) if trial.controls]
        own, warm = [trial.test.accuracy for trial in trials if trial.test], colours[each.contender]
        axes.axvline(100 * np.mean(own), color=warm, linewidth=0.9, linestyle=style.DASHED, alpha=0.7, zorder=1)
        _row(axes, 0, own, warm)
        for place, row in enumerate(each.rows, 1):
            measured = [t.controls[row.control].accuracy for t in trials if row.control in t.controls]
            _row(axes, place, measured, warm if row.spikes else style.OTHER_COLOURS[0])
        _finish(axes, ["itself", *(row.title for row in each.rows)])
    return figure


def _row(axes: Axes, place: int, shares: Sequence[float], colour: str) -> None:
    if not shares:
        axes.text(
            0.02, place, "not measured", transform=axes.get_yaxis_transform(), fontsize=style.SMALL,
            color=style.QUIET, va="center",
        )  # fmt: skip
        return
    values = 100 * np.array(shares)
    axes.scatter(values, [place] * len(values), s=16, color=colour, alpha=0.45, linewidths=0, zorder=2)
    axes.vlines(values.mean(), place - 0.28, place + 0.28, color=colour, linewidth=2.4, zorder=3)


def _finish(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [style.shortened(name, 24) for name in names])
    axes.tick_params(axis="y", length=0, labelcolor=style.INK)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x", color=style.FAINT, linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.margins(x=0.08)


_SHOWN_BELOW_SOURCE = 0.4
"""Accuracies further below the worst source leave the picture: the first steps would take all of its height."""


def sources(results: Results) -> dict[str, str]:
    """Each converted contender that was followed over time, and the contender that it was made of."""
    converted = {
        name: trial.converted_from
        for name, trials in anytime.followed(results).items()
        for trial in trials
        if trial.converted_from
    }
    return {name: source for name, source in converted.items() if results.of(source)}


def accuracy_over_steps(results: Results) -> Figure:
    """Accuracy on the test images after t steps of each converted network (solid), and of its source (dashed).

    Means over seeds, with a band of a standard deviation. `results` has converted networks (`sources`).
    """
    colours = style.contender_colours(results.trials)
    figure = style.new_figure(3.2, 0.8 * style.WIDTH)
    axes = style.quiet(figure.subplots(), "", x="time steps", y="accuracy on the test images", grid=True)
    lowest, longest = 1.0, 1
    for name, source in sources(results).items():
        at = anytime.accuracies_over_time(anytime.followed(results)[name])
        steps = np.arange(1, at.shape[1] + 1)
        axes.plot(steps, at.mean(0), color=colours[name], linewidth=1.6, marker="o", markersize=3, label=name)
        style.band(axes, steps, at, colours[name])
        reached = float(np.mean([trial.test.accuracy for trial in results.of(source) if trial.test]))
        axes.axhline(reached, color=colours[source], linewidth=1.2, linestyle=style.DASHED, label=source)
        lowest, longest = min(lowest, reached), max(longest, len(steps))
    axes.set_xscale("log", base=2)
    powers = 2 ** np.arange(int(np.log2(longest)) + 1)
    axes.set_xticks(powers, [str(step) for step in powers])
    axes.minorticks_off()
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, lowest - _SHOWN_BELOW_SOURCE), top)
    estimates.accuracy_axis(axes)
    style.axes_legend(axes, "lower right")
    return figure
