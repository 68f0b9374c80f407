"""Layers that are computed as one in training: batch norm, neurons, and the max-pooling of their
spikes.

Between joined layers nobody sees anything: where somebody looks, each layer runs by itself.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook
from torch.utils._python_dispatch import _len_torch_dispatch_stack

from spikeduel.spiking import ConstantInput, over_time
from spikeduel.spiking.kernels import normalised
from spikeduel.spiking.neurons import LIF, Neuron, is_carried


@dataclass(frozen=True)
class Joined:
    """`norm`, `neuron` and, unless it is None, `pool`, which follow the stateless layers
    `before`.
    """

    before: tuple[nn.Module, ...]
    norm: nn.BatchNorm2d
    neuron: LIF
    pool: nn.MaxPool2d | None

    def __call__(self, x: Tensor | ConstantInput) -> Tensor:
        """`[T, B, C, H, W]` or a `ConstantInput` to what the layers give one after the other."""
        for layer in self.before:
            x = over_time(layer, x)
        settings = self.norm, self.neuron.beta, self.neuron.dynamics, 1 if self.pool is None else 2
        if normalised.is_fused(x, *settings):
            return normalised.normalised_scan(x, *settings)
        spk, _ = self.neuron(over_time(self.norm, x), with_mem=False)
        return spk if self.pool is None else over_time(self.pool, spk)


def joined(layers: list[nn.Module]) -> list[nn.Module | Joined]:
    """`layers`, with those that can be joined as one."""
    counted = not torch.compiler.is_compiling() and _len_torch_dispatch_stack() > 0
    if counted or is_seen():
        return list(layers)
    rest, together = list(layers), []
    while rest:
        found = (
            _found(*rest[:3]) if len(rest) > 2 else None
        )  # the spikes of neurons that come last are an answer
        together.append(found or rest[0])
        del rest[: 1 if found is None else 2 if found.pool is None else 3]
    return together


def _found(first: nn.Module, neuron: nn.Module, after: nn.Module) -> Joined | None:
    """What can be joined of three layers that follow one another."""
    *before, norm = first if type(first) is nn.Sequential else (first,)
    if not (type(norm) is nn.BatchNorm2d and norm.training and isinstance(neuron, LIF)):
        return None
    is_own = (
        type(neuron).over_time is not LIF.over_time or type(neuron).forward is not Neuron.forward
    )
    if is_own or is_seen(first, norm, neuron):
        return None
    pool = (
        after if isinstance(after, nn.MaxPool2d) and _halves(after) and not is_seen(after) else None
    )
    return Joined(tuple(before), norm, neuron, pool)


def is_seen(*layers: nn.Module) -> bool:
    """Whether all layers or their states are followed, or a call of one of `layers` does more than
    its `forward`.
    """
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return (
        is_carried()
        or _has_any_global_hook()
        or any(getattr(layer, hook) for layer in layers for hook in hooks)
    )


def _halves(layer: nn.MaxPool2d) -> bool:
    """Whether `layer` takes the largest of windows of 2×2 that neither overlap nor leave the
    image.
    """
    if type(layer) is not nn.MaxPool2d or layer.ceil_mode or layer.return_indices:
        return False
    settings = layer.kernel_size, layer.stride, layer.padding, layer.dilation
    return all(
        given in (number, (number, number))
        for given, number in zip(settings, (2, 2, 0, 1), strict=True)
    )
