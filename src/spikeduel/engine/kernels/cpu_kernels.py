# mypy: disable-error-code="no-untyped-def, call-arg, var-annotated"
"""Compiled loops of the CPU's kernels, in one file because Numba caches by file.

A vector of channels or neurons stays in registers over all time steps: LLVM vectorises plain loops
alone. Operations come in the order of `reference`, without
fused multiply-add: results are equal to the last bit.
"""

import math

import numpy as np
from numba import njit
from numba.extending import register_jitable

from spikeduel.engine.kernels.cpu_numbers import (
    LANES,
    add_to,
    filled,
    load,
    put,
    read,
    store,
    where,
)
from spikeduel.system.parallel import COMPILED, UNCOUNTED

SUBTRACT, ZERO = 0, 1
"""Positions in `RESET_MECHANISMS`."""
ATAN = 0
"""Position in `SURROGATE_KERNELS`."""

# A literal would be a double, and so would all that it touches.
_0, _1 = np.float32(0), np.float32(1)


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


@register_jitable(**UNCOUNTED, forceinline=True)
def surrogate_gradient(mem, level, surrogate, alpha, out):
    """Write the gradient at `mem − level` to `out` `[n]`; `surrogate` is a position in
    `SURROGATE_KERNELS` other than `ATAN`.
    """
    width = np.float32(alpha)
    if surrogate == 1:
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
def atan(mem, level, alpha):
    """Return the surrogate gradient `atan` of a vector; between other work, divisions cost less."""
    x = filled(np.float32(math.pi / 2 * alpha)) * (mem - level)
    return filled(np.float32(alpha / 2)) / (filled(_1) + x * x)


@register_jitable(**UNCOUNTED)
def advance(mem, current, beta, level, threshold, reset):
    """Return the membranes after `mem`, which spiked where above `level`."""
    _0, _1 = filled(np.float32(0)), filled(np.float32(1))
    if reset == SUBTRACT:
        return (beta * mem + current) - where(mem > level, threshold, _0)
    if reset == ZERO:
        return beta * (where(mem > level, _0, _1) * mem) + current
    return beta * mem + current


@register_jitable(**UNCOUNTED)
def _start(state, first, left, num_neurons, threshold, adaptation):
    """Return membranes, adaptations and levels of a vector of neurons before the first step."""
    mem = adapted = filled(np.float32(0))
    if len(state):
        mem = read(state, first, left)
        if adaptation is not None:
            adapted = read(state, num_neurons + first, left)
    level = filled(threshold)
    if adaptation is not None:
        level = level + filled(adaptation[1]) * adapted
    return mem, adapted, level


@register_jitable(**UNCOUNTED)
def _step(current, mem, adapted, level, beta, threshold, reset, adaptation):
    """Return membranes, adaptations and levels of a vector of neurons after a step."""
    _0, _1 = filled(np.float32(0)), filled(np.float32(1))
    after = advance(mem, current, filled(beta), level, filled(threshold), reset)
    if adaptation is not None:
        adapted = filled(adaptation[0]) * adapted + where(mem > level, _1, _0)
        level = filled(threshold) + filled(adaptation[1]) * adapted
    return after, adapted, level


@njit(**UNCOUNTED)
def scan_forward(
    current, state, beta, dynamics, adaptation, num_neurons, num_steps, spk, mem, last, start, stop
):
    """Fill neurons `start` to `stop` of `spk` `[T, N]`, `mem` `[T, N]` or `[0]`, and `last` `[S,
    N]`; all arrays are flat.

    `current` is `[T, N]` or `[N]`; `state` `[S, N]` or `[0]`.
    """
    threshold, reset, _, _ = dynamics
    row = 0 if len(current) == num_neurons else num_neurons
    _0, _1 = filled(np.float32(0)), filled(np.float32(1))
    for first in range(start, stop, LANES):
        left = stop - first
        u, adapted, level = _start(state, first, left, num_neurons, threshold, adaptation)
        now = read(current, first, left)
        for t in range(num_steps):
            if t > 0 and row > 0:
                now = read(current, t * row + first, left)
            u, adapted, level = _step(now, u, adapted, level, beta, threshold, reset, adaptation)
            put(where(u > level, _1, _0), spk, t * num_neurons + first, left)
            if len(mem):
                put(u, mem, t * num_neurons + first, left)
        put(u, last, first, left)
        if adaptation is not None:
            put(adapted, last, num_neurons + first, left)


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
    num_neurons,
    num_steps,
    grad_current,
    grad_state,
    grad_beta,
    mems,
    levels,
    slopes,
    start,
    stop,
):
    """Fill neurons `start` to `stop` of `grad_current`, `grad_state` `[S, N]` and `grad_beta` `[N]`
    or `[0]`; all arrays are flat.

    Missing gradients are `[0]`. Scratch: `mems`, `levels` and `slopes` `[T + 1, LANES]`, the state
    first.
    """
    threshold, reset, surrogate, alpha = dynamics
    row = 0 if len(current) == num_neurons else num_neurons
    levels[:] = threshold
    _0, decay, gain = filled(np.float32(0)), filled(np.float32(0)), filled(np.float32(0))
    if adaptation is not None:
        decay, gain = filled(adaptation[0]), filled(adaptation[1])
    for first in range(start, stop, LANES):
        left = stop - first
        mem, adapted, level = _start(state, first, left, num_neurons, threshold, adaptation)
        now = read(current, first, left)
        store(mem, mems, 0)
        store(level, levels, 0)
        for t in range(num_steps):
            if t > 0 and row > 0:
                now = read(current, t * row + first, left)
            mem, adapted, level = _step(
                now, mem, adapted, level, beta, threshold, reset, adaptation
            )
            store(mem, mems, (t + 1) * LANES)
            if adaptation is not None:
                store(level, levels, (t + 1) * LANES)
        if surrogate != ATAN:
            surrogate_gradient(mems, levels, surrogate, alpha, slopes)
        adjoint = of_adaptation = total = of_beta = _0
        for t in range(num_steps, -1, -1):
            # What later steps owe to the state after t steps; 0 is the first state.
            mem, at = load(mems, t * LANES), (t - 1) * num_neurons + first
            if adaptation is not None:
                level = load(levels, t * LANES)
            slope = load(slopes, t * LANES)
            if surrogate == ATAN:
                slope = atan(mem, level, alpha)
            if reset == ZERO:
                adjoint = adjoint * where(mem > level, _0, filled(beta))
            else:
                adjoint = adjoint * filled(beta)
            if adaptation is not None:
                adjoint = adjoint + of_adaptation * slope
                of_adaptation = decay * of_adaptation - gain * (of_adaptation * slope)
            if t == 0:
                break
            if len(grad_spk):
                through = read(grad_spk, at, left) * slope
                adjoint = adjoint + through
                of_adaptation = of_adaptation - gain * through
            if len(grad_mem):
                adjoint = adjoint + read(grad_mem, at, left)
            if t == num_steps and len(grad_last):
                adjoint = adjoint + read(grad_last, first, left)
                if adaptation is not None:
                    of_adaptation = of_adaptation + read(grad_last, num_neurons + first, left)
            if len(grad_beta):
                before = load(mems, (t - 1) * LANES)
                if reset == ZERO:
                    before = where(before > load(levels, (t - 1) * LANES), _0, before)
                of_beta = of_beta + adjoint * before
            if row > 0:
                put(adjoint, grad_current, at, left)
            else:
                total = total + adjoint
        if row == 0:
            put(total, grad_current, first, left)
        put(adjoint, grad_state, first, left)
        if adaptation is not None:
            put(of_adaptation, grad_state, num_neurons + first, left)
        if len(grad_beta):
            put(of_beta, grad_beta, first, left)


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
def _offset(cell, window, width, channels):
    return (cell // window * width + cell % window) * channels


@njit(**UNCOUNTED)
def normalised_forward(
    current, scale, shift, beta, dynamics, shape, steps, windows, spk, fired, start, stop
):
    """Scale and shift the current, advance LIF neurons over all time steps, and max-pool spikes
    over windows `window` wide.

    Fill strips `start` to `stop` (rows of one image) of `spk` `[T, B, H / window, W / window, C]`;
    all arrays are flat. `current` is `[T, B, H, W, C]` or `[1, …]`; `fired` `[T, LANES]` is
    scratch. `steps` and `windows` have as many elements as time steps and rows of a window: tuples
    are unrolled.
    """
    batch, height, width, channels = shape
    num_steps, window = len(steps), len(windows)
    rows, columns, pixels = height // window, width // window, batch * height * width * channels
    step, pooled_step = 0 if len(current) == pixels else pixels, batch * rows * columns * channels
    level, reset = filled(dynamics[0]), dynamics[1]
    leak, _0, _1 = filled(beta), filled(np.float32(0)), filled(np.float32(1))
    for strip in range(start, stop):
        image, row = divmod(strip, rows)
        for column in range(columns):
            corner = ((image * height + row * window) * width + column * window) * channels
            for channel in range(0, channels, LANES):
                left = channels - channel
                a, b = read(scale, channel, left), read(shift, channel, left)
                for cell in range(window * window):
                    at = corner + _offset(cell, window, width, channels) + channel
                    mem = now = _0
                    for t in range(num_steps):
                        if t == 0 or step > 0:
                            now = read(current, at + t * step, left) * a + b
                        mem = advance(mem, now, leak, level, level, reset)
                        before = load(fired, t * LANES) if cell > 0 else _0
                        store(where(mem > level, _1, before), fired, t * LANES)
                at = (strip * columns + column) * channels + channel
                for t in range(num_steps):
                    put(load(fired, t * LANES), spk, at + t * pooled_step, left)


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
    steps,
    windows,
    grad,
    totals,
    learns_beta,
    mems,
    first,
    highest,
    slopes,
    levels,
    start,
    stop,
):
    """Fill strips of `grad`, of the normalised current, and of `totals` `[2, B, H, C]`: sums along
    rows of the gradient, and of it times the current above its mean.

    With `learns_beta`, `totals` is `[3, B, H, C]`, the last about beta. Scratch: `mems` `[cells,
    T, LANES]`, the others `[T, LANES]`.
    """
    batch, height, width, channels = shape
    num_steps, window = len(steps), len(windows)
    rows, columns, pixels = height // window, width // window, batch * height * width * channels
    step, pooled_step = 0 if len(current) == pixels else pixels, batch * rows * columns * channels
    threshold, reset, surrogate, alpha = dynamics
    level, leak, _0 = filled(threshold), filled(beta), filled(np.float32(0))
    levels[:] = threshold
    for strip in range(start, stop):
        image, row = divmod(strip, rows)
        for column in range(columns):
            corner = ((image * height + row * window) * width + column * window) * channels
            for channel in range(0, channels, LANES):
                left = channels - channel
                a, b = read(scale, channel, left), read(shift, channel, left)
                for cell in range(window * window):
                    at = corner + _offset(cell, window, width, channels) + channel
                    mem = now = _0
                    for t in range(num_steps):
                        if t == 0 or step > 0:
                            now = read(current, at + t * step, left) * a + b
                        mem = advance(mem, now, leak, level, level, reset)
                        store(mem, mems, (cell * num_steps + t) * LANES)
                _find_first(mems, level, windows, steps, first, highest)
                if surrogate != ATAN:
                    surrogate_gradient(highest, levels, surrogate, alpha, slopes)
                at = (strip * columns + column) * channels + channel
                for t in range(num_steps):
                    slope = load(slopes, t * LANES)
                    if surrogate == ATAN:
                        slope = atan(load(highest, t * LANES), level, alpha)
                    incoming = read(grad_spk, at + t * pooled_step, left)
                    store(incoming * slope, slopes, t * LANES)
                middle = read(mean, channel, left)
                for cell in range(window * window):
                    address = corner + _offset(cell, window, width, channels) + channel
                    number, here = filled(np.float32(cell)), cell * num_steps * LANES
                    adjoint = total = product = about_beta = _0
                    for t in range(num_steps - 1, -1, -1):
                        remaining = leak
                        if reset == ZERO:
                            remaining = where(load(mems, here + t * LANES) > level, _0, leak)
                        is_first = load(first, t * LANES) == number
                        through = where(is_first, load(slopes, t * LANES), _0)
                        adjoint = adjoint * remaining + through
                        total = total + adjoint
                        if step > 0:
                            above = read(current, address + t * step, left) - middle
                            product = product + adjoint * above
                            put(adjoint, grad, address + t * step, left)
                        if learns_beta and t > 0:
                            before = load(mems, here + (t - 1) * LANES)
                            before = where(before > level, _0, before) if reset == ZERO else before
                            about_beta = about_beta + adjoint * before
                    if step == 0:
                        product = total * (read(current, address, left) - middle)
                        put(total, grad, address, left)
                    line = (image * height + row * window + cell // window) * channels + channel
                    add_to(totals, line, total, left)
                    add_to(totals, line + batch * height * channels, product, left)
                    if learns_beta:
                        add_to(totals, line + 2 * batch * height * channels, about_beta, left)


@register_jitable(**UNCOUNTED, forceinline=True)
def _find_first(mems, level, windows, steps, first, highest):
    """Fill `first` and `highest` `[T, LANES]`: a window's first cell that spiked, else 0, and its
    membrane.
    """
    num_steps, cells = len(steps), len(windows) * len(windows)
    for t in range(num_steps):
        index, mem = filled(np.float32(0)), load(mems, t * LANES)
        for cell in range(cells - 1, -1, -1):
            here = load(mems, (cell * num_steps + t) * LANES)
            index = where(here > level, filled(np.float32(cell)), index)
            mem = where(here > level, here, mem)
        store(index, first, t * LANES)
        store(mem, highest, t * LANES)


@njit(**UNCOUNTED)
def normalise_gradient(grad, current, coefficients, shape, start, stop):
    """Turn images of `grad`, of the normalised current, into the gradient of `current`, in place.

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
            above = read(current, at, left) - middle
            put(((read(grad, at, left) - a) - above * slope) * scale, grad, at, left)


@register_jitable(**UNCOUNTED)
def _total(current, shortcut, at, left, scale, shift):
    """Return a vector of normalised currents, with those of the shortcut, if there is one."""
    total = read(current, at, left) * scale + shift
    return total + read(shortcut, at, left) if len(shortcut) else total


_ROUNDING = np.float32(1.5 * 2**23)
"""Added and taken away again, it rounds a number."""


@njit(**UNCOUNTED)
def rate_forward(current, shortcut, scale, shift, num_steps, shape, windows, rate, start, stop):
    """Scale and shift the current, add the shortcut's, take the highest of each window, and round
    it to a share of steps with a spike.

    Fill strips of `rate` `[B, H / window, W / window, C]` as `normalised_forward`; `shortcut` is as
    `current`, or `[0]`.
    """
    _, height, width, channels = shape
    window = len(windows)
    rows, columns = height // window, width // window
    _0, most, rounding = filled(np.float32(0)), filled(num_steps), filled(_ROUNDING)
    for strip in range(start, stop):
        image, row = divmod(strip, rows)
        for column in range(columns):
            corner = ((image * height + row * window) * width + column * window) * channels
            for channel in range(0, channels, LANES):
                left = channels - channel
                a, b = read(scale, channel, left), read(shift, channel, left)
                highest = _total(current, shortcut, corner + channel, left, a, b)
                for cell in range(1, window * window):
                    at = corner + _offset(cell, window, width, channels) + channel
                    now = _total(current, shortcut, at, left, a, b)
                    highest = where(now > highest, now, highest)
                spikes = highest * most
                spikes = where(spikes > _0, where(spikes > most, most, spikes), _0)
                spikes = (spikes + rounding) - rounding
                put(spikes / most, rate, (strip * columns + column) * channels + channel, left)


@njit(**UNCOUNTED)
def rate_backward(
    grad_rate,
    current,
    shortcut,
    scale,
    shift,
    mean,
    beyond,
    shape,
    windows,
    grad,
    grad_shortcut,
    totals,
    start,
    stop,
):
    """Fill strips of `grad`, of the normalised current, and of `totals` `[2, B, H, C]`, as
    `normalised_backward`, and of `grad_shortcut`: the highest of a window gets the gradient, if it
    is at most `beyond` 0 to 1.
    """
    batch, height, width, channels = shape
    window = len(windows)
    rows, columns = height // window, width // window
    _0, least, most = filled(np.float32(0)), filled(-beyond), filled(np.float32(1) + beyond)
    for strip in range(start, stop):
        image, row = divmod(strip, rows)
        for column in range(columns):
            corner = ((image * height + row * window) * width + column * window) * channels
            for channel in range(0, channels, LANES):
                left = channels - channel
                a, b = read(scale, channel, left), read(shift, channel, left)
                highest, winner = _total(current, shortcut, corner + channel, left, a, b), _0
                for cell in range(1, window * window):
                    at = corner + _offset(cell, window, width, channels) + channel
                    now = _total(current, shortcut, at, left, a, b)
                    winner = where(now > highest, filled(np.float32(cell)), winner)
                    highest = where(now > highest, now, highest)
                incoming = read(grad_rate, (strip * columns + column) * channels + channel, left)
                incoming = where(least > highest, _0, where(highest > most, _0, incoming))
                middle = read(mean, channel, left)
                for cell in range(window * window):
                    at = corner + _offset(cell, window, width, channels) + channel
                    here = where(winner == filled(np.float32(cell)), incoming, _0)
                    put(here, grad, at, left)
                    if len(grad_shortcut):
                        put(here, grad_shortcut, at, left)
                    line = (image * height + row * window + cell // window) * channels + channel
                    add_to(totals, line, here, left)
                    product = here * (read(current, at, left) - middle)
                    add_to(totals, line + batch * height * channels, product, left)


OUTPUTS = 5
"""Outputs are padded to a multiple of this with zero weights."""
_NEURONS = 256  # their spikes of a few dozen steps stay in the nearest cache


@njit(**COMPILED)
def projected_forward(current, weights, beta, dynamics, num_steps, num_neurons, out, start, stop):
    """Fill images of `out` `[B, T, K]` from `current` `[B, N]` and `weights` `[K, N]`."""
    leak, threshold, reset = filled(beta), filled(dynamics[0]), dynamics[1]
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
                    mem = advance(mem, now, leak, threshold, threshold, reset)
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
    beta,
    dynamics,
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
    leak, threshold, reset = filled(beta), filled(dynamics[0]), dynamics[1]
    _0 = filled(np.float32(0))
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
                    mem = advance(mem, now, leak, threshold, threshold, reset)
                    store(mem, mems, t * LANES)
                    store(_0, grad_spikes, t * LANES)
                for k in range(0, num_outputs, OUTPUTS):
                    row, column = image * num_steps * num_outputs + k, k * num_neurons + i
                    _project_back(
                        grad,
                        row,
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
                    remaining = where(mem > threshold, _0, leak) if reset == ZERO else leak
                    through = load(grad_spikes, at) * atan(mem, threshold, dynamics[3])
                    adjoint = adjoint * remaining + through
                    total = total + adjoint
                store(total, grad_current, here)


@register_jitable(**COMPILED)
def _project_back(
    grad, row, weights, column, mems, grad_spikes, threshold, grad_weights, totals, num_neurons
):
    _0, num_steps, step = filled(np.float32(0)), len(mems) // LANES, len(weights) // num_neurons
    w0, w1 = load(weights, column), load(weights, column + num_neurons)
    w2, w3 = load(weights, column + 2 * num_neurons), load(weights, column + 3 * num_neurons)
    w4 = load(weights, column + 4 * num_neurons)
    c0 = c1 = c2 = c3 = c4 = _0
    for t in range(num_steps):
        at = row + t * step
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
