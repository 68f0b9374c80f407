"""Layers as plain data, for networks that files describe: imported and converted ones.

A layer is a dict with a `type` (`LAYERS`) and its settings. It takes the output of the layer before
it, or of its `inputs`: numbers of earlier layers, -1 for the images; so a list describes residual
networks too.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spikeduel.spiking import ConstantInput, over_time
from spikeduel.spiking.kernels import Dynamics
from spikeduel.spiking.neurons import LIF, Neuron, State
from spikeduel.system.errors import InputError, unknown, visible

MOST_LAYERS = 2000
"""A residual network of 152 layers has some 600."""
IMAGES = -1
"""Number of the images among the `inputs` of a layer."""


def as_sequence(x: Tensor | ConstantInput) -> Tensor:
    """Return `[T, B, …]`; of a `ConstantInput` a view."""
    return x.expand() if isinstance(x, ConstantInput) else x


class ChannelsLastFlatten(nn.Module):
    """Flattens `[N, C, H, W]` to `[N, H·W·C]`, the order of channels-last memory: nothing is
    copied.
    """

    def forward(self, features: Tensor) -> Tensor:
        return features.permute(0, 2, 3, 1).flatten(1)


class Affine(nn.Module):
    """Computes `x · weight + bias` per channel of `[N, C, …]`: a batch norm after training."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.weight, self.bias = (
            nn.Parameter(torch.ones(num_channels)),
            nn.Parameter(torch.zeros(num_channels)),
        )

    def forward(self, x: Tensor) -> Tensor:
        shape = (-1, *[1] * (x.dim() - 2))
        return x * self.weight.view(shape) + self.bias.view(shape)


class Scale(nn.Module):
    """Computes `x · factor + shift`, untrained. Without a shift, spikes stay events of another
    size.
    """

    def __init__(self, factor: float, shift: float = 0.0) -> None:
        super().__init__()
        self.factor, self.shift = float(factor), float(shift)

    def forward(self, x: Tensor) -> Tensor:
        scaled = x * self.factor
        return scaled + self.shift if self.shift else scaled

    def extra_repr(self) -> str:
        return f"factor={self.factor:g}, shift={self.shift:g}"


class AsPretrained(nn.Module):
    """Prepared images as a library's network saw them in its pretraining.

    `[N, C, H, W]` in [0, 1] become `[N, K, S, S]`, with K numbers in `mean` and `std`: grey is
    repeated, and the `size` S (None: unchanged) is reached by bilinear interpolation, antialiased
    for smaller images.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, size: int | None, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.size = size
        # Settings, not weights.
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(-1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.size is not None and x.shape[-2:] != (self.size, self.size):
            smaller = max(x.shape[-2:]) > self.size
            x = F.interpolate(
                x, (self.size, self.size), mode="bilinear", align_corners=False, antialias=smaller
            )
        return (x - self.mean) / self.std  # grey spreads over the channels

    def extra_repr(self) -> str:
        mean, std = self.mean.flatten().tolist(), self.std.flatten().tolist()
        return f"size={self.size}, mean={mean}, std={std}"


class Add(nn.Module):
    """Adds inputs of one shape."""

    def forward(self, *parts: Tensor) -> Tensor:
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total


class Concat(nn.Module):
    """Concatenates inputs `[N, C, …]` along the channels."""

    def forward(self, *parts: Tensor) -> Tensor:
        return torch.cat(parts, 1)


class PooledCounts(Neuron):
    """Max-pooling of spikes by their counts: a place spikes as often as its most active neuron.

    The output is the increase of the highest count, 0 or 1 a step: `[T, B, C, H, W]` to `[T, B, C,
    H', W']`, pooled as by `nn.MaxPool2d`. (Pooled step by step, a place would spike whenever any of
    its neurons does.) `mem` are the counts. After Rueckauer et al. 2017, whose gates pass the
    neuron with the highest rate.
    """

    def __init__(
        self, kernel: Any = 2, stride: Any = None, padding: Any = 0, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil_mode)

    @property
    def stride(self) -> tuple[int, int]:
        """Distance of pooled places, in neurons."""
        stride = self.pool.stride
        return (stride, stride) if isinstance(stride, int) else tuple(stride)  # type: ignore[return-value]

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        spk, _, last = self.over_time(current.unsqueeze(0), state, with_mem=False)
        return spk[0], last

    def over_time(
        self, current: Tensor | ConstantInput, state: State | None, with_mem: bool
    ) -> tuple[Tensor, Tensor, State]:
        sequence = as_sequence(current)
        counts = (state or self.initial_state(sequence[0]))["mem"]
        highest, spikes, membranes = self.pool(counts), [], []
        for now in sequence.unbind(0):
            counts, before = counts + now, highest
            highest = self.pool(counts)
            spikes.append((highest - before).to(sequence.dtype))
            if with_mem:
                membranes.append(counts)
        mem = torch.stack(membranes) if with_mem else counts.new_empty((0, *counts.shape))
        return torch.stack(spikes), mem, {"mem": counts}

    def initial_state(self, current: Tensor) -> State:
        """Return zero counts in float32: bfloat16 counts no further than 256."""
        return {"mem": torch.zeros_like(current, dtype=torch.float32)}


class EachItsOwnLIF(LIF):
    """A `LIF` with a `beta` and a `threshold` per neuron, in untrained buffers of `shape`."""

    def __init__(self, shape: Sequence[int], reset_mechanism: str = "zero") -> None:
        super().__init__(reset_mechanism=reset_mechanism)
        self.register_buffer("beta", torch.ones(*shape))
        self.register_buffer("thresholds", torch.ones(*shape))

    def _keep_beta(self, beta: float) -> None:
        """Leave the name to the buffer."""

    @property
    def dynamics(self) -> Dynamics:
        return super().dynamics._replace(threshold=self.get_buffer("thresholds"))

    def extra_repr(self) -> str:
        return (
            f"shape={list(self.get_buffer('beta').shape)}, reset_mechanism={self.reset_mechanism!r}"
        )


# By a layer's `type`, the function of the dict's other entries that makes it.
LAYERS: dict[str, Callable[..., nn.Module]] = {
    "flatten": nn.Flatten,
    "channels_last_flatten": ChannelsLastFlatten,
    "linear": lambda num_inputs, num_outputs, bias=True: nn.Linear(num_inputs, num_outputs, bias),
    "conv2d": lambda num_inputs, num_outputs, kernel, **more: nn.Conv2d(
        num_inputs, num_outputs, kernel, **more
    ),
    "affine": Affine,
    "scale": Scale,
    "as_pretrained": AsPretrained,
    "zeropad2d": nn.ZeroPad2d,
    "avgpool2d": lambda kernel, stride, padding, **more: nn.AvgPool2d(
        kernel, stride, padding, **more
    ),
    "sumpool2d": lambda kernel, stride, padding: nn.AvgPool2d(
        kernel, stride, padding, divisor_override=1
    ),
    "adaptive_avgpool2d": lambda size: nn.AdaptiveAvgPool2d(size),
    "maxpool2d": lambda kernel, stride, padding, **more: nn.MaxPool2d(
        kernel, stride, padding, **more
    ),
    "pooled_counts": PooledCounts,
    "add": Add,
    "concat": Concat,
    "lif": lambda beta=1.0, threshold=1.0, reset_mechanism="zero", shape=None: (
        LIF(beta, threshold, reset_mechanism)
        if shape is None
        else EachItsOwnLIF(shape, reset_mechanism)
    ),
}

Inputs = tuple[tuple[int, ...], ...]
"""For each layer, the layers whose outputs it takes."""


class Made(NamedTuple):
    """Layers, their inputs, and the number of values per image in the largest output."""

    layers: list[nn.Module]
    inputs: Inputs
    largest: int


def in_order(num_layers: int) -> Inputs:
    """Return the inputs of a chain of so many layers."""
    return tuple((index - 1,) for index in range(num_layers))


def made(layers: Any, image_shape: Sequence[int], num_classes: int) -> Made:
    """Return the layers that `layers` describe, checked on the meta device first.

    Raises `InputError` naming the layer that cannot be made.
    """
    if not isinstance(layers, list | tuple) or not 0 < len(layers) <= MOST_LAYERS:
        raise InputError(f"layers must be a list of 1 to {MOST_LAYERS} layers.")
    chain: list[nn.Module] = []
    inputs: list[tuple[int, ...]] = []
    outputs = {IMAGES: torch.empty(1, *image_shape, device="meta")}
    for index, layer in enumerate(layers):
        if not isinstance(layer, dict) or not isinstance(layer.get("type"), str):
            raise InputError(f"layers[{index}] must be an object with a type.")
        kind = layer["type"]
        settings = {name: value for name, value in layer.items() if name not in ("type", "inputs")}
        if kind not in LAYERS:
            raise unknown(f"type of layers[{index}]", visible(kind), LAYERS)
        taken = layer.get("inputs", [index - 1])
        if (
            not isinstance(taken, list | tuple)
            or not taken
            or not all(_is_earlier(each, index) for each in taken)
        ):
            raise InputError(
                f"layers[{index}] ({kind}): its inputs must be numbers of layers before it, or -1."
            )
        given = [outputs[each] for each in taken]
        try:
            with torch.device("meta"):
                outline = LAYERS[kind](**settings)
                if (
                    isinstance(outline, EachItsOwnLIF)
                    and given[0].shape[1:] != outline.get_buffer("beta").shape
                ):
                    raise InputError(f"it is for neurons {settings['shape']}")
                outputs[index] = _passed(outline, given)
            chain.append(LAYERS[kind](**settings))
        except Exception as error:  # data from a file can be anything
            shapes = " and ".join(str(list(x.shape[1:])) for x in given)
            raise InputError(
                f"layers[{index}] ({kind}) cannot be made or does not fit what it is given "
                f"{shapes}: {error}"
            ) from None
        inputs.append(tuple(taken))
    if tuple(outputs[len(layers) - 1].shape[1:]) != (num_classes,):
        last = list(outputs[len(layers) - 1].shape[1:])
        raise InputError(
            f"the last layer gives {last}, not a score for each of {num_classes} classes."
        )
    return Made(chain, tuple(inputs), max(x.numel() for x in outputs.values()))


def _is_earlier(given: Any, index: int) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and IMAGES <= given < index


def _passed(layer: nn.Module, given: Sequence[Tensor]) -> Tensor:
    """Return a meta tensor with the shape of a layer's output for inputs `[1, …]`."""
    if not isinstance(layer, Neuron):
        return layer(*given)
    (current,) = given
    return layer.pool(current) if isinstance(layer, PooledCounts) else current


def run(
    layers: Sequence[nn.Module], inputs: Inputs, x: Tensor | ConstantInput
) -> tuple[Tensor | ConstantInput, Tensor | None]:
    """Return the last layer's output `[T, B, …]` and, for neurons, the membranes.

    Outputs that no later layer takes are freed.
    """
    last_use = {source: index for index, sources in enumerate(inputs) for source in sources}
    held: dict[int, Tensor | ConstantInput] = {IMAGES: x}
    mem = None
    for index, (layer, sources) in enumerate(zip(layers, inputs, strict=True)):
        given = [held[source] for source in sources]
        is_last = index == len(layers) - 1
        if isinstance(layer, Neuron):
            held[index], mem = layer(given[0], with_mem=is_last)
        else:
            held[index], mem = _applied(layer, given), None
        for source in {*sources, index}:
            if last_use.get(source, index) <= index and not is_last:
                held.pop(source, None)
    return held[len(layers) - 1], mem


def _applied(layer: nn.Module, given: Sequence[Tensor | ConstantInput]) -> Tensor | ConstantInput:
    """Apply `over_time` to several inputs; the output is constant if all inputs are."""
    if len(given) == 1:
        return over_time(layer, given[0])
    constants = [each for each in given if isinstance(each, ConstantInput)]
    if len(constants) == len(given):
        return ConstantInput(layer(*(each.value for each in constants)), constants[0].num_steps)
    sequences = [as_sequence(each) for each in given]
    return layer(*(each.flatten(0, 1) for each in sequences)).unflatten(0, sequences[0].shape[:2])
