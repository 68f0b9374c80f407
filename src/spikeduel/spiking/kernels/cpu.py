"""`reference.scan` on the CPU, fused over time: one pass forward, one pass back.

Neurons are worked on in blocks, with time outermost inside a block, whose state stays in the nearest caches. Forward
keeps nothing but its input; backward computes a block's membranes again before it goes back over them, which is
faster than to fetch them from memory.
"""

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from spikeduel.spiking.kernels.cpu_kernels import backward, forward
from spikeduel.spiking.kernels.reference import RESET_MECHANISMS, SURROGATE_KERNELS, Dynamics
from spikeduel.spiking.kernels.threads import empty, is_code_kept, run_chunks

_LOW = np.uint64(0xFFFFFFFF)
_HIGH = np.uint64(32)
_TILE = 1024  # pixels drawn at a time; a multiple of the 4 that one Philox block gives

# A spike is written as the bit pattern of 1 in the wanted type: Numba knows no bfloat16.
WRITTEN_DTYPES: dict[torch.dtype, tuple[torch.dtype, Any]] = {
    torch.float32: (torch.int32, np.int32(0x3F800000)),
    torch.bfloat16: (torch.int16, np.int16(0x3F80)),
    torch.bool: (torch.uint8, np.uint8(1)),
}


@njit(nogil=True, cache=is_code_kept())
def _philox_levels(levels, first_block, num_blocks, step, key):  # type: ignore[no-untyped-def]
    """`reference.draw_levels` for `num_blocks` Philox blocks (4 pixels each) of one image at one step."""
    for j in range(num_blocks):
        k0, k1 = key & _LOW, key >> _HIGH
        c0, c1, c2, c3 = np.uint64(first_block + j), np.uint64(step), np.uint64(0), np.uint64(0)
        for _ in range(10):
            # The masks tell the compiler that factors have 32 bits: one vector instruction instead of three.
            product0 = (c0 & _LOW) * np.uint64(0xD2511F53)
            product1 = (c2 & _LOW) * np.uint64(0xCD9E8D57)
            c0, c1, c2, c3 = (product1 >> _HIGH) ^ c1 ^ k0, product1, (product0 >> _HIGH) ^ c3 ^ k1, product0
            c1, c3 = c1 & _LOW, c3 & _LOW
            k0, k1 = (k0 + np.uint64(0x9E3779B9)) & _LOW, (k1 + np.uint64(0xBB67AE85)) & _LOW
        levels[4 * j] = (c0 * np.uint64(255)) >> _HIGH
        levels[4 * j + 1] = (c1 * np.uint64(255)) >> _HIGH
        levels[4 * j + 2] = (c2 * np.uint64(255)) >> _HIGH
        levels[4 * j + 3] = (c3 * np.uint64(255)) >> _HIGH


@njit(nogil=True, cache=is_code_kept())
def _rate_rows(images, keys, first_step, one, spikes, start, stop):  # type: ignore[no-untyped-def]
    """Fills rows `start` to `stop` of `spikes` `[T·B, pixels]` from `images` `[B, pixels]`."""
    num_images, num_pixels = images.shape
    levels = np.empty(_TILE, np.uint8)
    for row in range(start, stop):
        step, image = divmod(row, num_images)
        for first in range(0, num_pixels, _TILE):
            count = min(_TILE, num_pixels - first)
            _philox_levels(levels, first // 4, (count + 3) // 4, first_step + step, keys[image])
            pixels, out = images[image, first : first + count], spikes[row, first : first + count]
            for i in range(count):
                out[i] = one if levels[i] < pixels[i] else 0


def rate_spikes(
    images: Tensor, keys: np.ndarray, num_steps: int, dtype: torch.dtype = torch.float32, first_step: int = 0
) -> Tensor:
    """`reference.rate_spikes` in `dtype` (float32, bfloat16 or bool), `[T, B, …]`.

    `images` are uint8 `[B, …]`, `keys` uint64 `[B]`.
    """
    as_integer, one = WRITTEN_DTYPES[dtype]
    num_pixels = math.prod(images.shape[1:])
    spikes = empty((num_steps, *images.shape), dtype)
    kernel = partial(
        _rate_rows,
        images.contiguous().numpy().reshape(len(images), num_pixels),
        np.array(keys, np.uint64),  # a copy, since Numba would compile a second time for a read-only array
        first_step,
        one,
        spikes.view(as_integer).numpy().reshape(num_steps * len(images), num_pixels),
    )
    run_chunks(kernel, num_steps * len(images), work=spikes.numel())
    return spikes


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
