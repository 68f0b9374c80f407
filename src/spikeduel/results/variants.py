"""Variants of a study: a contender under the settings that change its trials' keys.

A network without spikes is one variant for any encoding and number of steps.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from spikeduel.results.run import Results
from spikeduel.results.trials import Trial

OF_SPIKES = ("encoding", "num_steps")
"""Settings that concern spiking networks alone."""


@dataclass(frozen=True)
class Duel:
    """A finished run of a study: `folder` (relative), a unique label of its data set, values of the
    grid's other axes.
    """

    folder: str
    dataset: str
    settings: dict[str, str]
    results: Results


@dataclass(frozen=True)
class VariantInDuel:
    duel: Duel
    contender: str
    trials: list[Trial]
    variant: str


def entries(duels: Sequence[Duel]) -> list[VariantInDuel]:
    """Return an entry for each contender of each duel. The variant's name adds the settings in
    which the contender's duels differ: "cnn (width 24)".
    """
    variants = []
    for contender in dict.fromkeys(name for duel in duels for name in duel.results.contenders):
        with_trials = [
            (duel, trials) for duel in duels if (trials := duel.results.of(contender, tested=False))
        ]
        varied = [
            axis
            for axis in dict.fromkeys(axis for duel, _ in with_trials for axis in duel.settings)
            if _concerns(axis, with_trials)
            and len({duel.settings.get(axis) for duel, _ in with_trials}) > 1
        ]
        for duel, trials in with_trials:
            differences = ", ".join(
                said(axis, duel.settings[axis]) for axis in varied if axis in duel.settings
            )
            variant = f"{contender} ({differences})" if differences else contender
            variants.append(VariantInDuel(duel, contender, trials, variant))
    return variants


def said(axis: str, value: str) -> str:
    """Return a varied setting in words: "rate", "T = 8", "recipe strong"."""
    if axis == "encoding":
        return value
    return f"T = {value}" if axis == "num_steps" else f"{axis.replace('_', ' ')} {value}"


def _concerns(axis: str, of_duels: Sequence[tuple[Duel, list[Trial]]]) -> bool:
    """Return True if trials differ between duels that differ in `axis` alone.

    Without such duels, return True unless the setting is of spikes and no trial has it.
    """
    keys = [
        (
            {"dataset": duel.dataset, **duel.settings},
            {(trial.seed, trial.fold): trial.key for trial in trials},
        )
        for duel, trials in of_duels
    ]
    same = [
        first[place] == second[place]
        for (one, first), (other, second) in itertools.combinations(keys, 2)
        if {name for name in {*one, *other} if one.get(name) != other.get(name)} == {axis}
        for place in first.keys() & second.keys()
    ]
    if same:
        return not all(same)
    return axis not in OF_SPIKES or any(
        getattr(trial, axis) is not None for _, trials in of_duels for trial in trials
    )
