"""Training loop of spiking and other networks."""

import hashlib
import io
import math
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spikeduel.data import Split, on_device, training_batches
from spikeduel.data.events.recordings import Recordings
from spikeduel.data.loader import EvaluationBatches, ImageArrays
from spikeduel.engine.networks.models import Model, WithoutSpikes
from spikeduel.engine.networks.training_step import TrainingRules, TrainingStep
from spikeduel.engine.random_keys import RandomKeys, seeded
from spikeduel.evaluation.measures import measured_after_epochs
from spikeduel.evaluation.predictions_of_model import predict_in_one_pass
from spikeduel.experiment.settings import Experiment
from spikeduel.system import files, hardware
from spikeduel.system.numbers import per_cent
from spikeduel.system.progress import Progress
from spikeduel.system.sentences import counted
from spikeduel.training.augmenting import Augmenter, augmenter_of
from spikeduel.training.contenders import renews_statistics, shapes_of

MIN_DELTA = 0.01
"""Smallest improvement of the validation loss that resets `patience`."""


@dataclass(frozen=True)
class Training:
    """Course of a training. `stopped` is "limit" (of epochs), "early", "nan", or None if
    unfinished.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    epoch_seconds: list[float] = field(default_factory=list)
    stopped: str | None = None
    keeps_last: bool = False
    """True if the last epoch's weights are kept, since the learning rate falls to 0."""
    after_epochs: dict[str, list[Any]] = field(default_factory=dict)
    """Values that features measured on test images after each epoch, not read in training."""
    threads: int = field(default_factory=torch.get_num_threads)
    """Threads of the training; on a CPU their number changes how sums are rounded."""
    relu_epochs: int = 0
    """First epochs of a spiking network with ReLU for its neurons; none of them is kept."""

    @property
    def best_epoch(self) -> int | None:
        """Epoch whose weights are kept: the first with the highest validation accuracy, or the
        last.
        """
        accuracies = [epoch["val_accuracy"] for epoch in self.history[self.relu_epochs :]]
        if not accuracies:
            return None
        best = len(accuracies) - 1 if self.keeps_last else accuracies.index(max(accuracies))
        return self.relu_epochs + best


def curve(history: Sequence[dict[str, float]], seconds: Sequence[float]) -> list[dict[str, float]]:
    """Return epochs with their `seconds` for `Progress.epoch`."""
    return [
        {**epoch, "epoch_seconds": second} for epoch, second in zip(history, seconds, strict=False)
    ]


@dataclass(frozen=True, eq=False)
class Loop:
    """A training loop: the model (trained in place), `images` and `labels` as in `Prepared.arrays`,
    split and checkpoint. `relu_epochs` as in `Training`.
    """

    model: Model
    images: ImageArrays
    labels: Tensor
    split: Split
    experiment: Experiment
    checkpoint: Path
    progress: Progress
    relu_epochs: int = 0

    @cached_property
    def augmenter(self) -> Augmenter:
        return augmenter_of(self.experiment.augmentation, isinstance(self.images, Recordings))

    def run(self) -> Training:
        """Train to the end, or on from the checkpoint; the model gets the weights of
        `Training.best_epoch`. Randomness depends on seed, epoch and image only, and the threads are
        those of the checkpoint, so a resumed training ends in the same numbers.
        """
        module, num_epochs = self.model.module, self.experiment.num_epochs
        title = self.model.card.title
        num_batches = math.ceil(len(self.split.train) / self.experiment.decided_batch_size)
        step: TrainingStep | None = None
        best_weights: dict[str, Tensor] = {}
        training = Training(
            keeps_last=not self.experiment.constant_rate,
            relu_epochs=self.relu_epochs,
        )
        if (saved := self._saved()) is not None:
            module.load_state_dict(saved["weights"])
            best_weights = saved["best_weights"] or saved["weights"]
            training = Training(**saved["training"])
            threads = self._take_threads(training)
            self.progress.say(f"  {title}: goes on after epoch {len(training.history)}{threads}")

        steps = range(len(training.history) * num_batches, num_epochs * num_batches)
        ticks = iter(self.progress.track(steps, f"  {title}"))
        try:
            while training.stopped is None:
                started = time.perf_counter()
                if step is None or len(training.history) == training.relu_epochs:
                    step, saved = self._begun(training, num_batches, saved, step), None
                step.model = self._trained(training)
                scores = self._epoch(len(training.history), step, ticks)
                seconds = time.perf_counter() - started
                training = self._judged(training, step.model, *scores, seconds)
                if training.stopped == "nan":
                    break
                if is_best := training.best_epoch == len(training.history) - 1:
                    best_weights = _copied(module.state_dict())
                state = {
                    "weights": module.state_dict(),
                    "optimizer": step.optimizer.state_dict(),
                    # The best epoch's weights are not written twice.
                    "best_weights": {} if is_best else best_weights,
                    "training": asdict(training),
                }
                write_checkpoint(self.checkpoint, state)
                epochs = curve(training.history, training.epoch_seconds)
                self.progress.epoch(title, epochs, num_epochs)
                last = epochs[-1]
                self.progress.detail(
                    f"  {title}, epoch {len(epochs)}/{num_epochs}: {last['epoch_seconds']:.1f} s, "
                    f"loss {last['train_loss']:.3f}, accuracy {per_cent(last['train_accuracy'])}; "
                    f"validation loss {last['val_loss']:.3f}, accuracy "
                    f"{per_cent(last['val_accuracy'])}"
                )
        finally:
            if isinstance(ticks, Generator):
                # Takes the bar away, even if interrupted.
                ticks.close()

        if best_weights:
            module.load_state_dict(best_weights)
        module.eval()
        return training

    def _begun(
        self,
        training: Training,
        num_batches: int,
        saved: dict[str, Any] | None,
        before: TrainingStep | None,
    ) -> TrainingStep:
        """Return the step of the next epochs: those with ReLU, and those with spikes, have an
        optimizer and a schedule of their own. `saved` is a checkpoint, `before` the last step.
        """
        epoch, model, epochs = len(training.history), self.model, training.relu_epochs
        if epoch >= epochs:
            epochs = self.experiment.num_epochs - epochs
        if before is not None:
            before.end()
        if epoch == training.relu_epochs > 0:
            saved = None
            for name, count in model.module.named_buffers():
                if name.endswith("num_batches_tracked"):
                    count.zero_()  # spikes have statistics of their own
        rules = rules_of(self.experiment)
        step = TrainingStep(self._trained(training), rules, epochs * num_batches)
        if saved is not None:
            step.optimizer.load_state_dict(saved["optimizer"])
        return step

    def _trained(self, training: Training) -> Model:
        """Return the model of the next epoch: with ReLU, or as it is."""
        model = self.model
        if len(training.history) < training.relu_epochs:
            return WithoutSpikes(model.module, model.card, model.precision)
        return model

    def _judged(
        self, training: Training, model: Model, loss: float, accuracy: float, seconds: float
    ) -> Training:
        # NaN weights before a neuron can leave the loss finite: it never spikes.
        weights = self.model.module.parameters()
        if not (math.isfinite(loss) and all(bool(weight.isfinite().all()) for weight in weights)):
            return replace(training, stopped="nan")
        with seeded(self.model.card.seed):
            seen = predict_in_one_pass(
                model, EvaluationBatches(self.images, self.labels, self.split.val)
            )
        scores = {"train_loss": loss, "train_accuracy": accuracy}
        scores |= {"val_loss": seen.loss, "val_accuracy": seen.accuracy}
        history = [*training.history, scores]
        tested = self._tested_after_epoch()
        return replace(
            training,
            history=history,
            epoch_seconds=[*training.epoch_seconds, seconds],
            stopped=stopped(history, self.experiment, training.relu_epochs),
            after_epochs={
                name: [*training.after_epochs.get(name, ()), value]
                for name, value in tested.items()
            },
        )

    def _tested_after_epoch(self) -> dict[str, Any]:
        """Return what features measure on test images after an epoch, with network and random
        generators restored.
        """
        values = {}
        for name, measure in measured_after_epochs(self.experiment).items():
            before = _copied(self.model.module.state_dict())
            # In the precision of the final predictions, not that of the training.
            model = Model(self.model.module, self.model.card)
            with seeded(self.model.card.seed):
                test = EvaluationBatches(self.images, self.labels, self.split.test)
                values[name] = measure(model, test)
            self.model.module.load_state_dict(before)
        return values

    def _take_threads(self, training: Training) -> str:
        """Compute with the threads of `training` from now on; return words if they were others."""
        if not self._has_threads or training.threads == torch.get_num_threads():
            return ""
        torch.set_num_threads(training.threads)
        return f", with {counted(training.threads, 'thread')} as before: numbers depend on that"

    @property
    def _has_threads(self) -> bool:
        """True if the numbers depend on the threads."""
        return self.model.device.type == "cpu"

    def _saved(self) -> dict[str, Any] | None:
        saved = read_checkpoint(self.checkpoint, self.model.device)
        threads = Training(**saved["training"]).threads if saved else 0
        # A user's architecture may import changed code that its key does not see.
        if saved is None:
            why = "is damaged"
        elif shapes_of(saved["weights"]) != shapes_of(self.model.module.state_dict()):
            why = "is of another network"
        elif self._has_threads and not hardware.may_compute_on(threads):
            why = (
                f"was computed with {counted(threads, 'thread')}, this training has "
                f"{torch.get_num_threads()}, and numbers depend on that"
            )
        else:
            return saved
        if self.checkpoint.exists():
            self.progress.say(f"  {self.model.card.title}: its checkpoint {why}, so it begins anew")
        return None

    def _epoch(self, epoch: int, step: TrainingStep, ticks: Iterator[int]) -> tuple[float, float]:
        seed, device = self.model.card.seed, self.model.device
        train, batch_size = self.split.train, self.experiment.decided_batch_size
        total_loss = torch.zeros((), dtype=hardware.widest(device), device=device)
        num_images, altered = 0, self.augmenter.altered(self.images, seed, epoch)
        batches = training_batches(altered, self.labels, train, batch_size, seed, epoch)
        step.module.train()
        with closing(batches), seeded(seed * 1_000_003 + epoch):
            for (images, labels, indices), _ in zip(
                on_device(batches, device), ticks, strict=False
            ):
                keys = RandomKeys.for_augmentation(seed, epoch, indices)
                images = self.augmenter(images, keys)
                training_keys = RandomKeys.for_training(seed, epoch, indices)
                loss = step(images, labels, training_keys)
                total_loss += loss * len(labels)
                num_images += len(labels)
            if renews_statistics(self.model.module, self.experiment, len(train)):
                step.renew_statistics(self._unaltered(epoch))
        return float(total_loss) / num_images, step.num_right() / num_images

    def _unaltered(self, epoch: int) -> Iterator[tuple[Tensor, RandomKeys]]:
        """Yield all training images in batches, without augmentation, with keys."""
        seed, train = self.model.card.seed, self.split.train
        batch_size = self.experiment.decided_batch_size
        batches = training_batches(self.images, self.labels, train, batch_size, seed, epoch)
        with closing(batches):
            for images, _, indices in on_device(batches, self.model.device):
                yield images, RandomKeys.for_training(seed, epoch, indices)


def _copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in state.items()}


def rules_of(experiment: Experiment) -> TrainingRules:
    return TrainingRules(
        optimizer=experiment.optimizer,
        learning_rate=experiment.learning_rate,
        weight_decay=experiment.weight_decay,
        schedule="constant" if experiment.constant_rate else "linear",
        label_smoothing=experiment.label_smoothing,
        weight_bits=experiment.weight_bits,
        spike_penalty=experiment.spike_penalty or 0.0,
    )


def stopped(
    history: Sequence[dict[str, float]], experiment: Experiment, relu_epochs: int = 0
) -> str | None:
    """Return "limit" after `num_epochs`, "early" after `patience` epochs whose validation loss is
    not `MIN_DELTA` below the best (smaller improvements do not move it), else None. The first
    `relu_epochs` do not count for `patience`.
    """
    best, stale = math.inf, 0
    for entry in history[relu_epochs:]:
        if entry["val_loss"] <= best - MIN_DELTA:
            best, stale = entry["val_loss"], 0
        else:
            stale += 1
    if experiment.patience is not None and stale >= experiment.patience:
        return "early"
    return "limit" if len(history) >= experiment.num_epochs else None


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write the state after an epoch, atomically, with a checksum, which torch's format lacks."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    with files.atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(buffer.getbuffer())
        file.write(hashlib.sha256(buffer.getbuffer()).digest())


def read_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any] | None:
    """Return the state after the last finished epoch, on `device`; None if absent or unreadable."""
    try:
        content = memoryview(path.read_bytes())
        size = hashlib.sha256().digest_size
        whole = hashlib.sha256(content[:-size]).digest() == content[-size:]
        return torch.load(io.BytesIO(content[:-size]), device, weights_only=True) if whole else None
    except Exception:  # whatever is wrong with it, training anew is right
        return None
