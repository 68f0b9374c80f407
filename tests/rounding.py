"""Products and convolutions of torch on the CPU whose last bit depends on the size of the batch.

Libraries choose a kernel by the processor and the size of a product, and kernels round differently:
on some processors an image's probabilities in a batch of 8 differ from those in a batch of 3. Here
they differ on every processor, by at most one unit in the last place.
"""

import warnings

import torch
from torch.library import Library, get_kernel

OPERATIONS = ("mm", "addmm", "bmm", "baddbmm", "mkldnn_convolution", "_slow_conv2d_forward")
EXACT_UNITS = 2.0**12
"""Multiples of 1 / EXACT_UNITS are left alone: sums of spikes times such weights are exact everywhere."""
_LIBRARY = Library("aten", "IMPL")


def depends_on_batch_size():
    """Let the last bit depend on the first dimension of a result, from now on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a kernel that is replaced
        for name in OPERATIONS:
            _replace(name, get_kernel(f"aten::{name}", "CPU"))


def _replace(name, kernel):
    def rounded(keys, *arguments, **more):
        return changed(kernel.call_boxed(keys, *arguments, **more))

    _LIBRARY.impl(name, rounded, "CPU", with_keyset=True)


def changed(result):
    """Return float32 `result` `[B, ...]`, its numbers larger or smaller by a unit in the last place,
    or as they are: drawn by B, alike for all rows.
    """
    if result.dtype != torch.float32 or not result.numel() or result.is_meta:
        return result
    drawn = torch.Generator().manual_seed(len(result))
    step = torch.randint(-1, 2, result.shape[1:], generator=drawn)
    step = step * (result * EXACT_UNITS != (result * EXACT_UNITS).round())
    return result * (1 + step * torch.finfo(torch.float32).eps)
