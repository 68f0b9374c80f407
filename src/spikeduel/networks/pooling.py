"""ReLU of max-pooling 2×2 in one pass over memory each way, also of a first convolution.

Numbers and gradients are PyTorch's to the last bit. Of each square forward keeps which of its four
gets the gradient, if any.
"""

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from spikeduel.networks.joining import is_seen
from spikeduel.spiking.kernels import LANES, is_watched

_PLANES = 4  # of more, a product of matrices makes more
_PLAIN = ((3, 3), (1, 1), (0, 0), (1, 1), 1)
_DTYPES = (torch.bfloat16, torch.float32)


def relu_of_max_pool(x: Tensor) -> Tensor:
    """`[N, C, H, W]` to the positive part of each 2×2 square's highest: `[N, C, H // 2, W // 2]`.

    In one pass on the CPU, for channels-last `x` with a multiple of 16 channels, where nobody
    watches.
    """
    if (
        x.device.type == "cpu"
        and x.dtype in _DTYPES
        and x.shape[1] % LANES == 0
        and min(x.shape[2:]) >= 2
        and x.is_contiguous(memory_format=torch.channels_last)
        and not is_watched(x)
    ):
        return _ReluOfMaxPool.apply(x)
    return F.relu(F.max_pool2d(x, 2))


def relu_of_max_pool_of_conv(conv: nn.Module, x: Tensor) -> Tensor:
    """`relu_of_max_pool(conv(x))`, without writing what a `conv` gives that is 3×3, unpadded, of
    few planes.

    In one pass as there, and where `x` needs no gradient. Sums are float32's, in the order bias,
    rows, columns, planes. Of numbers that are equal only once they are rounded to bf16, the highest
    gets the gradient, where PyTorch takes the first.
    """
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    if (
        isinstance(conv, nn.Conv2d)
        and (conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups) == _PLAIN
        and conv.bias is not None
        and x.device.type == "cpu"
        and dtype in _DTYPES
        and not x.requires_grad
        and conv.in_channels <= _PLANES
        and conv.out_channels % LANES == 0
        and min(x.shape[2:]) >= 4
        and not is_watched(x)
        and not is_seen(conv)
    ):
        return _ReluOfMaxPoolOfConv.apply(x.to(dtype), conv.weight.to(dtype), conv.bias.to(dtype))
    return relu_of_max_pool(conv(x))


class _ReluOfMaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        from spikeduel.networks import pooling_kernels as kernels
        from spikeduel.spiking.kernels.cpu import run_chunks

        num_images, channels, height, width = ctx.shape = x.shape
        pooled, ctx.winners = _pooled(num_images, height // 2, width // 2, channels, x.dtype)
        kernel = partial(
            kernels.pool, _flat(x), _flat(pooled), ctx.winners, height, width, channels
        )
        run_chunks(kernel, num_images, work=x.numel())
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        from spikeduel.networks import pooling_kernels as kernels
        from spikeduel.spiking.kernels.cpu import empty, run_chunks

        num_images, channels, height, width = ctx.shape
        grad_x = empty((num_images, height, width, channels), grad.dtype).permute(0, 3, 1, 2)
        kernel = partial(
            kernels.unpool, _flat(grad), ctx.winners, _flat(grad_x), height, width, channels
        )
        run_chunks(kernel, num_images, work=grad_x.numel())
        return grad_x


class _ReluOfMaxPoolOfConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        from spikeduel.networks import pooling_kernels as kernels
        from spikeduel.spiking.kernels.cpu import run_chunks

        num_images, planes, height, width = x.shape
        pooled, ctx.winners = _pooled(
            num_images, (height - 2) // 2, (width - 2) // 2, len(bias), x.dtype
        )
        rows, columns, plane = np.mgrid[:3, :3, :planes].reshape(3, -1)
        ctx.x, ctx.offsets = _flat(x.float()), (rows * width + columns) * planes + plane
        ctx.shape, ctx.weight = (height, width, planes), weight
        weights = weight.detach().float().permute(2, 3, 1, 0).contiguous().flatten().numpy()
        given = (
            ctx.x,
            weights,
            bias.detach().float().numpy(),
            ctx.offsets,
            _flat(pooled),
            ctx.winners,
        )
        run_chunks(
            partial(kernels.convolve_and_pool, *given, *ctx.shape),
            num_images,
            work=4 * pooled.numel(),
        )
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, Tensor]:
        from spikeduel.networks import pooling_kernels as kernels
        from spikeduel.spiking.kernels.cpu import run_chunks

        grads = torch.empty(len(grad), len(ctx.offsets) + 1, grad.shape[1])
        given = _flat(grad), ctx.winners, ctx.x, ctx.offsets, _flat(grads)
        run_chunks(
            partial(kernels.differentiate, *given, *ctx.shape), len(grad), work=4 * grad.numel()
        )
        *grad_weight, grad_bias = grads.sum(0).to(grad.dtype)
        planes = ctx.shape[2]
        return None, torch.stack(grad_weight).view(3, 3, planes, -1).permute(3, 2, 0, 1), grad_bias


def _pooled(
    num_images: int, height: int, width: int, channels: int, dtype: torch.dtype
) -> tuple[Tensor, np.ndarray]:
    """Memory for `[N, C, H, W]`, channels last, and for its winners, whole numbers that are written
    in bf16.
    """
    from spikeduel.spiking.kernels.cpu import empty

    shape = (num_images, height, width, channels)
    return empty(shape, dtype).permute(0, 3, 1, 2), np.empty(math.prod(shape), np.int16)


def _flat(x: Tensor) -> np.ndarray:
    """The numbers of `x` as they lie in memory, channels last; bf16 as int16."""
    from spikeduel.spiking.kernels.cpu import flat

    return flat(x.permute(0, 2, 3, 1) if x.dim() == 4 else x)
