"""Estimated energies and measured times as figures want them, and the axes that they are drawn on."""

import math
import statistics
from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

from spikeduel.measuring import energy
from spikeduel.reporting import style
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
