"""Networks of which several processes each see a part of a batch, with what is taken over the whole
one.

Gradients are added up by PyTorch's DistributedDataParallel. Batch norm takes its statistics, and
their gradient, over the images of all processes; dropout draws for all images, and each process
takes the draws of its own.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from spikeduel.networks.chains import SpikingChain
from spikeduel.spiking.neurons import QuantisedReLU
from spikeduel.system.teams import SHARE, Share, Team

_BATCH_NORM, _DROPOUT = F.batch_norm, F.dropout


def distributed(module: nn.Module, forward: Callable[..., Any], team: Team) -> Callable[..., Any]:
    """`forward`, which calls `module`, such that gradients are the mean over `team`. All begin with
    the weights of the first process.
    """
    uses_all = has_use_for_all(module)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", FutureWarning
        )  # of another name for what keeps buffers from being sent
        found = DistributedDataParallel(
            _Pass(module, forward),
            process_group=team.group,
            broadcast_buffers=False,
            gradient_as_bucket_view=True,
            find_unused_parameters=not uses_all,
        )
    if uses_all and team.sums is not None:
        found.register_comm_hook(team, _averaged)
    return found


def has_use_for_all(module: nn.Module) -> bool:
    """Whether a network is known to use all its weights in every step. What somebody else made may
    not, and use others each time; and where the membrane of the last neurons is the answer, nobody
    asks for the levels of quantised ones.
    """
    if isinstance(module, SpikingChain) and isinstance(module.layers()[-1], QuantisedReLU):
        return False
    return all(
        type(each).__module__.partition(".")[0] in ("spikeduel", "torch")
        for each in module.modules()
    )


def _averaged(team: Team, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
    """The mean of some gradients over `team`, through the memory that its processes share."""
    done: torch.futures.Future[Tensor] = torch.futures.Future()
    done.set_result(team.sum(bucket.buffer()).div_(team.size))
    return done


class _Pass(nn.Module):
    def __init__(self, module: nn.Module, run: Callable[..., Any]) -> None:
        super().__init__()
        self.module, self._run = module, run

    def forward(self, *given: Any) -> Any:
        return self._run(*given)


@contextmanager
def shared(share: Share | None) -> Iterator[None]:
    """Within, a network sees its `share` of a batch; None, or a whole one, is as ever."""
    if share is None or share.is_whole:
        yield
        return
    token, before = SHARE.set(share), (F.batch_norm, F.dropout)
    # Whichever layer asks for them. (PyTorch's own way to see such calls sees every other call
    # too.)
    F.batch_norm, F.dropout = partial(_batch_norm, share), partial(_dropout, share)
    try:
        yield
    finally:
        F.batch_norm, F.dropout = before
        SHARE.reset(token)


def _dropout(
    share: Share, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """`F.dropout` of images along the first axis, or of all time steps of one and then of the next,
    `[T·B, …]`.
    """
    here = share.stop - share.start
    if not training or p in (0.0, 1.0) or x.dim() < 2 or len(x) % here:
        return _DROPOUT(x, p, training, inplace)
    steps = len(x) // here
    every = torch.empty((steps * share.total, *x.shape[1:]), dtype=x.dtype, device=x.device)
    kept = every.bernoulli_(1 - p).div_(1 - p).unflatten(0, (steps, share.total))
    return x * kept[:, share.start : share.stop].flatten(0, 1)


def _batch_norm(
    share: Share,
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    if not training:
        return _BATCH_NORM(x, running_mean, running_var, weight, bias, False, momentum, eps)
    if weight is None:
        weight = torch.ones(x.shape[1], device=x.device)
    if bias is None:
        bias = torch.zeros(x.shape[1], device=x.device)
    y, mean, var = _BatchNorm.apply(x, weight, bias, eps, share)
    if running_mean is not None and running_var is not None:
        count = share.of_all(x.numel() // x.shape[1])
        with torch.no_grad():
            running_mean.mul_(1 - momentum).add_(mean, alpha=momentum)
            running_var.mul_(1 - momentum).add_(var, alpha=momentum * count / (count - 1))
    return y


class _BatchNorm(torch.autograd.Function):
    """`(y, mean, var)` of `x` `[B, C, …]`, its statistics those of all images of the batch."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, share: Share
    ) -> tuple[Tensor, ...]:
        if _has_kernel(x):
            from spikeduel.spiking.kernels import cpu_normalised

            mean, var = map(
                torch.from_numpy, cpu_normalised.statistics(x.permute(0, 2, 3, 1), share)
            )
        else:
            var, mean = torch.var_mean(x.float(), (0, *range(2, x.dim())), correction=0)
            mean, var = share.moments(torch.stack([mean, var]).double()).float()
        ctx.save_for_backward(x, weight, mean, var)
        ctx.mark_non_differentiable(mean, var)
        ctx.set_materialize_grads(False)
        ctx.eps, ctx.share = eps, share
        return _BATCH_NORM(x, mean, var, weight, bias, False, 0.0, eps), mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
        if grad is None:
            return (None,) * 5
        x, weight, mean, var = ctx.saved_tensors
        inverse = (var + ctx.eps).rsqrt()
        given = grad, x, weight, mean, var, mean, inverse, False, ctx.eps
        _, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            *given, [False, True, True]
        )
        grad_x = _through_statistics(
            grad, x, of_bias, of_weight / inverse, mean, inverse, weight * inverse, ctx.share
        )
        return grad_x, of_weight.to(weight.dtype), of_bias.to(weight.dtype), None, None


def _has_kernel(x: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dim() == 4
        and x.dtype in (torch.float32, torch.bfloat16)
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def _through_statistics(
    grad: Tensor,
    x: Tensor,
    total: Tensor,
    product: Tensor,
    mean: Tensor,
    inverse: Tensor,
    scale: Tensor,
    share: Share,
) -> Tensor:
    """The gradient of `x` `[B, C, …]` by `grad`, that of what it is normalised to; see
    `cpu_normalised`.
    """
    of_channels = total, product, mean, inverse, scale
    if _has_kernel(x) and _has_kernel(grad) and grad.dtype == x.dtype:
        from spikeduel.spiking.kernels import cpu_normalised

        out = torch.empty_like(grad)
        grad, x, rows = (each.permute(0, 2, 3, 1) for each in (grad, x, out))
        numbers = (each.detach().numpy() for each in of_channels)
        cpu_normalised.through_statistics(grad, x, rows, share, *numbers)
        return out
    # As the kernel adds them up, which another process may use at the same time.
    total, product = share.team.sum(torch.stack([total, product]).double())
    count, axes = share.of_all(x.numel() // x.shape[1]), (slice(None), *[None] * (x.dim() - 2))
    mean_grad, slope = ((each / count).float()[axes] for each in (total, product * inverse**2))
    return ((grad - mean_grad - (x - mean[axes]) * slope) * scale[axes]).to(x.dtype)
