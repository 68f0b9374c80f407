"""Neurons under a constant current with a linear layer of few outputs: spikes stay unwritten.

Few outputs make a small product of large matrices: writing and reading the spikes takes longer than
multiplying.
"""

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from spikeduel.spiking import ConstantInput
from spikeduel.spiking.kernels import LANES, is_fused, is_watched, may_fuse
from spikeduel.spiking.kernels.reference import RESET_MECHANISMS, Dynamics

MOST_OUTPUTS = 20
_GROUPS = 16
"""Parts of a batch with separate sums about the weights: the number of threads changes none."""


def is_projected(current: Any, beta: Any, dynamics: Dynamics, weight: Tensor) -> bool:
    """Return True if `projected_scan` has a kernel for these arguments."""
    return (
        isinstance(current, ConstantInput)
        and current.value.dim() == 2
        and current.value.shape[1] % LANES == 0
        and current.value.device.type == "cpu"
        and isinstance(beta, float)
        and dynamics.surrogate == "atan"
        and dynamics.adaptation is None
        and len(weight) <= MOST_OUTPUTS
        and may_fuse()
        and is_fused(current, beta, dynamics)
        and not is_watched(current.value)
    )


def projected_scan(
    current: Any, beta: Any, dynamics: Dynamics, weight: Tensor, bias: Tensor
) -> Tensor:
    """`F.linear(scan(current, beta, dynamics)[0], weight, bias)`: `[T, B, K]`, of `current` `[B,
    N]`, in its type.

    Spikes are those of `reference`, to the last bit. Sums and gradients are float32's, in a fixed
    order, whatever the number of threads.
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
        from spikeduel.spiking.kernels import cpu_projected_kernels as kernels
        from spikeduel.spiking.kernels.cpu import flat, run_chunks

        num_images, num_neurons = current.shape
        num_outputs = -(-len(weight) // kernels.OUTPUTS) * kernels.OUTPUTS
        weights = torch.zeros(num_outputs, num_neurons)
        weights[: len(weight)] = weight.detach()
        numbers = beta, dynamics.threshold, math.pi / 2 * dynamics.alpha, dynamics.alpha / 2
        reset = RESET_MECHANISMS.index(dynamics.reset_mechanism)
        settings = np.array(numbers, np.float32), reset, num_steps, num_neurons
        ctx.save_for_backward(current, weight)
        ctx.given, ctx.num_outputs = (flat(current), flat(weights), *settings), num_outputs
        out = torch.empty(num_images, num_steps, num_outputs)
        work = num_images * num_steps * num_neurons
        run_chunks(partial(kernels.forward, *ctx.given, flat(out)), num_images, work=work)
        return out[..., : len(weight)].permute(1, 2, 0).contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        from spikeduel.spiking.kernels import cpu_projected_kernels as kernels
        from spikeduel.spiking.kernels.cpu import empty, flat, run_chunks

        current, weight = ctx.saved_tensors
        num_steps, (num_images, num_neurons) = len(grad), current.shape
        grads = torch.zeros(num_images, num_steps, ctx.num_outputs)
        grads[..., : len(weight)] = grad.permute(2, 0, 1)
        images = max(1, -(-num_images // _GROUPS))
        groups = -(-num_images // images)
        grad_current = empty((num_images, num_neurons), current.dtype)
        grad_weights = torch.empty(groups, ctx.num_outputs, num_neurons)
        given = flat(grads), *ctx.given, flat(grad_current), flat(grad_weights), images
        run_chunks(
            partial(kernels.backward, *given), groups, work=num_images * num_steps * num_neurons
        )
        return grad_current, grad_weights.sum(0)[: len(weight)].to(weight.dtype), None, None, None
