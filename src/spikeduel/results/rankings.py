"""Who needs least energy for an answer, by which counting: data, of which `words.costs` makes
sentences.
"""

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
    """The finished trials of each contender, in the order of the run."""
    return {
        name: [trial for trial in results.of(name, tested=False) if trial.status == "done"]
        for name in results.contenders
    }


def counted_operations(results: Results) -> dict[str, Operations]:
    """The operations of each contender that was counted: those of its first trial."""
    counts = {
        name: [trial.operations for trial in trials if trial.operations]
        for name, trials in finished(results).items()
    }
    return {name: of_trials[0] for name, of_trials in counts.items() if of_trials}


def mean(values: Sequence[float | None]) -> float | None:
    """Their mean; None where there are none, or any is not known."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


def control_results(trials: Sequence[Trial], control: str) -> list[ControlResult]:
    """What a control gave for each of `trials`; empty unless all have it."""
    controls = [trial.controls[control] for trial in trials if control in trial.controls]
    return controls if len(controls) == len(trials) else []


def trained_twin(results: Results, name: str) -> Operations | None:
    """What was counted of a contender's ReLU twin: that of the run, or its control; None where
    neither was trained.
    """
    counted = counted_operations(results)
    others = [other for spiking, other in results.twins if spiking == name and other in counted]
    if others:
        return counted[others[0]]
    controls = control_results(finished(results)[name], "relu_twin")
    return next((control.operations for control in controls if control.operations), None)


def mean_range(ranges: Sequence[Range | None]) -> Range | None:
    """The mean of both ends; None where there are none, or any is not known."""
    known = [each for each in ranges if each is not None]
    if not known or len(known) < len(ranges):
        return None
    low, high = (statistics.fmean(getattr(each, end) for each in known) for end in ("low", "high"))
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
    """Joules of one answer, hoisted, with neurons and with memory on the chip."""
    return joules_of(entry, memory="on_chip")


def per_step(entry: Entry) -> Range | None:
    """Joules of one answer, arithmetic alone, per step."""
    return joules_of(entry, way="per_step")


def _end(
    of: Callable[[Entry], Range | None], end: Literal["low", "high"]
) -> Callable[[Entry], Range | None]:
    def one(entry: Entry) -> Range | None:
        joules = of(entry)
        return joules and Range(low=getattr(joules, end), high=getattr(joules, end))

    return one


Counting = Literal["skipped", "computed", "per_step_skipped", "per_step_computed", "with_memory"]
"""Who may skip zeros, hoisted or per step: everybody or nobody; or all that a layer can cost with
memory.
"""
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
        """The contender whose range lies below all others."""
        (first, joules), *others = self.joules.items()
        return first if others and all(joules.below(other) for _, other in others) else None


def rankings(results: Results) -> list[Ranking]:
    """Who needs least energy, by each counting that is known and gives other numbers than those
    before it.

    Contenders with a trial whose energy is not known are left out.
    """
    trials = finished(results)
    found: list[Ranking] = []
    for counting, joules in COUNTINGS.items():
        means = {
            name: mean_range([joules(trial) for trial in of_one]) for name, of_one in trials.items()
        }
        known = {name: value for name, value in means.items() if value is not None}
        ranked = {name: known[name] for name in sorted(known, key=lambda name: known[name].low)}
        if ranked and not any(_alike(ranked, other.joules) for other in found):
            found.append(Ranking(counting=counting, joules=ranked))
    return found


def _alike(some: Mapping[str, Range], others: Mapping[str, Range]) -> bool:
    """Whether none of them differs by half a per cent."""
    return some.keys() == others.keys() and all(
        abs(getattr(some[name], end) - getattr(others[name], end))
        <= 0.005 * getattr(others[name], end)
        for name in some
        for end in ("low", "high")
    )
