"""Spiking dynamics and rate encoding: the readable `reference`, and kernels that agree with it.

On the CPU, `scan` and `rate_spikes` run by Numba (`cpu`, imported when first called); elsewhere,
and for tools that compile, export or count operators, by the reference. Joint kernels, for training
on the CPU, do batch norm, neurons and max-pooling in one pass, or, under a constant current,
neurons and a linear layer of few outputs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _len_torch_dispatch_stack

from spikeduel.engine import ConstantInput, as_sequence
from spikeduel.engine.kernels import reference
from spikeduel.engine.kernels.reference import RESET_MECHANISMS, SURROGATE_KERNELS, Dynamics
from spikeduel.system.errors import InputError

__all__ = [
    "RESET_MECHANISMS",
    "Dynamics",
    "is_normalised",
    "is_projected",
    "normalised_scan",
    "projected_scan",
    "rate_spikes",
    "scan",
    "unfused",
]

LANES = 16
"""Channels or neurons in a vector of the CPU's kernels: the widest registers of common CPUs."""
MAX_OUTPUTS = 20
"""Most outputs of a joint linear layer."""

_FUSED: ContextVar[bool] = ContextVar("fused", default=True)


@contextmanager
def unfused() -> Iterator[None]:
    """Run `scan` and `rate_spikes` by the reference, in operations that any tool can trace."""
    token = _FUSED.set(False)
    try:
        yield
    finally:
        _FUSED.reset(token)


def scan(
    current: Tensor | ConstantInput,
    beta: Tensor | float,
    dynamics: Dynamics,
    state: Tensor | None = None,
    *,
    with_mem: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return `(spk, mem, last)` over time for `current` `[T, …]` from `state` `[S, …]` (None: at
    rest).

    `spk` `[T, …]` has the type of `current`; `mem` `[T, …]` (`[0, …]` unless `with_mem`) and the
    last state `[S, …]` are float32 (float64 for a float64 current). All have its memory layout. S
    is 1, or 2 for adaptive neurons. Raises `InputError`.
    """
    num_steps = current.shape[0]
    if num_steps < 1:
        raise InputError(
            f"a neuron needs at least one time step; its input has shape {list(current.shape)}."
        )
    if is_fused(current, beta, dynamics):
        rows = current.value.unsqueeze(0) if isinstance(current, ConstantInput) else current
        return _fused_scan(rows, state, beta, dynamics, num_steps, with_mem)
    sequence = as_sequence(current)
    wide = sequence if sequence.dtype == torch.float64 else sequence.float()
    spk, mem, last = reference.scan(wide, beta, dynamics, state)
    return spk.to(sequence.dtype), mem if with_mem else mem[:0], last


def is_fused(current: Tensor | ConstantInput, beta: Tensor | float, dynamics: Dynamics) -> bool:
    """Return True if `scan` has a kernel: one beta and threshold a layer, a known surrogate."""
    value = current.value if isinstance(current, ConstantInput) else current
    one_beta = not isinstance(beta, Tensor) or (beta.dim() == 0 and beta.dtype == torch.float32)
    return (
        one_beta
        and isinstance(dynamics.threshold, int | float)
        and dynamics.surrogate in SURROGATE_KERNELS
        and value.dtype in (torch.float32, torch.bfloat16)
        and _may_fuse(value)
    )


def _may_fuse(x: Tensor) -> bool:
    # Dynamo cannot trace a ContextVar, and is asked for before it.
    return not is_watched(x) and x.device.type == "cpu" and _FUSED.get()


def rate_spikes(
    images: Tensor,
    keys: np.ndarray,
    num_steps: int,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return Bernoulli spikes `[T, B, …]` for `images` uint8 `[B, …]` and `keys` uint64 `[B]`, with
    probability p/255 for a pixel p. Raises `InputError`.
    """
    if images.dtype != torch.uint8:
        raise InputError(
            f"rate encoding takes uint8 images, not {images.dtype}: their pixels are rates of 255."
        )
    if np.shape(keys) != (len(images),):
        raise InputError(
            f"rate encoding needs a key for each of {len(images)} images, not {np.shape(keys)}."
        )
    if not _may_fuse(images):
        return reference.rate_spikes(images, keys, num_steps).to(dtype)
    kernels = _kernels()
    written = dtype if dtype in kernels.WRITTEN_DTYPES else torch.bool
    return kernels.rate_spikes(images, keys, num_steps, written).to(dtype)


def is_normalised(
    current: Tensor | ConstantInput,
    norm: nn.BatchNorm2d,
    beta: Tensor | float,
    dynamics: Dynamics,
    window: int,
) -> bool:
    """Return True if `normalised_scan` has a kernel."""
    return (
        dynamics.adaptation is None
        and is_fused(current, beta, dynamics)
        and may_normalise(current, norm, window)
    )


def may_normalise(current: Tensor | ConstantInput, norm: nn.BatchNorm2d, window: int) -> bool:
    """Return True if kernels can normalise `current` by `norm` in training and pool by `window`."""
    value = current.value if isinstance(current, ConstantInput) else current
    return (
        value.dtype in (torch.float32, torch.bfloat16)
        and _may_fuse(value)
        and norm.training
        and norm.affine
        and norm.track_running_stats
        and value.dim() == (4 if isinstance(current, ConstantInput) else 5)
        and norm.num_features == value.shape[-3]
        and norm.weight.dtype == torch.float32
        and min(value.shape[-2:]) >= window
        and value.numel() > norm.num_features
        and current.shape[0] > 0
    )


def normalised_scan(
    current: Tensor | ConstantInput,
    norm: nn.BatchNorm2d,
    beta: Tensor | float,
    dynamics: Dynamics,
    window: int = 1,
) -> Tensor:
    """Return spikes `[T, B, C, H / side, W / side]` for `norm(current)`, max-pooled by `window`;
    update the running statistics.

    `current` is `[T, B, C, H, W]`; normalised, it is never rounded to its own type.
    """
    value = current.value.unsqueeze(0) if isinstance(current, ConstantInput) else current
    decay = beta if isinstance(beta, Tensor) else torch.full((), beta)
    spk, mean, var = _kernels().Normalised.apply(
        value.permute(0, 1, 3, 4, 2).contiguous(),
        norm.weight,
        norm.bias,
        decay,
        norm.eps,
        dynamics,
        current.shape[0],
        window,
    )
    _update_statistics(norm, mean, var, value.numel() // norm.num_features)
    return spk.permute(0, 1, 4, 2, 3)


def normalised_rate(
    current: ConstantInput,
    norm: nn.BatchNorm2d,
    num_steps: int,
    window: int = 1,
    shortcut: Tensor | None = None,
) -> Tensor:
    """Return `reference.integer_rate` of `norm(current) + shortcut`, max-pooled by `window`; update
    the running statistics.

    The result is `[B, C, H / window, W / window]`; normalised, `current` is never rounded.
    """
    value = current.value
    if shortcut is not None:
        shortcut = shortcut.to(value.dtype).permute(0, 2, 3, 1).contiguous()
    rate, mean, var = _kernels().NormalisedRate.apply(
        value.permute(0, 2, 3, 1).contiguous(),
        shortcut,
        norm.weight,
        norm.bias,
        norm.eps,
        num_steps,
        window,
    )
    _update_statistics(norm, mean, var, value.numel() // norm.num_features)
    return rate.permute(0, 3, 1, 2)


def _update_statistics(norm: nn.BatchNorm2d, mean: Tensor, var: Tensor, count: int) -> None:
    """Update the running statistics by those of a batch of `count` values a channel."""
    with torch.no_grad():
        if norm.num_batches_tracked is not None and norm.running_mean is not None:
            norm.num_batches_tracked.add_(1)
            new = 1 / norm.num_batches_tracked if norm.momentum is None else norm.momentum
            norm.running_mean.mul_(1 - new).add_(mean * new)
            unbiased = var * (count / (count - 1))
            norm.running_var.mul_(1 - new).add_(unbiased * new)  # type: ignore[union-attr]


def is_projected(
    current: Tensor | ConstantInput, beta: Any, dynamics: Dynamics, weight: Tensor
) -> bool:
    """Return True if `projected_scan` has a kernel."""
    return (
        isinstance(current, ConstantInput)
        and current.value.dim() == 2
        and current.value.shape[1] % LANES == 0
        and isinstance(beta, float)
        and dynamics.surrogate == "atan"
        and len(weight) <= MAX_OUTPUTS
        and dynamics.adaptation is None
        and is_fused(current, beta, dynamics)
    )


def projected_scan(
    current: Any, beta: Any, dynamics: Dynamics, weight: Tensor, bias: Tensor
) -> Tensor:
    """Return `F.linear(scan(current, beta, dynamics)[0], weight, bias)` `[T, B, K]`, for `current`
    `[B, N]`, in its type.
    """
    y: Tensor = _kernels().Projected.apply(
        current.value.contiguous(), weight, current.num_steps, beta, dynamics
    )
    return (y + bias.float()[:, None]).to(current.value.dtype).transpose(1, 2)


def _kernels() -> Any:
    from spikeduel.engine.kernels import cpu

    return cpu


def _fused_scan(
    current: Tensor,
    state: Tensor | None,
    beta: Tensor | float,
    dynamics: Dynamics,
    num_steps: int,
    with_mem: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run the kernel; `current` is `[1, …]` if it is equal at every step."""
    decay = beta if isinstance(beta, Tensor) else torch.full((), beta)
    run = _kernels().Scanned.apply
    if current.is_contiguous():
        return run(current, state, decay, dynamics, num_steps, with_mem)
    # Neurons are independent: any order in memory (channels last) can be kept.
    order = [0, *sorted(range(1, current.dim()), key=current.stride, reverse=True)]
    back = [order.index(axis) for axis in range(current.dim())]
    state = None if state is None else state.permute(order)
    results = run(current.permute(order), state, decay, dynamics, num_steps, with_mem)
    spk, mem, last = (x.permute(back) for x in results)
    return spk, mem, last


def is_traced() -> bool:
    """Return True if a tool compiles, traces or counts operators."""
    # PyTorch has no public name for the number of active `TorchDispatchMode`s.
    return torch.compiler.is_compiling() or _len_torch_dispatch_stack() > 0


def is_watched(x: Tensor) -> bool:
    """Return True if a tool traces or counts operators, or `x` has no numbers."""
    return is_traced() or type(x) not in (Tensor, nn.Parameter) or x.device.type == "meta"
