"""Batch norm, neurons and max-pooling step by step: `kernels.normalised_scan` is equal to the last
bit.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from spikeduel.engine.kernels import reference


def _sum(x: Tensor, axis: int) -> Tensor:
    """Sum `x` from first to last."""
    first, *others = x.unbind(axis)
    return sum(others, first)


def channel_sums(x: Tensor) -> Tensor:
    """Return float64 `[C]`: sums of `x` `[N, C, H, W]` along rows, then over rows, then images."""
    images = _sum(_sum(x, 3), 2)
    return _sum(images.double(), 0)


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and biased variance `[C]` of `x` `[N, C, H, W]`, relative to its first pixel."""
    pivot = x[0, :, 0, 0]
    above, count = x - pivot.view(-1, 1, 1), x[:, 0].numel()
    offset, square = channel_sums(above) / count, channel_sums(above * above) / count
    return (pivot + offset).to(x.dtype), (square - offset * offset).clamp(min=0).to(x.dtype)


class _Normalise(torch.autograd.Function):
    """Autograd of `normalise`, with an order of sums."""

    @staticmethod
    def forward(
        ctx: Any, current: Tensor, weight: Tensor, bias: Tensor, eps: float, num_steps: int
    ) -> Any:
        x = current.to(weight.dtype)
        mean, var = moments(x.flatten(0, 1))
        inverse = 1 / (var.double() + eps).sqrt()
        scale = weight * inverse.to(weight.dtype)
        shift = bias - mean * scale
        ctx.save_for_backward(current, mean, inverse, scale)
        ctx.mark_non_differentiable(mean, var)
        return (
            (x * _of_channel(scale) + _of_channel(shift)).expand(num_steps, *x.shape[1:]),
            mean,
            var,
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        current, mean, inverse, scale = ctx.saved_tensors
        above = current.to(mean.dtype) - _of_channel(mean)
        # Backward takes the steps from last to first.
        total = _sum(grad.flip(0), 0)
        product = _sum((grad * above).flip(0), 0)
        if len(current) == 1:
            grad, product = total[None], total * above[0]
        of_bias, of_deviation = channel_sums(total), channel_sums(product)
        count = current[:, :, 0].numel()
        mean_grad, slope = (
            (of_bias / count).to(mean.dtype),
            (of_deviation * inverse**2 / count).to(mean.dtype),
        )
        # The gradient waits in the current's type until its sums are known.
        rounded = grad.to(current.dtype).to(mean.dtype)
        of_current = (
            (rounded - _of_channel(mean_grad)) - above * _of_channel(slope)
        ) * _of_channel(scale)
        of_weight = (of_deviation * inverse).to(mean.dtype)
        return of_current.to(current.dtype), of_weight, of_bias.to(mean.dtype), None, None


def _of_channel(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1)


def normalise(
    current: Tensor, weight: Tensor, bias: Tensor, eps: float, num_steps: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return `(y [T, B, C, H, W], mean [C], var [C])` of batch norm with a batch's own statistics,
    `var` biased.

    `current` is `[T, B, C, H, W]`, or `[1, …]` if constant; y has the type of `weight`.
    """
    return _Normalise.apply(current, weight, bias, eps, num_steps)


def normalised_scan(
    current: Tensor,
    weight: Tensor,
    bias: Tensor,
    beta: Tensor | float,
    eps: float,
    dynamics: reference.Dynamics,
    num_steps: int,
    pool_size: int = 1,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return `(spk [T, B, C, H / pool_size, W / pool_size], mean, var)` of `normalise`, `scan` and
    max-pooling.

    A window's gradient goes to the first neuron that spikes, else to the first.
    """
    y, mean, var = normalise(current, weight, bias, eps, num_steps)
    spk = reference.scan(y, beta, dynamics)[0]
    pooled = F.max_pool2d(spk.flatten(0, 1), pool_size).unflatten(0, spk.shape[:2])
    return pooled.to(current.dtype), mean, var
