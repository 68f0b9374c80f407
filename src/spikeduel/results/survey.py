"""What a study's trials take and can show, before anything is trained, as types: `spikeduel study
--dry-run`.
"""

import math
from collections.abc import Iterator

import numpy as np

from spikeduel.results import signed_rank
from spikeduel.results.forecast import Source
from spikeduel.system.typed import Amount, Count, Frozen, Positive, Share

VARIES = 0.005
"""Assumed of the standard deviation of a lead over data sets, as in the simulations of
benchmarks/across.py.
"""


class TrialSurvey(Frozen):
    """A trial of a duel: its `contender`, `title` and `key`, whether it is `stored`, how many
    seconds it trains (None: not known), and how many bytes it takes on the disk.
    """

    contender: str
    title: str
    key: str
    stored: bool
    seconds: Amount | None
    bytes: Count


class DuelSurvey(Frozen):
    """A duel of a study: its trials, and the smallest true leads in accuracy that it finds in 80 %
    of cases.

    They are two, at best and at worst, by what `source` says of how much accuracy varies over
    seeds; None where no lead would be found. `spreads`, at best and at worst, are standard
    deviations of the difference that is measured. `controls`: as many networks more may be trained
    for controls.
    """

    label: str
    dataset: str
    test_images: Positive
    seeds: Positive
    trials: list[TrialSurvey]
    source: Source
    leads: tuple[Share, Share] | None
    spreads: tuple[Amount, Amount]
    controls: Count = 0


class Survey(Frozen):
    """A study before it is trained: so many trials train `at_once`. Duels may share trials: each is
    trained once.
    """

    name: str
    at_once: Positive
    duels: list[DuelSurvey]
    tuning_trials: Count = 0

    @property
    def trials(self) -> dict[str, TrialSurvey]:
        """Each trial once, by its key."""
        return {trial.key: trial for _, trial in self.first()}

    def first(self) -> Iterator[tuple[DuelSurvey, TrialSurvey]]:
        """Each trial once, with the first duel that has it."""
        seen = set()
        for duel in self.duels:
            for trial in duel.trials:
                if trial.key not in seen:
                    seen.add(trial.key)
                    yield duel, trial

    @property
    def missing(self) -> list[TrialSurvey]:
        """Those that are to be trained."""
        return [trial for trial in self.trials.values() if not trial.stored]

    @property
    def seconds(self) -> float | None:
        """How long they train one after another; None where that is not known of one."""
        known = [trial.seconds for trial in self.missing]
        return None if None in known else sum(each or 0.0 for each in known)

    @property
    def bytes(self) -> int:
        """What they take on the disk."""
        return sum(trial.bytes for trial in self.missing)

    @property
    def datasets(self) -> list[str]:
        """The data sets, each once."""
        return list(dict.fromkeys(duel.dataset for duel in self.duels))

    @property
    def pairs(self) -> int:
        """The pairs of variants on the data set that has most of these: what has the same first
        trial is one variant, of however many seeds.
        """
        variants: dict[str, set[str]] = {}
        for duel in self.duels:
            firsts = {trial.contender: trial.key for trial in reversed(duel.trials)}
            variants.setdefault(duel.dataset, set()).update(firsts.values())
        return math.comb(max(map(len, variants.values())), 2)

    @property
    def leads(self) -> tuple[float, float] | None:
        """The smallest typical leads over all data sets that are found in 80 % of cases, at best
        and at worst, if leads vary over them by `VARIES`; None where none would be found, and of a
        single variant. Of each data set the duel with the most seeds counts.
        """
        if not self.pairs:
            return None
        ordered = sorted(self.duels, key=lambda duel: duel.seeds)
        spreads = np.hypot([*{duel.dataset: duel.spreads for duel in ordered}.values()], VARIES)
        best, worst = (signed_rank.smallest_lead(each, self.pairs) for each in spreads.T)
        return None if best is None or worst is None else (best, worst)
