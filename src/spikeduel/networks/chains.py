"""Chains of layers and neurons, run over time.

In training, `joint` computes some layers as one, unless hooks, carried states, counters or
compilation forbid it.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook
from torch.utils._python_dispatch import _len_torch_dispatch_stack

from spikeduel.spiking import ConstantInput, as_sequence, kernels, over_time
from spikeduel.spiking.neurons import IF, LIF, Neuron, is_carried
from spikeduel.spiking.readouts import MeanReadout, Readout
from spikeduel.system.registry import Family

Joined = Callable[[Tensor | ConstantInput], Tensor]


class JoinsLayers(nn.Module):
    """A network that can compute some layers as one in training."""

    joins_layers = False

    @property
    def is_joined(self) -> bool:
        return self.training and self.joins_layers


def join_layers(module: nn.Module) -> None:
    """Let `module` compute layers as one in training; losses can differ in the last digits."""
    for part in module.modules():
        if isinstance(part, JoinsLayers):
            part.joins_layers = True


class SpikingChain(JoinsLayers):
    """Layers in a chain, some of them neurons; without last neurons, the current is read out."""

    family: Family = "snn"
    readout: Readout = MeanReadout()

    def layers(self) -> list[nn.Module]:
        raise NotImplementedError

    def forward(self, x: Tensor | ConstantInput) -> Tensor | tuple[Tensor, Tensor]:
        """Return `[T, B, K]`, or `(spk, mem)` of last neurons, for `[T, B, C, H, W]` or a
        `ConstantInput`.
        """
        layers, mem = self.layers(), None
        for layer in joined(layers) if self.is_joined else layers:
            if isinstance(layer, Neuron):
                x, mem = layer(x, with_mem=layer is layers[-1])
            else:
                x, mem = over_time(layer, x) if isinstance(layer, nn.Module) else layer(x), None
        return as_sequence(x) if mem is None else (as_sequence(x), mem)


def joined(layers: list[nn.Module]) -> list[nn.Module | Joined]:
    if torch.compiler.is_compiling() or _len_torch_dispatch_stack() > 0 or is_seen():
        return list(layers)
    rest, together = list(layers), []
    while rest:
        first, num_layers = _joined(*rest[:3])
        together.append(first)
        del rest[:num_layers]
    return together


def _joined(
    first: nn.Module, second: nn.Module | None = None, third: nn.Module | None = None
) -> tuple[nn.Module | Joined, int]:
    """Return the first layer, perhaps joined with the next, and the number of layers joined."""
    if second is None or is_seen(first, second):
        return first, 1
    if (
        isinstance(first, LIF)
        and type(first) in (LIF, IF)
        and type(second) is nn.Linear
        and second.bias is not None
    ):
        return partial(_projected, first, second), 2
    *before, norm = first if type(first) is nn.Sequential else (first,)
    # Spikes of last neurons are an answer.
    if (
        third is None
        or not (type(norm) is nn.BatchNorm2d and norm.training)
        or is_seen(norm)
        or not isinstance(second, LIF)
        or type(second).over_time is not LIF.over_time
        or type(second).forward is not Neuron.forward
    ):
        return first, 1
    if isinstance(third, nn.MaxPool2d) and _halves(third) and not is_seen(third):
        return partial(_normalised, before, norm, second, third), 3
    return partial(_normalised, before, norm, second, None), 2


def _normalised(
    before: list[nn.Module],
    norm: nn.BatchNorm2d,
    neuron: LIF,
    pool: nn.MaxPool2d | None,
    x: Tensor | ConstantInput,
) -> Tensor:
    for layer in before:
        x = over_time(layer, x)
    settings = norm, neuron.beta, neuron.dynamics, 1 if pool is None else 2
    if kernels.is_normalised(x, *settings):
        return kernels.normalised_scan(x, *settings)
    spk, _ = neuron(over_time(norm, x), with_mem=False)
    return spk if pool is None else over_time(pool, spk)


def _projected(neuron: LIF, linear: nn.Linear, x: Tensor | ConstantInput) -> Tensor:
    beta, dynamics = neuron.beta, neuron.dynamics
    if kernels.is_projected(x, beta, dynamics, linear.weight):
        return kernels.projected_scan(x, beta, dynamics, linear.weight, linear.bias)
    spk, _ = neuron(x, with_mem=False)
    return over_time(linear, spk)


def is_seen(*layers: nn.Module) -> bool:
    """Return True if a hook or a carried state could see between layers."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return (
        is_carried()
        or _has_any_global_hook()
        or any(getattr(layer, hook) for layer in layers for hook in hooks)
    )


def _halves(layer: nn.MaxPool2d) -> bool:
    settings = layer.kernel_size, layer.stride, layer.padding, layer.dilation
    return (
        type(layer) is nn.MaxPool2d
        and not layer.ceil_mode
        and not layer.return_indices
        and all(
            value in (number, (number, number))
            for value, number in zip(settings, (2, 2, 0, 1), strict=True)
        )
    )
