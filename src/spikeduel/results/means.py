"""Means of operations and energy over a contender's trials."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from spikeduel.engine.counting.operations import Operations, Way
from spikeduel.results.cost_results import Memory, Range
from spikeduel.results.run import Results
from spikeduel.results.trials import Latency, Trial, VariantResult

TWINS = ("relu_twin", "quantised_twin")
"""Variants with ReLU for a spiking network's neurons."""
Value = TypeVar("Value")
Entry = Trial | VariantResult
Entries = Sequence[Trial] | Sequence[VariantResult]


def finished(results: Results) -> dict[str, list[Trial]]:
    """Return the finished trials of each contender, in the order of the run."""
    return {
        name: [trial for trial in results.of(name, tested=False) if trial.status == "done"]
        for name in results.contenders
    }


def by_contender(
    results: Results, value_of: Callable[[Trial], Value | None]
) -> dict[str, list[Value]]:
    """Return `value_of` the trials behind each contender's accuracy, without None, and without
    contenders of which none is left.
    """
    values = {
        name: [value for trial in results.of(name) if (value := value_of(trial)) is not None]
        for name in results.contenders
    }
    return {name: of_contender for name, of_contender in values.items() if of_contender}


def counted_trials(results: Results) -> dict[str, list[Operations]]:
    """Return the operations of the counted trials of each contender that has one."""
    return {
        name: operations
        for name, trials in finished(results).items()
        if (operations := [trial.operations for trial in trials if trial.operations])
    }


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean; None if empty, or one is unknown."""
    numbers = [value for value in values if value is not None]
    return statistics.fmean(numbers) if numbers and len(numbers) == len(values) else None


def mean_range(ranges: Sequence[Range | None]) -> Range | None:
    """Return the mean of both ends; None if empty, or one is unknown."""
    low, high = (
        mean([getattr(bounds, end) if bounds else None for bounds in ranges])
        for end in ("low", "high")
    )
    return None if low is None or high is None else Range(low=low, high=high)


def variant_results(trials: Sequence[Trial], variant: str) -> list[VariantResult]:
    """Return a variant's results; empty unless all `trials` have it."""
    variants = [trial.variants[variant] for trial in trials if variant in trial.variants]
    return variants if len(variants) == len(trials) else []


def joules_of(
    entry: Entry, table: str | None = None, memory: Memory = "compute", way: Way = "hoisted"
) -> Range | None:
    """Return the joules per inference by `table`, or by the leading one."""
    if entry.energy is None:
        return None
    estimate = entry.energy.leading if table is None else entry.energy.tables.get(table)
    return estimate.of(memory, way).range if estimate else None


def latency_of(trials: Iterable[Entry]) -> Latency | None:
    """Return the times of the timed trial, if any."""
    latencies = (trial.latency for trial in trials if isinstance(trial, Trial))
    return next(filter(None, latencies), None)


def one_image_ms(trials: Iterable[Entry]) -> float | None:
    """Return the timed trial's median milliseconds for one image."""
    latency = latency_of(trials)
    return latency.one_image.median_ms if latency and latency.one_image else None
