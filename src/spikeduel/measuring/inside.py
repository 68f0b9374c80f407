"""Look inside networks while they answer one image: inputs, spikes, membranes, activations, answers
by time step, energy so far, and the pixels that spoke for the answer.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spikeduel.counting.operations import Operations
from spikeduel.data.events.recordings import picture_of
from spikeduel.measuring import energy
from spikeduel.measuring.answers import Counting
from spikeduel.measuring.attributing import POINTS, attribution
from spikeduel.networks.models import Model, neurons_watched
from spikeduel.networks.plain import PooledCounts
from spikeduel.results.inside import Activations, Inside, Membrane, Pictures, Seen, SpikingLayer
from spikeduel.spiking import ConstantInput, as_sequence
from spikeduel.spiking.neurons import ReLU
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.spiking.readouts import SpikingReadout
from spikeduel.system.errors import InputError, SpikeduelError, unknown

MOST_LAYERS, MOST_NEURONS, MOST_MEMBRANES, MOST_CHANNELS, MOST_CLASSES = 8, 40, 3, 6, 12
"""Numbers that are kept: layers of a model; neurons, membranes and channels of a layer; classes."""
INPUT_BYTES, MAP_BYTES = 100_000, 9_216
"""Limits in bytes above which pictures are made smaller: a whole input; the maps of a layer or an
attribution.
"""


def look_inside(
    models: Mapping[str, Model],
    image: np.ndarray | Mapping[str, np.ndarray],
    truth: str | None = None,
    keys: RandomKeys | None = None,
    calibrated: bool = True,
    points: int = POINTS,
) -> Inside:
    """Watch `models`, by the names that they are shown by, answer one prepared image.

    `image` is uint8 `[C, H, W]`, one for all or one for each name; `truth` its class, where known.
    Random encodings draw from `keys`, or from the image's content. `points` are the integration
    steps of the attribution, which takes most of the time. The models are left as they are. Raises
    `InputError` for an image of another shape, an unknown class, and models of different classes.
    """
    images = {
        name: np.asarray(image[name] if isinstance(image, Mapping) else image) for name in models
    }
    first, *others = models.values()
    if any(answer.card.classes != first.card.classes for answer in others):
        raise InputError("these models know different classes: look into one after the other.")
    for name, model in models.items():
        if images[name].dtype != np.uint8 or images[name].shape != tuple(model.card.image_shape):
            raise InputError(
                f"{name} takes a prepared image, uint8 {list(model.card.image_shape)}; got "
                f"{images[name].dtype} {list(images[name].shape)}. Use "
                f"model.card.preprocessing(picture)."
            )
    if truth is not None and truth not in first.card.classes:
        raise unknown("class", truth, first.card.classes)
    answers = {
        name: _answer(model, images[name], keys, calibrated) for name, model in models.items()
    }
    true = None if truth is None else first.card.classes.index(truth)
    shown = _classes([answer.probabilities for answer in answers.values()], true)
    table, picture = energy.read(energy.HEADLINE), next(iter(images.values()))
    as_picture = picture if len(picture) in (1, 3) else picture_of(picture.sum(0))[None]
    return Inside(
        noun="image" if first.card.preprocessing.binning is None else "recording",
        picture=pictures(as_picture[None] / 255, MAP_BYTES),
        classes=[first.card.classes[k] for k in shown],
        truth=None if true is None else shown.index(true),
        energy=table.title,
        models=[
            answer.seen(name, images[name], shown, table, points)
            for name, answer in answers.items()
        ],
    )


def pictures(values: np.ndarray | Tensor, most_bytes: int, symmetric: bool = False) -> Pictures:
    """Pack `values` `[N, C, H, W]`, made smaller until they take at most `most_bytes`.

    The lowest value is at most 0, the highest above it; with `symmetric`, 0 is the byte 128.
    """
    tensor = torch.as_tensor(values, dtype=torch.float32).cpu()
    high, low = max(float(tensor.max()), 1e-12), min(float(tensor.min()), 0.0)
    if symmetric:
        high = max(high, -low)
        low = -high * 128 / 127
    binary, shrunk = bool(((tensor == 0) | (tensor == high)).all()), 1
    if binary and tensor.numel() <= 8 * most_bytes:
        data = np.packbits(tensor.numpy() > 0).tobytes()
    else:
        while tensor[..., ::shrunk, ::shrunk].numel() > most_bytes and shrunk < max(
            tensor.shape[2:]
        ):
            shrunk += 1
        tensor = nn.functional.avg_pool2d(tensor, shrunk, ceil_mode=True, count_include_pad=False)
        data, binary = (
            np.rint((tensor.numpy() - low) / (high - low) * 255).astype(np.uint8).tobytes(),
            False,
        )
    count, channels, height, width = tensor.shape
    return Pictures(
        shape=(count, channels, height, width),
        low=low,
        high=high,
        bits=1 if binary else 8,
        data=data,
    )


def chosen(spk: np.ndarray, most: int) -> np.ndarray:
    """Return at most `most` spiking neurons of `spk` bool `[T, N]`, from the busiest to the
    stillest in even steps; the first neuron where none spikes.
    """
    counts = spk.sum(0)
    spiking = np.argsort(-counts, kind="stable")[: max(1, int((counts > 0).sum()))]
    return spiking[_evenly(len(spiking), most)]


def _evenly(count: int, most: int) -> np.ndarray:
    """Return at most `most` places of `count`, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(int))


def _classes(answers: Sequence[np.ndarray], truth: int | None) -> list[int]:
    """Return the classes to show, in order: the most probable ones of any model and step, and the
    truth.
    """
    highest = np.max([probabilities.max(0) for probabilities in answers], 0)
    if truth is not None:
        highest[truth] = np.inf
    return sorted(np.argsort(-highest, kind="stable")[:MOST_CLASSES].tolist())


class _Answer:
    """A watched pass of a model over one image."""

    def __init__(
        self, model: Model, x: Tensor | ConstantInput, keys: RandomKeys, calibrated: bool
    ) -> None:
        self.model, self.x, self.keys = model, x, keys
        counting = Counting(model, as_is=True)
        with (
            torch.no_grad(),
            neurons_watched(model.module.eval(), with_mem=True) as self.neurons,
            _inputs_watched(model.module) as self.inputs,
        ):
            output = counting.run(x, 1)
        self.operations: Operations | None = counting.found().operations
        readout = model.readout
        follows = isinstance(readout, SpikingReadout) and model.card.num_steps is not None
        scores = readout.running_scores(output) if follows else readout.scores(output)[None]  # type: ignore[attr-defined]
        self.probabilities = model.probabilities(scores[:, 0], calibrated).float().cpu().numpy()
        self.answers = scores[:, 0].argmax(1).cpu().numpy()

    def seen(
        self, name: str, image: np.ndarray, classes: list[int], table: energy.Table, points: int
    ) -> Seen:
        card, answer, operations = self.model.card, int(self.answers[-1]), self.operations
        other = np.nonzero(self.answers != answer)[0]
        by_step = (
            [layer.spikes.by_step for layer in operations.layers if layer.spikes]
            if operations
            else []
        )
        return Seen(
            name=name,
            spiking=card.encoding is not None,
            foreign=card.foreign is not None,
            encoding=card.encoding,
            input=pictures(self._input(), INPUT_BYTES),
            probabilities=np.round(self.probabilities[:, classes].astype(float), 4).tolist(),
            answer=classes.index(answer),
            decided=int(other[-1]) + 2 if len(other) else 1 if len(self.answers) > 1 else None,
            layers=self._layers(classes),
            activations=self._activations(),
            attribution=self._attribution(image, answer, points),
            spikes=[sum(counts) for counts in zip(*by_step, strict=True)] if by_step else None,
            joules=energy.over_time(operations, table) if operations else None,
        )

    def _input(self) -> Tensor:
        """Return the input as `[N, C, H, W]`."""
        x = self.x.value.unsqueeze(0) if isinstance(self.x, ConstantInput) else self.x
        binning = self.model.card.preprocessing.binning
        if x.dim() == 4:  # a network without time steps
            return x[0].unflatten(0, (binning.num_frames, -1)) if binning else x
        return x[:, 0]

    def _layers(self, classes: list[int]) -> list[SpikingLayer]:
        modules = dict(self.model.module.named_modules())
        names = [
            name for name in self.neurons if not isinstance(modules[name], ReLU | PooledCounts)
        ]
        layers = []
        for name in (names[k] for k in _evenly(len(names), MOST_LAYERS)):
            spk, mem = (
                as_sequence(tensor)[:, 0].float().cpu().numpy() for tensor in self.neurons[name][1:]
            )
            is_answer = name == list(self.neurons)[-1] and spk.shape[1:] == (
                len(self.model.card.classes),
            )
            likely = sorted(classes, key=lambda k: -self.probabilities[-1, k])
            layers.append(
                _layer(name, modules[name], spk, mem, classes if is_answer else None, likely)
            )
        return layers

    def _activations(self) -> list[Activations]:
        """Return the inputs of the layers with weights, without the first, which takes the
        image.
        """
        num_steps = self.model.card.num_steps or len(self._input())
        kept: list[Tensor] = []
        for calls in self.inputs.values():
            # A network of another library is called for each step.
            x = (
                torch.cat(calls[-num_steps:])
                if len(calls) >= num_steps > 1 == len(calls[-1])
                else calls[-1]
            )
            if (
                x.dim() in (2, 4)
                and len(x) in (1, num_steps)
                and not any(calls[-1] is other for other in kept)
            ):
                kept.append(x)
        return [_strongest(kept[1 + k]) for k in _evenly(len(kept[1:]), MOST_LAYERS)]

    def _attribution(self, image: np.ndarray, answer: int, points: int) -> Pictures | None:
        try:
            return pictures(
                attribution(self.model, image, answer, self.keys, points)[None, None],
                MAP_BYTES,
                symmetric=True,
            )
        except (RuntimeError, SpikeduelError):
            if self.model.card.foreign is None:
                raise
            return None  # a network of another library may have no gradient


def _answer(model: Model, image: np.ndarray, keys: RandomKeys | None, calibrated: bool) -> _Answer:
    prepared = torch.from_numpy(image[None].copy())
    keys = keys or RandomKeys.for_content(prepared)
    return _Answer(model, model.encode(prepared.to(model.device), keys), keys, calibrated)


@contextmanager
def _inputs_watched(module: nn.Module) -> Iterator[dict[nn.Module, list[Tensor]]]:
    """Yield a dict that collects the inputs of each convolution, linear layer and average pooling,
    call by call.
    """
    taken: dict[nn.Module, list[Tensor]] = {}

    def note(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        taken.setdefault(layer, []).append(inputs[0])

    kinds = nn.Conv2d | nn.Linear | nn.AvgPool2d | nn.AdaptiveAvgPool2d
    hooks = [
        layer.register_forward_pre_hook(note)
        for layer in module.modules()
        if isinstance(layer, kinds)
    ]
    try:
        yield taken
    finally:
        for hook in hooks:
            hook.remove()


def _layer(
    name: str,
    neuron: nn.Module,
    spk: np.ndarray,
    mem: np.ndarray,
    classes: list[int] | None,
    likely: list[int],
) -> SpikingLayer:
    """Describe a layer from `spk` and `mem` `[T, …]`; `classes` are the neurons to show, `likely`
    first, where neurons stand for classes.
    """
    shape, fired, potential = (
        list(spk.shape[1:]),
        spk.reshape(len(spk), -1) > 0,
        mem.reshape(len(mem), -1),
    )
    shown = chosen(fired, MOST_NEURONS).tolist() if classes is None else classes
    watched = (
        likely[:MOST_MEMBRANES]
        if classes
        else [shown[k] for k in _evenly(len(shown), MOST_MEMBRANES)]
    )
    return SpikingLayer(
        name=name,
        shape=shape,
        spikes=fired.sum(1).tolist(),
        shown=shown,
        of_classes=classes is not None,
        raster=np.packbits(fired[:, shown].T).tobytes(),
        membranes=[
            Membrane(
                neuron=k,
                potential=_short(potential[:, k]),
                threshold=_threshold(neuron, shape, k, fired[:, k]),
            )
            for k in watched
        ],
    )


def _threshold(
    neuron: nn.Module, shape: list[int], place: int, fired: np.ndarray
) -> list[float] | None:
    """Return the threshold of one neuron at each step; an adaptive one rises with the neuron's
    spikes.
    """
    dynamics = getattr(neuron, "dynamics", None)
    threshold = getattr(neuron, "threshold", None) if dynamics is None else dynamics.threshold
    if not isinstance(threshold, int | float | Tensor):
        return None
    level = float(torch.as_tensor(threshold, dtype=torch.float32).expand(shape).flatten()[place])
    decay, gain = (dynamics.adaptation if dynamics is not None else None) or (0.0, 0.0)
    levels, adaptation = [], 0.0
    for spiked in fired:
        levels.append(level + gain * adaptation)
        adaptation = decay * adaptation + float(spiked)
    return _short(levels) if np.isfinite(level) else None


def _strongest(x: Tensor) -> Activations:
    """Return the channels of `x` `[N, C, H, W]` with the highest mean, in order; `[N, F]` becomes
    rows of one map.
    """
    count = x.shape[1]
    if x.dim() == 2:
        side = math.isqrt(count - 1) + 1
        x = nn.functional.pad(x, (0, -count % side)).unflatten(1, (1, -1, side))
    maps = x.float()
    best = (
        maps.abs()
        .mean((0, 2, 3))
        .argsort(descending=True, stable=True)[:MOST_CHANNELS]
        .sort()
        .values
    )
    return Activations(channels=count, maps=pictures(maps[:, best], MAP_BYTES))


def _short(values: Any) -> list[float]:
    return [float(f"{value:.4g}") for value in values]
