"""Types of a tuning: tuning.json, and a part of results.json."""

from typing import Any, Literal

from spikeduel.results.trials import Family, Score
from spikeduel.system.errors import InputError
from spikeduel.system.typed import Amount, Count, Frozen, Positive


class Range(Frozen, kw_only=False, forbid_unknown_fields=True):
    """Range of a setting: uniform from `low` to `high` (of its logarithm with `log`), or `choices`.

    Raises `InputError` unless `low` < `high` or two `choices` differ.
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
    family: Family
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
