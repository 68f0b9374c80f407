"""Energies and times of a run's trials, as figures want them: numbers from results.json, none where there are none."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

from spikeduel.measuring import energy

SMALLEST_RANGE = 0.02
"""Two points of accuracy: about what seeds and ten thousand images leave open."""

_COUNTINGS = {"as_written": "the first layer at every step"}
_SCOPES = {"with_neurons": "neurons too"}
_MACS = {"effective": "no products with 0"}
MEMORIES = {
    "compute": "arithmetic alone",
    "on_chip": "with memory on the chip",
    "off_chip": "with weights off the chip",
}


@dataclass(frozen=True)
class Estimate:
    """By which table, memory model, scope and counting energy is estimated; see `energy.estimate`."""

    table: energy.Table = field(default_factory=lambda: energy.read(energy.HEADLINE[0]))
    memory: str = energy.HEADLINE[1]
    scope: str = "synapses"
    counting: str = "cached"
    macs: str = "dense"

    @property
    def words(self) -> str:
        """What stands beside every number."""
        more = [text for text in (_COUNTINGS.get(self.counting), _SCOPES.get(self.scope), _MACS.get(self.macs)) if text]
        return f"estimate: {self.table.name}, {MEMORIES[self.memory]}" + (f";\n{', '.join(more)}" if more else "")

    def joules(self, entry: dict[str, Any]) -> float | None:
        """Joules per image of a trial, or of a control of one."""
        tables = (entry.get("energy") or {}).get("tables") or {}
        found = tables.get(self.table.name)
        return found and energy.joules(found, self.memory, self.scope, self.counting, self.macs)

    def over_time(self, trial: dict[str, Any]) -> list[float] | None:
        """Joules per image up to each step, `[T]`."""
        operations = trial.get("operations")
        if not operations:
            return None
        return energy.over_time(operations, self.table, self.memory, self.scope, self.counting, self.macs)


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
    """Per cent, and never so few that the last digit looks like a difference."""
    low, high = axes.get_ylim()
    missing = max(0.0, SMALLEST_RANGE - (high - low)) / 2
    axes.set_ylim(low - missing, high + missing)
    axes.yaxis.set_major_formatter(lambda value, place: f"{100 * value:.4g} %")


def one_image_ms(trials: Iterable[dict[str, Any]]) -> float | None:
    """The median milliseconds of one image's answer, of the trial that was timed."""
    found = [trial["latency"]["one_image"]["median_ms"] for trial in trials if _timed(trial)]
    return found[0] if found else None


def stream_ms(trials: Iterable[dict[str, Any]]) -> list[float] | None:
    """Milliseconds until the scores after each step, `[T]`, of the trial that was timed."""
    found = [trial["latency"]["stream_ms"] for trial in trials if _timed(trial) and trial["latency"].get("stream_ms")]
    return found[0] if found else None


def _timed(trial: dict[str, Any]) -> bool:
    return bool(trial.get("latency") and trial["latency"]["one_image"])


def finished(results: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The trials that were tested, by contender."""
    found: dict[str, list[dict[str, Any]]] = {}
    for trial in results["trials"]:
        if trial["test"]:
            found.setdefault(trial["contender"], []).append(trial)
    return found


def mean(values: Sequence[float | None]) -> float | None:
    """Their mean; None where one is not known."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


def deviation(values: Sequence[float]) -> float:
    """Their standard deviation, 0 of a single one."""
    return statistics.stdev(values) if len(values) > 1 else 0.0
