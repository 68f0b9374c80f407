# mypy: disable-error-code="no-untyped-def, call-arg, var-annotated"
"""The compiled part of batch norm, neurons and pooling in one on the CPU.

It works on one window of pooling and a vector of channels at a time, over all time steps: what it
computes stays in registers and the nearest cache. Operations come in the order of `reference`, and
no multiply-add is fused, so that results equal the reference's to the last bit. Arrays are flat;
float32, or the bits of bfloat16 as int16. `steps` has as many elements as there are time steps,
`sides` as a window has rows: how long a tuple is, the compiler knows, and it writes such loops out.
"""

import numpy as np
from numba import njit

# Numba caches by file: save this file anew after a change of an imported one.
from spikeduel.spiking.kernels.cpu_kernels import SUBTRACT, ZERO, surrogate_gradient
from spikeduel.spiking.kernels.cpu_numbers import UNCOUNTED
from spikeduel.spiking.kernels.cpu_vectors import (
    LANES,
    add_to,
    filled,
    load,
    put,
    read,
    store,
    where,
)


@njit(**UNCOUNTED)
def sums(current, pivot, shape, out, start, stop):
    """Fill images `start` to `stop` of `out` `[images, 2, C]`: sums above `pivot` `[C]`, and
    squares.
    """
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


@njit(**UNCOUNTED)
def advance(mem, current, beta, threshold, reset):
    """Return the membranes after `mem`."""
    _0, _1 = filled(np.float32(0)), filled(np.float32(1))
    if reset == SUBTRACT:
        return (beta * mem + current) - where(mem > threshold, threshold, _0)
    if reset == ZERO:
        return beta * (where(mem > threshold, _0, _1) * mem) + current
    return beta * mem + current


@njit(**UNCOUNTED)
def _offset(place, side, width, channels):
    """Return the distance of a place of a window from the first, in a current."""
    return (place // side * width + place % side) * channels


@njit(**UNCOUNTED)
def forward(current, scale, shift, beta, dynamics, shape, sides, spk, steps, fired, start, stop):
    """Fills strips `start` to `stop` of `spk` `[T, B, H / side, W / side, C]`: a strip is a row of
    one image.

    `current` is `[T, B, H, W, C]`, `[1, B, H, W, C]` if constant; `scale` and `shift` `[C]`
    normalise it. All are flat. `fired` `[T, LANES]` is scratch.
    """
    batch, height, width, channels = shape
    num_steps, side = len(steps), len(sides)
    rows, columns = height // side, width // side
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
            corner = ((image * height + row * side) * width + column * side) * channels
            for channel in range(0, channels, LANES):
                left = channels - channel
                a, b = read(scale, channel, left), read(shift, channel, left)
                for place in range(side * side):
                    at = corner + _offset(place, side, width, channels) + channel
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


@njit(**UNCOUNTED, forceinline=True)
def _trace(
    current, corner, sides, width, step, channels, scale, shift, leak, level, reset, steps, mems
):
    """Fill `mems` `[vectors of channels, places, T, LANES]` with the membranes of one window."""
    num_steps, side = len(steps), len(sides)
    places = side * side
    for channel in range(0, channels, LANES):
        left = channels - channel
        a, b = read(scale, channel, left), read(shift, channel, left)
        for place in range(places):
            at = corner + _offset(place, side, width, channels) + channel
            row = (channel * places + place * LANES) * num_steps
            mem = now = filled(np.float32(0))
            for t in range(num_steps):
                if t == 0 or step > 0:
                    now = read(current, at + t * step, left) * a + b
                mem = advance(mem, now, leak, level, reset)
                store(mem, mems, row + t * LANES)


@njit(**UNCOUNTED, forceinline=True)
def _find_first(mems, level, sides, channels, steps, first, highest):
    """Fills `first` and `highest` `[vectors of channels, T, LANES]`: which place of a window spiked
    first, 0 if none did, and its membrane.
    """
    num_steps, places = len(steps), len(sides) * len(sides)
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
def backward(
    grad_spk,
    current,
    scale,
    shift,
    mean,
    beta,
    dynamics,
    shape,
    sides,
    grad,
    totals,
    steps,
    learns_beta,
    mems,
    slopes,
    start,
    stop,
):
    """Fills strips `start` to `stop` of `grad`, of the normalised current and shaped as `current`,
    and of `totals`.

    `totals` `[2, B, H, C]` (zeros) gets sums over steps, along rows: of the gradient, and of it
    times the current above its mean; if `learns_beta`, it is `[3, B, H, C]`, and the last what the
    gradient says about beta. Scratch are `mems` `[vectors of channels, places, T, LANES]` and
    `slopes` `[4, vectors of channels, T, LANES]`.
    """
    batch, height, width, channels = shape
    num_steps, side = len(steps), len(sides)
    rows, columns, pixels = height // side, width // side, batch * height * width * channels
    step, pooled_step = 0 if len(current) == pixels else pixels, batch * rows * columns * channels
    threshold, reset, surrogate, alpha = dynamics
    level, leak, _0 = filled(threshold), filled(beta), filled(np.float32(0))
    places, size = side * side, len(slopes) // 4
    first, highest, slope = slopes[:size], slopes[size : 2 * size], slopes[2 * size : 3 * size]
    levels = slopes[3 * size :]
    levels[:] = threshold
    for strip in range(start, stop):
        image, row = divmod(strip, rows)
        for column in range(columns):
            corner = ((image * height + row * side) * width + column * side) * channels
            _trace(
                current,
                corner,
                sides,
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
            _find_first(mems, level, sides, channels, steps, first, highest)
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
                    pixel = corner + _offset(place, side, width, channels) + channel
                    number = filled(np.float32(place))
                    here = (channel * places + place * LANES) * num_steps
                    adjoint = total = product = about_beta = _0
                    for t in range(num_steps - 1, -1, -1):
                        kept = (
                            where(load(mems, here + t * LANES) > level, _0, leak)
                            if reset == ZERO
                            else leak
                        )
                        is_first = load(first, to + t * LANES) == number
                        adjoint = adjoint * kept + where(is_first, load(slope, to + t * LANES), _0)
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
                    line = (image * height + row * side + place // side) * channels + channel
                    add_to(totals, line, total, left)
                    add_to(totals, line + batch * height * channels, product, left)
                    if learns_beta:
                        add_to(totals, line + 2 * batch * height * channels, about_beta, left)


@njit(**UNCOUNTED)
def normalise_gradient(grad, current, coefficients, shape, out, start, stop):
    """Fills images `start` to `stop` of `out` with the gradient of `current`, by `grad`, of the
    normalised current.

    `coefficients` `[4, C]` are the mean gradient, the mean current, what is taken off for a current
    above it, and the scale. `out` may be `grad`. All others are `[images, pixels, C]`.
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
