"""`reference.scan` on the CPU, fused over time: one pass forward, one pass back.

Neurons are worked on in blocks, with time outermost inside a block, whose state stays in the nearest caches. Forward
keeps nothing but its input; backward computes a block's membranes again before it goes back over them, which is
faster than to fetch them from memory.
"""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from spikeduel.spiking.kernels.cpu_kernels import backward, forward
from spikeduel.spiking.kernels.reference import RESET_MECHANISMS, SURROGATE_KERNELS, Dynamics
from spikeduel.spiking.kernels.threads import empty, run_chunks

_CACHE_LINE = 16
_LARGEST_BLOCK = 1024
_SCRATCH_NUMBERS = 1 << 16  # a quarter of the second-level cache of common CPUs, in float32

# Numba knows no bfloat16: the kernels see its bits as int16. A spike is written as the bits of 1.
_ONE = {torch.float32: np.float32(1), torch.bfloat16: np.int16(0x3F80)}


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
        forward, *_inputs(current, state, beta, dynamics), _ONE[spk_dtype], _bits(spk), _bits(mem), _bits(last)
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
    kernel = partial(backward, *incoming, *_inputs(current, state, beta, dynamics), num_steps, *outgoing)
    work = num_steps * num_neurons
    run_chunks(partial(kernel, _block(num_steps + 1, dynamics)), num_neurons, work=work, grain=_CACHE_LINE)
    return grad_current, grad_state, grad_beta.double().sum().float() if needs_beta else beta.new_zeros(())


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
