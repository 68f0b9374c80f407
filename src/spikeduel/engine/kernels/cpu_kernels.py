# mypy: disable-error-code="no-untyped-def, call-arg, var-annotated"
"""Compiled loops of the CPU's kernels, in one file because Numba caches by file.

LLVM vectorises plain loops over contiguous float32 alone: joint kernels hold a vector of channels
or neurons in registers over all time steps. Operations come in the order of `reference`, without
fused multiply-add: results are equal to the last bit.
"""

import math

import numpy as np
from numba import njit
from numba.extending import register_jitable

from spikeduel.engine.kernels.cpu_numbers import (
    LANES,
    add_to,
    as_float32,
    filled,
    from_bf16,
    load,
    put,
    read,
    store,
    where,
    write,
)
from spikeduel.system.parallel import COMPILED, UNCOUNTED

SUBTRACT, ZERO = 0, 1
"""Positions in `RESET_MECHANISMS`."""
ATAN = 0
"""Position in `SURROGATE_KERNELS`."""

# A literal would be a double, and so would all that it touches.
_0, _1 = np.float32(0), np.float32(1)


# Branches on `reset` leave the loops: LLVM makes a loop for each.


@register_jitable(**UNCOUNTED)
def _advanced(before, level, current, beta, threshold, reset):
    """Return the membrane after `before`, which spiked if above `level`."""
    fired = _1 if before > level else _0
    if reset == SUBTRACT:
        return (beta * before + current) - fired * threshold
    if reset == ZERO:
        return beta * ((_1 - fired) * before) + current
    return beta * before + current


# Compiled as a part of its only callers: once in place of twice.
@njit(inline="always")
def membrane_and_spikes(current, before, mem, level, beta, threshold, reset, one, spk):
    for i in range(len(mem)):
        m = _advanced(before[i], level[i], current[i], beta, threshold, reset)
        mem[i] = m
        spk[i] = one if m > level[i] else 0


@register_jitable(**UNCOUNTED)
def membrane(current, before, level, mem, beta, threshold, reset):
    """Fill `mem` `[n]` after `before`; rows must not overlap."""
    for i in range(len(mem)):
        mem[i] = _advanced(before[i], level[i], current[i], beta, threshold, reset)


@register_jitable(**UNCOUNTED)
def adapt(before, level_before, adaptation_before, adaptation, level, decay, threshold, gain):
    for i in range(len(adaptation)):
        z = _1 if before[i] > level_before[i] else _0
        adaptation[i] = decay * adaptation_before[i] + z
    raise_level(adaptation, threshold, gain, level)


@register_jitable(**UNCOUNTED)
def raise_level(adaptation, threshold, gain, level):
    for i in range(len(level)):
        level[i] = threshold + gain * adaptation[i]


@register_jitable(**UNCOUNTED)
def spikes(mem, level, one, spk):
    for i in range(len(spk)):
        spk[i] = one if mem[i] > level[i] else 0


@register_jitable(**UNCOUNTED)
def _exp_of_negative(x):
    """Return exp(x) for x ≤ 0 to 2e-7 relative; the C library's would not vectorise."""
    x = np.float32(-87) if x < np.float32(-87) else x
    k = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    r = (x - k * np.float32(0.693359375)) + k * np.float32(2.12194440e-4)
    p = np.float32(1 / 720)
    for coefficient in (1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0):
        p = p * r + np.float32(coefficient)
    power_of_two = np.int32((np.int32(k) + 127) << 23).view(np.float32)
    return p * power_of_two


@register_jitable(**UNCOUNTED)
def surrogate_gradient(mem, level, surrogate, alpha, out):
    """Write the gradient at `mem − level` to `out` `[n]`; `surrogate` is a position in
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


@register_jitable(**UNCOUNTED)
def _remaining(mem, level, beta, reset):
    return _0 if reset == ZERO and mem > level else beta


@register_jitable(**UNCOUNTED)
def carry_back(adjoint, mem, level, beta, reset):
    """Turn the adjoint `[n]` of the next membrane into this one's."""
    for i in range(len(adjoint)):
        adjoint[i] *= _remaining(mem[i], level[i], beta, reset)


@register_jitable(**UNCOUNTED)
def carry_back_and_add(adjoint, mem, level, beta, reset, incoming, slope):
    for i in range(len(adjoint)):
        remaining = adjoint[i] * _remaining(mem[i], level[i], beta, reset)
        adjoint[i] = remaining + incoming[i] * slope[i]


@register_jitable(**UNCOUNTED)
def carry_back_by_atan(adjoint, mem, level, beta, reset, incoming, alpha):
    """`carry_back` and the gradient through the spike by `atan`; `incoming` may be bits of
    bfloat16.
    """
    scale, half = np.float32(math.pi / 2 * alpha), np.float32(alpha / 2)
    for i in range(len(adjoint)):
        x = scale * (mem[i] - level[i])
        remaining = adjoint[i] * _remaining(mem[i], level[i], beta, reset)
        adjoint[i] = remaining + from_bf16(incoming[i]) * (half / (_1 + x * x))


@register_jitable(**UNCOUNTED)
def carry_adaptation_back(adjoint, slope, decay, gain):
    for i in range(len(adjoint)):
        adjoint[i] = decay * adjoint[i] - gain * (adjoint[i] * slope[i])


@register_jitable(**UNCOUNTED)
def add_product(total, factor, a, b):
    for i in range(len(total)):
        total[i] += factor * (a[i] * b[i])


@register_jitable(**UNCOUNTED)
def add(total, a):
    for i in range(len(total)):
        total[i] += a[i]


@register_jitable(**UNCOUNTED)
def add_decay_gradient(total, adjoint, before, level_before, reset):
    for i in range(len(total)):
        remaining = _0 if reset == ZERO and before[i] > level_before[i] else before[i]
        total[i] += adjoint[i] * remaining


@njit(inline="always")
def _start_block(state, here, n, mems, levels, adaptations, threshold, adaptation, row):
    if len(state) == 0:
        mems[row, :n] = _0
        adaptations[row, :n] = _0
    else:
        write(state[0, here], mems[row, :n])
        write(state[len(state) - 1, here], adaptations[row, :n])
    if adaptation is not None:
        raise_level(adaptations[row, :n], threshold, adaptation[1], levels[row, :n])


@njit(**UNCOUNTED)
def scan_forward(
    current, state, beta, dynamics, adaptation, one, spk, mem, last, scratch, start, stop
):
    """Fill `spk` `[T, N]`, `mem` `[T, N]` or `[0, N]`, and `last` `[S, N]`.

    `current` is `[T, N]` or `[1, N]`; `state` `[S, N]` or `[0, N]`; `scratch` `[7, block]`.
    """
    threshold, reset, _, _ = dynamics
    constant = len(current) == 1
    mems, levels, adaptations, buffer = scratch[:2], scratch[2:4], scratch[4:6], scratch[6]
    levels[:] = threshold
    block = len(buffer)
    for first in range(start, stop, block):
        n = min(block, stop - first)
        here = slice(first, first + n)
        _start_block(state, here, n, mems, levels, adaptations, threshold, adaptation, 1)
        now = as_float32(current[0, here], buffer[:n])
        for t in range(len(spk)):
            k = t % 2
            before, m = mems[1 - k, :n], mems[k, :n]
            if t > 0 and not constant:
                now = as_float32(current[t, here], buffer[:n])
            if adaptation is None:
                membrane_and_spikes(
                    now, before, m, levels[0, :n], beta, threshold, reset, one, spk[t, here]
                )
            else:
                decay, gain = adaptation
                level, a = levels[1 - k, :n], adaptations[k, :n]
                adapt(
                    before, level, adaptations[1 - k, :n], a, levels[k, :n], decay, threshold, gain
                )
                membrane(now, before, level, m, beta, threshold, reset)
                spikes(m, levels[k, :n], one, spk[t, here])
            if len(mem):
                write(m, mem[t, here])
        k = (len(spk) - 1) % 2
        write(mems[k, :n], last[0, here])
        if adaptation is not None:
            write(adaptations[k, :n], last[1, here])


@register_jitable(**UNCOUNTED)
def _trace(current, state, here, n, beta, dynamics, adaptation, mems, levels, adaptations, buffer):
    """Fill a block's scratch: row 0 with the state, row t + 1 with step t."""
    threshold, reset, _, _ = dynamics
    constant = len(current) == 1
    _start_block(state, here, n, mems, levels, adaptations, threshold, adaptation, 0)
    now = as_float32(current[0, here], buffer)
    for t in range(len(mems) - 1):
        before, level = mems[t, :n], levels[0, :n]
        if t > 0 and not constant:
            now = as_float32(current[t, here], buffer)
        if adaptation is not None:
            decay, gain = adaptation
            level, a = levels[t, :n], adaptations[t + 1, :n]
            adapt(before, level, adaptations[t, :n], a, levels[t + 1, :n], decay, threshold, gain)
        membrane(now, before, level, mems[t + 1, :n], beta, threshold, reset)


@njit(**UNCOUNTED)
def scan_backward(
    grad_spk,
    grad_mem,
    grad_last,
    current,
    state,
    beta,
    dynamics,
    adaptation,
    num_steps,
    grad_current,
    grad_state,
    grad_beta,
    scratch,
    start,
    stop,
):
    """Fill `grad_current`, `grad_state` `[S, N]` and `grad_beta` `[N]` or `[0]`.

    Missing gradients are `[0, N]`. `scratch` is `[T + 9, block]`, of adaptive neurons `[3·T + 9,
    block]`.
    """
    threshold, reset, surrogate, alpha = dynamics
    constant = len(current) == 1
    num_levels = 1 if adaptation is None else num_steps + 1
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
        _trace(
            current, state, here, n, beta, dynamics, adaptation, mems, levels, adaptations, buffer
        )
        for t in range(num_steps - 1, -2, -1):
            # Debt of step t to later steps; t = −1 is the state.
            mem, level = mems[t + 1, :n], levels[0, :n]
            if adaptation is not None:
                level = levels[t + 1, :n]
                if len(grad_spk) or t < num_steps - 1:
                    surrogate_gradient(mem, level, surrogate, alpha, slope)
                if t < num_steps - 1:
                    carry_back(adjoint, mem, level, beta, reset)
                    add_product(adjoint, _1, adaptation_adjoint, slope)
                    carry_adaptation_back(adaptation_adjoint, slope, adaptation[0], adaptation[1])
            elif t >= 0 and len(grad_spk) and surrogate == ATAN:
                carry_back_by_atan(adjoint, mem, level, beta, reset, grad_spk[t, here], alpha)
            elif t >= 0 and len(grad_spk):
                surrogate_gradient(mem, level, surrogate, alpha, slope)
                carry_back_and_add(
                    adjoint, mem, level, beta, reset, as_float32(grad_spk[t, here], buffer), slope
                )
            elif t < num_steps - 1:
                carry_back(adjoint, mem, level, beta, reset)
            if t < 0:
                break
            if adaptation is not None and len(grad_spk):
                incoming = as_float32(grad_spk[t, here], buffer)
                add_product(adjoint, _1, incoming, slope)
                add_product(adaptation_adjoint, -adaptation[1], incoming, slope)
            if len(grad_mem):
                add(adjoint, grad_mem[t, here])
            if t == num_steps - 1 and len(grad_last):
                add(adjoint, grad_last[0, here])
                if adaptation is not None:
                    add(adaptation_adjoint, grad_last[1, here])
            if len(grad_beta):
                if adaptation is not None:
                    level = levels[t, :n]
                add_decay_gradient(about_beta, adjoint, mems[t, :n], level, reset)
            if constant:
                add(total, adjoint)
            else:
                write(adjoint, grad_current[t, here])
        if constant:
            write(total, grad_current[0, here])
        write(adjoint, grad_state[0, here])
        if adaptation is not None:
            write(adaptation_adjoint, grad_state[1, here])
        if len(grad_beta):
            write(about_beta, grad_beta[here])


# Numba caches by file: save this file after a change of an imported one.


@njit(**UNCOUNTED)
def channel_sums(current, pivot, shape, out, start, stop):
    """Fill images of `out` `[images, 2, C]`: sums above `pivot` `[C]`, and squares."""
    _, height, width, channels = shape
    for image in range(start, stop):
        for row in range(image * height, (image + 1) * height):
            for channel in range(0, channels, LANES):
                left = channels - channel
                middle = read(pivot, channel, left)
                total = squares = filled(np.float32(0))
                for at in range(
                    row * width * channels + channel, (row + 1) * width * channels, channels
                ):
                    above = read(current, at, left) - middle
                    total, squares = total + above, squares + above * above
                add_to(out, 2 * image * channels + channel, total, left)
                add_to(out, (2 * image + 1) * channels + channel, squares, left)


@register_jitable(**UNCOUNTED)
def advance(mem, current, beta, threshold, reset):
    _0, _1 = filled(np.float32(0)), filled(np.float32(1))
    if reset == SUBTRACT:
        return (beta * mem + current) - where(mem > threshold, threshold, _0)
    if reset == ZERO:
        return beta * (where(mem > threshold, _0, _1) * mem) + current
    return beta * mem + current


@register_jitable(**UNCOUNTED)
def _offset(place, window, width, channels):
    return (place // window * width + place % window) * channels


@njit(**UNCOUNTED)
def normalised_forward(
    current, scale, shift, beta, dynamics, shape, windows, spk, steps, fired, start, stop
):
    """Scale and shift the current, advance LIF neurons over all time steps, and max-pool spikes
    over windows `window` wide.

    Fill strips `start` to `stop` (rows of one image) of `spk` `[T, B, H / side, W / side, C]`; all
    arrays are flat. `current` is `[T, B, H, W, C]` or `[1, …]`; `fired` `[T, LANES]` is scratch.
    `steps` and `windows` have as many elements as time steps and rows of a window: tuples are
    unrolled.
    """
    batch, height, width, channels = shape
    num_steps, window = len(steps), len(windows)
    rows, columns = height // window, width // window
    step = (
        0
        if len(current) == batch * height * width * channels
        else batch * height * width * channels
    )
    level, reset = filled(dynamics[0]), dynamics[1]
    leak, _0, _1 = filled(beta), filled(np.float32(0)), filled(np.float32(1))
    for strip in range(start, stop):
        image, row = divmod(strip, rows)
        for column in range(columns):
            corner = ((image * height + row * window) * width + column * window) * channels
            for channel in range(0, channels, LANES):
                left = channels - channel
                a, b = read(scale, channel, left), read(shift, channel, left)
                for place in range(window * window):
                    at = corner + _offset(place, window, width, channels) + channel
                    mem = now = _0
                    for t in range(num_steps):
                        if t == 0 or step > 0:
                            now = read(current, at + t * step, left) * a + b
                        mem = advance(mem, now, leak, level, reset)
                        before = load(fired, t * LANES) if place > 0 else _0
                        store(where(mem > level, _1, before), fired, t * LANES)
                at = (strip * columns + column) * channels + channel
                for t in range(num_steps):
                    put(
                        load(fired, t * LANES),
                        spk,
                        at + t * batch * rows * columns * channels,
                        left,
                    )


@register_jitable(**UNCOUNTED, forceinline=True)
def _trace_window(
    current, corner, windows, width, step, channels, scale, shift, leak, level, reset, steps, mems
):
    """Fill `mems` `[vectors of channels, places, T, LANES]` with a window's membranes."""
    num_steps, window = len(steps), len(windows)
    places = window * window
    for channel in range(0, channels, LANES):
        left = channels - channel
        a, b = read(scale, channel, left), read(shift, channel, left)
        for place in range(places):
            at = corner + _offset(place, window, width, channels) + channel
            row = (channel * places + place * LANES) * num_steps
            mem = now = filled(np.float32(0))
            for t in range(num_steps):
                if t == 0 or step > 0:
                    now = read(current, at + t * step, left) * a + b
                mem = advance(mem, now, leak, level, reset)
                store(mem, mems, row + t * LANES)


@register_jitable(**UNCOUNTED, forceinline=True)
def _find_first(mems, level, windows, channels, steps, first, highest):
    """Fill `first` and `highest` `[vectors of channels, T, LANES]`: a window's first place that
    spiked, else 0, and its membrane.
    """
    num_steps, places = len(steps), len(windows) * len(windows)
    for channel in range(0, channels, LANES):
        for t in range(num_steps):
            row = channel * places * num_steps + t * LANES
            index, mem = filled(np.float32(0)), load(mems, row)
            for place in range(places - 1, -1, -1):
                here = load(mems, row + place * num_steps * LANES)
                spiked = here > level
                index, mem = (
                    where(spiked, filled(np.float32(place)), index),
                    where(spiked, here, mem),
                )
            store(index, first, channel * num_steps + t * LANES)
            store(mem, highest, channel * num_steps + t * LANES)


@njit(**UNCOUNTED)
def normalised_backward(
    grad_spk,
    current,
    scale,
    shift,
    mean,
    beta,
    dynamics,
    shape,
    windows,
    grad,
    totals,
    steps,
    learns_beta,
    mems,
    slopes,
    start,
    stop,
):
    """Fill strips of `grad`, of the normalised current, and of `totals` `[2, B, H, C]`: sums along
    rows of the gradient, and of it times the current above its mean.

    With `learns_beta`, `totals` is `[3, B, H, C]`, the last about beta. Scratch: `mems` `[vectors
    of channels, places, T, LANES]`, `slopes` `[4, vectors of channels, T, LANES]`.
    """
    batch, height, width, channels = shape
    num_steps, window = len(steps), len(windows)
    rows, columns, pixels = height // window, width // window, batch * height * width * channels
    step, pooled_step = 0 if len(current) == pixels else pixels, batch * rows * columns * channels
    threshold, reset, surrogate, alpha = dynamics
    level, leak, _0 = filled(threshold), filled(beta), filled(np.float32(0))
    places, size = window * window, len(slopes) // 4
    first, highest, slope = slopes[:size], slopes[size : 2 * size], slopes[2 * size : 3 * size]
    levels = slopes[3 * size :]
    levels[:] = threshold
    for strip in range(start, stop):
        image, row = divmod(strip, rows)
        for column in range(columns):
            corner = ((image * height + row * window) * width + column * window) * channels
            _trace_window(
                current,
                corner,
                windows,
                width,
                step,
                channels,
                scale,
                shift,
                leak,
                level,
                reset,
                steps,
                mems,
            )
            _find_first(mems, level, windows, channels, steps, first, highest)
            surrogate_gradient(highest, levels, surrogate, alpha, slope)
            for channel in range(0, channels, LANES):
                left = channels - channel
                at = (strip * columns + column) * channels + channel
                to = channel * num_steps
                middle = read(mean, channel, left)
                for t in range(num_steps):
                    through = read(grad_spk, at + t * pooled_step, left) * load(
                        slope, to + t * LANES
                    )
                    store(through, slope, to + t * LANES)
                for place in range(places):
                    pixel = corner + _offset(place, window, width, channels) + channel
                    number = filled(np.float32(place))
                    here = (channel * places + place * LANES) * num_steps
                    adjoint = total = product = about_beta = _0
                    for t in range(num_steps - 1, -1, -1):
                        remaining = (
                            where(load(mems, here + t * LANES) > level, _0, leak)
                            if reset == ZERO
                            else leak
                        )
                        is_first = load(first, to + t * LANES) == number
                        adjoint = adjoint * remaining + where(
                            is_first, load(slope, to + t * LANES), _0
                        )
                        total = total + adjoint
                        if step > 0:
                            product = product + adjoint * (
                                read(current, pixel + t * step, left) - middle
                            )
                            put(adjoint, grad, pixel + t * step, left)
                        if learns_beta and t > 0:
                            before = load(mems, here + (t - 1) * LANES)
                            before = where(before > level, _0, before) if reset == ZERO else before
                            about_beta = about_beta + adjoint * before
                    if step == 0:
                        product = total * (read(current, pixel, left) - middle)
                        put(total, grad, pixel, left)
                    line = (image * height + row * window + place // window) * channels + channel
                    add_to(totals, line, total, left)
                    add_to(totals, line + batch * height * channels, product, left)
                    if learns_beta:
                        add_to(totals, line + 2 * batch * height * channels, about_beta, left)


@njit(**UNCOUNTED)
def normalise_gradient(grad, current, coefficients, shape, out, start, stop):
    """Fill images of `out`, the gradient of `current`, by `grad`, that of the normalised current.

    `coefficients` `[4, C]`: mean gradient, mean current, deduction for a current above it, scale.
    """
    _, pixels, channels = shape
    for pixel in range(start * pixels * channels, stop * pixels * channels, channels):
        for channel in range(0, channels, LANES):
            left = channels - channel
            a, middle = (
                read(coefficients, channel, left),
                read(coefficients, channels + channel, left),
            )
            slope, scale = (
                read(coefficients, 2 * channels + channel, left),
                read(coefficients, 3 * channels + channel, left),
            )
            at = pixel + channel
            put(
                ((read(grad, at, left) - a) - (read(current, at, left) - middle) * slope) * scale,
                out,
                at,
                left,
            )


OUTPUTS = 5
"""Outputs are padded to a multiple of this with zero weights."""
_NEURONS = 256  # their spikes of a few dozen steps stay in the nearest cache


@njit(**COMPILED)
def projected_forward(current, weights, numbers, reset, num_steps, num_neurons, out, start, stop):
    """Fill images of `out` `[B, T, K]` from `current` `[B, N]` and `weights` `[K, N]`."""
    beta, threshold = filled(numbers[0]), filled(numbers[1])
    _0, _1 = filled(np.float32(0)), filled(np.float32(1))
    num_outputs, even = len(weights) // num_neurons, num_steps + num_steps % 2
    # Steps come in twos; an odd last one has no spikes.
    spikes, sums = (
        np.zeros(even * _NEURONS, np.float32),
        np.empty(even * num_outputs * LANES, np.float32),
    )
    for image in range(start, stop):
        sums[:] = 0
        for first in range(0, num_neurons, _NEURONS):
            n = min(_NEURONS, num_neurons - first)
            for i in range(0, n, LANES):
                now, mem = load(current, image * num_neurons + first + i), _0
                for t in range(num_steps):
                    mem = advance(mem, now, beta, threshold, reset)
                    store(where(mem > threshold, _1, _0), spikes, t * _NEURONS + i)
            for t in range(0, even, 2):
                for k in range(0, num_outputs, OUTPUTS):
                    at = (t * num_outputs + k) * LANES
                    _project(
                        spikes,
                        t * _NEURONS,
                        weights,
                        k * num_neurons + first,
                        num_neurons,
                        n,
                        sums,
                        at,
                    )
        for j in range(num_steps * num_outputs):
            total = np.float32(0)
            for lane in range(LANES):
                total += sums[j * LANES + lane]
            out[image * num_steps * num_outputs + j] = total


@register_jitable(**COMPILED)
def _project(spikes, row, weights, column, num_neurons, n, sums, at):
    """Add to `sums` `[T, K, LANES]` the products of two steps' spikes and five outputs' weights."""
    next_row, next_sums = row + _NEURONS, at + len(sums) // (len(spikes) // _NEURONS)
    a0 = a1 = a2 = a3 = a4 = b0 = b1 = b2 = b3 = b4 = filled(np.float32(0))
    for i in range(0, n, LANES):
        a, b = load(spikes, row + i), load(spikes, next_row + i)
        w = load(weights, column + i)
        a0, b0 = a0 + a * w, b0 + b * w
        w = load(weights, column + num_neurons + i)
        a1, b1 = a1 + a * w, b1 + b * w
        w = load(weights, column + 2 * num_neurons + i)
        a2, b2 = a2 + a * w, b2 + b * w
        w = load(weights, column + 3 * num_neurons + i)
        a3, b3 = a3 + a * w, b3 + b * w
        w = load(weights, column + 4 * num_neurons + i)
        a4, b4 = a4 + a * w, b4 + b * w
    for k, (a, b) in enumerate(((a0, b0), (a1, b1), (a2, b2), (a3, b3), (a4, b4))):
        add_to(sums, at + k * LANES, a, LANES)
        add_to(sums, next_sums + k * LANES, b, LANES)


@njit(**COMPILED)
def projected_backward(
    grad,
    current,
    weights,
    numbers,
    reset,
    num_steps,
    num_neurons,
    grad_current,
    grad_weights,
    images,
    start,
    stop,
):
    """Fill groups of `images` of `grad_current` `[B, N]` and `grad_weights` `[groups, K, N]`, from
    `grad` `[B, T, K]`, by `atan`.
    """
    beta, threshold = filled(numbers[0]), filled(numbers[1])
    scale, half = filled(numbers[2]), filled(numbers[3])
    _0, _1 = filled(np.float32(0)), filled(np.float32(1))
    num_outputs = len(weights) // num_neurons
    mems, grad_spikes = (
        np.empty(num_steps * LANES, np.float32),
        np.empty(num_steps * LANES, np.float32),
    )
    for group in range(start, stop):
        totals = group * len(weights)
        grad_weights[totals : totals + len(weights)] = 0
        for image in range(group * images, min((group + 1) * images, len(current) // num_neurons)):
            for i in range(0, num_neurons, LANES):
                here = image * num_neurons + i
                now, mem = load(current, here), _0
                for t in range(num_steps):
                    mem = advance(mem, now, beta, threshold, reset)
                    store(mem, mems, t * LANES)
                    store(_0, grad_spikes, t * LANES)
                for k in range(0, num_outputs, OUTPUTS):
                    given, column = image * num_steps * num_outputs + k, k * num_neurons + i
                    _project_back(
                        grad,
                        given,
                        weights,
                        column,
                        mems,
                        grad_spikes,
                        threshold,
                        grad_weights,
                        totals,
                        num_neurons,
                    )
                adjoint = total = _0
                for back in range(1, num_steps + 1):
                    at = (num_steps - back) * LANES
                    mem = load(mems, at)
                    x = scale * (mem - threshold)
                    remaining = where(mem > threshold, _0, beta) if reset == ZERO else beta
                    adjoint = adjoint * remaining + load(grad_spikes, at) * (half / (_1 + x * x))
                    total = total + adjoint
                store(total, grad_current, here)


@register_jitable(**COMPILED)
def _project_back(
    grad, given, weights, column, mems, grad_spikes, threshold, grad_weights, totals, num_neurons
):
    _0, num_steps, step = filled(np.float32(0)), len(mems) // LANES, len(weights) // num_neurons
    w0, w1 = load(weights, column), load(weights, column + num_neurons)
    w2, w3 = load(weights, column + 2 * num_neurons), load(weights, column + 3 * num_neurons)
    w4 = load(weights, column + 4 * num_neurons)
    c0 = c1 = c2 = c3 = c4 = _0
    for t in range(num_steps):
        at = given + t * step
        g0, g1, g2 = filled(grad[at]), filled(grad[at + 1]), filled(grad[at + 2])
        g3, g4 = filled(grad[at + 3]), filled(grad[at + 4])
        add_to(grad_spikes, t * LANES, (g0 * w0 + g1 * w1) + (g2 * w2 + g3 * w3) + g4 * w4, LANES)
        spiked = load(mems, t * LANES) > threshold
        c0, c1, c2 = (
            c0 + where(spiked, g0, _0),
            c1 + where(spiked, g1, _0),
            c2 + where(spiked, g2, _0),
        )
        c3, c4 = c3 + where(spiked, g3, _0), c4 + where(spiked, g4, _0)
    for k, c in enumerate((c0, c1, c2, c3, c4)):
        add_to(grad_weights, totals + column + k * num_neurons, c, LANES)
