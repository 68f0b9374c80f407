"""ReLU of max-pooling 2×2, in one pass over memory each way: PyTorch takes three forward and three back.

Numbers and gradients are PyTorch's to the last bit. Of each place forward keeps one byte: which neuron gets its
gradient, if any.
"""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from spikeduel.spiking.kernels import is_watched

_CHANNELS = 16  # of a place, one byte each: whole numbers of 64 bits, two at a time
_DTYPES = (torch.bfloat16, torch.float32)


def relu_of_max_pool(x: Tensor) -> Tensor:
    """`[N, C, H, W]` to the positive part of each 2×2 square's highest: `[N, C, H // 2, W // 2]`.

    In one pass on the CPU, for channels-last `x` with a multiple of 16 channels, where nobody watches.
    """
    if (
        x.device.type == "cpu"
        and x.dtype in _DTYPES
        and x.shape[1] % _CHANNELS == 0
        and min(x.shape[2:]) >= 2
        and x.is_contiguous(memory_format=torch.channels_last)
        and not is_watched(x)
    ):
        return _ReluOfMaxPool.apply(x)
    return F.relu(F.max_pool2d(x, 2))


class _ReluOfMaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        from spikeduel.networks import pooling_kernels as kernels
        from spikeduel.spiking.kernels.cpu import empty, run_chunks

        num_images, channels, height, width = x.shape
        shape = (num_images, height // 2, width // 2, channels)
        pooled, ctx.shape = empty(shape, x.dtype), x.shape
        ctx.winners = np.empty((num_images * shape[1], shape[2] * channels), np.uint8)
        pooled = pooled.permute(0, 3, 1, 2)
        arrays = _rows(x), _rows(pooled), ctx.winners
        kernel = partial(kernels.pool, *arrays, height, channels, kernels.constants(x.element_size()))
        run_chunks(kernel, num_images, work=x.numel())
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        from spikeduel.networks import pooling_kernels as kernels
        from spikeduel.spiking.kernels.cpu import empty, run_chunks

        num_images, channels, height, width = ctx.shape
        grad_x = empty((num_images, height, width, channels), grad.dtype).permute(0, 3, 1, 2)
        kernel = partial(kernels.unpool, _rows(grad), ctx.winners, _rows(grad_x), height, channels)
        run_chunks(kernel, num_images, work=grad_x.numel())
        return grad_x


def _rows(x: Tensor) -> np.ndarray:
    """The rows `[N·H, W·C]` of `x` `[N, C, H, W]`, as they lie in memory: the bits of its numbers, unsigned."""
    rows = x.detach().contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1).flatten(2).flatten(0, 1)
    return rows.view(torch.int16 if x.element_size() == 2 else torch.int32).numpy().view(f"u{x.element_size()}")
