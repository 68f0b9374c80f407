"""Types of a trial: a contender trained with one seed on one fold, and its measures."""

import statistics
from collections.abc import Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Literal

from msgspec import field

from spikeduel.counting.operations import Operations
from spikeduel.networks.cards import Calling, Temperature
from spikeduel.results.costs import Energy
from spikeduel.system.load import is_busy
from spikeduel.system.registry import Family
from spikeduel.system.typed import Amount, Count, Frozen, Positive, Share


class Epoch(Frozen):
    """Scores of an epoch. Training numbers are averages over the epoch; a converted network has
    none.
    """

    val_loss: float
    val_accuracy: Share
    train_loss: float | None = None
    train_accuracy: Share | None = None

    @property
    def validation(self) -> "Score":
        """Return accuracy and loss on the validation images."""
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
    tie-break decided. `computed_in` is the precision of the answers, "32" or "bf16", None where it
    is not known.
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
    """`Scores` with every image's true and predicted class, in the order of the images, as the
    store keeps them.
    """

    truth: list[Count]
    predicted: list[Count]

    def scores(self) -> Scores:
        """Return the scores without the single answers."""
        return Scores(**{name: getattr(self, name) for name in Scores.__struct_fields__})


class EncodingSpread(Frozen):
    """Accuracies under other draws of a random encoding, and their standard deviation; None for an
    encoding that is not random.
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

    `ece_of_perfect` and `ece_of_perfect_95` are the error of a perfectly calibrated model with the
    same confidences on as many images, on average and in 95 of 100 cases at most.
    """

    ece: Share
    nll: Amount
    brier: Amount
    bins: list[CalibrationBin]
    ece_of_perfect: Share | None = None
    ece_of_perfect_95: Share | None = None


class Calibration(Calibrated):
    """Calibration of the raw probabilities, and of those `scaled` by the `temperature` that fits
    the validation images best.
    """

    temperature: Temperature | None = None
    scaled: Calibrated | None = None


class Test(Scores):
    """Scores and further measures on the test images."""

    encoding_spread: EncodingSpread | None = None
    calibration: Calibration | None = None


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
    """Probabilities of N images: that of the given label, the most probable class, and that of the
    most probable class.
    """

    given: list[Share]
    best: list[Count]
    highest: list[Share]


class LabelConfidences(Frozen):
    """Confidences on validation and test images, for a check of their labels."""

    validation: Confidences
    test: Confidences

    @property
    def sides(self) -> "list[Confidences]":
        """Return validation, then test."""
        return [self.validation, self.test]


# ---- over time


class Leaving(Frozen):
    """Early exit at one threshold: mean steps, accuracy, and the number of images that leave at
    each step `[T]`.
    """

    threshold: Share | None
    mean_steps: Amount
    accuracy: Share
    exit_steps: list[Count]


class ExitChoice(Frozen):
    """Evidence for a threshold: `n` validation images.

    `most_lost` is the accuracy that leaving costs at most, by these images and with the confidence
    asked for; `fewest` is the number of images that would show the tolerance if none of them
    changed.
    """

    n: Count
    mean_steps: Amount
    accuracy: Share
    full_accuracy: Share
    most_lost: Share | None = None
    fewest: Count | None = None


class EarlyExit(Leaving):
    """Early exit at the threshold chosen on validation images; `curve` has every threshold.

    `confidence` is how sure it has to be that leaving costs no more than `tolerance`.
    """

    tolerance: Share
    validation: ExitChoice
    curve: list[Leaving]
    confidence: Share | None = None


class Received(Frozen):
    """Parts of recordings received by the end of each of T frames: mean milliseconds from the
    start, mean events.
    """

    milliseconds: list[Amount]
    events: list[Amount]


class Anytime(Frozen):
    """Accuracy after each of T steps; all None for a network without steps. `received`: the parts
    of recordings by then.
    """

    num_steps: Positive | None = None
    n: Count | None = None
    accuracies: list[Share] | None = None
    validation_accuracies: list[Share] | None = None
    early_exit: EarlyExit | None = None
    received: Received | None = None


class Optimism(Frozen):
    """Test accuracy on `n` images after each epoch of a training, which no choice was made by.

    `chosen` is the accuracy of `chosen_epoch`, whose weights were kept: the trial's accuracy.
    `best` is the highest, of `best_epoch`, the first that has it: often reported in place of
    `chosen`.
    """

    n: Count
    accuracies: list[Share]
    chosen_epoch: Count
    chosen: Share
    best_epoch: Count
    best: Share


# ---- times


class Times(Frozen):
    """Milliseconds of `n` answers; `p95_ms` is None for few."""

    median_ms: Amount
    p95_ms: Amount | None
    min_ms: Amount
    n: Count


class Throughput(Times):
    """Times of batches of `batch_size` images."""

    batch_size: Positive
    images_per_second: Amount


class Machine(Frozen):
    """The machine that times were taken on. `load_average` is over the last minute, or the own
    threads and the others that ran just then, if that was less.
    """

    cpu: str
    cores: int | None
    threads: int
    device: str
    gpu: str | None
    torch: str
    python: str
    platform: str
    load_average: float | None

    @property
    def busy(self) -> bool:
        """Return True if other work used more than a quarter of the cores, see `is_busy`."""
        return is_busy(self.load_average, self.cores or 1, self.threads)


class Latency(Frozen):
    """Times and memory of a model that starts and answers on this machine; `reasons` says why
    something is None.

    `throughput` is by batch size ("1", "32", "256"); `stream_ms` `[T]` are milliseconds until there
    are scores after each step of one image's stream; `start_up_seconds` are those of a fresh
    process until its first answer, and `peak_memory_bytes` its memory then.
    """

    machine: Machine
    precision: str | None = None
    one_image: Times | None = None
    throughput: dict[str, Throughput] | None = None
    joules_per_image: Amount | None = None
    joules_source: str | None = None
    stream_ms: list[Amount] | None = None
    start_up_seconds: Amount | None = None
    peak_memory_bytes: Count | None = None
    reasons: dict[str, str] = {}


# ---- trials


class WeightShapes(Frozen):
    """Shapes by name of all that a network keeps, without single numbers. Twins have the same."""

    shapes: dict[str, list[Count]]


class AddedMeasure(Frozen):
    """A measure from outside the package: `value` is shown in the format `form`, `found` holds the
    whole.
    """

    title: str
    meaning: str
    value: float | None
    form: str
    found: Any = None


class ControlResult(Frozen):
    """Score of one control of a trial; `val_accuracy` on validation, if the control was trained.

    `spikes`: the control is a spiking network. `of_recordings`: the control changed the recordings
    that the contender saw, so that nothing may be left to learn.
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
    """A contender trained with one seed, on one fold. A measure that was not taken is None.

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
        """Return True for a spiking network."""
        return self.family == "snn"

    @property
    def title(self) -> str:
        """Return contender, seed and fold as text."""
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
            choice = self.anytime.early_exit
            exits = [exit.exit_steps for exit in (choice, *choice.curve)] if choice else []
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
    """Return the minutes of training of one seed of all `trials`, in all folds, with their trained
    controls.
    """
    seconds: dict[int, float] = {}
    for trial in trials:
        controls = sum(sum(control.epoch_seconds) for control in trial.controls.values())
        trained = 0.0 if trial.converted_from else sum(trial.epoch_seconds)
        seconds[trial.seed] = seconds.get(trial.seed, 0.0) + trained + controls
    return statistics.fmean(seconds.values()) / 60


def _inside(path: str) -> bool:
    on_systems = (PurePosixPath(path), PureWindowsPath(path))
    return path.isprintable() and not any(
        there.is_absolute() or there.drive or ".." in there.parts for there in on_systems
    )
