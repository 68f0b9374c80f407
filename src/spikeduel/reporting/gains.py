"""What spiking adds: each spiking contender beside its controls."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spikeduel.reporting import style
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
