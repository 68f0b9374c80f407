"""Rankings of contenders by the energy of an answer, one for each way of counting."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from spikeduel.counting.operations import Operations, Way
from spikeduel.results.costs import Memory, Range
from spikeduel.results.run import Results
from spikeduel.results.trials import ControlResult, Trial
from spikeduel.system.typed import Frozen

Entry = Trial | ControlResult
Entries = Sequence[Trial] | Sequence[ControlResult]


def finished(results: Results) -> dict[str, list[Trial]]:
    """Return the finished trials of each contender, in the order of the run."""
    return {
        name: [trial for trial in results.of(name, tested=False) if trial.status == "done"]
        for name in results.contenders
    }


def counted_operations(results: Results) -> dict[str, Operations]:
    """Return the operations of each contender's first trial that was counted."""
    counts = {
        name: [trial.operations for trial in trials if trial.operations]
        for name, trials in finished(results).items()
    }
    return {name: of_trials[0] for name, of_trials in counts.items() if of_trials}


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean; None where there are no values, or one is not known."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


def control_results(trials: Sequence[Trial], control: str) -> list[ControlResult]:
    """Return a control's results for all of `trials`; empty unless all have it."""
    controls = [trial.controls[control] for trial in trials if control in trial.controls]
    return controls if len(controls) == len(trials) else []


def trained_twin(results: Results, name: str) -> Operations | None:
    """Return the operations of a contender's ReLU twin, in the run or as a control; None where
    neither was trained.
    """
    counted = counted_operations(results)
    others = [other for spiking, other in results.twins if spiking == name and other in counted]
    if others:
        return counted[others[0]]
    controls = control_results(finished(results)[name], "relu_twin")
    return next((control.operations for control in controls if control.operations), None)


def mean_range(ranges: Sequence[Range | None]) -> Range | None:
    """Return the mean of both ends; None where there are no ranges, or one is not known."""
    known = [range for range in ranges if range is not None]
    if not known or len(known) < len(ranges):
        return None
    low, high = (
        statistics.fmean(getattr(range, end) for range in known) for end in ("low", "high")
    )
    return Range(low=low, high=high)


def joules_of(
    entry: Entry,
    table: str | None = None,
    memory: Memory = "compute",
    way: Way = "hoisted",
) -> Range | None:
    """Joules of one answer by the table of this name, or by the one that leads; see
    `Joules.range`.
    """
    if entry.energy is None:
        return None
    estimate = entry.energy.leading if table is None else entry.energy.tables.get(table)
    return estimate.of(memory, way).range if estimate else None


def with_memory(entry: Entry) -> Range | None:
    """Return the joules of one answer, hoisted, with neurons and with memory on the chip."""
    return joules_of(entry, memory="on_chip")


def per_step(entry: Entry) -> Range | None:
    """Return the joules of one answer, arithmetic alone, per step."""
    return joules_of(entry, way="per_step")


def _end(
    of: Callable[[Entry], Range | None], end: Literal["low", "high"]
) -> Callable[[Entry], Range | None]:
    def one(entry: Entry) -> Range | None:
        joules = of(entry)
        return joules and Range(low=getattr(joules, end), high=getattr(joules, end))

    return one


Counting = Literal["skipped", "computed", "per_step_skipped", "per_step_computed", "with_memory"]
"""Ways of counting: zeros skipped by all or by none, hoisted or per step; or with memory."""
COUNTINGS: dict[Counting, Callable[[Entry], Range | None]] = {
    "skipped": _end(joules_of, "low"),
    "computed": _end(joules_of, "high"),
    "per_step_skipped": _end(per_step, "low"),
    "per_step_computed": _end(per_step, "high"),
    "with_memory": with_memory,
}


class Ranking(Frozen):
    """Mean joules of one answer by contender, the least first, by one counting.

    `least`: who takes less than all others; None where ranges overlap, or there is nobody else.
    """

    counting: Counting
    joules: dict[str, Range]

    @property
    def least(self) -> str | None:
        """Return the contender whose range lies below all others."""
        (first, joules), *others = self.joules.items()
        return first if others and all(joules.below(other) for _, other in others) else None


def rankings(results: Results) -> list[Ranking]:
    """Return a ranking for each counting that is known and gives other numbers than those before.

    Contenders with a trial whose energy is not known are left out.
    """
    trials = finished(results)
    ranked_by: list[Ranking] = []
    for counting, joules in COUNTINGS.items():
        means = {
            name: mean_range([joules(trial) for trial in of_one]) for name, of_one in trials.items()
        }
        known = {name: value for name, value in means.items() if value is not None}
        ranked = {name: known[name] for name in sorted(known, key=lambda name: known[name].low)}
        if ranked and not any(_alike(ranked, other.joules) for other in ranked_by):
            ranked_by.append(Ranking(counting=counting, joules=ranked))
    return ranked_by


def _alike(some: Mapping[str, Range], others: Mapping[str, Range]) -> bool:
    """Return True if no number differs by half a per cent."""
    return some.keys() == others.keys() and all(
        abs(getattr(some[name], end) - getattr(others[name], end))
        <= 0.005 * getattr(others[name], end)
        for name in some
        for end in ("low", "high")
    )
