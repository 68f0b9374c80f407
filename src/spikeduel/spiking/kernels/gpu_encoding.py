"""Rate encoding on CUDA, in Triton: to the last bit what `reference.rate_spikes` draws. Not yet measured on a GPU."""

import math

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from spikeduel.spiking.kernels.gpu import empty

WRITTEN_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.bool)

_BLOCK = 128  # Philox blocks a program, each of 4 pixels; one a thread


@triton.jit
def _level(word):  # type: ignore[no-untyped-def]
    return ((word.to(tl.uint64) * 255) >> 32).to(tl.int32)


@triton.jit
def _rate_rows(images, keys, spikes, num_images, num_pixels, num_tiles, first_step, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """One tile of 4·BLOCK pixels of one row of `spikes` `[T·B, num_pixels]`."""
    program = tl.program_id(0)
    row, tile = program // num_tiles, program % num_tiles
    step, image = row // num_images, row % num_images

    block = (tile * BLOCK + tl.arange(0, BLOCK)).to(tl.uint32)
    zero = tl.zeros((BLOCK,), tl.uint32)
    step_word = zero + (first_step + step).to(tl.uint32)
    w0, w1, w2, w3 = tl.philox(tl.load(keys + image), block, step_word, zero, zero)
    levels = tl.interleave(tl.interleave(_level(w0), _level(w2)), tl.interleave(_level(w1), _level(w3)))

    pixel = tile * (4 * BLOCK) + tl.arange(0, 4 * BLOCK)
    inside = pixel < num_pixels
    value = tl.load(images + tl.cast(image, tl.int64) * num_pixels + pixel, mask=inside, other=0).to(tl.int32)
    fired = tl.where(levels < value, 1.0, 0.0).to(spikes.dtype.element_ty)
    tl.store(spikes + tl.cast(row, tl.int64) * num_pixels + pixel, fired, mask=inside)


def rate_spikes(
    images: Tensor, keys: np.ndarray, num_steps: int, dtype: torch.dtype = torch.float32, first_step: int = 0
) -> Tensor:
    """`reference.rate_spikes` in `dtype` (one of `WRITTEN_DTYPES`), `[T, B, …]`, for `T` steps from `first_step` on.

    `images` are uint8 `[B, …]`, `keys` uint64 `[B]`.
    """
    num_images, num_pixels = len(images), math.prod(images.shape[1:])
    spikes = empty((num_steps, *images.shape), dtype, images.device)
    num_tiles = triton.cdiv(num_pixels, 4 * _BLOCK)
    with torch.cuda.device_of(images):
        _rate_rows[(num_steps * num_images * num_tiles,)](
            images.contiguous(),
            # The same bits: the words of a key are taken apart as unsigned.
            torch.from_numpy(np.array(keys, np.uint64).view(np.int64)).to(images.device),
            spikes.view(torch.uint8) if dtype == torch.bool else spikes,
            num_images,
            num_pixels,
            num_tiles,
            first_step,
            BLOCK=_BLOCK,
            num_warps=_BLOCK // 32,
            enable_fp_fusion=False,
        )
    return spikes
