"""Whether a written file gives the model's answers: both are run on the same images."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from spikeduel.exchange.exporting.runs import Batch, Run, Runner, flip_sizes, reference_run
from spikeduel.networks.models import Model
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.system.progress import Progress

SAME_LABEL = 0.999
"""The least share of images that must get the same label."""
SCORE_TOLERANCE = 1e-4
"""The largest difference of a score where no spike flipped."""
FLIPPED_SPIKES = 1e-3
"""The largest share of spikes that may flip: rounding flips a few in a million, another network many."""
BATCH = 50


class _Agreement:
    """What is counted over the batches of one program's runs."""

    def __init__(self, flip_sizes: dict[str, float]) -> None:
        self.flip_sizes = flip_sizes
        self.same, self.right, self.n = 0, 0, 0
        self.flipped, self.compared, self.images_with_flips = 0, 0, 0
        self.largest: float | None = None

    def add(self, ours: Run, theirs: Run, labels: np.ndarray) -> None:
        answers = theirs.scores.argmax(1)
        self.n += len(labels)
        self.same += int((answers == ours.scores.argmax(1)).sum())
        self.right += int((answers == labels).sum())
        with_flips = np.zeros(len(labels), bool)
        for name, size in self.flip_sizes.items():
            flips = np.abs(ours.spikes[name] - theirs.spikes[name]) > size
            self.flipped += int(flips.sum())
            self.compared += flips.size
            with_flips |= flips.any(axis=(0, *range(2, flips.ndim)))
        self.images_with_flips += int(with_flips.sum())
        if not with_flips.all():
            differences = np.abs(ours.scores - theirs.scores)[~with_flips]
            # Scores that are not numbers differ beyond all tolerance.
            largest = float(np.nan_to_num(differences, nan=np.inf).max())
            self.largest = max(largest, self.largest or 0.0)

    def found(self) -> dict[str, Any]:
        same = self.same / self.n
        close = self.largest is None or self.largest <= SCORE_TOLERANCE
        return {
            "ok": same >= SAME_LABEL and close and self.flipped <= FLIPPED_SPIKES * self.compared,
            "same_label": same,
            "largest_score_difference": self.largest if self.largest is None or np.isfinite(self.largest) else None,
            "spikes_flipped": self.flipped if self.flip_sizes else None,
            "spikes_compared": self.compared if self.flip_sizes else None,
            "images_with_flips": self.images_with_flips if self.flip_sizes else None,
            "accuracy": self.right / self.n,
        }


def compared(
    model: Model, runners: Mapping[str, Runner], images: np.ndarray, labels: np.ndarray, progress: Progress
) -> dict[str, Any]:
    """How far each of `runners` agrees with `model` on `images` uint8 `[N, C, H, W]`: `{accuracy, programs{…}}`.

    The model computes in float32, and random encodings draw by the images' content; all get the same encoded images.
    """
    counted = {name: _Agreement(flip_sizes(model.module)) for name in runners}
    right = 0
    for batch, truth in progress.track(_batches(model, images, labels), "checking", -(-len(labels) // BATCH)):
        ours = reference_run(model, batch)
        right += int((ours.scores.argmax(1) == truth).sum())
        for name, run in runners.items():
            counted[name].add(ours, run(batch), truth)
    return {
        "accuracy": right / len(labels),
        "programs": {name: agreement.found() for name, agreement in counted.items()},
    }


def accuracy(model: Model, images: np.ndarray, labels: np.ndarray) -> float:
    """The share of `images` that `model` labels rightly."""
    batches = _batches(model, images, labels)
    return sum(int((reference_run(model, b).scores.argmax(1) == y).sum()) for b, y in batches) / len(labels)


def _batches(model: Model, images: np.ndarray, labels: np.ndarray) -> Iterable[tuple[Batch, np.ndarray]]:
    for start in range(0, len(labels), BATCH):
        part = torch.from_numpy(images[start : start + BATCH])
        yield Batch(part, model.encode(part, RandomKeys.for_content(part))), labels[start : start + BATCH]
