"""Batch norm, neurons and pooling as one on the CPU: the calls of the kernels.

A part of the work is a row of windows of one image, over all time steps. Sums over a batch are
taken along a row, then over rows, then over images: no number of threads changes them.
"""

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikeduel.spiking.kernels import cpu_normalised_kernels as compiled
from spikeduel.spiking.kernels.cpu import empty, flat, run_chunks, with_scratch
from spikeduel.spiking.kernels.reference import RESET_MECHANISMS, SURROGATE_KERNELS, Dynamics

MOST_UNROLLED = 8
"""Most time steps with a kernel compiled for their number."""


# Overflows give no warning, as in torch.
@np.errstate(all="ignore")
def forward(
    current: Tensor,
    weight: Tensor,
    bias: Tensor,
    beta: Tensor,
    eps: float,
    dynamics: Dynamics,
    num_steps: int,
    side: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """`(spk [T, B, H / side, W / side, C], mean [C], var [C])` for `current` `[T, B, H, W, C]`,
    `[1, …]` if constant.

    `current` is float32 or bfloat16 and contiguous, and so is `spk`; `var` is the biased variance.
    """
    _, batch, height, width, channels = current.shape
    mean, var = moments(current).astype(np.float32)
    scale, shift = _scale_and_shift(mean, var, weight, bias, eps)
    rows, columns = height // side, width // side
    spk = empty((num_steps, batch, rows, columns, channels), current.dtype)
    inputs = (
        flat(current),
        scale,
        shift,
        np.float32(beta.item()),
        _numbered(dynamics),
        tuple(current.shape[1:]),
    )
    kernel = partial(compiled.forward, *inputs, (0,) * side, flat(spk), _steps(num_steps))
    run_chunks(
        with_scratch(kernel, num_steps * compiled.LANES), batch * rows, work=spk.numel() * side**2
    )
    return spk, torch.from_numpy(mean), torch.from_numpy(var)


@np.errstate(all="ignore")
def backward(
    grad_spk: Tensor,
    current: Tensor,
    weight: Tensor,
    bias: Tensor,
    beta: Tensor,
    mean: Tensor,
    var: Tensor,
    eps: float,
    dynamics: Dynamics,
    num_steps: int,
    side: int,
    needs_beta: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of `forward`'s current, weight, bias, and beta (0 unless
    `needs_beta`).
    """
    shape, middle = tuple(current.shape[1:]), mean.numpy()
    batch, height, width, channels = shape
    scale, shift = _scale_and_shift(middle, var.numpy(), weight, bias, eps)
    grad = empty(tuple(current.shape), current.dtype)
    # Pixels left over by the pooling reach no spike.
    grad[:, :, height // side * side :] = 0
    grad[:, :, :, width // side * side :] = 0
    totals = np.zeros((3 if needs_beta else 2, batch, height, channels), np.float32)
    inputs = (
        flat(grad_spk),
        flat(current),
        scale,
        shift,
        middle,
        np.float32(beta.item()),
        _numbered(dynamics),
    )
    outputs = flat(grad), totals.reshape(-1), _steps(num_steps), needs_beta
    size = -(-channels // compiled.LANES) * compiled.LANES * num_steps
    kernel = with_scratch(
        partial(compiled.backward, *inputs, shape, (0,) * side, *outputs), side**2 * size, 4 * size
    )
    run_chunks(kernel, batch * (height // side), work=num_steps * current[0].numel())

    total, product, *about_beta = totals.sum(axis=2).sum(axis=1, dtype=np.float64)
    inverse = inverse_deviation(var.numpy(), eps)
    _through_statistics(grad, current, total, product, middle, inverse, scale)
    of_weight, of_bias, of_beta = (
        torch.from_numpy(np.asarray(each, np.float32))
        for each in (product * inverse, total, np.sum(about_beta))
    )
    return grad, of_weight, of_bias, of_beta


def _through_statistics(
    grad: Tensor,
    current: Tensor,
    total: np.ndarray,
    product: np.ndarray,
    mean: np.ndarray,
    inverse: np.ndarray,
    scale: np.ndarray,
) -> None:
    """Turn `grad` `[…, H, W, C]`, the gradient of the normalised current, into the gradient of
    `current` `[…, H, W, C]`.

    `total` `[C]` is the sum of `grad`, and `product` the sum of `grad` times `current - mean`.
    `inverse` is the inverse deviation, `scale` the weight times `inverse`.
    """
    *images, height, width, channels = current.shape
    num_images = math.prod(images)
    count = num_images * height * width
    coefficients = np.empty((4, channels), np.float32)
    for row, each in zip(
        coefficients, (total / count, mean, product * inverse**2 / count, scale), strict=True
    ):
        row[:] = each
    # Rows of several pixels fill vectors better.
    pixels = compiled.LANES // math.gcd(channels, compiled.LANES)
    if height * width % pixels:
        pixels = 1
    shape = num_images, height * width // pixels, pixels * channels
    given = flat(grad), flat(current), np.tile(coefficients, pixels).reshape(-1), shape, flat(grad)
    run_chunks(partial(compiled.normalise_gradient, *given), num_images, work=grad.numel())


def _steps(num_steps: int) -> tuple[int, ...] | np.ndarray:
    """Return as many elements as time steps; few as a tuple, with a kernel of its own."""
    return (0,) * num_steps if num_steps <= MOST_UNROLLED else np.empty(num_steps, np.int8)


def moments(current: Tensor) -> np.ndarray:
    """Mean and biased variance, `[2, C]`, of `current` `[…, H, W, C]`, float64, as
    `reference.moments` has them.
    """
    *images, height, width, channels = current.shape
    num_images = math.prod(images)
    values = flat(current)
    # Squares of values far from 0 would cancel; the first value of a channel is near all others.
    pivot = current.reshape(-1, channels)[0].detach().float().numpy()
    above = np.zeros((num_images, 2, channels), np.float32)
    kernel = partial(
        compiled.sums, values, pivot, (num_images, height, width, channels), above.reshape(-1)
    )
    run_chunks(kernel, num_images, work=len(values))
    found: np.ndarray = above.sum(axis=0, dtype=np.float64) / (num_images * height * width)
    offset, square = found
    found[1] = np.maximum(square - offset * offset, 0)
    found[0] += pivot
    return found


def inverse_deviation(var: np.ndarray, eps: float) -> np.ndarray:
    """Return float64 `[C]`."""
    return 1 / np.sqrt(var.astype(np.float64) + eps)


def _scale_and_shift(
    mean: np.ndarray, var: np.ndarray, weight: Tensor, bias: Tensor, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 `[C]` twice: the normalised current is `current · scale + shift`."""
    scale = weight.detach().numpy() * inverse_deviation(var, eps).astype(np.float32)
    return scale, bias.detach().numpy() - mean * scale


def _numbered(dynamics: Dynamics) -> tuple[Any, ...]:
    threshold, reset_mechanism, surrogate, alpha, _ = dynamics
    codes = RESET_MECHANISMS.index(reset_mechanism), SURROGATE_KERNELS.index(surrogate)
    return np.float32(threshold), *codes, float(alpha)
