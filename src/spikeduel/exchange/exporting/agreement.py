"""Whether a written file gives the model's answers: model and programs are run on the same images, and compared."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spikeduel.networks.models import Model
from spikeduel.spiking import ConstantInput
from spikeduel.spiking.neurons import Neuron, QuantisedReLU, ReLU
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.system.progress import Progress
from spikeduel.system.typed import Frozen

SAME_LABEL = 0.999
"""The least share of images that must get the same label."""
SCORE_TOLERANCE = 1e-4
"""The largest difference of a score where no spike flipped."""
FLIPPED_SPIKES = 1e-3
"""The largest share of spikes that may flip: rounding flips a few in a million, another network many."""
BATCH = 50


@dataclass(frozen=True)
class Run:
    """What came out for some images: `scores` `[B, K]`, and the spikes of each layer of neurons `[T, B, …]`."""

    scores: np.ndarray
    spikes: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """Prepared `images` uint8 `[B, C, H, W]`, and `encoded`: what the network takes for them."""

    images: Tensor
    encoded: Tensor | ConstantInput

    @property
    def frames(self) -> Tensor:
        """What the network sees at each step: `[T, B, C, H, W]`."""
        return self.encoded.expand() if isinstance(self.encoded, ConstantInput) else self.encoded


Runner = Callable[[Batch], Run]
"""A program that has read a written file, ready to run it."""


class Agreement(Frozen):
    """How far one program agrees with the model. Shares are fractions of images; spikes are None if nothing can flip.

    `largest_score_difference` is over the images without flipped spikes: None if there are none, or if a score is not a
    number (then `ok` is false).
    """

    ok: bool
    same_label: float
    largest_score_difference: float | None
    spikes_flipped: int | None
    spikes_compared: int | None
    images_with_flips: int | None
    accuracy: float


def compared(
    model: Model, runners: Mapping[str, Runner], images: np.ndarray, labels: np.ndarray, progress: Progress
) -> tuple[float, dict[str, Agreement]]:
    """The accuracy of `model` on `images` uint8 `[N, C, H, W]`, and how far each of `runners` agrees with it there.

    The model computes in float32, and random encodings draw by the images' content; all get the same encoded images.
    """
    flip_sizes = _flip_sizes(model.module)
    by_image: dict[str, list[np.ndarray]] = {name: [] for name in runners}
    right, num_spikes = 0, 0
    for batch, truth in progress.track(_batches(model, images, labels), "checking", -(-len(labels) // BATCH)):
        expected = reference_run(model, batch)
        right += int((expected.scores.argmax(1) == truth).sum())
        num_spikes += sum(expected.spikes[name].size for name in flip_sizes)
        for name, run in runners.items():
            by_image[name].append(_by_image(expected, run(batch), truth, flip_sizes))
    spikes = num_spikes if flip_sizes else None
    return right / len(labels), {name: _agreement(np.concatenate(parts), spikes) for name, parts in by_image.items()}


def _by_image(expected: Run, run: Run, labels: np.ndarray, flip_sizes: Mapping[str, float]) -> np.ndarray:
    """`[B, 4]`: same label as expected, right label, flipped spikes, largest difference of a score."""
    answers = run.scores.argmax(1)
    flips = np.zeros(len(labels), np.int64)
    for name, size in flip_sizes.items():
        flipped = np.abs(expected.spikes[name] - run.spikes[name]) > size
        flips += flipped.sum(axis=(0, *range(2, flipped.ndim)))
    # Scores that are not numbers differ beyond all tolerance.
    differences = np.nan_to_num(np.abs(expected.scores - run.scores), nan=np.inf).max(1)
    return np.stack([answers == expected.scores.argmax(1), answers == labels, flips, differences], 1)


def _agreement(by_image: np.ndarray, num_spikes: int | None) -> Agreement:
    """Of all images, see `_by_image`; `num_spikes` were compared, None if nothing can flip."""
    same, right, flips, differences = by_image.astype(np.float64).T
    without_flips = differences[flips == 0]
    largest = float(without_flips.max()) if len(without_flips) else 0.0
    flipped, enough_same = int(flips.sum()), same.mean() >= SAME_LABEL
    return Agreement(
        ok=bool(enough_same and largest <= SCORE_TOLERANCE and flipped <= FLIPPED_SPIKES * (num_spikes or 0)),
        same_label=float(same.mean()),
        largest_score_difference=largest if len(without_flips) and np.isfinite(largest) else None,
        spikes_flipped=None if num_spikes is None else flipped,
        spikes_compared=num_spikes,
        images_with_flips=None if num_spikes is None else int((flips > 0).sum()),
        accuracy=float(right.mean()),
    )


def accuracy(model: Model, images: np.ndarray, labels: np.ndarray) -> float:
    """The accuracy of `model` on `images`, as in `compared`."""
    return compared(model, {}, images, labels, Progress())[0]


def _batches(model: Model, images: np.ndarray, labels: np.ndarray) -> Iterable[tuple[Batch, np.ndarray]]:
    for start in range(0, len(labels), BATCH):
        part = torch.from_numpy(images[start : start + BATCH])
        yield Batch(part, model.encode(part, RandomKeys.for_content(part))), labels[start : start + BATCH]


@torch.inference_mode()
def reference_run(model: Model, batch: Batch) -> Run:
    """The run of the model itself, with which every other is compared."""
    with spikes_of(model.module) as spikes:
        scores = model.readout.scores(model.run(batch.encoded))
    return Run(scores.numpy(), {name: spk.float().numpy() for name, spk in spikes.items()})


@contextmanager
def spikes_of(module: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Within, a dict that gets what each layer of neurons in `module` gives when it runs: `[T, B, …]` by its name."""
    spikes: dict[str, Tensor] = {}

    def keep(name: str, neuron: nn.Module, inputs: Any, output: tuple[Tensor, Tensor]) -> None:
        spikes[name] = output[0]

    hooks = [
        neuron.register_forward_hook(partial(keep, name))
        for name, neuron in module.named_modules()
        if isinstance(neuron, Neuron)
    ]
    try:
        yield spikes
    finally:
        for hook in hooks:
            hook.remove()


def _flip_sizes(module: nn.Module) -> dict[str, float]:
    """By layer of neurons, the difference above which its output has flipped: half a spike, or half a level.

    A ReLU has nothing that flips.
    """
    sizes = {}
    for name, neuron in module.named_modules():
        if isinstance(neuron, QuantisedReLU):
            sizes[name] = float(neuron.level_step.detach().abs()) / 2
        elif isinstance(neuron, Neuron) and not isinstance(neuron, ReLU):
            sizes[name] = 0.5
    return sizes


def frames_of(model: Model) -> str:
    """What a network sees at one time step, in words."""
    return {
        "direct": "at every step the same: prepared pixels / 255",
        "rate": "fresh at every step: 1 with probability prepared pixel / 255, else 0",
        "latency": "1 once for each pixel above 0, at step round((1 − pixel / 255) · (T − 1)), else 0",
    }.get(model.card.encoding or "", f"what the encoding {model.card.encoding} gives at this step")
