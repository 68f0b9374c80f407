# mypy: disable-error-code="no-untyped-def"
"""The compiled part of the CPU's scans: steps on rows of neurons, and two scans made of them.

They share a file because Numba caches by file. A function on rows has one plain loop over
contiguous float32, which LLVM turns into vector instructions; larger ones it leaves scalar, at a
fifth of the speed. Operations come in the order of `reference`, and no multiply-add is fused, so
that results equal the reference's to the last bit.
"""

import math

import numpy as np
from numba import njit

from spikeduel.spiking.kernels.cpu_numbers import UNCOUNTED, as_float32, from_bf16, write

SUBTRACT, ZERO = 0, 1
"""Positions in `RESET_MECHANISMS`."""
ATAN = 0
"""The position in `SURROGATE_KERNELS`."""

# Without these, a literal would be a double, and so would all that it touches.
_0, _1 = np.float32(0), np.float32(1)


@njit(**UNCOUNTED)
def membrane_and_spikes(current, before, mem, level, beta, threshold, reset, one, spk):
    """`membrane` and `spikes` in one pass, for neurons whose `level` stays."""
    n = len(mem)
    if reset == SUBTRACT:
        for i in range(n):
            r = _1 if before[i] > level[i] else _0
            m = (beta * before[i] + current[i]) - r * threshold
            mem[i] = m
            spk[i] = one if m > level[i] else 0
    elif reset == ZERO:
        for i in range(n):
            r = _1 if before[i] > level[i] else _0
            m = beta * ((_1 - r) * before[i]) + current[i]
            mem[i] = m
            spk[i] = one if m > level[i] else 0
    else:
        for i in range(n):
            m = beta * before[i] + current[i]
            mem[i] = m
            spk[i] = one if m > level[i] else 0


@njit(**UNCOUNTED)
def membrane(current, before, reset_before, mem, beta, threshold, reset):
    """The membranes `mem` `[n]` after `before`, which spiked where `before > reset_before`; rows
    must not overlap.
    """
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


@njit(**UNCOUNTED)
def adapt(before, level_before, adaptation_before, adaptation, level, decay, threshold, gain):
    """An adaptive neuron's `adaptation` and `level` `[n]` after a step that spiked where `before >
    level_before`.
    """
    for i in range(len(adaptation)):
        z = _1 if before[i] > level_before[i] else _0
        adaptation[i] = decay * adaptation_before[i] + z
    raise_level(adaptation, threshold, gain, level)


@njit(**UNCOUNTED)
def raise_level(adaptation, threshold, gain, level):
    """The `level` `[n]` that an adaptive neuron's membrane has to pass."""
    for i in range(len(level)):
        level[i] = threshold + gain * adaptation[i]


@njit(**UNCOUNTED)
def spikes(mem, level, one, spk):
    """`spk` `[n]`: `one` where the membrane is above its level."""
    for i in range(len(spk)):
        spk[i] = one if mem[i] > level[i] else 0


@njit(**UNCOUNTED)
def _exp_of_negative(x):
    """exp(x) for x ≤ 0 to 2e-7 relative; the C library's would keep the loop around it from
    vectorising.
    """
    x = np.float32(-87) if x < np.float32(-87) else x
    k = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    r = (x - k * np.float32(0.693359375)) + k * np.float32(2.12194440e-4)
    p = np.float32(1 / 720)
    for coefficient in (1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0):
        p = p * r + np.float32(coefficient)
    power_of_two = np.int32((np.int32(k) + 127) << 23).view(np.float32)
    return p * power_of_two


@njit(**UNCOUNTED)
def surrogate_gradient(mem, level, surrogate, alpha, out):
    """Write the gradient at `mem − level` to `out` `[n]`; `surrogate` is its position in
    `SURROGATE_KERNELS`.
    """
    width = np.float32(alpha)
    if surrogate == ATAN:
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
            # s·(1 − s), without overflow or cancellation at either end
            e = _exp_of_negative(-abs(width * (mem[i] - level[i])))
            out[i] = width * e / ((_1 + e) * (_1 + e))
    elif surrogate == 3:
        for i in range(len(out)):
            x = _1 - width * abs(mem[i] - level[i])
            out[i] = width * (_0 if x < _0 else x)
    else:
        out[:] = _1


@njit(**UNCOUNTED)
def carry_back(adjoint, mem, level, beta, reset):
    """Turn the adjoint `[n]` of the next membrane into that of `mem`."""
    if reset == ZERO:
        for i in range(len(adjoint)):
            adjoint[i] *= _0 if mem[i] > level[i] else beta
    else:
        for i in range(len(adjoint)):
            adjoint[i] *= beta


@njit(**UNCOUNTED)
def carry_back_and_add(adjoint, mem, level, beta, reset, incoming, slope):
    """Do `carry_back`, and add the gradient through the spike of `mem`."""
    if reset == ZERO:
        for i in range(len(adjoint)):
            adjoint[i] = adjoint[i] * (_0 if mem[i] > level[i] else beta) + incoming[i] * slope[i]
    else:
        for i in range(len(adjoint)):
            adjoint[i] = adjoint[i] * beta + incoming[i] * slope[i]


@njit(**UNCOUNTED)
def carry_back_by_atan(adjoint, mem, level, beta, reset, incoming, alpha):
    """`carry_back_and_add` with the slope of `atan`, the default; `incoming` may be the bits of
    bfloat16.
    """
    scale, half = np.float32(math.pi / 2 * alpha), np.float32(alpha / 2)
    if reset == ZERO:
        for i in range(len(adjoint)):
            x = scale * (mem[i] - level[i])
            slope = half / (_1 + x * x)
            adjoint[i] = (
                adjoint[i] * (_0 if mem[i] > level[i] else beta) + from_bf16(incoming[i]) * slope
            )
    else:
        for i in range(len(adjoint)):
            x = scale * (mem[i] - level[i])
            slope = half / (_1 + x * x)
            adjoint[i] = adjoint[i] * beta + from_bf16(incoming[i]) * slope


@njit(**UNCOUNTED)
def carry_adaptation_back(adjoint, slope, decay, gain):
    """Turn the adjoint `[n]` of the next adaptation into that of the one before, by its spike."""
    for i in range(len(adjoint)):
        adjoint[i] = decay * adjoint[i] - gain * (adjoint[i] * slope[i])


@njit(**UNCOUNTED)
def add_product(total, factor, a, b):
    """Add `factor·(a·b)` to `total`, rows `[n]`."""
    for i in range(len(total)):
        total[i] += factor * (a[i] * b[i])


@njit(**UNCOUNTED)
def add(total, a):
    """Add `a` to `total`, rows `[n]`."""
    for i in range(len(total)):
        total[i] += a[i]


@njit(**UNCOUNTED)
def add_decay_gradient(total, adjoint, before, level_before, reset):
    """Add the gradient of beta by one step's adjoint to `total` `[n]`."""
    for i in range(len(total)):
        kept = _0 if reset == ZERO and before[i] > level_before[i] else before[i]
        total[i] += adjoint[i] * kept


@njit(**UNCOUNTED)
def _start_block(state, here, n, mems, levels, adaptations, threshold, gain, row):
    """Set `row` of a block's scratch to the state of neurons `here`."""
    if len(state) == 0:
        mems[row, :n] = _0
        adaptations[row, :n] = _0
    else:
        write(state[0, here], mems[row, :n])
        write(state[len(state) - 1, here], adaptations[row, :n])
    if len(state) != 1:
        raise_level(adaptations[row, :n], threshold, gain, levels[row, :n])


@njit(**UNCOUNTED)
def forward(current, state, beta, dynamics, one, spk, mem, last, scratch, start, stop):
    """Fills neurons `start` to `stop` of `spk` `[T, N]`, of `mem` `[T, N]` (none if `[0, N]`) and
    `last` `[S, N]`.

    `current` is `[T, N]`, `[1, N]` if constant; `state` is `[S, N]`, or `[0, N]` at rest; `scratch`
    `[7, block]`.
    """
    threshold, reset, _, _, decay, gain = dynamics
    adaptive, constant = len(last) > 1, len(current) == 1
    mems, levels, adaptations, buffer = scratch[:2], scratch[2:4], scratch[4:6], scratch[6]
    levels[:] = threshold
    block = len(buffer)
    for first in range(start, stop, block):
        n = min(block, stop - first)
        here = slice(first, first + n)
        _start_block(state, here, n, mems, levels, adaptations, threshold, gain, 1)
        now = as_float32(current[0, here], buffer[:n])
        for t in range(len(spk)):
            k = t % 2
            before, level, m = mems[1 - k, :n], levels[1 - k if adaptive else 0, :n], mems[k, :n]
            if t > 0 and not constant:
                now = as_float32(current[t, here], buffer[:n])
            if adaptive:
                a = adaptations[k, :n]
                adapt(
                    before, level, adaptations[1 - k, :n], a, levels[k, :n], decay, threshold, gain
                )
                membrane(now, before, level, m, beta, threshold, reset)
                spikes(m, levels[k, :n], one, spk[t, here])
            else:
                membrane_and_spikes(
                    now, before, m, level, beta, threshold, reset, one, spk[t, here]
                )
            if len(mem):
                write(m, mem[t, here])
        k = (len(spk) - 1) % 2
        write(mems[k, :n], last[0, here])
        if adaptive:
            write(adaptations[k, :n], last[1, here])


@njit(**UNCOUNTED)
def _trace(current, state, here, n, beta, dynamics, mems, levels, adaptations, buffer):
    """Fills a block's scratch of neurons `here`: row 0 with the state, row t + 1 with the step
    t.
    """
    threshold, reset, _, _, decay, gain = dynamics
    adaptive, constant = len(levels) > 1, len(current) == 1
    _start_block(state, here, n, mems, levels, adaptations, threshold, gain, 0)
    now = as_float32(current[0, here], buffer)
    for t in range(len(mems) - 1):
        before, level = mems[t, :n], levels[t if adaptive else 0, :n]
        if t > 0 and not constant:
            now = as_float32(current[t, here], buffer)
        if adaptive:
            a = adaptations[t + 1, :n]
            adapt(before, level, adaptations[t, :n], a, levels[t + 1, :n], decay, threshold, gain)
        membrane(now, before, level, mems[t + 1, :n], beta, threshold, reset)


@njit(**UNCOUNTED)
def backward(
    grad_spk,
    grad_mem,
    grad_last,
    current,
    state,
    beta,
    dynamics,
    num_steps,
    grad_current,
    grad_state,
    grad_beta,
    scratch,
    start,
    stop,
):
    """Fills neurons `start` to `stop` of `grad_current` (shaped as `current`), `grad_state` `[S,
    N]` and `grad_beta` `[N]` (none if `[0]`), from gradients that are `[0, N]` where there are
    none. `scratch` is `[T + 9, block]`, of adaptive neurons `[3·T + 9, block]`.
    """
    threshold, reset, surrogate, alpha, decay, gain = dynamics
    adaptive, constant = len(grad_state) > 1, len(current) == 1
    num_levels = num_steps + 1 if adaptive else 1
    buffers, levels, adaptations = (
        scratch[:6],
        scratch[6 : 6 + num_levels],
        scratch[6 + num_levels : 6 + 2 * num_levels],
    )
    mems, block = scratch[6 + 2 * num_levels :], scratch.shape[1]
    levels[:] = threshold
    for first in range(start, stop, block):
        n = min(block, stop - first)
        here = slice(first, first + n)
        buffer, slope, adjoint = buffers[0, :n], buffers[1, :n], buffers[2, :n]
        total, about_beta, adaptation_adjoint = buffers[3, :n], buffers[4, :n], buffers[5, :n]
        buffers[2:] = _0
        _trace(current, state, here, n, beta, dynamics, mems, levels, adaptations, buffer)
        for t in range(num_steps - 1, -2, -1):
            # What step t owes to the steps after it; t = −1 is the state.
            mem, level = mems[t + 1, :n], levels[t + 1 if adaptive else 0, :n]
            if adaptive and (len(grad_spk) or t < num_steps - 1):
                surrogate_gradient(mem, level, surrogate, alpha, slope)
            if t >= 0 and len(grad_spk) and not adaptive and surrogate == ATAN:
                carry_back_by_atan(adjoint, mem, level, beta, reset, grad_spk[t, here], alpha)
            elif t >= 0 and len(grad_spk) and not adaptive:
                surrogate_gradient(mem, level, surrogate, alpha, slope)
                carry_back_and_add(
                    adjoint, mem, level, beta, reset, as_float32(grad_spk[t, here], buffer), slope
                )
            elif t < num_steps - 1:
                carry_back(adjoint, mem, level, beta, reset)
            if adaptive and t < num_steps - 1:
                # The spike raised the next adaptation.
                add_product(adjoint, _1, adaptation_adjoint, slope)
                carry_adaptation_back(adaptation_adjoint, slope, decay, gain)
            if t < 0:
                break
            if len(grad_spk) and adaptive:
                incoming = as_float32(grad_spk[t, here], buffer)
                add_product(adjoint, _1, incoming, slope)
                add_product(adaptation_adjoint, -gain, incoming, slope)
            if len(grad_mem):
                add(adjoint, grad_mem[t, here])
            if t == num_steps - 1 and len(grad_last):
                add(adjoint, grad_last[0, here])
                if adaptive:
                    add(adaptation_adjoint, grad_last[1, here])
            if len(grad_beta):
                add_decay_gradient(
                    about_beta, adjoint, mems[t, :n], levels[t if adaptive else 0, :n], reset
                )
            if constant:
                add(total, adjoint)
            else:
                write(adjoint, grad_current[t, here])
        if constant:
            write(total, grad_current[0, here])
        write(adjoint, grad_state[0, here])
        if adaptive:
            write(adaptation_adjoint, grad_state[1, here])
        if len(grad_beta):
            write(about_beta, grad_beta[here])
