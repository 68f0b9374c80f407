"""Break-even between a spiking network and its ReLU twin: spike rate by time steps, and where the network is."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spikeduel.measuring import energy
from spikeduel.measuring.energy import Table
from spikeduel.reporting import style
from spikeduel.results.costs import MEMORIES, Layer, Memory, Operations
from spikeduel.results.words.costs import MEMORY_TITLES

MOST_STEPS = 128
LOWEST_RATE = 1e-4
_COLOURS = (style.OTHER_COLOURS[0], style.OTHER_COLOURS[2], style.OTHER_COLOURS[3], style.OTHER_COLOURS[1], style.QUIET)
_LINES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (5, 1.5, 1, 1.5)))


def break_even(operations: Operations, name: str, colour: str) -> Figure:
    """A panel for each memory model: the spike rate at which network `name` costs as much as its ReLU twin, by steps T.

    The twin is computed from the network's shape alone. Synapses, hoisted, dense MACs. Below a line the network is
    cheaper by that table; the dot is where it is.
    """
    tables = [table for table in map(energy.read, energy.NAMES) if not table.chip]
    twin = energy.relu_twin(operations)
    figure = style.new_figure(2.9)
    panels = figure.subplots(1, len(MEMORIES), sharey=True)
    for axes, memory in zip(panels, MEMORIES, strict=True):
        _panel(axes, operations, twin, tables, memory, name, colour)
    panels[0].set_ylabel("spikes per neuron and step", fontsize=style.SMALL, color=style.QUIET)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=style.SMALL,
        labelcolor=style.INK,
    )  # fmt: skip
    figure.suptitle(
        f"Below and left of a line, {style.shortened(name, 24)} takes less energy than its ReLU twin (estimates)",
        fontsize=style.MEDIUM, color=style.INK, x=0.01, ha="left",
    )  # fmt: skip
    return figure


def _panel(
    axes: Axes,
    operations: Operations,
    twin: Sequence[Layer],
    tables: Sequence[Table],
    memory: Memory,
    name: str,
    colour: str,
) -> None:
    style.quiet(axes, MEMORY_TITLES[memory], x="time steps T")
    steps = np.geomspace(1, MOST_STEPS, 300)
    there, drawn = operations.num_steps, False
    for place, table in enumerate(tables):
        rates = [energy.break_even_rate(operations, twin, table, t, memory) for t in steps]
        at_its_steps = energy.break_even_rate(operations, twin, table, there, memory)
        drawn |= at_its_steps is not None and at_its_steps > 0
        # Where silence itself takes as much, the border falls below everything.
        border = np.array([np.nan if rate is None else max(rate, LOWEST_RATE / 10) for rate in rates])
        axes.plot(
            steps, border, color=_COLOURS[place % len(_COLOURS)], linestyle=_LINES[place % len(_LINES)], linewidth=1.6,
            label=style.shortened(table.title, 44),
        )  # fmt: skip
    axes.axhspan(1, 3, color=style.FAINT, alpha=0.6, linewidth=0)
    axes.text(0.97, 1.2, "more than one a step", fontsize=7, color=style.QUIET, ha="right", va="bottom",
              transform=axes.get_yaxis_transform())  # fmt: skip
    axes.plot(
        [there], [operations.totals.spikes_per_neuron_and_step or 0.0], "o", color=colour,
        markersize=7, markeredgecolor="white", markeredgewidth=1, zorder=5, clip_on=False,
        label=f"{style.shortened(name, 26)} as trained",
    )  # fmt: skip
    if not drawn:
        axes.text(0.96, 0.12, f"at T = {there}, dearer\neven without a spike", transform=axes.transAxes, ha="right",
                  color=style.QUIET, fontsize=style.SMALL,
                  bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85})  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlim(1, MOST_STEPS)
    axes.set_ylim(LOWEST_RATE, 3)
    axes.set_xticks([1, 2, 4, 8, 16, 32, 64, 128], ["1", "2", "4", "8", "16", "32", "64", "128"])
    axes.minorticks_off()
    axes.grid(color=style.FAINT, linewidth=0.6)
