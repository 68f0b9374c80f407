"""One training loop for both families, on Lightning Fabric."""

import math
import time
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from spikeduel import files
from spikeduel.data import Split, evaluation_batches, training_batches
from spikeduel.encoders import Draw
from spikeduel.measuring.quality import answers
from spikeduel.models import Model
from spikeduel.progress import Progress
from spikeduel.settings import Experiment

EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Training:
    """How a training went. `stopped`: "limit" of epochs, "early", "nan", or None while it goes on."""

    history: list[dict[str, float]] = field(default_factory=list)
    epoch_seconds: list[float] = field(default_factory=list)
    stopped: str | None = None

    @property
    def best_epoch(self) -> int | None:
        """The first epoch with the highest validation accuracy."""
        accuracies = [epoch["val_accuracy"] for epoch in self.history]
        return accuracies.index(max(accuracies)) if accuracies else None


@dataclass(frozen=True)
class EvaluationBatches:
    """The images of `indices` in order, as often as one iterates."""

    images: Tensor
    labels: Tensor
    indices: np.ndarray

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, np.ndarray]]:
        return iter(evaluation_batches(self.images, self.labels, self.indices, EVALUATION_BATCH))


@dataclass(frozen=True)
class Loop:
    """What a training needs: the model (trained in place), the data set `images` uint8 `[N, C, H, W]` with `labels`
    int64 `[N]`, its split, the rules, where to compute, where to keep the state, whom to tell.
    """

    model: Model
    images: Tensor
    labels: Tensor
    split: Split
    experiment: Experiment
    fabric: Fabric
    checkpoint: Path
    progress: Progress

    def run(self) -> Training:
        """Trains to the end and leaves the model with the weights of its best validation epoch.

        Goes on from the checkpoint where there is one, and writes it after every epoch. All randomness depends on
        seed, epoch and image only, so a resumed training ends in the numbers of an uninterrupted one.
        """
        module = self.model.module
        # Momenta and epsilon are torch's defaults, as in the study.
        optimizer = torch.optim.Adam(module.parameters(), lr=self.experiment.learning_rate, fused=True)
        network, optimizer = self.fabric.setup(module, optimizer)
        validation = EvaluationBatches(self.images, self.labels, self.split.val)
        best_weights: dict[str, Tensor] = {}
        training = Training()
        if (saved := read_checkpoint(self.checkpoint)) is not None:
            module.load_state_dict(saved["weights"])
            optimizer.load_state_dict(saved["optimizer"])
            best_weights, training = saved["best_weights"], Training(**saved["training"])
            self.progress.say(f"  {self._name}: goes on after epoch {len(training.history)}")

        num_batches = math.ceil(len(self.split.train) / self.experiment.batch_size)
        steps = range(len(training.history) * num_batches, self.experiment.epochs * num_batches)
        ticks = iter(self.progress.track(steps, f"  {self._name}"))
        try:
            while training.stopped is None:
                epoch = len(training.history)
                started = time.perf_counter()
                loss, accuracy = self._epoch(epoch, network, optimizer, ticks)
                seconds = time.perf_counter() - started
                # NaN weights before a neuron can leave the loss finite: it just never spikes.
                if not (math.isfinite(loss) and all(bool(weights.isfinite().all()) for weights in module.parameters())):
                    training = Training(training.history, training.epoch_seconds, "nan")
                    break
                with self.fabric.autocast():
                    seen = answers(self.model, validation)
                entry = {
                    "train_loss": loss,
                    "train_accuracy": accuracy,
                    "val_loss": seen.loss,
                    "val_accuracy": seen.accuracy,
                }
                history = [*training.history, entry]
                training = Training(history, [*training.epoch_seconds, seconds], stopped(history, self.experiment))
                if training.best_epoch == epoch:
                    best_weights = {name: value.detach().clone() for name, value in module.state_dict().items()}
                state = {
                    "weights": module.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "best_weights": best_weights,
                    "training": asdict(training),
                }
                with files.atomic_path(self.checkpoint) as temporary:
                    torch.save(state, temporary)
                self.progress.say(
                    f"  {self._name}, epoch {epoch + 1}/{self.experiment.epochs}: {seconds:.1f} s, loss {loss:.3f}, "
                    f"accuracy {accuracy:.1%}; validation loss {seen.loss:.3f}, accuracy {seen.accuracy:.1%}"
                )
        finally:
            if isinstance(ticks, Generator):
                # Takes the bar away, also where training stops early or is interrupted.
                ticks.close()

        if best_weights:
            module.load_state_dict(best_weights)
        module.eval()
        return training

    @property
    def _name(self) -> str:
        return f"{self.model.card.contender}, seed {self.model.card.seed}"

    def _epoch(self, epoch: int, network: Any, optimizer: Any, ticks: Iterator[int]) -> tuple[float, float]:
        """One pass over the training images: mean loss and accuracy, as they were while it trained."""
        seed, device, readout = self.model.card.seed, self.fabric.device, self.model.readout
        train, batch_size = self.split.train, self.experiment.batch_size
        total_loss = torch.zeros((), dtype=torch.float64, device=device)
        total_right = torch.zeros((), dtype=torch.int64, device=device)
        batches = training_batches(self.images, self.labels, train, batch_size, seed, epoch)
        network.train()
        with torch.random.fork_rng():
            # For architectures that draw by themselves, such as dropout.
            torch.manual_seed(seed * 1_000_003 + epoch)
            for (images, labels, indices), _ in zip(batches, ticks, strict=False):
                labels = labels.to(device)
                with self.fabric.autocast():
                    x = self.model.encode(images.to(device), Draw.for_training(seed, epoch, indices))
                output = network(x)
                loss = readout.loss(output, labels)
                optimizer.zero_grad()
                self.fabric.backward(loss)
                optimizer.step()
                with torch.no_grad():
                    # Summed where they are: reading a number would make the device wait at every step.
                    total_loss += loss * len(labels)
                    total_right += (readout.scores(output).argmax(1) == labels).sum()
        return float(total_loss) / len(train), float(total_right) / len(train)


def stopped(history: list[dict[str, float]], experiment: Experiment) -> str | None:
    """ "early" after `patience` consecutive epochs whose validation loss is not at least `min_delta` below the best so
    far (a smaller improvement does not move that best), "limit" after `epochs`, else None.
    """
    best, stale = math.inf, 0
    for entry in history:
        if entry["val_loss"] <= best - experiment.min_delta:
            best, stale = entry["val_loss"], 0
        else:
            stale += 1
    if stale >= experiment.patience:
        return "early"
    return "limit" if len(history) >= experiment.epochs else None


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """The state after the last finished epoch, or None where there is none or it cannot be read."""
    try:
        return torch.load(path, weights_only=True)
    except FileNotFoundError:
        return None
    except Exception:  # whatever is wrong with it, training anew is right
        return None
