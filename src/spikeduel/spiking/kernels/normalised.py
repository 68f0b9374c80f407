"""Batch norm in training, neurons and max-pooling as one operator, `spikeduel::normalised_scan`.

Neither the normalised current nor unpooled spikes are ever written. The kernel is for the CPU;
`reference.normalised_scan` is its readable truth.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from spikeduel.spiking import ConstantInput, kernels
from spikeduel.spiking.kernels.reference import Dynamics


def is_fused(
    current: Tensor | ConstantInput,
    norm: nn.Module,
    beta: Tensor | float,
    dynamics: Dynamics,
    side: int,
) -> bool:
    """Return True if `normalised_scan` has a kernel: neurons of `kernels.is_fused` that do not
    adapt, and a batch norm with all its parts that uses the statistics of the batch.
    """
    value = current.value if isinstance(current, ConstantInput) else current
    return (
        kernels.may_fuse()
        and type(norm) is nn.BatchNorm2d
        and norm.training
        and norm.affine
        and norm.track_running_stats
        and value.dim() == (4 if isinstance(current, ConstantInput) else 5)
        and value.device.type in ("cpu", "meta")
        and norm.num_features == value.shape[-3]
        and norm.weight.dtype == torch.float32
        and min(value.shape[-2:]) >= side
        and value.numel() > norm.num_features
        and current.shape[0] > 0
        and dynamics.adaptation is None
        and kernels.is_fused(current, beta, dynamics)
    )


def normalised_scan(
    current: Tensor | ConstantInput,
    norm: nn.BatchNorm2d,
    beta: Tensor | float,
    dynamics: Dynamics,
    side: int = 1,
) -> Tensor:
    """Spikes `[T, B, C, H / side, W / side]` of neurons that receive `norm(current)`, max-pooled by
    `side`.

    `current` is `[T, B, C, H, W]`; `norm` takes its statistics over all but the channels, T among
    them, and its running statistics learn of them. Spikes have the type of `current`; what is
    normalised is never rounded to it. It has to be `is_fused`.
    """
    value = current.value.unsqueeze(0) if isinstance(current, ConstantInput) else current
    rows = value.permute(0, 1, 3, 4, 2)
    decay = beta if isinstance(beta, Tensor) else torch.full((), beta, device=rows.device)
    threshold, reset_mechanism, surrogate, alpha, _ = dynamics
    settings = (
        norm.eps,
        float(threshold),
        reset_mechanism,
        surrogate,
        float(alpha),
        current.shape[0],
        side,
    )
    count = value.numel() // norm.num_features
    is_watched = kernels.is_watched(rows)
    run = torch.ops.spikeduel.normalised_scan if is_watched else _NormalisedScan.apply
    spk, mean, var = run(rows, norm.weight, norm.bias, decay, *settings)
    _keep_running(norm, mean, var, count)
    return spk.permute(0, 1, 4, 2, 3)


@torch.no_grad()
def _keep_running(norm: nn.BatchNorm2d, mean: Tensor, var: Tensor, count: int) -> None:
    """Update the running statistics of `norm`, with the unbiased variance, as torch does."""
    if norm.num_batches_tracked is None or norm.running_mean is None or norm.running_var is None:
        return
    norm.num_batches_tracked.add_(1)
    new = 1 / norm.num_batches_tracked if norm.momentum is None else norm.momentum
    norm.running_mean.mul_(1 - new).add_(mean * new)
    norm.running_var.mul_(1 - new).add_(var * (count / (count - 1)) * new)


# The operator and its gradient. Currents and spikes are channels-last: `[T, B, H, W, C]`.
_LIBRARY = torch.library.Library("spikeduel", "FRAGMENT")
_SETTINGS = (
    "float eps, float threshold, str reset_mechanism, str surrogate, float alpha, SymInt "
    "num_steps, SymInt side"
)
_LIBRARY.define(
    f"normalised_scan(Tensor current, Tensor weight, Tensor bias, Tensor beta, {_SETTINGS})"
    " -> (Tensor spk, Tensor mean, Tensor var)"
)
_LIBRARY.define(
    "normalised_scan_backward(Tensor grad_spk, Tensor current, Tensor weight, Tensor bias, Tensor "
    "beta, Tensor mean, "
    f"Tensor var, {_SETTINGS}, bool needs_beta) -> (Tensor, Tensor, Tensor, Tensor)"
)


def _told(*settings: Any) -> tuple[float, Dynamics, int, int]:
    eps, threshold, reset_mechanism, surrogate, alpha, num_steps, side = settings
    return eps, Dynamics(threshold, reset_mechanism, surrogate, alpha), num_steps, side


def _forward(
    current: Tensor, weight: Tensor, bias: Tensor, beta: Tensor, *settings: Any
) -> tuple[Tensor, ...]:
    from spikeduel.spiking.kernels import cpu_normalised

    return cpu_normalised.forward(current.contiguous(), weight, bias, beta, *_told(*settings))


def _forward_shapes(
    current: Tensor, weight: Tensor, bias: Tensor, beta: Tensor, *settings: Any
) -> tuple[Tensor, ...]:
    *_, num_steps, side = settings
    _, batch, height, width, channels = current.shape
    spk = current.new_empty((num_steps, batch, height // side, width // side, channels))
    return spk, torch.empty_like(weight), torch.empty_like(weight)


def _backward(grad_spk: Tensor, current: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    from spikeduel.spiking.kernels import cpu_normalised

    *statistics, needs_beta = rest
    weight, bias, beta, mean, var, *settings = statistics
    given = weight, bias, beta, mean, var, *_told(*settings), needs_beta
    return cpu_normalised.backward(grad_spk.contiguous(), current.contiguous(), *given)


def _backward_shapes(
    grad_spk: Tensor, current: Tensor, weight: Tensor, bias: Tensor, beta: Tensor, *rest: Any
) -> Any:
    like_current = torch.empty_like(current, memory_format=torch.contiguous_format)
    return like_current, torch.empty_like(weight), torch.empty_like(bias), torch.empty_like(beta)


for _name, _kernel, _shapes in (
    ("normalised_scan", _forward, _forward_shapes),
    ("normalised_scan_backward", _backward, _backward_shapes),
):
    _LIBRARY.impl(_name, _kernel, "CPU")
    torch.library.register_fake(f"spikeduel::{_name}", _shapes, lib=_LIBRARY)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    current, weight, bias, beta, *settings = inputs
    _, mean, var = output
    ctx.mark_non_differentiable(mean, var)
    ctx.save_for_backward(current, weight, bias, beta, mean, var)
    ctx.set_materialize_grads(False)
    ctx.settings = settings


def _differentiate(
    backward: Any, ctx: Any, grad_spk: Tensor | None, *_: Any
) -> tuple[Tensor | None, ...]:
    if grad_spk is None:
        return (None,) * len(ctx.needs_input_grad)
    needs_beta = ctx.needs_input_grad[3]
    *grads, grad_beta = backward(grad_spk, *ctx.saved_tensors, *ctx.settings, needs_beta)
    return *grads, grad_beta if needs_beta else None, *(None,) * len(ctx.settings)


def _refuse(ctx: Any, *grads: Tensor | None) -> None:
    raise RuntimeError(
        "the fused scan has no gradient of its gradient; unfused, the reference has one"
    )


torch.library.register_autograd("spikeduel::normalised_scan_backward", _refuse, lib=_LIBRARY)
torch.library.register_autograd(
    "spikeduel::normalised_scan",
    partial(_differentiate, torch.ops.spikeduel.normalised_scan_backward),
    setup_context=_setup_context,
    lib=_LIBRARY,
)


class _NormalisedScan(torch.autograd.Function):
    """The operator without PyTorch's dispatcher."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, ...]:
        output = _forward(*inputs)
        _setup_context(ctx, inputs, output)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        return _differentiate(_backward, ctx, *grads)
