"""One trained contender: how its training went, and what was measured of it."""

import statistics
from collections.abc import Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Literal

from msgspec import field

from spikeduel.counting.operations import Operations
from spikeduel.networks.cards import Calling, Temperature
from spikeduel.results.anytime import Anytime
from spikeduel.results.audit import DistanceBin
from spikeduel.results.costs import Energy
from spikeduel.results.optimism import Optimism
from spikeduel.results.times import Latency
from spikeduel.system.registry import Family
from spikeduel.system.typed import Amount, Count, Frozen, Positive, Share


class Epoch(Frozen):
    """One epoch. Training numbers are averages while it trained; a converted network has none."""

    val_loss: float
    val_accuracy: Share
    train_loss: float | None = None
    train_accuracy: Share | None = None

    @property
    def validation(self) -> "Score":
        """Accuracy and loss on the validation images."""
        return Score(accuracy=self.val_accuracy, loss=self.val_loss)


class Score(Frozen):
    """Accuracy and loss on validation images."""

    accuracy: Share
    loss: float | None = None


class ClassScores(Frozen):
    """Precision, recall and F1 of one class, and its number of images."""

    name: str = field(name="class")
    precision: Share
    recall: Share
    f1: Share
    support: Count


class Scores(Frozen):
    """Accuracy on `n` images, and macro averages over the classes.

    `confusion` `[K, K]` counts images, rows the truth; `tie_share` is the share whose label a
    tie-break decided. `computed_in` is the precision of the answers, None where it is not known:
    "32" unless somebody asked for "bf16".
    """

    n: Count
    accuracy: Share
    precision: Share
    recall: Share
    f1: Share
    per_class: list[ClassScores]
    confusion: list[list[Count]]
    loss: float | None = None
    tie_share: Share | None = None
    computed_in: str | None = None


class Classification(Scores, kw_only=True):
    """`Scores` with every image's true and predicted class, in the order of the images: what the
    store keeps.
    """

    truth: list[Count]
    predicted: list[Count]

    def scores(self) -> Scores:
        """The same without the single answers."""
        return Scores(**{name: getattr(self, name) for name in Scores.__struct_fields__})


class EncodingSpread(Frozen):
    """Accuracies under other draws of a random encoding, and their standard deviation; None where
    it is not random.
    """

    accuracies: list[Share] | None = None
    standard_deviation: Amount | None = None


class CalibrationBin(Frozen):
    """Images whose confidence lies between `low` and `high`: their number, mean confidence and
    accuracy.
    """

    low: Share
    high: Share
    count: Count
    confidence: Share | None
    accuracy: Share | None


class Calibrated(Frozen):
    """Calibration of probabilities: expected calibration error, negative log-likelihood, Brier
    score, bins.

    `ece_of_perfect` and `ece_of_perfect_95`: what a perfectly calibrated model of the same
    confidences has on as many images, on average and in 95 of 100 cases at most.
    """

    ece: Share
    nll: Amount
    brier: Amount
    bins: list[CalibrationBin]
    ece_of_perfect: Share | None = None
    ece_of_perfect_95: Share | None = None


class Calibration(Calibrated):
    """Of the raw probabilities, and `scaled` by the `temperature` that fits validation best."""

    temperature: Temperature | None = None
    scaled: Calibrated | None = None


class Test(Scores):
    """What was measured on the test images."""

    encoding_spread: EncodingSpread | None = None
    calibration: Calibration | None = None
    by_distance: list[DistanceBin] | None = None


class CorruptedAccuracies(Frozen):
    """Accuracies on `n` corrupted images, one a severity."""

    n: Count
    accuracies: list[Share]


class Robustness(Frozen):
    """Accuracy on corrupted images: at each severity, and their mean (`area`).

    `mean` is over the seven corruptions, `mean_relative` that by the `clean` accuracy; None where a
    corruption was not measured.
    """

    clean: Share
    corruptions: dict[str, list[Share]]
    area: dict[str, Share]
    mean: Share | None
    mean_relative: Amount | None
    images: dict[str, Count]


class Confidences(Frozen):
    """Of N images: the probability of the label, the most probable class, and its probability."""

    given: list[Share]
    best: list[Count]
    highest: list[Share]


class LabelConfidences(Frozen):
    """The `Confidences` on validation and test images: what a check of their labels needs."""

    validation: Confidences
    test: Confidences

    @property
    def sides(self) -> "list[Confidences]":
        """Validation, then test."""
        return [self.validation, self.test]


class WeightShapes(Frozen):
    """Name to shape of all that a network keeps, single numbers left out: twins have the same."""

    shapes: dict[str, list[Count]]


class AddedMeasure(Frozen):
    """What a measure from outside the package found: `value` is shown as `form` says, `found` is
    all of it.
    """

    title: str
    meaning: str
    value: float | None
    form: str
    found: Any = None


class ControlResult(Frozen):
    """What one control of a trial scored; `val_accuracy` on validation, if it was trained.
    `spikes`: whether it spikes itself, which decides its colour.

    `of_recordings`: it changed what the contender saw of recordings, so that nothing may be left to
    learn.
    """

    title: str
    meaning: str
    spikes: bool
    n: Count
    accuracy: Share
    num_steps: Positive | None = None
    bits: Positive | None = None
    parameters: Count | None = None
    epochs: Count | None = None
    epoch_seconds: list[Amount] = []
    key: str | None = None
    val_accuracy: Share | None = None
    operations: Operations | None = None
    energy: Energy | None = None
    not_counted: str | None = None
    of_recordings: bool = False


class Trial(Frozen):
    """One contender trained with one seed, on one fold. What was not measured is None.

    `epoch_seconds` are of training only; epochs count from 0. `threads` is the number that training
    began with: sums are rounded differently with another number. `model` is a path within the run's
    folder. `starts_from` is the contender at whose trained weights, of the same seed, its training
    began; `pretrained` names the weights that a network of torchvision or timm started from.
    """

    contender: str
    family: Family
    seed: Count
    encoding: str | None
    num_steps: Positive | None
    parameters: Count | None
    status: Literal["done", "failed"]
    error: str | None
    epochs: Count
    best_epoch: Count | None
    stopped: str | None
    epoch_seconds: list[Amount]
    history: list[Epoch]
    validation: Score | None
    test: Test | None
    model: str | None
    key: str | None = None
    fold: Count | None = None
    precision: str | None = None
    threads: Positive | None = None
    foreign: Calling | None = None
    converted_from: str | None = None
    starts_from: str | None = None
    pretrained: str | None = None
    weight_shapes: dict[str, list[Count]] | None = None
    operations: Operations | None = None
    energy: Energy | None = None
    not_counted: str | None = None
    latency: Latency | None = None
    anytime: Anytime | None = None
    robustness: Robustness | None = None
    optimism: Optimism | None = None
    measures: dict[str, AddedMeasure] = {}
    failed_measures: dict[str, str] = {}
    controls: dict[str, ControlResult] = {}
    controls_left_out: dict[str, str] = {}

    @property
    def spiking(self) -> bool:
        """Whether it is a spiking network."""
        return self.family == "snn"

    @property
    def title(self) -> str:
        """Contender, seed and fold."""
        return f"{self.contender}, seed {self.seed}" + (
            "" if self.fold is None else f", fold {self.fold}"
        )

    def __post_init__(self) -> None:
        if self.status == "done" and (self.model is None or self.validation is None):
            raise ValueError("a finished trial has a model and a validation score")
        if self.model is not None and not _inside(self.model):
            raise ValueError("model must be a path within the run's folder")
        if self.optimism and not max(
            self.optimism.chosen_epoch, self.optimism.best_epoch
        ) < self.epochs == len(self.optimism.accuracies):
            raise ValueError("optimism has not one test accuracy for each epoch")
        if self.anytime is not None:
            leave = self.anytime.early_exit
            exits = [each.exit_steps for each in (leave, *leave.curve)] if leave else []
            lengths = {len(self.anytime.accuracies or []), *map(len, exits)}
            if self.latency and self.latency.stream_ms:
                lengths.add(len(self.latency.stream_ms))
            if self.operations:
                lengths.add(self.operations.num_steps)
            if lengths != {self.anytime.num_steps} or not all(map(any, exits)):
                raise ValueError(
                    "anytime, operations and latency have different numbers of time steps"
                )


def minutes_a_seed(trials: Sequence[Trial]) -> float:
    """Minutes that all of `trials` trained for one seed, in all folds, their trained controls
    included.
    """
    seconds: dict[int, float] = {}
    for trial in trials:
        controls = sum(sum(control.epoch_seconds) for control in trial.controls.values())
        own = 0.0 if trial.converted_from else sum(trial.epoch_seconds)
        seconds[trial.seed] = seconds.get(trial.seed, 0.0) + own + controls
    return statistics.fmean(seconds.values()) / 60


def _inside(path: str) -> bool:
    both = (PurePosixPath(path), PureWindowsPath(path))
    return path.isprintable() and not any(
        p.is_absolute() or p.drive or ".." in p.parts for p in both
    )
