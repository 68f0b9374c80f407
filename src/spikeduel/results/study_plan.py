"""The plan of a study before anything is trained, as types: `spikeduel study --dry-run`."""

import math
from collections.abc import Iterator

import numpy as np

from spikeduel.results import across
from spikeduel.results.power import Source
from spikeduel.system.typed import Amount, Count, Frozen, Positive, Share

VARIES = 0.005
"""Assumed standard deviation of a lead over data sets, as in benchmarks/across.py."""


class TrialPlan(Frozen):
    """A trial of a duel: `seconds` of training (None: not known), `bytes` on the disk."""

    contender: str
    title: str
    key: str
    stored: bool
    seconds: Amount | None
    bytes: Count


class DuelPlan(Frozen):
    """A duel of a study: trials, and the smallest true leads that it finds in 80 % of cases.

    `leads` are at best and at worst, given what `source` says of the variance over seeds; None if
    no lead would be found. `spreads`, at best and at worst, are standard deviations of the measured
    difference. Up to `controls` networks more are trained for controls.
    """

    label: str
    dataset: str
    test_images: Positive
    seeds: Positive
    trials: list[TrialPlan]
    source: Source
    leads: tuple[Share, Share] | None
    spreads: tuple[Amount, Amount]
    controls: Count = 0


class StudyPlan(Frozen):
    """A study before it is trained, `at_once` trials at a time. A shared trial is trained once."""

    name: str
    at_once: Positive
    duels: list[DuelPlan]
    tuning_trials: Count = 0

    @property
    def trials(self) -> dict[str, TrialPlan]:
        """Return each trial once, by its key."""
        return {trial.key: trial for _, trial in self.first()}

    def first(self) -> Iterator[tuple[DuelPlan, TrialPlan]]:
        """Yield each trial once, with the first duel that has it."""
        seen = set()
        for duel in self.duels:
            for trial in duel.trials:
                if trial.key not in seen:
                    seen.add(trial.key)
                    yield duel, trial

    @property
    def missing(self) -> list[TrialPlan]:
        """Return the trials that are to be trained."""
        return [trial for trial in self.trials.values() if not trial.stored]

    @property
    def seconds(self) -> float | None:
        """Return the training time of missing trials, one after another; None if unknown."""
        return total_seconds(self.missing)

    @property
    def bytes(self) -> int:
        """Return the bytes that missing trials take on the disk."""
        return sum(trial.bytes for trial in self.missing)

    @property
    def datasets(self) -> list[str]:
        """Return the data sets, each once."""
        return list(dict.fromkeys(duel.dataset for duel in self.duels))

    @property
    def pairs(self) -> int:
        """Return the number of pairs of variants on the data set with the most variants.

        Contenders with the same first trial are one variant.
        """
        variants: dict[str, set[str]] = {}
        for duel in self.duels:
            firsts = {trial.contender: trial.key for trial in reversed(duel.trials)}
            variants.setdefault(duel.dataset, set()).update(firsts.values())
        return math.comb(max(map(len, variants.values())), 2)

    @property
    def leads(self) -> tuple[float, float] | None:
        """Return the smallest leads over all data sets found in 80 % of cases, at best and worst.

        None if none would be found, or with a single variant. Leads are assumed to vary over data
        sets by `VARIES`. The duel with the most seeds counts for its data set.
        """
        if not self.pairs:
            return None
        ordered = sorted(self.duels, key=lambda duel: duel.seeds)
        spreads = np.hypot([*{duel.dataset: duel.spreads for duel in ordered}.values()], VARIES)
        best, worst = (across.smallest_lead(column, self.pairs) for column in spreads.T)
        return None if best is None or worst is None else (best, worst)


def total_seconds(trials: list[TrialPlan]) -> float | None:
    """Return the sum of the trials' training times; None if one is unknown."""
    seconds = [trial.seconds for trial in trials if trial.seconds is not None]
    return sum(seconds) if len(seconds) == len(trials) else None
