"""What a study's trials take and can show, before anything is trained, as types: `spikeduel study --dry-run`."""

from collections.abc import Iterator

from spikeduel.results.costs import Amount, Count, Positive, Share
from spikeduel.results.forecast import Source
from spikeduel.system.typed import Frozen


class TrialSurvey(Frozen):
    """A trial of a duel: its `title` and `key`, whether it is `stored`, how many seconds it trains (None: not known),
    and how many bytes it takes on the disk.
    """

    title: str
    key: str
    stored: bool
    seconds: Amount | None
    bytes: Count


class DuelSurvey(Frozen):
    """A duel of a study: its trials, and the smallest true leads in accuracy that it finds in 80 % of cases.

    They are two, at best and at worst, by what `source` says of how much accuracy varies over seeds; None where no
    lead would be found.
    """

    label: str
    dataset: str
    test_images: Positive
    seeds: Positive
    trials: list[TrialSurvey]
    source: Source
    leads: tuple[Share, Share] | None


class Survey(Frozen):
    """A study before it is trained: so many trials train `at_once`. Duels may share trials: each is trained once."""

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
