"""Layers one after the other, described by plain data: what imported networks become.

A layer is a dict whose `type` is one of `LAYERS`; its other entries are those that its function takes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spikeduel.spiking import ConstantInput, over_time
from spikeduel.spiking.kernels import Dynamics
from spikeduel.spiking.neurons import LIF, Neuron
from spikeduel.spiking.readouts import MeanReadout, Readout, SpikeCountReadout
from spikeduel.system.errors import InputError, unknown, visible
from spikeduel.system.registry import Family

MOST_LAYERS = 1000


class EachItsOwnLIF(LIF):
    """A `LIF` whose neurons, of `shape`, have a `beta` and a `threshold` each: buffers, not trained."""

    def __init__(self, shape: Sequence[int], reset_mechanism: str = "zero") -> None:
        super().__init__(reset_mechanism=reset_mechanism)
        self.register_buffer("beta", torch.ones(*shape))
        self.register_buffer("thresholds", torch.ones(*shape))

    def _keep_beta(self, beta: float) -> None:
        """Leaves the name to the buffer."""

    @property
    def dynamics(self) -> Dynamics:
        """What the kernels are told."""
        return super().dynamics._replace(threshold=self.get_buffer("thresholds"))

    def extra_repr(self) -> str:
        return f"shape={list(self.get_buffer('beta').shape)}, reset_mechanism={self.reset_mechanism!r}"


class Sequential(nn.Module):
    """`layers` one after the other; the last spikes (its most spikes are the answer) or does not (its mean is)."""

    family: Family = "snn"

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.chain = nn.ModuleList(layers)
        self.readout: Readout = SpikeCountReadout() if isinstance(layers[-1], Neuron) else MeanReadout()

    def forward(self, x: Tensor | ConstantInput) -> Tensor | tuple[Tensor, Tensor]:
        """`[T, B, C, H, W]` or a `ConstantInput` to `[T, B, K]`, or to the last neurons' `(spk, mem)`."""
        mem = None
        for layer in self.chain:
            if isinstance(layer, Neuron):
                x, mem = layer(x, with_mem=layer is self.chain[-1])
            else:
                x, mem = over_time(layer, x), None
        sequence = x.expand() if isinstance(x, ConstantInput) else x
        return sequence if mem is None else (sequence, mem)

    def layers(self) -> list[nn.Module]:
        """Its layers in the order in which data passes them."""
        return list(self.chain)


def _pool(kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], divisor: int | None) -> nn.Module:
    return nn.AvgPool2d(tuple(kernel), tuple(stride), tuple(padding), divisor_override=divisor)  # type: ignore[arg-type]


def _conv2d(
    num_inputs: int, num_outputs: int, kernel: Sequence[int], stride: Sequence[int], padding: Any, **more: Any
) -> nn.Module:
    padding = padding if isinstance(padding, str) else tuple(padding)
    return nn.Conv2d(num_inputs, num_outputs, tuple(kernel), tuple(stride), padding, **more)  # type: ignore[arg-type]


def _lif(
    beta: float = 1.0, threshold: float = 1.0, reset_mechanism: str = "zero", shape: Sequence[int] | None = None
) -> nn.Module:
    return LIF(beta, threshold, reset_mechanism) if shape is None else EachItsOwnLIF(shape, reset_mechanism)


LAYERS: dict[str, Callable[..., nn.Module]] = {
    "flatten": nn.Flatten,
    "linear": lambda num_inputs, num_outputs, bias=True: nn.Linear(num_inputs, num_outputs, bias),
    "conv2d": _conv2d,
    "avgpool2d": lambda kernel, stride, padding: _pool(kernel, stride, padding, None),
    "sumpool2d": lambda kernel, stride, padding: _pool(kernel, stride, padding, 1),
    "lif": _lif,
}


def build(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    layers: Sequence[dict[str, Any]] | None = None,
    neuron: Callable[[], Neuron] = LIF,
    hidden: int = 1024,
) -> Sequential:
    """The layers of an imported network; without `layers`, one hidden layer of neurons, an integrating readout"""
    if layers is None:
        size = image_shape[0] * image_shape[1] * image_shape[2]
        return Sequential([nn.Flatten(), nn.Linear(size, hidden), neuron(), nn.Linear(hidden, num_classes)])
    with torch.device("meta"):
        _require_fitting(_made(layers), image_shape, num_classes)
    return Sequential(_made(layers))


def _made(layers: Any) -> list[nn.Module]:
    if not isinstance(layers, list | tuple) or not 0 < len(layers) <= MOST_LAYERS:
        raise InputError(f"layers must be a list of 1 to {MOST_LAYERS} layers.")
    return [_layer(index, layer) for index, layer in enumerate(layers)]


def _layer(index: int, layer: Any) -> nn.Module:
    if not isinstance(layer, dict) or not isinstance(layer.get("type"), str):
        raise InputError(f"layers[{index}] must be an object with a type.")
    kind = layer["type"]
    if kind not in LAYERS:
        raise unknown(f"type of layers[{index}]", visible(kind), LAYERS)
    try:
        return LAYERS[kind](**{name: value for name, value in layer.items() if name != "type"})
    except InputError:
        raise
    except Exception as error:  # it is data from a file, of which anything can be
        raise InputError(f"layers[{index}] ({kind}) cannot be made: {error}") from None


def _require_fitting(layers: list[nn.Module], image_shape: tuple[int, int, int], num_classes: int) -> None:
    x = torch.empty(1, *image_shape, device="meta")
    for index, layer in enumerate(layers):
        try:
            if isinstance(layer, EachItsOwnLIF):
                if tuple(x.shape[1:]) != tuple(layer.get_buffer("beta").shape):
                    raise InputError(f"it is for neurons {list(layer.get_buffer('beta').shape)}")
            elif not isinstance(layer, Neuron):
                x = layer(x)
        except Exception as error:  # torch raises many things where shapes do not fit
            raise InputError(
                f"layers[{index}] ({type(layer).__name__}) does not fit what it is given, {list(x.shape[1:])}: {error}"
            ) from None
    if tuple(x.shape[1:]) != (num_classes,):
        raise InputError(
            f"the last layer gives {list(x.shape[1:])} in place of a score for each of {num_classes} classes."
        )
