# mypy: disable-error-code="no-untyped-def, call-arg, var-annotated"
"""Compiled loops of `pooling`: a square of four places at a time, for a vector of channels.

Arrays are flat `[N, H, W, C]`. A winner is a square's highest place, or `_NOBODY`.
"""

import numpy as np
from numba import njit

# Numba caches by file: save this file after a change of an imported one.
from spikeduel.spiking.kernels.cpu_numbers import (
    COMPILED,
    LANES,
    add_to,
    filled,
    load,
    store,
    where,
)

_NOBODY = 4  # if none of the four is positive


@njit(**COMPILED)
def _place(k):
    return filled(np.float32(k))


@njit(**COMPILED)
def _take(a, b, c, d, pooled, winners, at):
    """Write the positive part of the highest vector: the first of equal ones, any NaN."""
    highest, place = a, _place(0)
    for k, other in ((1, b), (2, c), (3, d)):
        is_number, is_higher = other == other, other > highest
        place = where(is_number, where(is_higher, _place(k), place), _place(k))
        highest = where(is_number, where(is_higher, other, highest), other)
    nothing = _place(0)
    is_lower = nothing > highest
    store(where(is_lower, nothing, highest), pooled, at)
    store(where(highest > nothing, place, _place(_NOBODY)), winners, at)


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
    """Fill `grads` `[N, 9·planes + 1, C]`, each image's share of the gradients of weights and
    bias.
    """
    num_taps, line = len(offsets), width * planes
    rows, columns = (height - 2) // 2, (width - 2) // 2
    images = len(x) // (height * line)
    size = len(grads) // images
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
