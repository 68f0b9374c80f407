"""Layers computed as one in training, by kernels that write nothing in between.

`join_layers` switches this on for a network; `TrainingStep` calls it before the first step. Joined
are batch norm, neurons and the max-pooling of their spikes, and neurons under a constant current
with a linear layer of few outputs. Layers with hooks, carried states or counters run one by one.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook
from torch.utils._python_dispatch import _len_torch_dispatch_stack

from spikeduel.spiking import ConstantInput, over_time
from spikeduel.spiking.kernels import normalised, projected
from spikeduel.spiking.neurons import IF, LIF, Neuron, is_carried


class JoinsLayers(nn.Module):
    """A network that can compute some of its layers as one in training."""

    joins_layers = False

    @property
    def is_joined(self) -> bool:
        """True if the network trains, and `join_layers` was called."""
        return self.training and self.joins_layers


def join_layers(module: nn.Module) -> None:
    """Let `module` and its parts compute layers as one in training, if they can (`JoinsLayers`).

    Answers, states and weights stay as they are; losses can differ in the last digits.
    """
    for part in module.modules():
        if isinstance(part, JoinsLayers):
            part.joins_layers = True


@dataclass(frozen=True)
class NormalisedNeurons:
    """`norm`, `neuron` and perhaps `pool`, after the stateless layers `before`."""

    before: tuple[nn.Module, ...]
    norm: nn.BatchNorm2d
    neuron: LIF
    pool: nn.MaxPool2d | None

    def __call__(self, x: Tensor | ConstantInput) -> Tensor:
        """Return the output for `[T, B, C, H, W]` or a `ConstantInput`."""
        for layer in self.before:
            x = over_time(layer, x)
        settings = self.norm, self.neuron.beta, self.neuron.dynamics, 1 if self.pool is None else 2
        if normalised.is_fused(x, *settings):
            return normalised.normalised_scan(x, *settings)
        spk, _ = self.neuron(over_time(self.norm, x), with_mem=False)
        return spk if self.pool is None else over_time(self.pool, spk)


@dataclass(frozen=True)
class ProjectedNeurons:
    """`neuron` and the `linear` layer of few outputs that takes the spikes."""

    neuron: LIF
    linear: nn.Linear

    def __call__(self, x: Tensor | ConstantInput) -> Tensor:
        """Return the output `[T, B, K]` for a current `[T, B, N]` or a `ConstantInput`."""
        beta, dynamics, weight = self.neuron.beta, self.neuron.dynamics, self.linear.weight
        if projected.is_projected(x, beta, dynamics, weight):
            return projected.projected_scan(x, beta, dynamics, weight, self.linear.bias)
        spk, _ = self.neuron(x, with_mem=False)
        return over_time(self.linear, spk)


Joined = NormalisedNeurons | ProjectedNeurons


def joined(layers: list[nn.Module]) -> list[nn.Module | Joined]:
    """Return `layers`, with joined layers in the place of those that have a kernel."""
    counted = not torch.compiler.is_compiling() and _len_torch_dispatch_stack() > 0
    if counted or is_seen():
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
    """Return the first of these layers, perhaps joined with the next, and how many that are."""
    if second is None or is_seen(first, second):
        return first, 1
    if (
        isinstance(first, LIF)
        and type(first) in (LIF, IF)
        and type(second) is nn.Linear
        and second.bias is not None
    ):
        return ProjectedNeurons(first, second), 2
    *before, norm = first if type(first) is nn.Sequential else (first,)
    # Spikes of last neurons are an answer.
    if third is None or not (type(norm) is nn.BatchNorm2d and norm.training) or is_seen(norm):
        return first, 1
    if not isinstance(second, LIF) or (
        type(second).over_time is not LIF.over_time or type(second).forward is not Neuron.forward
    ):
        return first, 1
    if isinstance(third, nn.MaxPool2d) and _halves(third) and not is_seen(third):
        return NormalisedNeurons(tuple(before), norm, second, third), 3
    return NormalisedNeurons(tuple(before), norm, second, None), 2


def is_seen(*layers: nn.Module) -> bool:
    """Return True if a hook, a carried state or a tool could see between layers."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return (
        is_carried()
        or _has_any_global_hook()
        or any(getattr(layer, hook) for layer in layers for hook in hooks)
    )


def _halves(layer: nn.MaxPool2d) -> bool:
    """Return True if `layer` pools windows of 2×2 that neither overlap nor leave the image."""
    if type(layer) is not nn.MaxPool2d or layer.ceil_mode or layer.return_indices:
        return False
    settings = layer.kernel_size, layer.stride, layer.padding, layer.dilation
    return all(
        value in (number, (number, number))
        for value, number in zip(settings, (2, 2, 0, 1), strict=True)
    )
