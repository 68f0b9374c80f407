"""Variants: a contender of a study, under those of the varied settings that concern it.

A network without spikes has the same trials whatever the encoding and the number of steps are: one
variant, however many duels it is in. Whether a setting concerns a contender is seen by its trials'
keys.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from spikeduel.results.run import Results
from spikeduel.results.trials import Trial

OF_SPIKES = ("encoding", "num_steps")
"""Settings that concern no trial which has none of them, where no two duels show it."""


@dataclass(frozen=True)
class Duel:
    """A finished run of a study: its `folder`, relative to the study's; a short unique label of its
    data set; and what the grid's other axes are in it, by name.
    """

    folder: str
    dataset: str
    settings: dict[str, str]
    results: Results


@dataclass(frozen=True)
class Entry:
    """A contender in a duel, and the variant that it is there: its settings are those that concern
    it.
    """

    duel: Duel
    contender: str
    trials: list[Trial]
    settings: dict[str, str]
    variant: str


def entries(duels: Sequence[Duel]) -> list[Entry]:
    """Every contender of every duel. What does not vary for a contender is not in its variants'
    names.
    """
    found = []
    for contender in dict.fromkeys(name for duel in duels for name in duel.results.contenders):
        trials = [(duel, duel.results.of(contender, tested=False)) for duel in duels]
        trials = [(duel, its) for duel, its in trials if its]
        axes = list(dict.fromkeys(axis for duel, _ in trials for axis in duel.settings))
        axes = [axis for axis in axes if _concerns(axis, trials)]
        varied = [axis for axis in axes if len({duel.settings.get(axis) for duel, _ in trials}) > 1]
        for duel, its in trials:
            settings = {axis: duel.settings[axis] for axis in axes if axis in duel.settings}
            words = ", ".join(said(axis, settings[axis]) for axis in varied if axis in settings)
            found.append(
                Entry(
                    duel, contender, its, settings, f"{contender} ({words})" if words else contender
                )
            )
    return found


def said(axis: str, value: str) -> str:
    """A varied setting in words: "rate", "T = 8", "recipe strong"."""
    if axis == "encoding":
        return value
    return f"T = {value}" if axis == "num_steps" else f"{axis.replace('_', ' ')} {value}"


def _concerns(axis: str, of_duels: Sequence[tuple[Duel, list[Trial]]]) -> bool:
    """Whether trials differ with a setting: they do not where duels that differ in nothing else
    have the same ones.
    """
    same = []
    for (one, trials), (other, others) in itertools.combinations(of_duels, 2):
        apart = {
            name
            for name in (*one.settings, *other.settings)
            if one.settings.get(name) != other.settings.get(name)
        }
        if one.dataset == other.dataset and apart == {axis}:
            first, second = _identities(trials), _identities(others)
            same += [first[place] == second[place] for place in first.keys() & second.keys()]
    if same:
        return not all(same)
    return axis not in OF_SPIKES or any(
        getattr(trial, axis) is not None for _, trials in of_duels for trial in trials
    )


def _identities(trials: Sequence[Trial]) -> dict[tuple[int, int | None], str | float | None]:
    """What a trial is known by, by its seed and fold: its key, or else what it got."""
    return {
        (trial.seed, trial.fold): trial.key or (trial.test.accuracy if trial.test else None)
        for trial in trials
    }
