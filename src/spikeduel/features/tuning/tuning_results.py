"""Types of a tuning: tuning.json, and the feature's part of results.json. Findings, table."""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from spikeduel.analysis.run_findings import RunContext
from spikeduel.results.findings import Finding, Values, finding, finds
from spikeduel.results.trials import NetworkKind, Score
from spikeduel.sentences.columns import Column, text_rows, validation_accuracy
from spikeduel.system.errors import InputError
from spikeduel.system.negligible import MAX_RISE
from spikeduel.system.sentences import assigned
from spikeduel.system.typed import Amount, Count, Frozen, Positive


class Range(Frozen, kw_only=False, forbid_unknown_fields=True):
    """Range of a setting for `tune`.

    Parameters
    ----------
    low, high : float, optional
        Ends of a uniform distribution.
    log : bool
        Whether the logarithm is uniform.
    choices : tuple of float
        Values to choose from, in place of `low` and `high`.

    Raises
    ------
    InputError
        Unless `low` < `high`, or at least two `choices` differ.

    Examples
    --------
    >>> import spikeduel as sd
    >>> sd.Range(low=1e-4, high=1e-2, log=True).high
    0.01
    """

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    choices: tuple[int | float, ...] = ()

    def __post_init__(self) -> None:
        if self.choices and (self.low, self.high, self.log) == (None, None, False):
            if len(set(self.choices)) < max(2, len(self.choices)):
                raise InputError("choices must be two or more different values")
        elif self.choices or self.low is None or self.high is None:
            raise InputError("needs either low and high (and perhaps log = true), or choices")
        elif not self.low < self.high:
            raise InputError(f"low must be below high, not {self.low:g} and {self.high:g}")
        elif self.log and not self.low > 0:
            raise InputError("with log = true, low must be greater than 0")


class TuningTrial(Frozen):
    number: Count
    settings: dict[str, float | None]
    status: Literal["done", "failed"]
    error: str | None
    epochs: Count
    training_seconds: Amount
    validation: Score | None
    key: str | None = None
    best_epoch: Count | None = None
    stopped: str | None = None


class ExpectedBest(Frozen):
    """Best validation accuracy of so many trials: mean, and mean ± standard deviation."""

    trials: Count
    mean: float
    standard_deviation: Amount
    low: float
    high: float


class TunedContender(Frozen):
    """Trials of a contender; `best`: number of the chosen one, if any."""

    contender: str
    kind: NetworkKind
    tuned: list[str]
    trials: list[TuningTrial]
    best: Count | None
    expected_best: list[ExpectedBest]
    gain_of_last_doubling: float

    def __post_init__(self) -> None:
        if [trial.number for trial in self.trials] != list(range(len(self.trials))):
            raise ValueError("the trials are not in order")
        if len(self.expected_best) != len(self.trials):
            raise ValueError("expected_best has not as many entries as there are trials")
        if self.best is not None and (
            self.best >= len(self.trials) or self.trials[self.best].validation is None
        ):
            raise ValueError("there is no such best trial")


class TunedOn(Frozen):
    """The data: fingerprint, a hash of the unseen test images, `val` validation images."""

    fingerprint: str
    test: str
    name: str = ""
    val: Count | None = None


class TuningRecord(Frozen):
    """The content of tuning.json; `seed`: of every training, which no comparison has."""

    schema: Literal[1]
    dataset: TunedOn
    experiment: dict[str, Any]
    num_trials: Positive
    ranges: dict[str, Range]
    contenders: list[TunedContender]
    spikeduel: str = ""
    created: str = ""
    environment: dict[str, Any] = {}
    seed: Count = 0
    per_contender: dict[str, dict[str, float]] | None = None

    def __post_init__(self) -> None:
        if any(len(contender.trials) != self.num_trials for contender in self.contenders):
            raise ValueError(f"a contender has not {self.num_trials} trials")

    @property
    def most_epochs(self) -> int:
        return self.experiment.get("epochs") or max(
            trial.epochs for contender in self.contenders for trial in contender.trials
        )


Conclusion = TuningRecord


def limits(record: TuningRecord) -> list[Finding]:
    """Return why a tuning may have found too little, or chosen by chance."""
    rising = [finding("still_rising", **values) for values in _still_rising(record)]
    return rising + [finding("failed_tuning", **values) for values in _failed(record)]


@finds("still_rising")
def still_rising(run: RunContext) -> Iterator[Values]:
    if record := run.features.get("tuning"):
        yield from _still_rising(record)


def _still_rising(record: TuningRecord) -> Iterator[Values]:
    gains = {tuned.contender: tuned.gain_of_last_doubling for tuned in record.contenders}
    if rising := {name: gain for name, gain in gains.items() if gain >= MAX_RISE}:
        number = record.num_trials
        yield {"gains": rising, "half": number // 2, "num_trials": number, "more": 2 * number}


@finds("failed_tuning")
def failed_tuning(run: RunContext) -> Iterator[Values]:
    if record := run.features.get("tuning"):
        yield from _failed(record)


def _failed(record: TuningRecord) -> Iterator[Values]:
    for tuned in record.contenders:
        if failed := sum(trial.status == "failed" for trial in tuned.trials):
            values = {"failed": failed, "num_trials": record.num_trials}
            yield {"contender": tuned.contender, "finished": tuned.best is not None, **values}


@finds("tuned")
def tuned(run: RunContext) -> Iterator[Values]:
    if record := run.features.get("tuning"):
        yield {"num_trials": record.num_trials, "most_epochs": record.most_epochs}


class TuningRow(NamedTuple):
    contender: TunedContender
    trial: TuningTrial


TUNING_TRIALS: list[Column[TuningRow]] = [
    Column("contender", lambda row: row.contender.contender, is_text=True),
    Column("trial", lambda row: row.trial.number + 1),
    Column("validation %", lambda row: validation_accuracy(row.trial.validation)),
    Column("chosen", lambda row: "*" if row.trial.number == row.contender.best else ""),
    Column("epochs", lambda row: row.trial.epochs),
    Column("seconds", lambda row: row.trial.training_seconds, "{:.1f}".format),
    Column("settings", lambda row: row.trial.settings, assigned, is_text=True),
]


def tuning_rows(record: TuningRecord) -> list[dict[str, str]]:
    """Return all tuning trials; a star marks the chosen ones."""
    rows = [
        TuningRow(contender, trial) for contender in record.contenders for trial in contender.trials
    ]
    return text_rows(TUNING_TRIALS, rows)
