"""Networks of integers, with equal scores in Python and in C: int8 weights, int32 sums.

A layer multiplies, may pool, and rescales every channel: `(sum · multiplier + offset) >> shift`.
Both kinds of network have this in common. Then neurons integrate in 16 bits, or a ReLU keeps
`LEVELS` levels (Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference"). A layer is computed for all steps before the next one, so that
only one row of its membranes is in memory at a time.
"""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spikeduel.engine import ConstantInput, as_sequence, over_time
from spikeduel.engine.encoders import ENCODERS, EVENTS, OF_RECORDINGS
from spikeduel.engine.networks.cards import ModelCard
from spikeduel.engine.networks.converting import traced
from spikeduel.engine.networks.models import Model, computed_once
from spikeduel.engine.networks.plain import Affine, ChannelsLastFlatten, EachItsOwnLIF, Scale
from spikeduel.engine.networks.training_step import rounded
from spikeduel.engine.neurons import (
    ALIF,
    LIF,
    IntegerIF,
    Neuron,
    QuantisedReLU,
    ReLU,
)
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.exporters.exporting import flat
from spikeduel.system.errors import InputError, naming

LEVELS = 255
"""Levels of a ReLU above 0, in 8 bits."""
BETA_BITS, MEMBRANE_BITS = 15, 16
MAX_MEMBRANE = 2 ** (MEMBRANE_BITS - 1) - 1
FINEST_THRESHOLD = 4096
"""Threshold in units of a membrane, where membranes stay below eight thresholds."""
MAX_CURRENT, MAX_SUM, MAX_VALUE = 2**30 - 1, 2**31 - 1, 2**16 - 1
MAX_SHIFT = 40
MAX_LISTED = 17
"""Spikes of a pooled place are added one by one if they are fewer; else their number multiplies."""
SCORE_UNITS = 256
"""Units of a score in the weight that counts most."""
NO_FORM = (
    "it has no form in int8. Linear layers, convolutions, pooling, batch norm, ReLU and "
    "LIF have one: take a network of these, as vgg-lif or vgg-relu."
)
KNOWN_ENCODINGS = ("direct", "rate", "latency", EVENTS)


class Pooling(NamedTuple):
    """Takes the maximum or the sum of `rows` × `columns`."""

    kind: Literal["max", "sum"]
    rows: int
    columns: int


@dataclass(frozen=True)
class Spiking:
    """Neurons: mem = clamp((mem · beta + 2¹⁴) >> 15 + current − reset); a spike where mem >
    threshold.
    """

    beta: int
    threshold: int
    reset_mechanism: str


@dataclass(frozen=True)
class Levels:
    """ReLU: the current, clamped to 0 … `most`."""

    most: int


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """A layer with `weight` int8 `[O, I, rows, columns]`; a linear one covers the whole map.

    `shape` (C, H, W) is its input after `pool_before`; `padding` is above, left, below, right.
    `multiplier` int64 `[O]` is below 2³¹; no value taken passes `most_value`, no sum `most_sum`.
    Without `activation`, currents are the scores.
    """

    name: str
    shape: tuple[int, int, int]
    pool_before: Pooling
    weight: np.ndarray
    stride: int
    padding: tuple[int, int, int, int]
    pool_after: Pooling
    multiplier: np.ndarray
    offset: np.ndarray
    shift: int
    most_value: int
    most_sum: int
    activation: Spiking | Levels | None
    is_last: bool = False

    @property
    def out(self) -> tuple[int, int, int]:
        """Shape (C, H, W) of the output."""
        above, left, below, right = self.padding
        (_, height, width), (channels, _, rows, columns) = self.shape, self.weight.shape
        made = (height + above + below - rows) // self.stride + 1
        beside = (width + left + right - columns) // self.stride + 1
        return channels, made // self.pool_after.rows, beside // self.pool_after.columns

    def sums(self, maps: Tensor) -> Tensor:
        """Return sums, pooled, `[N, O, H, W]`, for integers `[N, C, H, W]`, both in floats.

        Sums are exact: float32 holds integers to 2²⁴, and float64 all others.
        """
        dtype = torch.float32 if self.most_sum < 2**24 else torch.float64
        pooled = _pooled(maps.to(dtype), self.pool_before)
        return _pooled(self._slid(pooled, torch.from_numpy(self.weight).to(dtype)), self.pool_after)

    def _slid(self, maps: Tensor, weight: Tensor) -> Tensor:
        """Return the sums of `weight` `[O, I, rows, columns]` over `maps` `[N, I, H, W]`."""
        above, left, below, right = self.padding
        return F.conv2d(F.pad(maps, (left, right, above, below)), weight, stride=self.stride)

    def reached(self, maps: Tensor) -> Tensor:
        """Return the weights that values above 0 reach, of spikes once for each: `[N]`."""
        pooled = _pooled(maps, self.pool_before)
        counted = pooled if self.most_value < MAX_LISTED else (pooled > 0).float()
        ones = torch.ones(1, 1, *self.weight.shape[2:])
        sums = _pooled(
            self._slid(counted.sum(1, keepdim=True), ones), self.pool_after._replace(kind="sum")
        )
        return sums.sum((1, 2, 3)) * len(self.weight)

    def currents(self, maps: Tensor) -> Tensor:
        """Return rescaled sums, int64 `[N, O, H, W]`."""
        multiplier, offset = (
            torch.from_numpy(values).view(-1, 1, 1) for values in (self.multiplier, self.offset)
        )
        scaled = (self.sums(maps).long() * multiplier + offset) >> self.shift
        return scaled.clamp(-MAX_CURRENT, MAX_CURRENT)


class Predictions(NamedTuple):
    """Scores int64 `[N, K]`, of which the highest (of equal ones the first) is predicted, and
    `operations` int64 `[N]`: weights that a value above 0 multiplies, or a spike adds.
    """

    scores: np.ndarray
    operations: np.ndarray


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """Layers, run over `num_steps` steps (1: without time); `card` is of the network in floats.

    The network's scores are `score_unit` times those in int8; None of last neurons.
    """

    card: ModelCard
    layers: tuple[IntegerLayer, ...]
    score_unit: float | None = None

    @property
    def num_steps(self) -> int:
        return self.card.num_steps or 1

    @property
    def is_analogue(self) -> bool:
        """True if the image itself is the input, at every step."""
        return self.card.encoding in (None, "direct")

    @torch.inference_mode()
    def predict(self, images: np.ndarray, keys: RandomKeys | None = None) -> Predictions:
        """Return the predictions for prepared images uint8 `[N, C, H, W]`.

        Last neurons give the scores `count · 2³² + summed membrane`.
        """
        prepared = torch.tensor(images)
        maps = self._encoded(prepared, keys or RandomKeys.for_content(prepared))
        operations = torch.zeros(len(images))
        for index, layer in enumerate(self.layers):
            # An image is multiplied whole, black pixels too.
            multiplied = torch.ones_like(maps) if self.is_analogue and index == 0 else maps
            reached = layer.reached(multiplied.flatten(0, 1)).unflatten(0, maps.shape[:2])
            operations = operations + reached.sum(0)
            maps = _over_time(layer, maps, self.num_steps)
        return Predictions(maps.flatten(1).long().numpy(), operations.long().numpy())

    def _encoded(self, images: Tensor, keys: RandomKeys) -> Tensor:
        """Return integers, as float32 `[T, N, C, H, W]`; T is 1 for the image at every step."""
        if self.is_analogue:
            return images.float().unsqueeze(0)
        encoder = {**ENCODERS, EVENTS: OF_RECORDINGS}[self.card.encoding or "direct"]
        return as_sequence(encoder(images, self.num_steps, keys))


def _over_time(layer: IntegerLayer, maps: Tensor, num_steps: int) -> Tensor:
    """Return the layer's output float32 `[T, N, …]` for `[T, N, …]`, or scores int64 `[N, K, 1,
    1]`; T is 1 for an input that stays the same.
    """
    currents = layer.currents(maps.flatten(0, 1)).unflatten(0, maps.shape[:2])
    match layer.activation:
        case Levels(most):
            return currents.clamp(0, most).float()
        case None:
            return currents.expand(num_steps, *currents.shape[1:]).sum(0)
        case Spiking() as neuron:
            spikes, membranes = spiking(neuron, currents.expand(num_steps, *currents.shape[1:]))
            if layer.is_last:
                return (spikes.long() * 2**32 + membranes).sum(0)
            return spikes.float()


def spiking(neuron: Spiking, currents: Tensor) -> tuple[Tensor, Tensor]:
    """Return spikes bool and membranes int64 `[T, …]` for currents int64 `[T, …]`."""
    mem, spikes, membranes = torch.zeros_like(currents[0]), [], []
    for current in currents:
        spiked = mem > neuron.threshold
        if neuron.reset_mechanism == "zero":
            mem = mem.where(~spiked, 0)
        mem = ((mem * neuron.beta + (1 << (BETA_BITS - 1))) >> BETA_BITS) + current
        if neuron.reset_mechanism == "subtract":
            mem = mem - spiked * neuron.threshold
        mem = mem.clamp(-MAX_MEMBRANE, MAX_MEMBRANE)
        spikes.append(mem > neuron.threshold)
        membranes.append(mem)
    return torch.stack(spikes), torch.stack(membranes)


def _pooled(maps: Tensor, pooling: Pooling) -> Tensor:
    window = (pooling.rows, pooling.columns)
    if window == (1, 1):
        return maps
    return (
        F.max_pool2d(maps, window)
        if pooling.kind == "max"
        else F.avg_pool2d(maps, window, divisor_override=1)
    )


def integer_network(model: Model, images: np.ndarray) -> IntegerNetwork:
    """Return `model` in int8; `images` uint8 `[N, C, H, W]`, of the training part, decide
    the levels of ReLUs and the units of membranes.

    Raises `InputError` that names the layer and the remedy.
    """
    card = model.card
    if card.encoding not in (None, *KNOWN_ENCODINGS):
        raise InputError(
            f"the encoding {card.encoding} has no form in int8: train with --encoding "
            f"{' or '.join(KNOWN_ENCODINGS[:-1])}."
        )
    made = Model(copy.deepcopy(model.module).cpu().float().eval(), card)
    prepared = torch.from_numpy(images)
    x: Any = made.encode(prepared, RandomKeys.for_content(prepared))
    analogue = card.encoding in (None, "direct")
    made = computed_once(made)
    card = made.card
    maker = _Maker(1 / 255 if analogue else 1.0, 255 if analogue or card.encoding == EVENTS else 1)
    with torch.inference_mode():
        for name, layer in _chain(made):
            with naming(f"layer {name} ({type(layer).__name__})"):
                x = maker.take(name, layer, x)
    if maker.weight is not None:
        maker.close(None)
    *before, last = maker.layers
    layers = (*before, replace(last, is_last=True))
    unit = maker.unit / (card.num_steps or 1) if last.activation is None else None
    return IntegerNetwork(card, layers, unit)


def _chain(model: Model) -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers in order, with names. Raises `InputError` if they are no chain."""
    if callable(layers := getattr(model.module, "layers", None)):
        names = {part: name for name, part in model.module.named_modules()}
        for part in flat(layers()):
            yield names.get(part, "layers()"), part
        return
    if model.card.kind == "snn":
        raise InputError(
            "its order of layers is not known: give its class a method layers() that returns them."
        )
    try:
        layers = traced(model.module, model.card.image_shape)
    except InputError as error:
        where = str(error).partition(":")[0]
        raise InputError(f"layer {where}: {NO_FORM}") from None
    for index, node in enumerate(layers):
        if node.inputs != (index - 1,):
            raise InputError(
                f"layer {node.name}: it joins branches; int8 "
                "has chains of layers alone: take a network without shortcuts, as vgg-relu."
            )
        yield node.name, node.module


class _Maker:
    """Makes whole-number layers of a chain's layers, and measures activations on the way.

    `unit` is the value of 1 in the maps that the next layer takes, `most` their largest number.
    """

    def __init__(self, unit: float, most: int) -> None:
        self.unit, self.most = unit, most
        self.layers: list[IntegerLayer] = []
        self._begin()

    def _begin(self) -> None:
        self.name, self.stride, self.border = "", 1, (0, 0, 0, 0)
        self.weight: np.ndarray | None = None
        self.shape: tuple[int, ...] = ()
        self.order: type[nn.Module] | None = None
        self.before = self.after = Pooling("max", 1, 1)
        self.gain, self.bias = np.ones(1), np.zeros(1)

    def take(self, name: str, layer: nn.Module, x: Any) -> Any:
        """Add a layer; return its output for the input `x`, in floats. Raises `InputError`."""
        shape = tuple(x.shape[-3:]) if len(x.shape) > 3 else (x.shape[-1], 1, 1)
        mem = None
        if isinstance(layer, Neuron):
            output, mem = layer(x)
        elif isinstance(x, ConstantInput) or x.dim() in (3, 5):
            output = over_time(layer, x)
        else:
            output = layer(x)
        match layer:
            case nn.Identity() | nn.Dropout():
                pass
            case nn.Flatten() | ChannelsLastFlatten():
                self.order, self.shape = type(layer), self.shape or shape
            case nn.ZeroPad2d():
                left, right, above, below = (int(edge) for edge in layer.padding)
                _require(self.weight is None, "borders must lie before a convolution.")
                self.border = (above, left, below, right)
            case nn.MaxPool2d() | nn.AvgPool2d() | nn.AdaptiveAvgPool2d():
                self._pool(layer, shape)
            case nn.Linear() | nn.Conv2d():
                self._multiply(name, layer, self.shape or shape)
            case nn.BatchNorm1d() | nn.BatchNorm2d() | Affine() | Scale():
                self._scale(layer)
            case nn.ReLU() | nn.ReLU6() | Neuron():
                self._require_weight()
                self.close(self._activation(layer, output, mem))
            case _:
                raise InputError(NO_FORM)
        return output

    def _pool(self, layer: Any, shape: tuple[int, ...]) -> None:
        if isinstance(layer, nn.AdaptiveAvgPool2d):
            _require(layer.output_size in (1, (1, 1)), "only the mean over all places is known.")
            window = strides = shape[1:]
        else:
            window, strides = _pair(layer.kernel_size), _pair(layer.stride)
        plain = _pair(getattr(layer, "padding", 0)) == (0, 0) and window == strides
        _require(
            plain and not getattr(layer, "ceil_mode", False),
            "windows must not overlap or pass the border: take stride = kernel_size.",
        )
        pooling = Pooling("max" if isinstance(layer, nn.MaxPool2d) else "sum", *window)
        if self.weight is None and self.before.rows * self.before.columns > 1:
            self._pool_within()
        there = self.before if self.weight is None else self.after
        _require(there.rows * there.columns == 1, "two poolings follow each other: take one.")
        if self.weight is None:
            _require(bool(self.layers), "it pools the image itself: begin with a layer of weights.")
            self.before = pooling
            self.shape = (shape[0], shape[1] // window[0], shape[2] // window[1])
        else:
            _require(
                pooling.kind == "sum" or bool((self.gain == self.gain[0]).all()),
                "it pools behind a batch norm: pool before it, or behind the neurons.",
            )
            self.after = pooling

    def _pool_within(self) -> None:
        """Let the last layer do the pooling behind its ReLU, if it can: max(ReLU(x)) = ReLU(max(x))
        for a positive multiple x of a sum.
        """
        last = self.layers[-1]
        if (
            self.before.kind == "max"
            and isinstance(last.activation, Levels)
            and last.pool_after.rows * last.pool_after.columns == 1
        ):
            sign = np.where(last.multiplier < 0, -1, 1)
            self.layers[-1] = replace(
                last,
                weight=last.weight * sign.astype(np.int8).reshape(-1, 1, 1, 1),
                multiplier=last.multiplier * sign,
                pool_after=self.before,
            )
            self.before = Pooling("max", 1, 1)

    def _multiply(self, name: str, layer: Any, shape: tuple[int, ...]) -> None:
        _require(
            self.weight is None, "two layers of weights follow each other: put neurons between."
        )
        weight = layer.weight.double().numpy()
        if isinstance(layer, nn.Linear):
            self.shape = shape if self.order else (weight.shape[1], 1, 1)
            channels, height, width = self.shape
            weight = (
                weight.reshape(-1, channels, height, width)
                if self.order is not ChannelsLastFlatten
                else weight.reshape(-1, height, width, channels).transpose(0, 3, 1, 2)
            )
        else:
            _require(
                layer.groups == 1
                and _pair(layer.dilation) == (1, 1)
                and len({*layer.stride}) == 1
                and layer.padding_mode == "zeros"
                and not isinstance(layer.padding, str),
                "convolutions must have one group, no dilation, equal strides and zeros around.",
            )
            self.shape, self.stride = shape, layer.stride[0]
            (down, beside), border = layer.padding, self.border
            self.border = tuple(
                edge + more for edge, more in zip(border, (down, beside) * 2, strict=True)
            )
        self.name, self.weight = name, weight
        self.gain = np.ones(len(weight))
        self.bias = np.zeros(len(weight)) if layer.bias is None else layer.bias.double().numpy()

    def _scale(self, layer: Any) -> None:
        self._require_weight()
        if isinstance(layer, Scale):
            factor, shift = np.array(layer.factor), np.array(layer.shift)
        elif isinstance(layer, Affine):
            factor, shift = (part.double().numpy() for part in (layer.weight, layer.bias))
        else:
            weight, bias, mean, var = (
                part.double().numpy()
                for part in (layer.weight, layer.bias, layer.running_mean, layer.running_var)
            )
            factor = weight / np.sqrt(var + layer.eps)
            shift = bias - mean * factor
        self.gain, self.bias = self.gain * factor, self.bias * factor + shift

    def _require_weight(self) -> None:
        _require(self.weight is not None, "no weights come before it: put a layer before it.")

    def _activation(
        self, layer: nn.Module, output: Any, mem: Any
    ) -> tuple[Spiking | Levels, float]:
        """Return the activation, and the value of 1 in its currents."""
        if isinstance(layer, QuantisedReLU):
            return Levels(2**layer.activation_bits - 1), float(layer.level_step.abs())
        if isinstance(layer, IntegerIF):
            if not layer.levels:
                raise InputError(
                    "its neurons take another input at every step: train with --encoding direct."
                )
            return Levels(layer.levels), 1 / layer.levels
        if isinstance(layer, nn.ReLU | nn.ReLU6 | ReLU):
            values = output.value if isinstance(output, ConstantInput) else output
            return Levels(LEVELS), max(float(values.max()), 1e-30) / LEVELS
        _require(
            isinstance(layer, LIF)
            and not isinstance(layer, ALIF | EachItsOwnLIF)
            and math.isfinite(layer.threshold),
            "these neurons have no form in int8: train with --neuron lif.",
        )
        assert isinstance(layer, LIF)
        largest = float(mem.abs().max()) / layer.threshold
        finest = FINEST_THRESHOLD
        while finest * largest > MAX_MEMBRANE and finest > 1:
            finest //= 2
        beta = round(float(layer.beta) * 2**BETA_BITS)
        return Spiking(beta, finest, layer.reset_mechanism), layer.threshold / finest

    def close(self, activation: tuple[Spiking | Levels, float] | None) -> None:
        """Finish the layer. Raises `InputError`."""
        assert self.weight is not None
        values, scales = rounded(torch.from_numpy(self.weight), 8)
        weight, steps = values.numpy().astype(np.int8), scales.numpy()
        before, after = (
            pooling.rows * pooling.columns if pooling.kind == "sum" else 1
            for pooling in (self.before, self.after)
        )
        scale = self.gain * steps.ravel() * self.unit / (before * after)
        unit = np.abs(scale).max() / SCORE_UNITS if activation is None else activation[1]
        shift = min(30 - math.frexp(np.abs(scale / unit).max())[1], MAX_SHIFT)
        multiplier = np.rint(scale / unit * 2.0**shift).astype(np.int64)
        offset = np.rint(self.bias / unit * 2.0**shift).astype(np.int64) + (1 << shift - 1)
        most_value = self.most * before
        most_sum = np.abs(weight.astype(np.int64)).sum((1, 2, 3)).max() * most_value * after
        _require(
            most_value <= MAX_VALUE and most_sum <= MAX_SUM,
            "its sums can pass 32 bits: make it smaller.",
        )
        window = (self.stride, *self.border, *self.before[1:], *self.after[1:])
        _require(max(window) <= 127, "its stride, border or pooling is larger than 127: shrink it.")
        self.layers.append(
            IntegerLayer(
                name=self.name,
                shape=(self.shape[0], self.shape[1], self.shape[2]),
                pool_before=self.before,
                weight=weight,
                stride=self.stride,
                padding=self.border,
                pool_after=self.after,
                multiplier=multiplier,
                offset=offset,
                shift=shift,
                most_value=most_value,
                most_sum=int(most_sum),
                activation=activation and activation[0],
            )
        )
        self.unit = 1.0 if activation and isinstance(activation[0], Spiking) else unit
        self.most = activation[0].most if activation and isinstance(activation[0], Levels) else 1
        self._begin()


def _pair(window: Any) -> tuple[int, int]:
    return (window, window) if isinstance(window, int) else tuple(window)


def _require(is_right: bool, problem: str) -> None:
    if not is_right:
        raise InputError(problem)
