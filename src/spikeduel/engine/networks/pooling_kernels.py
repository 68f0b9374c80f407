# mypy: disable-error-code="no-untyped-def, call-arg, var-annotated"
"""ReLU of the max-pooling of a first convolution, in one pass over memory each way; forward keeps
only the places that get the gradient.

The loops take a square of four places at a time, for a vector of channels. Arrays are flat `[N, H,
W, C]`. A winner is a square's highest place, or `_NOBODY`.
"""

from functools import partial
from typing import Any

import numpy as np
import torch
from numba import njit
from numba.extending import register_jitable
from torch import Tensor
from torch.autograd.function import once_differentiable

from spikeduel.engine.kernels import cpu

# Numba caches by file: save this file after a change of an imported one.
from spikeduel.engine.kernels.cpu_numbers import LANES, add_to, filled, load, store, where
from spikeduel.system.parallel import COMPILED, run_chunks

_NOBODY = 4  # if none of the four is positive


@register_jitable(**COMPILED)
def _place(k):
    return filled(np.float32(k))


@register_jitable(**COMPILED)
def _take(a, b, c, d, pooled, winners, at):
    """Write the positive part of the highest vector: the first of equal ones, any NaN."""
    highest, winner = a, _place(0)
    for k, other in ((1, b), (2, c), (3, d)):
        is_number, is_higher = other == other, other > highest
        winner = where(is_number, where(is_higher, _place(k), winner), _place(k))
        highest = where(is_number, where(is_higher, other, highest), other)
    nothing = _place(0)
    store(where(nothing > highest, nothing, highest), pooled, at)
    store(where(highest > nothing, winner, _place(_NOBODY)), winners, at)


@njit(**COMPILED)
def convolve_and_pool(
    x, weights, bias, offsets, pooled, winners, height, width, planes, start, stop
):
    """Fill `pooled` and `winners` `[N, H/2, W/2, C]` from `x` `[N, H, W, planes]`.

    `weights` are `[9·planes, C]`, `offsets` the distances of their inputs from the first.
    """
    channels, line = len(bias), width * planes
    rows, columns = (height - 2) // 2, (width - 2) // 2
    for image in range(start, stop):
        for row in range(rows):
            for column in range(columns):
                corner = (image * height + 2 * row) * line + 2 * column * planes
                out = ((image * rows + row) * columns + column) * channels
                for channel in range(0, channels, LANES):
                    a = b = c = d = load(bias, channel)
                    for tap in range(len(offsets)):
                        weight, at = load(weights, tap * channels + channel), corner + offsets[tap]
                        a, b = a + filled(x[at]) * weight, b + filled(x[at + planes]) * weight
                        c, d = (
                            c + filled(x[at + line]) * weight,
                            d + filled(x[at + line + planes]) * weight,
                        )
                    _take(a, b, c, d, pooled, winners, out + channel)


@njit(**COMPILED)
def differentiate(grad, winners, x, offsets, grads, height, width, planes, start, stop):
    """Fill `grads` `[N, 9·planes + 1, C]`, each image's gradients of weights and bias."""
    num_taps, line = len(offsets), width * planes
    rows, columns = (height - 2) // 2, (width - 2) // 2
    size = len(grads) // (len(x) // (height * line))
    channels = size // (num_taps + 1)
    nothing = _place(0)
    for image in range(start, stop):
        first = image * size
        grads[first : first + size] = 0
        for row in range(rows):
            for column in range(columns):
                corner = (image * height + 2 * row) * line + 2 * column * planes
                out = ((image * rows + row) * columns + column) * channels
                for channel in range(0, channels, LANES):
                    g, winner = load(grad, out + channel), load(winners, out + channel)
                    a, b = (
                        where(winner == _place(0), g, nothing),
                        where(winner == _place(1), g, nothing),
                    )
                    c, d = (
                        where(winner == _place(2), g, nothing),
                        where(winner == _place(3), g, nothing),
                    )
                    for tap in range(num_taps):
                        at = corner + offsets[tap]
                        upper = filled(x[at]) * a + filled(x[at + planes]) * b
                        lower = filled(x[at + line]) * c + filled(x[at + line + planes]) * d
                        add_to(grads, first + tap * channels + channel, upper + lower, LANES)
                    add_to(grads, first + num_taps * channels + channel, (a + b) + (c + d), LANES)


class ReluOfMaxPoolOfConv(torch.autograd.Function):
    """`relu(max_pool2d(conv2d(x, weight, bias), 2))` for a 3×3 kernel; `x` gets no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        num_images, planes, height, width = x.shape
        shape = (num_images, (height - 2) // 2, (width - 2) // 2, len(bias))
        pooled = cpu.empty(shape, x.dtype).permute(0, 3, 1, 2)
        # Whole numbers that are written in bf16.
        ctx.winners = np.empty(pooled.numel(), np.int16)
        rows, columns, plane = np.mgrid[:3, :3, :planes].reshape(3, -1)
        ctx.x, ctx.offsets = _flat(x.float()), (rows * width + columns) * planes + plane
        ctx.shape, ctx.weight = (height, width, planes), weight
        kernel = partial(
            convolve_and_pool,
            ctx.x,
            weight.detach().float().permute(2, 3, 1, 0).contiguous().flatten().numpy(),
            bias.detach().float().numpy(),
            ctx.offsets,
            _flat(pooled),
            ctx.winners,
            *ctx.shape,
        )
        run_chunks(kernel, num_images, work=4 * pooled.numel())
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, Tensor]:
        grad = grad.contiguous(memory_format=torch.channels_last)
        grads = torch.empty(len(grad), len(ctx.offsets) + 1, grad.shape[1])
        arrays = _flat(grad), ctx.winners, ctx.x, ctx.offsets, cpu.flat(grads)
        kernel = partial(differentiate, *arrays, *ctx.shape)
        run_chunks(kernel, len(grad), work=4 * grad.numel())
        *grad_weight, grad_bias = grads.sum(0).to(grad.dtype)
        by_tap = torch.stack(grad_weight).view(3, 3, ctx.shape[2], -1)
        return None, by_tap.permute(3, 2, 0, 1), grad_bias


def _flat(x: Tensor) -> np.ndarray:
    return cpu.flat(x.permute(0, 2, 3, 1))
