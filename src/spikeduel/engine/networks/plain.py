"""Layers as plain data, for imported and converted networks.

A layer is a dict with a `type` of `LAYERS` and its constructor's arguments. It takes the output of
the layer before, or of `inputs`: earlier layers' numbers, -1 for images.
"""

import inspect
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spikeduel.engine import ConstantInput, as_sequence, kernels, over_time
from spikeduel.engine.kernels import Dynamics
from spikeduel.engine.neurons import LIF, Neuron, State
from spikeduel.system.errors import InputError, unknown, visible

MAX_LAYERS = 2000
"""A residual network of 152 layers has some 600."""
IMAGES = -1
"""Number of the images among `inputs`."""


class ChannelsLastFlatten(nn.Module):
    """Flattens `[N, C, H, W]` to `[N, H·W·C]`, the order of channels-last memory."""

    def forward(self, features: Tensor) -> Tensor:
        return features.permute(0, 2, 3, 1).flatten(1)


class Affine(nn.Module):
    """Computes `x · weight + bias` per channel of `[N, C, …]`: a trained batch norm."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.num_channels = num_channels
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def forward(self, x: Tensor) -> Tensor:
        shape = (-1, *[1] * (x.dim() - 2))
        return x * self.weight.view(shape) + self.bias.view(shape)


class Scale(nn.Module):
    """Computes `x · factor + shift`, untrained."""

    def __init__(self, factor: float, shift: float = 0.0) -> None:
        super().__init__()
        self.factor, self.shift = float(factor), float(shift)

    def forward(self, x: Tensor) -> Tensor:
        scaled = x * self.factor
        return scaled + self.shift if self.shift else scaled


class AsPretrained(nn.Module):
    """Prepares images `[N, C, H, W]` in [0, 1] as in a library's pretraining: `[N, K, S, S]`.

    Grey is repeated for the K numbers in `mean` and `std`; `size` S (None: unchanged) is reached by
    antialiased bilinear interpolation.
    """

    def __init__(self, size: int | None, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.size = size
        # Settings, not weights.
        self.mean = nn.Buffer(torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.std = nn.Buffer(torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.size is not None and x.shape[-2:] != (self.size, self.size):
            smaller = max(x.shape[-2:]) > self.size
            x = F.interpolate(
                x, (self.size, self.size), mode="bilinear", align_corners=False, antialias=smaller
            )
        return (x - self.mean) / self.std  # grey spreads over the channels


class Add(nn.Module):
    """Adds inputs of one shape."""

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        return sum(others, first)


class Concat(nn.Module):
    """Concatenates inputs `[N, C, …]` along the channels."""

    def forward(self, *parts: Tensor) -> Tensor:
        return torch.cat(parts, 1)


class PooledCounts(Neuron):
    """Max-pooling of spikes `[T, B, C, H, W]`: a place spikes as often as its most active neuron.

    The output is the increase of the highest count, 0 or 1 a step; `mem` are the counts. After
    Rueckauer et al. 2017.
    """

    def __init__(
        self, kernel_size: Any = 2, stride: Any = None, padding: Any = 0, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(kernel_size, stride, padding, ceil_mode=ceil_mode)
        self.kernel_size, self.padding, self.ceil_mode = kernel_size, padding, ceil_mode
        stride = self.pool.stride
        self.stride = (stride, stride) if isinstance(stride, int) else tuple(stride)

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        counts = state["mem"] + current
        highest = self.pool(counts)
        spk = (highest - state["highest"]).to(current.dtype)
        return spk, {"mem": counts, "highest": highest}

    def initial_state(self, current: Tensor) -> State:
        """Return zero counts in float32: bfloat16 counts no further than 256."""
        counts = torch.zeros_like(current, dtype=torch.float32)
        return {"mem": counts, "highest": self.pool(counts)}


class EachItsOwnLIF(LIF):
    """A `LIF` with `beta` and `threshold` per neuron, in untrained buffers of `shape`."""

    def __init__(self, shape: Sequence[int], reset_mechanism: str = "zero") -> None:
        super().__init__(reset_mechanism=reset_mechanism)
        self.shape = shape
        self.register_buffer("beta", torch.ones(*shape))
        self.register_buffer("thresholds", torch.ones(*shape))

    def _keep_beta(self, beta: float) -> None:
        """Leave the name to the buffer."""

    @property
    def dynamics(self) -> Dynamics:
        return super().dynamics._replace(threshold=self.get_buffer("thresholds"))


class CubaLIF(Neuron):
    """A `LIF` that a spike resets to zero, with a filtered current: syn[t] = alpha·syn[t−1] + I[t].

    NIR calls it current-based; snnTorch's `Synaptic` and Norse's `CubaLIF` are the same. `alpha`
    and `beta` are decays per step.
    """

    def __init__(self, alpha: float, beta: float, threshold: float) -> None:
        super().__init__()
        self.alpha, self.beta, self.threshold = alpha, beta, threshold

    def initial_state(self, current: Tensor) -> State:
        return {name: torch.zeros_like(current, dtype=torch.float32) for name in ("mem", "syn")}

    def over_time(
        self, current: Tensor | ConstantInput, state: State | None, with_mem: bool
    ) -> tuple[Tensor, Tensor, State]:
        before = {name: state[name].unsqueeze(0) for name in state} if state else {}
        filtering, firing = Dynamics(math.inf, "none"), Dynamics(self.threshold, "zero")
        _, syn, last_syn = kernels.scan(current, self.alpha, filtering, before.get("syn"))
        spk, mem, last_mem = kernels.scan(
            syn, self.beta, firing, before.get("mem"), with_mem=with_mem
        )
        spk = spk.to(as_sequence(current).dtype)
        return spk, mem, {"mem": last_mem[0], "syn": last_syn[0]}


LAYERS: dict[str, type[nn.Module]] = {
    kind.__name__: kind
    for kind in (
        nn.Flatten,
        nn.Linear,
        nn.Conv2d,
        nn.ZeroPad2d,
        nn.MaxPool2d,
        nn.AvgPool2d,
        nn.AdaptiveAvgPool2d,
        ChannelsLastFlatten,
        Affine,
        Scale,
        AsPretrained,
        Add,
        Concat,
        PooledCounts,
        LIF,
        EachItsOwnLIF,
        CubaLIF,
    )
}

Inputs = tuple[tuple[int, ...], ...]
"""Layers whose outputs each layer takes."""


def in_order(num_layers: int) -> Inputs:
    return tuple((index - 1,) for index in range(num_layers))


def described(layer: nn.Module) -> dict[str, Any]:
    """Return plain data, without `inputs`."""
    settings: dict[str, Any] = {"type": type(layer).__name__}
    for name in _settings(type(layer)):
        value = getattr(layer, name, None)
        if name == "bias":
            value = value is not None
        elif isinstance(value, Tensor | tuple):
            value = value.flatten().tolist() if isinstance(value, Tensor) else list(value)
        settings[name] = value
    return settings


def _settings(kind: type[nn.Module]) -> list[str]:
    left_out = ("device", "dtype", "args", "kwargs")
    return [name for name in inspect.signature(kind).parameters if name not in left_out]


def made(
    layers: Any, image_shape: Sequence[int], num_classes: int
) -> tuple[list[nn.Module], Inputs, int]:
    """Return the described layers, checked on the meta device, their inputs, and the values per
    image in the largest output. Raises `InputError` naming the layer.
    """
    if not isinstance(layers, list | tuple) or not 0 < len(layers) <= MAX_LAYERS:
        raise InputError(f"layers must be a list of 1 to {MAX_LAYERS} layers.")
    chain: list[nn.Module] = []
    inputs: list[tuple[int, ...]] = []
    outputs = {IMAGES: torch.empty(1, *image_shape, device="meta")}
    for index, layer in enumerate(layers):
        if not isinstance(layer, dict) or not isinstance(layer.get("type"), str):
            raise InputError(f"layers[{index}] must be an object with a type.")
        settings = dict(layer)
        kind, sources = settings.pop("type"), settings.pop("inputs", [index - 1])
        if kind not in LAYERS:
            raise unknown(f"type of layers[{index}]", visible(kind), LAYERS)
        if not (isinstance(sources, list | tuple) and sources) or any(
            type(source) is not int or not IMAGES <= source < index for source in sources
        ):
            raise InputError(
                f"layers[{index}] ({kind}): its inputs must be numbers of layers before it, or -1."
            )
        taken = [outputs[source] for source in sources]
        try:
            if odd := set(settings) - set(_settings(LAYERS[kind])):
                raise unknown("setting", visible(min(odd)), _settings(LAYERS[kind]))
            with torch.device("meta"):
                outputs[index] = _outlined(LAYERS[kind](**settings), *taken)
            chain.append(LAYERS[kind](**settings))
        except Exception as error:  # data from a file can be anything
            raise InputError(
                f"layers[{index}] ({kind}) cannot be made or does not fit what it is given "
                f"{' and '.join(str(list(x.shape[1:])) for x in taken)}: {error}"
            ) from None
        inputs.append(tuple(sources))
    last = list(outputs[len(layers) - 1].shape[1:])
    if last != [num_classes]:
        raise InputError(
            f"the last layer gives {last}, not a score for each of {num_classes} classes."
        )
    return chain, tuple(inputs), max(x.numel() for x in outputs.values())


def _outlined(layer: nn.Module, *inputs: Tensor) -> Tensor:
    if not isinstance(layer, Neuron):
        return layer(*inputs)
    (current,) = inputs
    if isinstance(layer, EachItsOwnLIF) and list(current.shape[1:]) != list(layer.shape):
        raise InputError(f"it is for neurons {list(layer.shape)}")
    return layer.pool(current) if isinstance(layer, PooledCounts) else current


def run(
    layers: Sequence[nn.Module], inputs: Inputs, x: Tensor | ConstantInput
) -> tuple[Tensor | ConstantInput, Tensor | None]:
    """Return the last layer's output `[T, B, …]`, and its membranes if it has neurons."""
    last = len(layers) - 1
    last_use = {source: index for index, sources in enumerate(inputs) for source in sources}
    values_of: dict[int, Tensor | ConstantInput] = {IMAGES: x}
    mem = None
    for index, (layer, sources) in enumerate(zip(layers, inputs, strict=True)):
        taken = [values_of[source] for source in sources]
        if isinstance(layer, Neuron):
            values_of[index], mem = layer(taken[0], with_mem=index == last)
        else:
            values_of[index], mem = applied(layer, taken), None
        for source in {*sources, index} - {last}:
            if last_use.get(source, index) <= index:
                del values_of[source]
    return values_of[last], mem


def applied(layer: nn.Module, inputs: Sequence[Tensor | ConstantInput]) -> Tensor | ConstantInput:
    """Apply a layer without state to inputs over time; of constant inputs, to one step."""
    if len(inputs) == 1:
        return over_time(layer, inputs[0])
    constants = [x.value for x in inputs if isinstance(x, ConstantInput)]
    if len(constants) == len(inputs):
        return ConstantInput(layer(*constants), inputs[0].shape[0])
    sequences = [as_sequence(x) for x in inputs]
    return layer(*(x.flatten(0, 1) for x in sequences)).unflatten(0, sequences[0].shape[:2])
