"""Rate encoding on the CPU, to the last bit what `reference.rate_spikes` draws."""

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

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
