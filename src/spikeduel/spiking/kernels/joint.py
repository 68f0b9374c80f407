"""Batch norm, neurons and max-pooling (`reference.normalised_scan`) in one pass on the CPU, for
training; or, under a constant current, neurons and a linear layer of few outputs.
"""

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from spikeduel.spiking import ConstantInput, kernels
from spikeduel.spiking.kernels import LANES
from spikeduel.spiking.kernels.reference import RESET_MECHANISMS, Dynamics

MOST_OUTPUTS = 20
_GROUPS = 16
"""Parts of a batch with separate sums about the weights: the number of threads changes none."""


def is_normalised(
    current: Tensor | ConstantInput,
    norm: nn.BatchNorm2d,
    beta: Tensor | float,
    dynamics: Dynamics,
    side: int,
) -> bool:
    """Return True if `normalised_scan` has a kernel for these arguments."""
    value = current.value if isinstance(current, ConstantInput) else current
    return (
        _is_plain(value, current, beta, dynamics)
        and norm.training
        and norm.affine
        and norm.track_running_stats
        and value.dim() == (4 if isinstance(current, ConstantInput) else 5)
        and norm.num_features == value.shape[-3]
        and norm.weight.dtype == torch.float32
        and min(value.shape[-2:]) >= side
        and value.numel() > norm.num_features
        and current.shape[0] > 0
    )


def _is_plain(value: Tensor, current: Any, beta: Tensor | float, dynamics: Dynamics) -> bool:
    return (
        kernels.may_fuse()
        and value.device.type == "cpu"
        and not kernels.is_watched(value)
        and dynamics.adaptation is None
        and kernels.is_fused(current, beta, dynamics)
    )


def normalised_scan(
    current: Tensor | ConstantInput,
    norm: nn.BatchNorm2d,
    beta: Tensor | float,
    dynamics: Dynamics,
    side: int = 1,
) -> Tensor:
    """Return spikes `[T, B, C, H / side, W / side]` for `norm(current)`, max-pooled by `side`;
    update the running statistics of `norm`.

    `current` is `[T, B, C, H, W]`; normalised, it is never rounded to its own type.
    """
    value = current.value.unsqueeze(0) if isinstance(current, ConstantInput) else current
    decay = beta if isinstance(beta, Tensor) else torch.full((), beta)
    spk, mean, var = _Normalised.apply(
        value.permute(0, 1, 3, 4, 2).contiguous(),
        *(norm.weight, norm.bias, decay, norm.eps),
        *(dynamics, current.shape[0], side),
    )
    count = value.numel() // norm.num_features
    with torch.no_grad():
        if norm.num_batches_tracked is not None and norm.running_mean is not None:
            norm.num_batches_tracked.add_(1)
            new = 1 / norm.num_batches_tracked if norm.momentum is None else norm.momentum
            norm.running_mean.mul_(1 - new).add_(mean * new)
            unbiased = var * (count / (count - 1))
            norm.running_var.mul_(1 - new).add_(unbiased * new)  # type: ignore[union-attr]
    return spk.permute(0, 1, 4, 2, 3)


class _Normalised(torch.autograd.Function):
    """Channels-last currents and spikes: `[T, B, H, W, C]`."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, ...]:
        from spikeduel.spiking.kernels import cpu

        spk, mean, var = cpu.normalised_forward(*inputs)
        ctx.mark_non_differentiable(mean, var)
        ctx.save_for_backward(*inputs[:4], mean, var)
        ctx.settings = inputs[4:]
        return spk, mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spk: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        from spikeduel.spiking.kernels import cpu

        needs_beta = ctx.needs_input_grad[3]
        operands: Any = grad_spk.contiguous(), *ctx.saved_tensors, *ctx.settings, needs_beta
        *grads, grad_beta = cpu.normalised_backward(*operands)
        return *grads, grad_beta if needs_beta else None, *(None,) * len(ctx.settings)


def is_projected(
    current: Tensor | ConstantInput, beta: Any, dynamics: Dynamics, weight: Tensor
) -> bool:
    """Return True if `projected_scan` has a kernel for these arguments."""
    return (
        isinstance(current, ConstantInput)
        and current.value.dim() == 2
        and current.value.shape[1] % LANES == 0
        and isinstance(beta, float)
        and dynamics.surrogate == "atan"
        and len(weight) <= MOST_OUTPUTS
        and _is_plain(current.value, current, beta, dynamics)
    )


def projected_scan(
    current: Any, beta: Any, dynamics: Dynamics, weight: Tensor, bias: Tensor
) -> Tensor:
    """Return `F.linear(scan(current, beta, dynamics)[0], weight, bias)` `[T, B, K]`, for `current`
    `[B, N]`, in its type.
    """
    y: Tensor = _Projected.apply(
        current.value.contiguous(), weight, current.num_steps, beta, dynamics
    )
    return (y + bias.float()[:, None]).to(current.value.dtype).transpose(1, 2)


class _Projected(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, current: Tensor, weight: Tensor, num_steps: int, beta: float, dynamics: Dynamics
    ) -> Tensor:
        """Return `[T, K, B]` in float32."""
        from spikeduel.spiking.kernels import cpu_kernels
        from spikeduel.spiking.kernels.cpu import flat, run_chunks

        num_images, num_neurons = current.shape
        num_outputs = -(-len(weight) // cpu_kernels.OUTPUTS) * cpu_kernels.OUTPUTS
        weights = torch.zeros(num_outputs, num_neurons)
        weights[: len(weight)] = weight.detach()
        numbers = beta, dynamics.threshold, math.pi / 2 * dynamics.alpha, dynamics.alpha / 2
        reset = RESET_MECHANISMS.index(dynamics.reset_mechanism)
        settings = np.array(numbers, np.float32), reset, num_steps, num_neurons
        ctx.save_for_backward(current, weight)
        ctx.operands, ctx.num_outputs = (flat(current), flat(weights), *settings), num_outputs
        out = torch.empty(num_images, num_steps, num_outputs)
        kernel = partial(cpu_kernels.projected_forward, *ctx.operands, flat(out))
        run_chunks(kernel, num_images, work=num_images * num_steps * num_neurons)
        return out[..., : len(weight)].permute(1, 2, 0).contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        from spikeduel.spiking.kernels import cpu_kernels
        from spikeduel.spiking.kernels.cpu import empty, flat, run_chunks

        current, weight = ctx.saved_tensors
        num_steps, (num_images, num_neurons) = len(grad), current.shape
        grads = torch.zeros(num_images, num_steps, ctx.num_outputs)
        grads[..., : len(weight)] = grad.permute(2, 0, 1)
        images = max(1, -(-num_images // _GROUPS))
        groups = -(-num_images // images)
        grad_current = empty((num_images, num_neurons), current.dtype)
        grad_weights = torch.empty(groups, ctx.num_outputs, num_neurons)
        operands = flat(grads), *ctx.operands, flat(grad_current), flat(grad_weights), images
        kernel = partial(cpu_kernels.projected_backward, *operands)
        run_chunks(kernel, groups, work=num_images * num_steps * num_neurons)
        return grad_current, grad_weights.sum(0)[: len(weight)].to(weight.dtype), None, None, None
