# mypy: disable-error-code="no-untyped-def, call-arg, var-annotated"
"""The compiled part of `projected`: neurons whose spikes go through a narrow linear layer before
they are written.

Neurons come in vectors, and the layer's outputs five at a time, which with two steps (forward) or
their weights (backward) fill the vector registers. Arrays are flat; a current is float32, or the
bits of bfloat16 as int16.
"""

import numpy as np
from numba import njit

from spikeduel.spiking.kernels.cpu_kernels import ZERO

# Numba caches by file: save this file anew after a change of an imported one.
from spikeduel.spiking.kernels.cpu_normalised_kernels import advance
from spikeduel.spiking.kernels.cpu_numbers import COMPILED
from spikeduel.spiking.kernels.cpu_vectors import LANES, add_to, filled, load, store, where

OUTPUTS = 5
"""Outputs are padded to a multiple of this with weights of 0."""
_NEURONS = 256  # at a time: their spikes of a few dozen steps stay in the nearest cache


@njit(**COMPILED)
def forward(current, weights, numbers, reset, num_steps, num_neurons, out, start, stop):
    """Fills images `start` to `stop` of `out` `[B, T, K]` from `current` `[B, N]` and `weights`
    `[K, N]`.
    """
    beta, threshold = filled(numbers[0]), filled(numbers[1])
    _0, _1 = filled(np.float32(0)), filled(np.float32(1))
    num_outputs, even = len(weights) // num_neurons, num_steps + num_steps % 2
    # Steps come in twos; of an odd number the last has no spikes.
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
                    _multiply(
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


@njit(**COMPILED)
def _multiply(spikes, row, weights, column, num_neurons, n, sums, at):
    """Add to `sums` `[T, K, LANES]`, from index `at` on, the products of spikes and weights.

    Spikes are those of two steps, weights those of five outputs.
    """
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
def backward(
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
    """Fills groups `start` to `stop`, of so many `images`, of `grad_current` `[B, N]` and
    `grad_weights` `[groups, K, N]`, from `grad` `[B, T, K]`; the surrogate is `atan`. Membranes are
    computed again.
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
                    _transpose(
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
                    kept = where(mem > threshold, _0, beta) if reset == ZERO else beta
                    adjoint = adjoint * kept + load(grad_spikes, at) * (half / (_1 + x * x))
                    total = total + adjoint
                store(total, grad_current, here)


@njit(**COMPILED)
def _transpose(
    grad, given, weights, column, mems, grad_spikes, threshold, grad_weights, totals, num_neurons
):
    """Return the gradients of a vector of neurons' spikes and weights from those of five
    outputs.
    """
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
