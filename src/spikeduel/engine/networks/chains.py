"""Chains of layers and neurons, run over time.

In training, some layers are computed as one, unless hooks, carried states, counters or compilation
forbid it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.module import _has_any_global_hook

from spikeduel.engine import ConstantInput, as_sequence, kernels, over_time
from spikeduel.engine.kernels import LANES, is_traced, is_watched
from spikeduel.engine.neurons import IF, LIF, IntegerIF, Neuron, is_carried
from spikeduel.engine.readouts import LogitReadout, MeanReadout, Readout
from spikeduel.system.registry import NetworkKind

Joined = Callable[[Tensor | ConstantInput], Tensor | ConstantInput]
BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm


def join_layers(module: nn.Module) -> None:
    """Let `module` compute layers as one in training; losses can differ in the last digits."""
    for part in module.modules():
        if hasattr(part, "joins_layers"):
            part.joins_layers = True  # type: ignore[assignment]


class SpikingChain(nn.Module):
    """Layers in a chain, some of them neurons; without last neurons, the current is read out."""

    kind: NetworkKind = "snn"
    readout: Readout = MeanReadout()
    joins_layers = False
    norm_scale = 1.0
    """Scale of the currents of neurons, in that of a network with others."""
    weighs_spikes = False
    """True to have `spike_share` after each forward pass in training."""
    spike_share: Tensor | None = None
    """Synapses that spikes reached, as a share of all behind neurons, over all time steps; it
    passes gradients on to the spikes.
    """

    def layers(self) -> list[nn.Module]:
        raise NotImplementedError

    def forward(self, x: Any) -> Any:
        """Return `[T, B, K]`, or `(spk, mem)` of last neurons, for `[T, B, C, H, W]` or a
        `ConstantInput`.
        """
        layers, mem = self.layers(), None
        weighs = self.training and self.weighs_spikes
        fired: list[Tensor | ConstantInput] = []
        for layer in joined(layers, weighs) if self.training and self.joins_layers else layers:
            if isinstance(layer, Neuron):
                x, mem = layer(x, with_mem=layer is layers[-1])
            else:
                x, mem = over_time(layer, x) if isinstance(layer, nn.Module) else layer(x), None
            if weighs and (
                isinstance(layer, Neuron) or getattr(layer, "func", None) is _normalised
            ):
                fired.append(x)
            elif fired and isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
                fired[-1] = x  # synapses get what is left
        if weighs:
            self.spike_share = _spike_share(layers, [as_sequence(spk) for spk in fired])
        return as_sequence(x) if mem is None else (as_sequence(x), mem)


def spiking_chains(module: nn.Module) -> list[SpikingChain]:
    """Return the chains of `module` that spike."""
    return [
        part for part in module.modules() if isinstance(part, SpikingChain) and part.kind == "snn"
    ]


class WithoutTime(SpikingChain):
    """Twin of a `SpikingChain` with ReLU as neurons, for images `[B, C, H, W]`."""

    kind: NetworkKind = "cnn"
    readout: Readout = LogitReadout()

    def forward(self, x: Any) -> Any:
        layers = self.layers()
        has_levels = any(isinstance(layer, Neuron) for layer in layers)
        if has_levels and self.training and self.joins_layers:
            return super().forward(ConstantInput(x, 1))[0]
        for layer in layers:
            if isinstance(layer, Neuron):
                x = layer(x.unsqueeze(0), with_mem=False)[0][0]
            else:
                x = layer(x)
        return x


def _spike_share(layers: list[nn.Module], fired: list[Tensor]) -> Tensor:
    """Return the share of synapses that spikes `[T, B, …]` of each layer of neurons reach."""
    parts = (part for layer in layers for part in layer.modules())
    synapses = [part for part in parts if isinstance(part, nn.Conv2d | nn.Linear)]
    reached, there = torch.zeros(()), 0
    # Neurons come after the first synapses; last neurons reach none.
    for spk, layer in zip(fired, synapses[1:], strict=False):
        synapses_each = layer.weight[:, 0].numel()
        reached = reached + spk.sum(dtype=torch.float32) * synapses_each
        there += spk.numel() * synapses_each
    return reached / max(there, 1)


def joined(layers: list[nn.Module], keeps_spikes: bool = False) -> list[nn.Module | Joined]:
    """Return layers, some of them computed as one; with `keeps_spikes`, all spikes are outputs."""
    if is_traced() or is_seen():
        return list(layers)
    rest, together = list(layers), []
    while rest:
        first, num_layers = _joined(keeps_spikes, *rest[:3])
        together.append(first)
        del rest[:num_layers]
    return together


def _joined(
    keeps_spikes: bool,
    first: nn.Module,
    second: nn.Module | None = None,
    third: nn.Module | None = None,
) -> tuple[nn.Module | Joined, int]:
    """Return the first layer, perhaps joined with the next, and the number of joined layers."""
    if second is None or is_seen(first, second):
        return first, 1
    if (
        not keeps_spikes
        and isinstance(first, LIF)
        and type(first) in (LIF, IF)
        and type(second) is nn.Linear
        and second.bias is not None
    ):
        return partial(_projected, first, second), 2
    *before, norm = first if type(first) is nn.Sequential else (first,)
    # Spikes of last neurons are an output.
    if (
        third is None
        or not (type(norm) is nn.BatchNorm2d and norm.training)
        or is_seen(norm)
        or not isinstance(second, Neuron)
        or type(second).over_time not in (LIF.over_time, IntegerIF.over_time)
        or type(second).forward is not Neuron.forward
    ):
        return first, 1
    if isinstance(third, nn.MaxPool2d) and _halves(third) and not is_seen(third):
        return partial(_normalised, before, norm, second, third), 3
    return partial(_normalised, before, norm, second, None), 2


def _normalised(
    before: list[nn.Module],
    norm: nn.BatchNorm2d,
    neuron: Neuron,
    pool: nn.MaxPool2d | None,
    x: Tensor | ConstantInput,
) -> Tensor | ConstantInput:
    """Run the layers `before`, then batch norm, neurons and pooling, by one kernel if possible."""
    for layer in before:
        x = over_time(layer, x)
    together = neuron.normalised(x, norm, 1 if pool is None else 2)
    if together is not None:
        return together
    spk, _ = neuron(over_time(norm, x), with_mem=False)
    return spk if pool is None else over_time(pool, spk)


def _projected(neuron: LIF, linear: nn.Linear, x: Tensor | ConstantInput) -> Tensor:
    """Run neurons and a linear layer, by one kernel if possible."""
    beta, dynamics = neuron.beta, neuron.dynamics
    if kernels.is_projected(x, beta, dynamics, linear.weight):
        return kernels.projected_scan(x, beta, dynamics, linear.weight, linear.bias)
    spk, _ = neuron(x, with_mem=False)
    return over_time(linear, spk)


def is_seen(*layers: nn.Module) -> bool:
    """Return True if hooks or a carried state could see between layers."""
    return (
        is_carried()
        or _has_any_global_hook()
        or any(
            layer._forward_hooks
            or layer._forward_pre_hooks
            or layer._backward_hooks
            or layer._backward_pre_hooks
            for layer in layers
        )
    )


def _halves(layer: nn.MaxPool2d) -> bool:
    return (
        type(layer) is nn.MaxPool2d
        and not layer.ceil_mode
        and not layer.return_indices
        and all(
            value in (number, (number, number))
            for value, number in (
                (layer.kernel_size, 2),
                (layer.stride, 2),
                (layer.padding, 0),
                (layer.dilation, 1),
            )
        )
    )


def relu_of_max_pool_of_conv(conv: nn.Module, x: Tensor) -> Tensor:
    """Return `relu(max_pool2d(conv(x), 2))` for images `[N, C, H, W]` that need no gradient.

    The highest number gets the gradient even if bf16 rounds others to it; PyTorch takes the first.
    """
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    if (
        isinstance(conv, nn.Conv2d)
        and (conv.kernel_size, conv.stride, conv.padding) == ((3, 3), (1, 1), (0, 0))
        and (conv.dilation, conv.groups) == ((1, 1), 1)
        and conv.bias is not None
        and x.device.type == "cpu"
        and dtype in (torch.bfloat16, torch.float32)
        and not x.requires_grad
        and conv.in_channels <= 4  # a product of matrices is faster for more
        and conv.out_channels % LANES == 0
        and min(x.shape[2:]) >= 4
        and not is_watched(x)
        and not is_seen(conv)
    ):
        from spikeduel.engine.networks.pooling_kernels import ReluOfMaxPoolOfConv

        return ReluOfMaxPoolOfConv.apply(x.to(dtype), conv.weight.to(dtype), conv.bias.to(dtype))
    return F.relu(F.max_pool2d(conv(x), 2))
