"""Estimated energies and measured times as figures want them, and the map of where spiking pays."""

import math
import statistics
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

from spikeduel.measuring import energy
from spikeduel.measuring.energy import Table
from spikeduel.reporting import style
from spikeduel.results.costs import MEMORIES, Layer, Memory, Operations
from spikeduel.results.run import Results
from spikeduel.results.trials import Trial
from spikeduel.results.words.costs import MEMORY_TITLES

SMALLEST_RANGE = 0.02
"""Two points of accuracy: about what seeds and ten thousand images leave open."""


def energy_label(table: energy.Table) -> str:
    """The title of an axis of estimated energy."""
    return f"energy per image (estimate: {table.name}, {MEMORY_TITLES['compute']})"


def joules_over_time(trial: Trial, table: energy.Table) -> list[float] | None:
    """Joules per image up to each step, `[T]`; None where they are not known."""
    return energy.over_time(trial.operations, table) if trial.operations else None


def cost_axis(axes: Axes, unit: str) -> None:
    """A logarithmic axis of costs in `unit`, with few round ticks however far it goes. Call it when all is drawn."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    decades = math.log10(high / low)
    few = MaxNLocator(nbins=4, steps=[1, 2, 5, 10])
    subs = (1, 2, 5) if decades < 1.3 else (1, 3) if decades < 2.2 else (1,)
    axes.xaxis.set_major_locator(few if decades < 0.7 else LogLocator(subs=subs))
    axes.xaxis.set_major_formatter(EngFormatter(unit))
    axes.xaxis.set_minor_locator(NullLocator())


def accuracy_axis(axes: Axes) -> None:
    """Per cent, over at least `SMALLEST_RANGE`: chance must not look like a difference."""
    low, high = axes.get_ylim()
    missing = max(0.0, SMALLEST_RANGE - (high - low)) / 2
    axes.set_ylim(low - missing, high + missing)
    style.per_cent_axis(axes.yaxis, exact=True)


def one_image_ms(trials: Iterable[Trial]) -> float | None:
    """The median milliseconds of one image's answer, of the trial that was timed."""
    timed = (trial.latency.one_image for trial in trials if trial.latency)
    return next((times.median_ms for times in timed if times), None)


def stream_ms(trials: Iterable[Trial]) -> list[float] | None:
    """Milliseconds until the scores after each step, `[T]`, of the trial that was timed."""
    timed = (trial.latency for trial in trials if trial.latency and trial.latency.one_image)
    return next((latency.stream_ms for latency in timed if latency.stream_ms), None)


def tested(results: Results) -> dict[str, list[Trial]]:
    """The tested trials of each contender that has some."""
    return {name: trials for name in results.contenders if (trials := results.of(name))}


def deviation(values: Sequence[float]) -> float:
    """Their standard deviation, 0 of a single one."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


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
