"""One step of a block of neurons, compiled: what the scans on the CPU are made of.

Each function has one plain loop over contiguous float32 rows, which LLVM turns into vector instructions; larger
ones with branches or shared buffers it leaves scalar, at a fifth of the speed. Operations come in the order of
`reference`, and no multiply-add is fused, so that results equal the reference's to the last bit.
"""

import math
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

COMPILED: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}
SURROGATE_KERNELS = ("atan", "fast_sigmoid", "sigmoid", "triangular", "straight_through_estimator")
SUBTRACT, ZERO = 0, 1
"""Positions in `RESET_MECHANISMS`."""

# Without these, a literal would be a double, and so would all that it touches.
_0, _1 = np.float32(0), np.float32(1)


def as_float32(row: Any, buffer: Any) -> Any:
    """`row` as float32: itself, or, where it holds the bits of bfloat16 as int16, widened into `buffer`."""


@overload(as_float32, jit_options=COMPILED)  # type: ignore[arg-type]
def _as_float32(row, buffer):  # type: ignore[no-untyped-def]
    if isinstance(row.dtype, types.Float):
        return lambda row, buffer: row

    def widened(row, buffer):  # type: ignore[no-untyped-def]
        _widen(row, buffer)
        return buffer

    return widened


@njit(**COMPILED)
def _widen(row, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        out[i] = np.int32(np.int32(row[i]) << 16).view(np.float32)


def write(values: Any, out: Any) -> None:
    """Copies float32 `values` to `out`, float32 or the bits of bfloat16 as int16 (rounded to nearest, ties to even)."""


@overload(write, jit_options=COMPILED)  # type: ignore[arg-type]
def _write(values, out):  # type: ignore[no-untyped-def]
    if isinstance(out.dtype, types.Float):

        def copied(values, out):  # type: ignore[no-untyped-def]
            for i in range(len(out)):
                out[i] = values[i]

        return copied

    def narrowed(values, out):  # type: ignore[no-untyped-def]
        for i in range(len(out)):
            bits = np.float32(values[i]).view(np.uint32)
            rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
            # Rounding could carry a NaN's bits over into another number's.
            out[i] = np.int16(np.uint32(0x7FC0) if values[i] != values[i] else rounded)

    return narrowed


@njit(**COMPILED)
def membrane(current, before, reset_before, mem, beta, threshold, reset):  # type: ignore[no-untyped-def]
    """The membranes `mem` `[n]` after `before`, which spiked where `before > reset_before`; rows must not overlap."""
    n = len(mem)
    if reset == SUBTRACT:
        for i in range(n):
            r = _1 if before[i] > reset_before[i] else _0
            mem[i] = (beta * before[i] + current[i]) - r * threshold
    elif reset == ZERO:
        for i in range(n):
            r = _1 if before[i] > reset_before[i] else _0
            mem[i] = beta * ((_1 - r) * before[i]) + current[i]
    else:
        for i in range(n):
            mem[i] = beta * before[i] + current[i]


@njit(**COMPILED)
def adapted(before, level_before, adaptation_before, adaptation, decay):  # type: ignore[no-untyped-def]
    """An adaptive neuron's `adaptation` `[n]` after a step that spiked where `before > level_before`."""
    for i in range(len(adaptation)):
        z = _1 if before[i] > level_before[i] else _0
        adaptation[i] = decay * adaptation_before[i] + z


@njit(**COMPILED)
def raised(adaptation, threshold, gain, level):  # type: ignore[no-untyped-def]
    """The `level` `[n]` that an adaptive neuron's membrane has to pass."""
    for i in range(len(level)):
        level[i] = threshold + gain * adaptation[i]


@njit(**COMPILED)
def spikes(mem, level, one, spk):  # type: ignore[no-untyped-def]
    """`spk` `[n]`: `one` where the membrane is above its level."""
    for i in range(len(spk)):
        spk[i] = one if mem[i] > level[i] else 0


@njit(**COMPILED)
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


@njit(**COMPILED)
def surrogate_gradient(mem, level, surrogate, alpha, out):  # type: ignore[no-untyped-def]
    """Writes the gradient at `mem − level` to `out` `[n]`; `surrogate` is its position in `SURROGATE_KERNELS`."""
    width = np.float32(alpha)
    if surrogate == 0:
        scale, half = np.float32(math.pi / 2 * alpha), np.float32(alpha / 2)
        for i in range(len(out)):
            x = scale * (mem[i] - level[i])
            out[i] = half / (_1 + x * x)
    elif surrogate == 1:
        for i in range(len(out)):
            x = _1 + width * abs(mem[i] - level[i])
            out[i] = _1 / (x * x)
    elif surrogate == 2:
        for i in range(len(out)):
            # s·(1 − s), written so that neither end of the range overflows or cancels.
            e = _exp_of_negative(-abs(width * (mem[i] - level[i])))
            out[i] = width * e / ((_1 + e) * (_1 + e))
    elif surrogate == 3:
        for i in range(len(out)):
            x = _1 - width * abs(mem[i] - level[i])
            out[i] = width * (_0 if x < _0 else x)
    else:
        out[:] = _1


@njit(**COMPILED)
def carry_back(adjoint, mem, level, beta, reset):  # type: ignore[no-untyped-def]
    """Turns the adjoint `[n]` of the next membrane into what of it reaches `mem`."""
    if reset == ZERO:
        for i in range(len(adjoint)):
            adjoint[i] *= _0 if mem[i] > level[i] else beta
    else:
        for i in range(len(adjoint)):
            adjoint[i] *= beta


@njit(**COMPILED)
def carry_adaptation_back(adjoint, slope, decay, gain):  # type: ignore[no-untyped-def]
    """Turns the adjoint `[n]` of the next adaptation into what of it reaches the one before, whose spike raised it."""
    for i in range(len(adjoint)):
        adjoint[i] = decay * adjoint[i] - gain * (adjoint[i] * slope[i])


@njit(**COMPILED)
def add_product(total, a, b):  # type: ignore[no-untyped-def]
    """`total += a·b`, rows `[n]`."""
    for i in range(len(total)):
        total[i] += a[i] * b[i]


@njit(**COMPILED)
def subtract_product(total, factor, a, b):  # type: ignore[no-untyped-def]
    """`total −= factor·(a·b)`, rows `[n]`."""
    for i in range(len(total)):
        total[i] -= factor * (a[i] * b[i])


@njit(**COMPILED)
def add(total, a):  # type: ignore[no-untyped-def]
    """`total += a`, rows `[n]`."""
    for i in range(len(total)):
        total[i] += a[i]


@njit(**COMPILED)
def add_decay_gradient(total, adjoint, before, level_before, reset):  # type: ignore[no-untyped-def]
    """Adds to `total` `[n]` what one step's adjoint says about beta."""
    for i in range(len(total)):
        kept = _0 if reset == ZERO and before[i] > level_before[i] else before[i]
        total[i] += adjoint[i] * kept
