"""`lif_scan` on the CPU, fused over time: one pass forward, one pass back.

The equations are `reference.lif_step`'s, in the same order of operations, so that spikes and membranes equal
the reference's to the last bit. Neurons are worked on in blocks, with time outermost inside a block: inner
loops vectorise, and a block's state stays in the first-level cache.
"""

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.autograd.function import once_differentiable

from spikeduel.constant import Constant
from spikeduel.kernels.reference import RESET_MECHANISMS
from spikeduel.kernels.threads import empty, run_chunks

SURROGATE_KERNELS = ("atan", "fast_sigmoid", "sigmoid", "triangular", "straight_through_estimator")

_BLOCK = 2048
_CACHE_LINE = 16
_SUBTRACT, _ZERO = RESET_MECHANISMS.index("subtract"), RESET_MECHANISMS.index("zero")

# Without these, a literal would be a double, and so would all that it touches.
_0, _1 = np.float32(0), np.float32(1)


@njit(nogil=True, cache=True, error_model="numpy")
def _exp_of_negative(x):  # type: ignore[no-untyped-def]
    """exp(x) for x ≤ 0 to 2e-7 relative; the C library's would keep the loop around it from vectorising."""
    x = np.float32(-87) if x < np.float32(-87) else x
    k = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    r = (x - k * np.float32(0.693359375)) + k * np.float32(2.12194440e-4)
    p = np.float32(1 / 720)
    for coefficient in (1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0):
        p = p * r + np.float32(coefficient)
    power_of_two = np.int32((np.int32(k) + 127) << 23).view(np.float32)
    return p * power_of_two


@njit(nogil=True, cache=True, error_model="numpy")
def surrogate_gradient(out, u, surrogate, alpha):  # type: ignore[no-untyped-def]
    """Writes the gradient at `u` `[n]` to `out` `[n]`; `surrogate` is its position in `SURROGATE_KERNELS`."""
    width = np.float32(alpha)
    if surrogate == 0:
        scale, half = np.float32(math.pi / 2 * alpha), np.float32(alpha / 2)
        for i in range(len(u)):
            x = scale * u[i]
            out[i] = half / (_1 + x * x)
    elif surrogate == 1:
        for i in range(len(u)):
            x = _1 + width * abs(u[i])
            out[i] = _1 / (x * x)
    elif surrogate == 2:
        for i in range(len(u)):
            # s·(1 − s), written so that neither end of the range overflows or cancels.
            e = _exp_of_negative(-abs(width * u[i]))
            out[i] = width * e / ((_1 + e) * (_1 + e))
    elif surrogate == 3:
        for i in range(len(u)):
            x = _1 - width * abs(u[i])
            out[i] = width * (_0 if x < _0 else x)
    else:
        out[:] = _1


@njit(nogil=True, cache=True, error_model="numpy")
def _forward(current, beta, threshold, reset, spk, mem, start, stop):  # type: ignore[no-untyped-def]
    """Fills neurons `start` to `stop` of `spk` and `mem` `[T, N]` from `current`, `[1, N]` if constant."""
    last_row = len(current) - 1
    at_rest = np.zeros(_BLOCK, np.float32)
    for first in range(start, stop, _BLOCK):
        n = min(_BLOCK, stop - first)
        previous = at_rest[:n]
        for t in range(len(mem)):
            now = current[min(t, last_row), first : first + n]
            m, s = mem[t, first : first + n], spk[t, first : first + n]
            if reset == _SUBTRACT:
                for i in range(n):
                    r = _1 if previous[i] > threshold else _0
                    m[i] = (beta * previous[i] + now[i]) - r * threshold
            elif reset == _ZERO:
                for i in range(n):
                    r = _1 if previous[i] > threshold else _0
                    m[i] = beta * ((_1 - r) * previous[i]) + now[i]
            else:
                for i in range(n):
                    m[i] = beta * previous[i] + now[i]
            for i in range(n):
                s[i] = _1 if m[i] > threshold else _0
            previous = m


@njit(nogil=True, cache=True, error_model="numpy")
def _backward(grad_spk, grad_mem, mem, beta, threshold, reset, surrogate, alpha, grad, start, stop):  # type: ignore[no-untyped-def]
    """Fills neurons `start` to `stop` of `grad`: `[T, N]`, or `[1, N]` for the sum over time.

    `grad_spk` and `grad_mem` are `[T, N]`, or `[0, N]` for a gradient of zero.
    """
    last, last_row = len(mem) - 1, len(grad) - 1
    u, slope, carried = (
        np.empty(_BLOCK, np.float32),
        np.empty(_BLOCK, np.float32),
        np.empty(_BLOCK, np.float32),
    )
    for first in range(start, stop, _BLOCK):
        n = min(_BLOCK, stop - first)
        carried[:n] = _0
        for t in range(last, -1, -1):
            m = mem[t, first : first + n]
            for i in range(n):
                u[i] = m[i] - threshold
            for i in range(n):
                carried[i] *= _0 if reset == _ZERO and u[i] > _0 else beta
            if len(grad_spk):
                surrogate_gradient(slope[:n], u[:n], surrogate, alpha)
                incoming = grad_spk[t, first : first + n]
                for i in range(n):
                    carried[i] += incoming[i] * slope[i]
            if len(grad_mem):
                incoming = grad_mem[t, first : first + n]
                for i in range(n):
                    carried[i] += incoming[i]
            out = grad[min(t, last_row), first : first + n]
            if t == last or last_row > 0:
                for i in range(n):
                    out[i] = carried[i]
            else:
                for i in range(n):
                    out[i] += carried[i]


def _rows(x: Tensor | None, num_neurons: int) -> np.ndarray:
    """`x` `[T, …]` as an array `[T, N]`; none is `[0, N]`."""
    if x is None:
        return np.empty((0, num_neurons), np.float32)
    return x.detach().contiguous().numpy().reshape(len(x), num_neurons)


class _LIFScan(torch.autograd.Function):
    """`current` is `[T, …]`, or `[1, …]` for a constant input. Only the membranes are kept for `backward`."""

    @staticmethod
    def forward(
        ctx: Any,
        current: Tensor,
        num_steps: int,
        beta: float,
        threshold: float,
        reset: int,
        surrogate: int,
        alpha: float,
    ) -> tuple[Tensor, Tensor]:
        shape, num_neurons = current.shape[1:], math.prod(current.shape[1:])
        spk, mem = empty((num_steps, *shape)), empty((num_steps, *shape))
        dynamics = np.float32(beta), np.float32(threshold), reset
        kernel = partial(
            _forward, _rows(current, num_neurons), *dynamics, _rows(spk, num_neurons), _rows(mem, num_neurons)
        )
        run_chunks(kernel, num_neurons, work=mem.numel(), grain=_CACHE_LINE)
        ctx.save_for_backward(mem)
        ctx.set_materialize_grads(False)
        ctx.num_rows, ctx.settings = len(current), (*dynamics, surrogate, float(alpha))
        return spk, mem

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spk: Tensor | None, grad_mem: Tensor | None) -> tuple[Tensor | None, ...]:
        if grad_spk is None and grad_mem is None:
            return (None,) * 7
        (mem,) = ctx.saved_tensors
        num_neurons = math.prod(mem.shape[1:])
        grad = empty((ctx.num_rows, *mem.shape[1:]))
        gradients = _rows(grad_spk, num_neurons), _rows(grad_mem, num_neurons)
        arguments = *gradients, _rows(mem, num_neurons), *ctx.settings, _rows(grad, num_neurons)
        run_chunks(partial(_backward, *arguments), num_neurons, work=mem.numel(), grain=_CACHE_LINE)
        return grad, *(None,) * 6


def lif_scan(
    current: Tensor | Constant,
    beta: float,
    threshold: float,
    reset_mechanism: str = "subtract",
    surrogate: str = "atan",
    alpha: float = 2.0,
) -> tuple[Tensor, Tensor]:
    """`reference.lif_scan` for float32 `current` `[T, …]` on the CPU: `(spk, mem)` `[T, …]`.

    Both have the memory layout of `current`. For a `Constant` the sequence is never stored, and the gradient
    is summed over time as it is made.
    """
    if isinstance(current, Constant):
        sequence, num_steps = current.value.unsqueeze(0), current.num_steps
    else:
        sequence, num_steps = current, len(current)
    # Neurons are independent: whatever the order of their axes in memory (channels last), it can be kept.
    order = [0, *sorted(range(1, sequence.dim()), key=sequence.stride, reverse=True)]
    back = [order.index(axis) for axis in range(sequence.dim())]
    spk, mem = _LIFScan.apply(
        sequence.permute(order),
        num_steps,
        beta,
        threshold,
        RESET_MECHANISMS.index(reset_mechanism),
        SURROGATE_KERNELS.index(surrogate),
        alpha,
    )
    return spk.permute(back), mem.permute(back)
