"""ReLU of the max-pooling of a first convolution, in one pass over memory each way, for
`small-cnn`; forward keeps only the places that get the gradient.
"""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from spikeduel.networks.chains import is_seen
from spikeduel.spiking.kernels import LANES, is_watched

_MOST_PLANES = 4
"""Most planes for which a product of matrices is slower."""
_PLAIN = ((3, 3), (1, 1), (0, 0), (1, 1), 1)
"""Kernel, stride, padding, dilation and groups of the convolution."""


def relu_of_max_pool_of_conv(conv: nn.Module, x: Tensor) -> Tensor:
    """Return `relu(max_pool2d(conv(x), 2))` for images `[N, C, H, W]` that need no gradient.

    The highest number gets the gradient even if bf16 rounds others to it; PyTorch takes the first.
    """
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    if (
        isinstance(conv, nn.Conv2d)
        and (conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups) == _PLAIN
        and conv.bias is not None
        and x.device.type == "cpu"
        and dtype in (torch.bfloat16, torch.float32)
        and not x.requires_grad
        and conv.in_channels <= _MOST_PLANES
        and conv.out_channels % LANES == 0
        and min(x.shape[2:]) >= 4
        and not is_watched(x)
        and not is_seen(conv)
    ):
        return _ReluOfMaxPoolOfConv.apply(x.to(dtype), conv.weight.to(dtype), conv.bias.to(dtype))
    return F.relu(F.max_pool2d(conv(x), 2))


class _ReluOfMaxPoolOfConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        from spikeduel.networks import pooling_kernels as kernels
        from spikeduel.spiking.kernels.cpu import empty, run_chunks

        num_images, planes, height, width = x.shape
        shape = (num_images, (height - 2) // 2, (width - 2) // 2, len(bias))
        pooled = empty(shape, x.dtype).permute(0, 3, 1, 2)
        # Whole numbers that are written in bf16.
        ctx.winners = np.empty(pooled.numel(), np.int16)
        rows, columns, plane = np.mgrid[:3, :3, :planes].reshape(3, -1)
        ctx.x, ctx.offsets = _flat(x.float()), (rows * width + columns) * planes + plane
        ctx.shape, ctx.weight = (height, width, planes), weight
        weights = weight.detach().float().permute(2, 3, 1, 0).contiguous().flatten().numpy()
        arrays = ctx.x, weights, bias.detach().float().numpy(), ctx.offsets
        kernel = partial(kernels.convolve_and_pool, *arrays, _flat(pooled), ctx.winners, *ctx.shape)
        run_chunks(kernel, num_images, work=4 * pooled.numel())
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, Tensor]:
        from spikeduel.networks import pooling_kernels as kernels
        from spikeduel.spiking.kernels.cpu import run_chunks

        grad = grad.contiguous(memory_format=torch.channels_last)
        grads = torch.empty(len(grad), len(ctx.offsets) + 1, grad.shape[1])
        arrays = _flat(grad), ctx.winners, ctx.x, ctx.offsets, _flat(grads)
        run_chunks(
            partial(kernels.differentiate, *arrays, *ctx.shape), len(grad), work=4 * grad.numel()
        )
        *grad_weight, grad_bias = grads.sum(0).to(grad.dtype)
        planes = ctx.shape[2]
        return None, torch.stack(grad_weight).view(3, 3, planes, -1).permute(3, 2, 0, 1), grad_bias


def _flat(x: Tensor) -> np.ndarray:
    from spikeduel.spiking.kernels.cpu import flat

    return flat(x.permute(0, 2, 3, 1) if x.dim() == 4 else x)
