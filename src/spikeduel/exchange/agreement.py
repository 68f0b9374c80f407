"""Agreement of a written file with the model, on the same images and weights."""

import copy
import itertools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from spikeduel.networks.models import Model, neurons_watched
from spikeduel.spiking import ConstantInput
from spikeduel.spiking.neurons import Neuron, QuantisedReLU, ReLU
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.system.progress import Progress
from spikeduel.system.typed import Frozen

BATCH = 50


class Required(Frozen):
    """Least agreement of a program for a file to be kept: rounding flips few spikes."""

    same_label: float = 0.999
    score_difference: float = 1e-4
    flipped_spikes: float = 1e-3


REQUIRED = Required()


class Run(NamedTuple):
    """Result for some images: `scores` `[B, K]`, and spikes `[T, B, …]` by layer of neurons."""

    scores: np.ndarray
    spikes: dict[str, np.ndarray]


Encoded = Tensor | ConstantInput
"""Input of a network."""
Runner = Callable[[Tensor, Encoded], Run]
"""Runs a written file on prepared images uint8 `[B, C, H, W]` and their encoded form."""


class Agreement(Frozen):
    """Agreement of one program with the model.

    Spikes are None if nothing can flip. `largest_score_difference` is over images without flipped
    spikes: None without any, or if a score is not a number.
    """

    ok: bool
    same_label: float
    largest_score_difference: float | None
    spikes_flipped: int | None
    spikes_compared: int | None
    images_with_flips: int | None
    accuracy: float


def as_written(model: Model, weights: str = "float32") -> Model:
    """Return a copy of `model` on the CPU in float32, rows contiguous, rounded for "int8"."""
    copied = Model(copy.deepcopy(model.module).cpu().float().eval(), model.card)
    copied.module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    if weights == "int8":
        rounded_to_int8(copied.module)
    return copied


def compared(
    model: Model,
    runners: Mapping[str, Runner],
    images: np.ndarray,
    labels: np.ndarray,
    progress: Progress,
) -> tuple[float, dict[str, Agreement]]:
    """Return the accuracy of `model` on `images` uint8 `[N, C, H, W]`, and each runner's
    agreement.
    """
    flip_sizes = _flip_sizes(model.module)
    by_image: dict[str, list[np.ndarray]] = {name: [] for name in runners}
    right, num_spikes = 0, 0
    for start in progress.track(range(0, len(labels), BATCH), "checking", -(-len(labels) // BATCH)):
        part, truth = torch.from_numpy(images[start : start + BATCH]), labels[start : start + BATCH]
        encoded = model.encode(part, RandomKeys.for_content(part))
        expected = reference_run(model, encoded)
        right += int((expected.scores.argmax(1) == truth).sum())
        num_spikes += sum(expected.spikes[name].size for name in flip_sizes)
        for name, run in runners.items():
            by_image[name].append(_by_image(expected, run(part, encoded), truth, flip_sizes))
    spikes = num_spikes if flip_sizes else None
    return right / len(labels), {
        name: _agreement(np.concatenate(parts), spikes) for name, parts in by_image.items()
    }


def _by_image(
    expected: Run, run: Run, labels: np.ndarray, flip_sizes: Mapping[str, float]
) -> np.ndarray:
    """Return `[B, 4]`: label as expected, label right, flipped spikes, largest score difference."""
    answers = run.scores.argmax(1)
    flips = np.zeros(len(labels), np.int64)
    for name, size in flip_sizes.items():
        flipped = np.abs(expected.spikes[name] - run.spikes[name]) > size
        flips += flipped.sum(axis=(0, *range(2, flipped.ndim)))
    # Scores that are not numbers differ beyond all tolerance.
    differences = np.nan_to_num(np.abs(expected.scores - run.scores), nan=np.inf).max(1)
    return np.stack(
        [answers == expected.scores.argmax(1), answers == labels, flips, differences], 1
    )


def _agreement(by_image: np.ndarray, num_spikes: int | None) -> Agreement:
    same, right, flips, differences = by_image.astype(np.float64).T
    without_flips = differences[flips == 0]
    largest = float(without_flips.max()) if len(without_flips) else 0.0
    flipped, enough_same = int(flips.sum()), same.mean() >= REQUIRED.same_label
    few_flipped = flipped <= REQUIRED.flipped_spikes * (num_spikes or 0)
    return Agreement(
        ok=bool(enough_same and largest <= REQUIRED.score_difference and few_flipped),
        same_label=float(same.mean()),
        largest_score_difference=largest if len(without_flips) and np.isfinite(largest) else None,
        spikes_flipped=None if num_spikes is None else flipped,
        spikes_compared=num_spikes,
        images_with_flips=None if num_spikes is None else int((flips > 0).sum()),
        accuracy=float(right.mean()),
    )


@torch.inference_mode()
def reference_run(model: Model, encoded: Encoded) -> Run:
    with neurons_watched(model.module) as seen:
        scores = model.readout.scores(model.run(encoded))
    return Run(scores.numpy(), {name: spk.float().numpy() for name, (_, spk, _) in seen.items()})


def _flip_sizes(module: nn.Module) -> dict[str, float]:
    """Return, by layer, the change that is a flip: half a spike or half a level."""
    sizes = {}
    for name, neuron in module.named_modules():
        if isinstance(neuron, QuantisedReLU):
            sizes[name] = float(neuron.level_step.detach().abs()) / 2
        elif isinstance(neuron, Neuron) and not isinstance(neuron, ReLU):
            sizes[name] = 0.5
    return sizes


def folded(module: nn.Module) -> nn.Module:
    """Fold batch norms behind a Linear or Conv2d, also across average pooling, in place; an
    Identity keeps the name.
    """
    module.eval()
    for part in module.modules():
        if not isinstance(part, nn.Sequential):
            continue
        layers = [(name, layer) for name, layer in part.named_children() if not _averages(layer)]
        for (name, layer), (next_name, norm) in itertools.pairwise(layers):
            if isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
                setattr(part, name, fuse_linear_bn_eval(layer, norm))
            elif isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(part, name, fuse_conv_bn_eval(layer, norm))
            else:
                continue
            setattr(part, next_name, nn.Identity())
    return module


def _averages(layer: nn.Module) -> bool:
    return (
        isinstance(layer, nn.AvgPool2d)
        and layer.padding in (0, (0, 0))
        and layer.divisor_override is None
    )


@torch.no_grad()
def rounded_to_int8(module: nn.Module) -> nn.Module:
    """Round the weights of `module` to int8, in place, batch norms folded in."""
    for layer in folded(module).modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            values, scale = as_int8(layer.weight.numpy())
            layer.weight.copy_(torch.from_numpy(values * scale))
    return module


def as_int8(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return int8 values −127 … 127 and float32 scales `[channels, 1, …]` with a product near
    `weight`.
    """
    largest = np.abs(weight).max(axis=tuple(range(1, weight.ndim)), keepdims=True)
    scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    return np.rint(weight / scale).astype(np.int8), scale


def probabilities_of(model: Model) -> str:
    """Return how probabilities follow from scores, in words."""
    temperature = model.card.temperature
    if temperature is None:
        return "the softmax of scores, which is not calibrated: no temperature was fitted"
    return (
        f"the softmax of scores / {temperature:g}, a temperature that was fitted on validation "
        "images"
    )


def frames_of(model: Model) -> str:
    """Return what a network sees at one time step, in words."""
    return {
        "direct": "at every step the same: prepared pixels / 255",
        "rate": "fresh at every step: 1 with probability prepared pixel / 255, else 0",
        "events": "the number of events of each pixel, darker and brighter, in this frame of the "
        "recording",
        "latency": "1 once for each pixel above 0, at step round((1 − pixel / 255) · (T − 1)), "
        "else 0",
    }.get(model.card.encoding or "", f"what the encoding {model.card.encoding} gives at this step")
