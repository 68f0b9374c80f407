"""`reference.scan` on the CPU, fused over time: one pass forward, one pass back.

Neurons are worked on in blocks, with time outermost inside a block, whose state stays in the nearest caches. Forward
keeps nothing but its input; backward computes a block's membranes again before it goes back over them, which is
faster than to fetch them from memory.
"""

from functools import partial

import numpy as np
import torch
from numba import njit
from torch import Tensor

from spikeduel.kernels.cpu_rows import (
    COMPILED,
    SURROGATE_KERNELS,
    adapted,
    add,
    add_decay_gradient,
    add_product,
    as_float32,
    carry_adaptation_back,
    carry_back,
    membrane,
    raised,
    spikes,
    subtract_product,
    surrogate_gradient,
    write,
)
from spikeduel.kernels.reference import RESET_MECHANISMS, Dynamics
from spikeduel.kernels.threads import empty, run_chunks

_CACHE_LINE = 16
_LARGEST_BLOCK = 1024
_SCRATCH_NUMBERS = 1 << 16  # a quarter of the second-level cache of common CPUs, in float32

# Numba knows no bfloat16: the kernels see its bits as int16. A spike is written as the bits of 1.
_ONE = {torch.float32: np.float32(1), torch.bfloat16: np.int16(0x3F80)}


@njit(**COMPILED)
def _forward(current, state, beta, dynamics, one, spk, mem, last, block, start, stop):  # type: ignore[no-untyped-def]
    """Fills neurons `start` to `stop` of `spk` `[T, N]`, of `mem` `[T, N]` (none if `[0, N]`) and `last` `[S, N]`.

    `current` is `[T, N]`, `[1, N]` if constant; `state` is `[S, N]`, or `[0, N]` at rest.
    """
    threshold, reset, _, _, decay, gain = dynamics
    adaptive, constant = len(last) > 1, len(current) == 1
    mems, levels = np.empty((2, block), np.float32), np.full((2, block), threshold, np.float32)
    adaptations, buffer = np.empty((2, block), np.float32), np.empty(block, np.float32)
    for first in range(start, stop, block):
        n = min(block, stop - first)
        here = slice(first, first + n)
        _start_block(state, here, n, mems, levels, adaptations, threshold, gain, 1)
        now = as_float32(current[0, here], buffer[:n])
        for t in range(len(spk)):
            k = t % 2
            if t > 0 and not constant:
                now = as_float32(current[t, here], buffer[:n])
            if adaptive:
                adapted(mems[1 - k, :n], levels[1 - k, :n], adaptations[1 - k, :n], adaptations[k, :n], decay)
                raised(adaptations[k, :n], threshold, gain, levels[k, :n])
            membrane(now, mems[1 - k, :n], levels[1 - k, :n], mems[k, :n], beta, threshold, reset)
            spikes(mems[k, :n], levels[k, :n], one, spk[t, here])
            if len(mem):
                write(mems[k, :n], mem[t, here])
        k = (len(spk) - 1) % 2
        write(mems[k, :n], last[0, here])
        if adaptive:
            write(adaptations[k, :n], last[1, here])


@njit(**COMPILED)
def _start_block(state, here, n, mems, levels, adaptations, threshold, gain, row):  # type: ignore[no-untyped-def]
    """Sets `row` of a block's scratch to the state of neurons `here`."""
    if len(state) == 0:
        mems[row, :n] = np.float32(0)
        adaptations[row, :n] = np.float32(0)
    else:
        write(state[0, here], mems[row, :n])
        write(state[len(state) - 1, here], adaptations[row, :n])
    if len(state) != 1:
        raised(adaptations[row, :n], threshold, gain, levels[row, :n])


@njit(**COMPILED)
def _backward(  # type: ignore[no-untyped-def]
    grad_spk, grad_mem, grad_last, current, state, beta, dynamics, num_steps,
    grad_current, grad_state, grad_beta, block, start, stop,
):  # fmt: skip
    """Fills neurons `start` to `stop` of `grad_current` (shaped as `current`), `grad_state` `[S, N]` and `grad_beta`
    `[N]` (none if `[0]`), from gradients that are `[0, N]` where there are none.
    """
    threshold, reset, surrogate, alpha, decay, gain = dynamics
    adaptive, constant = len(grad_state) > 1, len(current) == 1
    # Row 0 is the state, row t + 1 the step t.
    mems = np.empty((num_steps + 1, block), np.float32)
    num_levels = num_steps + 1 if adaptive else 1
    levels = np.full((num_levels, block), threshold, np.float32)
    adaptations = np.empty((num_levels, block), np.float32)
    buffers = np.empty((6, block), np.float32)
    for first in range(start, stop, block):
        n = min(block, stop - first)
        here = slice(first, first + n)
        buffer, slope, adjoint = buffers[0, :n], buffers[1, :n], buffers[2, :n]
        total, about_beta, adaptation_adjoint = buffers[3, :n], buffers[4, :n], buffers[5, :n]

        _start_block(state, here, n, mems, levels, adaptations, threshold, gain, 0)
        now = as_float32(current[0, here], buffer)
        for t in range(num_steps):
            if t > 0 and not constant:
                now = as_float32(current[t, here], buffer)
            if adaptive:
                adapted(mems[t, :n], levels[t, :n], adaptations[t, :n], adaptations[t + 1, :n], decay)
                raised(adaptations[t + 1, :n], threshold, gain, levels[t + 1, :n])
            level = levels[t if adaptive else 0, :n]
            membrane(now, mems[t, :n], level, mems[t + 1, :n], beta, threshold, reset)

        total[:], about_beta[:] = np.float32(0), np.float32(0)
        adjoint[:], adaptation_adjoint[:] = np.float32(0), np.float32(0)
        for t in range(num_steps - 1, -2, -1):
            # What step t owes to the steps after it; t = −1 is the state.
            mem, level = mems[t + 1, :n], levels[t + 1 if adaptive else 0, :n]
            if t < num_steps - 1:
                carry_back(adjoint, mem, level, beta, reset)
            if (t >= 0 and len(grad_spk)) or (adaptive and t < num_steps - 1):
                surrogate_gradient(mem, level, surrogate, alpha, slope)
            if adaptive and t < num_steps - 1:
                # The spike raised the next adaptation.
                add_product(adjoint, adaptation_adjoint, slope)
                carry_adaptation_back(adaptation_adjoint, slope, decay, gain)
            if t < 0:
                break
            if len(grad_spk):
                incoming = as_float32(grad_spk[t, here], buffer)
                add_product(adjoint, incoming, slope)
                if adaptive:
                    subtract_product(adaptation_adjoint, gain, incoming, slope)
            if len(grad_mem):
                add(adjoint, grad_mem[t, here])
            if t == num_steps - 1 and len(grad_last):
                add(adjoint, grad_last[0, here])
                if adaptive:
                    add(adaptation_adjoint, grad_last[1, here])
            if len(grad_beta):
                add_decay_gradient(about_beta, adjoint, mems[t, :n], levels[t if adaptive else 0, :n], reset)
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


def scan_forward(
    current: Tensor,
    state: Tensor | None,
    beta: Tensor,
    dynamics: Dynamics,
    num_steps: int,
    spk_dtype: torch.dtype,
    with_mem: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """`(spk [T, N], mem [T, N] or [0, N], last [S, N])` for `current` `[T, N]`, or `[1, N]` if it is constant.

    `current` is float32 or bfloat16, `state` float32 `[S, N]` or None; `spk` comes in `spk_dtype`, the rest float32.
    """
    num_neurons, size = current.shape[1], dynamics.state_size
    spk = empty((num_steps, num_neurons), spk_dtype)
    mem, last = empty((num_steps if with_mem else 0, num_neurons)), empty((size, num_neurons))
    kernel = partial(
        _forward, *_inputs(current, state, beta, dynamics), _ONE[spk_dtype], _bits(spk), _bits(mem), _bits(last)
    )
    run_chunks(partial(kernel, _block(2, dynamics)), num_neurons, work=spk.numel(), grain=_CACHE_LINE)
    return spk, mem, last


def scan_backward(
    grad_spk: Tensor | None,
    grad_mem: Tensor | None,
    grad_last: Tensor | None,
    current: Tensor,
    state: Tensor | None,
    beta: Tensor,
    dynamics: Dynamics,
    num_steps: int,
    needs_beta: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of what `scan_forward` was given: of `current` in its shape and type, of `state` `[S, N]`, of beta.

    Those that come in are shaped as its results, or None. That of beta is 0 unless `needs_beta`.
    """
    num_neurons = current.shape[1]
    none = np.empty((0, num_neurons), np.float32)
    incoming = [none if g is None else _bits(g.contiguous()) for g in (grad_spk, grad_mem, grad_last)]
    grad_current = empty(tuple(current.shape), current.dtype)
    grad_state, grad_beta = empty((dynamics.state_size, num_neurons)), empty((num_neurons if needs_beta else 0,))
    outgoing = _bits(grad_current), _bits(grad_state), _bits(grad_beta)
    kernel = partial(_backward, *incoming, *_inputs(current, state, beta, dynamics), num_steps, *outgoing)
    work = num_steps * num_neurons
    run_chunks(partial(kernel, _block(num_steps + 1, dynamics)), num_neurons, work=work, grain=_CACHE_LINE)
    return grad_current, grad_state, grad_beta.double().sum().float()


def _inputs(current: Tensor, state: Tensor | None, beta: Tensor, dynamics: Dynamics) -> tuple[object, ...]:
    decay, gain = dynamics.adaptation or (0.0, 0.0)
    numbers = (
        np.float32(dynamics.threshold),
        RESET_MECHANISMS.index(dynamics.reset_mechanism),
        SURROGATE_KERNELS.index(dynamics.surrogate),
        float(dynamics.alpha),
        np.float32(decay),
        np.float32(gain),
    )
    at_rest = np.empty((0, current.shape[1]), np.float32)
    return _bits(current), at_rest if state is None else _bits(state), np.float32(beta.item()), numbers


def _bits(x: Tensor) -> np.ndarray:
    """`x` as an array for the kernels, bfloat16 as int16."""
    x = x.detach()
    return (x.view(torch.int16) if x.dtype == torch.bfloat16 else x).numpy()


def _block(num_rows: int, dynamics: Dynamics) -> int:
    """How many neurons at a time have `num_rows` rows of scratch in the cache."""
    arrays = 3 if dynamics.adaptation else 1
    return max(_CACHE_LINE * 4, min(_LARGEST_BLOCK, _SCRATCH_NUMBERS // (num_rows * arrays) // 64 * 64))
