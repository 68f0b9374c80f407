"""Look inside networks while they answer one image: inputs, spikes, membranes, activations, answers
by step, energy so far, and pixels that spoke for the answer.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from spikeduel import energy
from spikeduel.data.events.recordings import picture_of
from spikeduel.engine import ConstantInput, as_sequence
from spikeduel.engine.networks.foreign import inputs_watched
from spikeduel.engine.networks.models import Model, neurons_watched
from spikeduel.engine.networks.plain import PooledCounts
from spikeduel.engine.neurons import ReLU
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.engine.readouts import SpikingReadout
from spikeduel.evaluation.predictions_of_model import Counting
from spikeduel.results.cost_results import Range
from spikeduel.sentences.cost_sentences import MEMORY_TITLES
from spikeduel.system.errors import InputError, SpikeduelError, unknown, visible
from spikeduel.system.typed import Frozen

Item = TypeVar("Item")
MAX_LAYERS, MAX_NEURONS, MAX_MEMBRANES, MAX_CHANNELS, MAX_CLASSES = 8, 40, 3, 6, 12
"""Limits: layers of a model; neurons, membranes and channels of a layer; classes."""
INPUT_BYTES, MAP_BYTES = 100_000, 9_216
"""Bytes above which pictures are made smaller: a whole input; a layer's maps or an attribution."""
POINTS = 32
"""Points on the way from no input to the image for an attribution's gradients."""


class Pictures(Frozen):
    """N pictures of C channels, `shape` [N, C, H, W]: low + (high − low)·byte/255; with 1 `bits`,
    packed.
    """

    shape: tuple[int, int, int, int]
    low: float
    high: float
    bits: Literal[1, 8]
    data: bytes

    @property
    def values(self) -> np.ndarray:
        """Return float32 `[N, C, H, W]`."""
        content = np.frombuffer(self.data, np.uint8)
        shares = (
            np.unpackbits(content, count=math.prod(self.shape)) if self.bits == 1 else content / 255
        )
        return (self.low + (self.high - self.low) * shares.reshape(self.shape)).astype(np.float32)


class Membrane(Frozen):
    """A neuron's potential after each of T steps, and its `threshold`."""

    neuron: int
    potential: list[float]
    threshold: list[float] | None


class SpikingLayer(Frozen):
    """A layer of spiking neurons, of `shape`; `number`: its place among all layers of neurons, from
    1.

    `spikes`: at each of T steps. `shown`: places of neurons, from busy to still, or those of the
    classes (`of_classes`); `raster`: their bits `[N, T]`, packed.
    """

    name: str
    number: int
    shape: list[int]
    spikes: list[int]
    shown: list[int]
    of_classes: bool
    raster: bytes
    membranes: list[Membrane]

    @property
    def fired(self) -> np.ndarray:
        """Spikes of `shown`, bool `[N, T]`."""
        shape = len(self.shown), len(self.spikes)
        bits = np.unpackbits(np.frombuffer(self.raster, np.uint8), count=shape[0] * shape[1])
        return bits.reshape(shape).astype(bool)


class Activations(Frozen):
    """The strongest of a layer's `channels`, `[N, C, H, W]`, N = 1 or the time steps. Without
    places, a map row by row.

    `number`: as of a `SpikingLayer`; `of_spikes`: True for the output of spiking neurons.
    """

    number: int
    of_spikes: bool
    channels: int
    maps: Pictures


class Seen(Frozen):
    """The image inside one model.

    `probabilities` `[S, K]`: of `Inside.classes` after each step; `decided`: step from which the
    answer stays. `spikes` at each step, `joules` so far, as in a report. `foreign`: without visible
    neurons.
    """

    name: str
    spiking: bool
    foreign: bool
    encoding: str | None
    input: Pictures
    probabilities: list[list[float]]
    prediction: int
    decided: int | None
    layers: list[SpikingLayer]
    activations: list[Activations]
    attribution: Pictures | None
    spikes: list[float] | None
    joules: list[Range] | None


class Inside(Frozen):
    """An image in several models; `classes`: the most probable; `truth`: a place in them; `energy`:
    how joules are counted.
    """

    noun: Literal["image", "recording"]
    picture: Pictures
    classes: list[str]
    truth: int | None
    energy: str
    models: list[Seen]

    @property
    def num_steps(self) -> int:
        """Most time steps of a model."""
        return max(max(len(model.probabilities), model.input.shape[0]) for model in self.models)


def look_inside(
    models: Mapping[str, Model],
    image: np.ndarray | Mapping[str, np.ndarray],
    truth: str | None = None,
    keys: RandomKeys | None = None,
    calibrated: bool = True,
    points: int = POINTS,
    table: energy.Table | None = None,
) -> Inside:
    """Watch `models`, by their names, answer one prepared image.

    `image` is uint8 `[C, H, W]`, one for all or one for each name; `truth` its class. `points` are
    the attribution's integration steps, which take most of the time; `table` is of energy (None:
    the leading one). Raises `InputError` for another shape, an unknown class, and models of
    different classes.
    """
    images = {
        name: np.asarray(image[name] if isinstance(image, Mapping) else image) for name in models
    }
    card = next(iter(models.values())).card
    for name, model in models.items():
        if model.card.classes != card.classes:
            raise InputError("these models know different classes: look into one after the other.")
        if images[name].dtype != np.uint8 or images[name].shape != tuple(model.card.image_shape):
            raise InputError(
                f"{name} takes a prepared image, uint8 {list(model.card.image_shape)}; got "
                f"{images[name].dtype} {list(images[name].shape)}. Use "
                f"model.card.preprocessing(picture)."
            )
    if truth is not None and truth not in card.classes:
        raise unknown("class", truth, card.classes)
    predictions = {
        name: _Prediction(model, images[name], keys, calibrated) for name, model in models.items()
    }
    # The answers, the truth, and the most probable classes of any model and step.
    highest = np.max([prediction.probabilities.max(0) for prediction in predictions.values()], 0)
    highest[[prediction.predictions[-1] for prediction in predictions.values()]] = np.inf
    if truth is not None:
        highest[card.classes.index(truth)] = np.inf
    likely = sorted(np.argsort(-highest, kind="stable")[:MAX_CLASSES].tolist())
    table, picture = table or energy.read(energy.HEADLINE), next(iter(images.values()))
    as_picture = picture if len(picture) in (1, 3) else picture_of(picture.sum(0))[None]
    return Inside(
        noun="image" if card.preprocessing.binning is None else "recording",
        picture=pictures(as_picture[None] / 255, MAP_BYTES),
        classes=[visible(card.classes[k]) for k in likely],
        truth=None if truth is None else likely.index(card.classes.index(truth)),
        energy=f"{table.title}, {MEMORY_TITLES[table.leading_memory]}",
        models=[
            prediction.seen(name, likely, table, points) for name, prediction in predictions.items()
        ],
    )


def attribution(
    model: Model,
    image: np.ndarray,
    label: int | None = None,
    keys: RandomKeys | None = None,
    points: int = POINTS,
) -> np.ndarray:
    """Return each pixel's share of the score of class `label` (None: the answer), float32 `[H, W]`,
    for a prepared image uint8 `[C, H, W]`.

    Integrated gradients from no input (Sundararajan et al. 2017, "Axiomatic Attribution for Deep
    Networks", equation 1), by the midpoint rule; roughly additive with surrogate gradients.
    """
    prepared = torch.from_numpy(np.array(image)).unsqueeze(0)
    keys = keys or RandomKeys.for_content(prepared)
    label = int(model.predict(prepared, keys)[0][0]) if label is None else label
    x = model.encode(prepared.to(model.device), keys)
    value = (x.value if isinstance(x, ConstantInput) else x).float()
    shares = (torch.arange(points, device=value.device) + 0.5) / points
    total = torch.zeros_like(value)
    with torch.enable_grad():
        for some in shares.split(model.images_at_once):
            # [B, C, H, W] or [T, B, C, H, W], an image of the batch for each point.
            scaled = (value * some.view(-1, 1, 1, 1)).requires_grad_()
            inputs = ConstantInput(scaled, x.num_steps) if isinstance(x, ConstantInput) else scaled
            scores = model.readout.scores(model.run(inputs))
            total += torch.autograd.grad(scores[:, label].sum(), scaled)[0].sum(-4, keepdim=True)
    return np.asarray((total * value / points).flatten(0, -3).sum(0).cpu())


def pictures(values: np.ndarray | Tensor, most_bytes: int, symmetric: bool = False) -> Pictures:
    """Pack `values` `[N, C, H, W]`, shrunk to at most `most_bytes`. With `symmetric`, 0 is the byte
    128.
    """
    tensor = torch.as_tensor(values, dtype=torch.float32).cpu()
    high, low, shrunk = max(float(tensor.max()), 1e-12), min(float(tensor.min()), 0.0), 1
    if symmetric:
        high = max(high, -low)
        low = -high * 128 / 127
    binary = bool(((tensor == 0) | (tensor == high)).all()) and tensor.numel() <= 8 * most_bytes
    if binary:
        data = np.packbits(tensor.numpy() > 0)
    else:
        largest = max(tensor.shape[2:])
        while tensor[..., ::shrunk, ::shrunk].numel() > most_bytes and shrunk < largest:
            shrunk += 1
        tensor = nn.functional.avg_pool2d(tensor, shrunk, ceil_mode=True, count_include_pad=False)
        data = np.rint((tensor.numpy() - low) / (high - low) * 255).astype(np.uint8)
    count, channels, height, width = tensor.shape
    return Pictures(
        shape=(count, channels, height, width),
        low=low,
        high=high,
        bits=1 if binary else 8,
        data=data.tobytes(),
    )


def chosen(spk: np.ndarray, most: int) -> list[int]:
    """Return at most `most` spiking neurons of `spk` bool `[T, N]`, evenly from busiest to
    stillest; else the first neuron.
    """
    counts = spk.sum(0)
    spiking = np.argsort(-counts, kind="stable")[: max(1, int((counts > 0).sum()))]
    return _evenly(spiking.tolist(), most)


def _evenly(items: Sequence[Item], most: int) -> list[Item]:
    places = np.linspace(0, len(items) - 1, min(most, len(items))).astype(int)
    return [items[number] for number in np.unique(places)]


class _Prediction:
    def __init__(
        self, model: Model, image: np.ndarray, keys: RandomKeys | None, calibrated: bool
    ) -> None:
        prepared = torch.from_numpy(image[None].copy())
        self.model, self.image = model, image
        self.keys = keys or RandomKeys.for_content(prepared)
        self.x = model.encode(prepared.to(model.device), self.keys)
        counting = Counting(model, as_is=True)
        kinds = nn.Conv2d | nn.Linear | nn.AvgPool2d | nn.AdaptiveAvgPool2d
        with (
            torch.no_grad(),
            neurons_watched(model.module.eval(), with_mem=True) as self.neurons,
            inputs_watched(
                layer for layer in model.module.modules() if isinstance(layer, kinds)
            ) as self.inputs,
        ):
            output = counting.run(self.x, 1)
        self.operations = counting.result().operations
        readout = model.readout
        if isinstance(readout, SpikingReadout) and model.card.num_steps is not None:
            scores = readout.running_scores(output)[:, 0]
        else:
            scores = readout.scores(output)
        shares = model.probabilities(scores, calibrated, torch.arange(1, len(scores) + 1))
        self.probabilities = shares.float().cpu().numpy()
        self.predictions = scores.argmax(1).cpu().numpy()

    def seen(self, name: str, classes: list[int], table: energy.Table, points: int) -> Seen:
        card, prediction, operations = self.model.card, int(self.predictions[-1]), self.operations
        other = np.nonzero(self.predictions != prediction)[0]
        layers = operations.layers if operations else []
        by_step = [layer.spikes.by_step for layer in layers if layer.spikes]
        try:
            by_pixel = attribution(self.model, self.image, prediction, self.keys, points)[
                None, None
            ]
        except (RuntimeError, SpikeduelError):
            if card.foreign is None:
                raise
            by_pixel = None  # a foreign network may have no gradient
        return Seen(
            name=visible(name),
            spiking=card.encoding is not None,
            foreign=card.foreign is not None,
            encoding=card.encoding,
            input=pictures(self._input(), INPUT_BYTES),
            # Rounded to fewer digits, 67.247 % would be shown as 67.3 %.
            probabilities=np.round(self.probabilities[:, classes].astype(float), 7).tolist(),
            prediction=classes.index(prediction),
            decided=int(other[-1]) + 2 if len(other) else 1 if len(self.predictions) > 1 else None,
            layers=self._layers(classes),
            activations=self._activations(),
            attribution=None if by_pixel is None else pictures(by_pixel, MAP_BYTES, symmetric=True),
            spikes=[sum(counts) for counts in zip(*by_step, strict=True)] or None,
            joules=energy.over_time(operations, table) if operations else None,
        )

    def _input(self) -> Tensor:
        x = self.x.value.unsqueeze(0) if isinstance(self.x, ConstantInput) else self.x
        binning = self.model.card.preprocessing.binning
        if x.dim() == 4:  # a network without time steps
            return x[0].unflatten(0, (binning.num_frames, -1)) if binning else x
        return x[:, 0]

    @cached_property
    def _numbered(self) -> list[tuple[int, str, nn.Module]]:
        """Return number, name and module of each layer of neurons, in the order of computation."""
        layers = [(name, self.model.module.get_submodule(name)) for name in self.neurons]
        neurons = [layer for layer in layers if not isinstance(layer[1], PooledCounts)]
        return [(number, *layer) for number, layer in enumerate(neurons, 1)]

    def _is_of_classes(self, name: str) -> bool:
        """Return True for the last layer of neurons, if it has one for each class."""
        shape = as_sequence(self.neurons[name][1]).shape[2:]
        return name == list(self.neurons)[-1] and shape == (len(self.model.card.classes),)

    def _layers(self, classes: list[int]) -> list[SpikingLayer]:
        layers, spiking = [], [layer for layer in self._numbered if not isinstance(layer[2], ReLU)]
        for number, name, neuron in _evenly(spiking, MAX_LAYERS):
            spk, mem = (
                as_sequence(tensor)[:, 0].float().cpu().numpy() for tensor in self.neurons[name][1:]
            )
            shape, fired = list(spk.shape[1:]), spk.reshape(len(spk), -1) > 0
            if of_classes := self._is_of_classes(name):
                neurons = classes
                watched = sorted(classes, key=lambda k: -self.probabilities[-1, k])[:MAX_MEMBRANES]
            else:
                neurons = chosen(fired, MAX_NEURONS)
                watched = _evenly(neurons, MAX_MEMBRANES)
            membranes = [
                Membrane(
                    neuron=k,
                    potential=_short(mem.reshape(len(mem), -1)[:, k]),
                    threshold=_threshold(neuron, shape, k, fired[:, k]),
                )
                for k in watched
            ]
            layers.append(
                SpikingLayer(
                    name=name,
                    number=number,
                    shape=shape,
                    spikes=fired.sum(1).tolist(),
                    shown=neurons,
                    of_classes=of_classes,
                    raster=np.packbits(fired[:, neurons].T).tobytes(),
                    membranes=membranes,
                )
            )
        return layers

    def _activations(self) -> list[Activations]:
        """Return maps of the layers of neurons; of a network without any, what its layers get."""
        if self._numbered:
            return [
                _strongest(
                    as_sequence(self.neurons[name][1])[:, 0], number, not isinstance(neuron, ReLU)
                )
                for number, name, neuron in _evenly(self._numbered, MAX_LAYERS)
                if not self._is_of_classes(name)
            ]
        num_steps = self.model.card.num_steps or len(self._input())
        feature_maps, seen, num_layers = dict[int, Tensor](), set[int](), 0
        for layer, calls in self.inputs.items():
            # A foreign network is called for each step.
            by_step = len(calls) >= num_steps > 1 == len(calls[-1])
            x = torch.cat(calls[-num_steps:]) if by_step else calls[-1]
            fits = x.dim() in (2, 4) and len(x) in (1, num_steps) and id(calls[-1]) not in seen
            # Prefer maps to their means, and maps after a pooling to those before it.
            if fits and (x.dim() == 4 or num_layers not in feature_maps):
                feature_maps[num_layers] = x
            seen.add(id(calls[-1]))
            num_layers += isinstance(layer, nn.Conv2d | nn.Linear)
        layers = list(enumerate(feature_maps.values()))[1:]
        return [_strongest(x, number, False) for number, x in _evenly(layers, MAX_LAYERS)]


def _threshold(
    neuron: nn.Module, shape: list[int], number: int, fired: np.ndarray
) -> list[float] | None:
    """Return a neuron's threshold at each step; an adaptive one rises with its spikes.

    None for a user's neuron whose threshold is no number: it may differ between steps.
    """
    dynamics = getattr(neuron, "dynamics", None)
    threshold = getattr(neuron if dynamics is None else dynamics, "threshold", None)
    if dynamics is None and not isinstance(threshold, int | float):
        return None
    level = float(torch.as_tensor(threshold).expand(shape).flatten()[number])
    decay, gain = (dynamics.adaptation if dynamics is not None else None) or (0.0, 0.0)
    adaptation = np.zeros(len(fired))
    for step in range(1, len(fired)):
        adaptation[step] = decay * adaptation[step - 1] + fired[step - 1]
    return _short(level + gain * adaptation) if np.isfinite(level) else None


def _strongest(x: Tensor, number: int, of_spikes: bool) -> Activations:
    """Return the channels of `x` `[N, C, H, W]` with the highest mean, in order."""
    x = x if x.dim() == 4 else x.flatten(1)
    count = x.shape[1]
    if x.dim() == 2:
        edge = math.isqrt(count - 1) + 1
        x = nn.functional.pad(x, (0, -count % edge)).unflatten(1, (1, -1, edge))
    maps = x.float()
    strength = maps.abs().mean((0, 2, 3))
    best = strength.argsort(descending=True, stable=True)[:MAX_CHANNELS].sort().values
    return Activations(
        number=number,
        of_spikes=of_spikes,
        channels=count,
        maps=pictures(maps[:, best], MAP_BYTES),
    )


def _short(values: Any) -> list[float]:
    return [float(f"{value:.4g}") for value in values]
