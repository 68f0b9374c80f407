"""Types of a trial and its measures; whether a training has converged."""

import math
import statistics
from collections.abc import Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Literal

from msgspec import field

from spikeduel.engine.counting.operations import Operations
from spikeduel.engine.networks.cards import CallConvention
from spikeduel.results.cost_results import Energy
from spikeduel.statistics import accuracy
from spikeduel.system.load import is_busy
from spikeduel.system.negligible import MAX_LOSS_FALL, MAX_RISE, MAX_TRAINING_RATIO
from spikeduel.system.registry import NetworkKind
from spikeduel.system.typed import Amount, Count, Frozen, Positive, Share


class Epoch(Frozen):
    """Scores of an epoch; training scores are means over it."""

    val_loss: float
    val_accuracy: Share
    train_loss: float | None = None
    train_accuracy: Share | None = None

    @property
    def validation(self) -> "Score":
        return Score(accuracy=self.val_accuracy, loss=self.val_loss)


class Score(Frozen):
    """Accuracy and loss on validation images."""

    accuracy: Share
    loss: float | None = None


class ClassScores(Frozen):
    """Scores of one class; `support`: its number of images."""

    name: str = field(name="class")
    precision: Share
    recall: Share
    f1: Share
    support: Count


MAX_IN_MATRIX = 128
"""Classes up to which a confusion matrix is kept whole: it grows with their square."""


class ByClass(Frozen):
    """Numbers of test images of each class, of predictions of the class, and of right ones,
    `[K]` each.
    """

    images: list[Count]
    predictions: list[Count]
    right: list[Count]


class Scores(Frozen):
    """Accuracy on `n` images, and macro averages over classes.

    `confusion` `[K, K]`: images, rows the truth; for more than `MAX_IN_MATRIX` classes its cells
    that are not 0, `[N, 3]`: true class, prediction, images. `tie_share`: labels that a tie-break
    decided; `computed_in`: "32" or "bf16".
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

    def __post_init__(self) -> None:
        classes = set(range(len(self.per_class)))
        if any({truth, predicted} - classes for truth, predicted, _ in self.cells):
            raise ValueError("confusion has images of no class")

    @property
    def cells(self) -> list[tuple[int, int, int]]:
        """The confusion matrix as (true class, prediction, images), without zeros."""
        if len(self.per_class) > MAX_IN_MATRIX:
            return [(truth, predicted, images) for truth, predicted, images in self.confusion]
        return [
            (truth, predicted, images)
            for truth, row in enumerate(self.confusion)
            for predicted, images in enumerate(row)
            if images
        ]

    @property
    def by_class(self) -> ByClass:
        images, predictions, right = ([0] * len(self.per_class) for _ in range(3))
        for truth, predicted, count in self.cells:
            images[truth] += count
            predictions[predicted] += count
            right[truth] += count * (truth == predicted)
        return ByClass(images=images, predictions=predictions, right=right)

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the recalls of the classes with images."""
        counts = self.by_class
        return float(accuracy(counts.images, counts.right, balanced=True))


class Classification(Scores, kw_only=True):
    """`Scores` with the true and predicted class of every image."""

    truth: list[Count]
    predicted: list[Count]

    def scores(self) -> Scores:
        return Scores(**{name: getattr(self, name) for name in Scores.__struct_fields__})


class EncodingDeviation(Frozen):
    """Accuracies under other draws of a random encoding."""

    accuracies: list[Share] | None = None
    standard_deviation: Amount | None = None


class Test(Scores):
    """Scores and further measures on test images."""

    encoding_deviation: EncodingDeviation | None = None


class Confidences(Frozen):
    """Probabilities of N images: of the `given` label, and the `highest`, of class `best`."""

    given: list[Share]
    best: list[Count]
    highest: list[Share]


class LabelConfidences(Frozen):
    """Confidences on validation and test images, to check labels."""

    validation: Confidences
    test: Confidences


class Leaving(Frozen):
    """Early exit at a `threshold` of calibrated probability (None: after all steps); `exit_steps`
    `[T]`: images that leave at each step.
    """

    threshold: Share | None
    mean_steps: Amount
    accuracy: Share
    exit_steps: list[Count]


class ExitChoice(Frozen):
    """Evidence for a threshold on `n` validation images.

    `most_lost`: upper bound of the accuracy lost, with the confidence asked for; `fewest`: images
    that would show the tolerance if none changed.
    """

    n: Count
    mean_steps: Amount
    accuracy: Share
    most_lost: Share | None = None
    fewest: Count | None = None


class EarlyExit(Leaving):
    """Early exit at the threshold chosen on validation; `curve` has every threshold.

    `confidence`: required that leaving costs at most `tolerance`.
    """

    tolerance: Share
    validation: ExitChoice
    curve: list[Leaving]
    confidence: Share | None = None


class Received(Frozen):
    """Mean milliseconds and events of recordings by the end of each frame `[T]`."""

    milliseconds: list[Amount]
    events: list[Amount]


class Anytime(Frozen):
    """Accuracies after each of T steps; all None without steps."""

    num_steps: Positive | None = None
    n: Count | None = None
    accuracies: list[Share] | None = None
    early_exit: EarlyExit | None = None
    received: Received | None = None


class Times(Frozen):
    """Milliseconds of `n` predictions; `p95_ms` is None for few."""

    median_ms: Amount
    p95_ms: Amount | None
    n: Count


class Throughput(Times):
    """Times of batches of `batch_size` images."""

    batch_size: Positive
    images_per_second: Amount


class Machine(Frozen):
    """Machine that was timed; `load_average`: threads that ran."""

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
        """True if other work used more than a quarter of the cores."""
        return is_busy(self.load_average, self.cores or 1, self.threads)


class Latency(Frozen):
    """Times and memory of inference on this machine; `reasons`: why a value is None.

    `throughput`: by batch size ("1", "32", "256"); `stream_ms` `[T]`: until scores after each step;
    `start_up_seconds`, `peak_memory_bytes`: of a fresh process until its first prediction.
    """

    machine: Machine
    precision: str | None = None
    one_image: Times | None = None
    throughput: dict[str, Throughput] | None = None
    stream_ms: list[Amount] | None = None
    start_up_seconds: Amount | None = None
    peak_memory_bytes: Count | None = None
    reasons: dict[str, str] = {}


class WeightShapes(Frozen):
    """Shapes of all weights but single numbers, by name. Twins have the same."""

    shapes: dict[str, list[Count]]


class AddedMeasure(Frozen):
    """A measure from outside the package: `value` is shown as `form`; `found` holds the whole."""

    title: str
    meaning: str
    value: float | None
    form: str
    found: Any = None


class VariantAbout(Frozen):
    """Description of a variant of a trial; `paired`: predictions of the trial's own network, seed
    by seed; `of_recordings`: it changed the recordings; `compressed`: it is a cheaper network;
    `feature`: the one that it belongs to.
    """

    title: str
    meaning: str
    spikes: bool = False
    paired: bool = False
    of_recordings: bool = False
    compressed: bool = False
    feature: str = ""


class MissingVariant(VariantAbout, kw_only=True):
    """A variant that was not measured, and the `reason`."""

    reason: str


INT8 = "int8"
"""Variant: the trained network in int8."""


class Int8Result(Frozen):
    """Cost of a network in int8: bytes of constants (`flash`) and variables (`ram`), and
    mean `operations` per inference: weights that a value above 0 multiplies, or a spike adds.
    """

    flash: Count
    ram: Count
    operations: Amount


class CascadeExit(Frozen):
    """Two compressed variants: `first` predicts, and where its highest calibrated probability is
    below `threshold`, `then` does, a `share` of the test images. Chosen on validation images.
    `deciding_ms`: time of the comparison.
    """

    first: str
    then: str
    threshold: Share
    share: Share
    deciding_ms: Amount | None = None


class TemporalExit(Frozen):
    """A variant with an early exit: at the first step after which its highest calibrated
    probability reaches `threshold`, chosen on validation images.

    `shares` `[T]`: of test images that leave after each step; `operations` `[T]`: of their
    inferences, None where none leaves.
    """

    source: str
    threshold: Share
    shares: list[Share]
    operations: list[Operations | None]

    @property
    def mean_steps(self) -> float:
        return sum(step * share for step, share in enumerate(self.shares, 1))


class VariantResult(VariantAbout, kw_only=True):
    """Score of a variant; `val_accuracy` if it was trained. `one_image_ms`: median time of an
    inference, if measured on an idle machine. `model`: path of a variant in the run's folder.
    """

    n: Count
    accuracy: Share
    by_class: ByClass
    num_steps: Positive | None = None
    bits: Positive | None = None
    weight_bits: Positive | None = None
    parameters: Count | None = None
    epochs: Count | None = None
    epoch_seconds: list[Amount] = []
    key: str | None = None
    val_accuracy: Share | None = None
    operations: Operations | None = None
    energy: Energy | None = None
    not_counted: str | None = None
    int8: Int8Result | None = None
    early: CascadeExit | None = None
    temporal_exit: TemporalExit | None = None
    one_image_ms: Amount | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        if self.model is not None and not is_inside(self.model):
            raise ValueError("model must be a path within the run's folder")

    @property
    def asks(self) -> list[str]:
        """Variants whose predictions it uses, in the order in which they predict."""
        if self.early is not None:
            return [self.early.first, self.early.then]
        return [] if self.temporal_exit is None else [self.temporal_exit.source]


class Trial(Frozen):
    """A contender trained with one seed on one fold; None if not measured.

    Epochs count from 0. `threads`: of training, which change how sums are rounded. `model`: path in
    the run's folder. `relu_epochs`: first `epochs` of a spiking contender with ReLU for its
    neurons; `converged`: as
    `has_converged` says, and the predictions are better than chance; `pretrained`: foreign weights
    it starts from; `measured`: values that features measured, by name. A converted contender has
    the `epochs` and `epoch_seconds` of its source.
    """

    contender: str
    kind: NetworkKind
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
    foreign: CallConvention | None = None
    derived_from: str | None = None
    relu_epochs: Count = 0
    converged: bool | None = None
    pretrained: str | None = None
    weight_shapes: dict[str, list[Count]] | None = None
    operations: Operations | None = None
    energy: Energy | None = None
    not_counted: str | None = None
    latency: Latency | None = None
    anytime: Anytime | None = None
    measured: dict[str, Any] = {}
    measures: dict[str, AddedMeasure] = {}
    failed_measures: dict[str, str] = {}
    variants: dict[str, VariantResult] = {}
    missing_variants: dict[str, MissingVariant] = {}

    @property
    def spiking(self) -> bool:
        return self.kind == "snn"

    @property
    def title(self) -> str:
        return f"{self.contender}, seed {self.seed}" + (
            "" if self.fold is None else f", fold {self.fold}"
        )

    def __post_init__(self) -> None:
        if self.status == "done" and (self.model is None or self.validation is None):
            raise ValueError("a finished trial has a model and a validation score")
        if self.best_epoch is not None and self.best_epoch >= len(self.history):
            raise ValueError("best_epoch is not an epoch of the history")
        if self.model is not None and not is_inside(self.model):
            raise ValueError("model must be a path within the run's folder")


LAST_EPOCHS = 0.25
"""Share of the epochs: validation accuracy that rises in these last ones asks for more."""


def has_converged(history: Sequence[Epoch], num_classes: int) -> bool:
    """Return True if validation reached a plateau that is better than chance: in the last quarter
    of the epochs the highest accuracy rose by less than a point and the lowest loss fell by less
    than 0.05, and that loss is below the loss of equal probabilities. False with fewer than four
    epochs.
    """
    last = math.ceil(LAST_EPOCHS * len(history))
    if len(history) < 1 / LAST_EPOCHS:
        return False
    accuracies = [epoch.val_accuracy for epoch in history]
    losses = [epoch.val_loss for epoch in history]
    rise = max(accuracies[-last:]) - max(accuracies[:-last])
    fall = min(losses[:-last]) - min(losses[-last:])
    return rise < MAX_RISE and fall < MAX_LOSS_FALL and min(losses) < math.log(num_classes)


def times_as_long(trials: Sequence[Trial], others: Sequence[Trial], by_time: bool) -> float | None:
    """Return how many times as many epochs, or seconds (`by_time`), `trials` trained as `others`;
    None if not more than `MAX_TRAINING_RATIO`, or if the others stopped early: they had no use for
    more.
    """
    epochs, seconds = (
        [sum(map(amount, trained)) / max(1, len(trained)) for trained in (trials, others)]
        for amount in (lambda trial: trial.epochs, lambda trial: sum(trial.epoch_seconds))
    )
    leader, other = seconds if by_time and epochs[0] != epochs[1] else epochs
    if (
        not other
        or leader <= MAX_TRAINING_RATIO * other
        or all(trial.stopped == "early" for trial in others)
    ):
        return None
    return leader / other


def minutes_a_seed(trials: Sequence[Trial]) -> float:
    """Return the training minutes of one seed in all folds, with trained variants."""
    seconds: dict[int, float] = {}
    for trial in trials:
        variants = sum(sum(variant.epoch_seconds) for variant in trial.variants.values())
        trained = 0.0 if trial.derived_from else sum(trial.epoch_seconds)
        seconds[trial.seed] = seconds.get(trial.seed, 0.0) + trained + variants
    return statistics.fmean(seconds.values()) / 60


def is_inside(path: str) -> bool:
    """Return True for a path that cannot lead out of its folder, on any system."""
    on_systems = (PurePosixPath(path), PureWindowsPath(path))
    return path.isprintable() and not any(
        there.is_absolute() or there.drive or ".." in there.parts for there in on_systems
    )
