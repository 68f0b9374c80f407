"""The fused scan as one operator, `torch.ops.spikeduel.scan`: what autograd, `torch.compile` and export see.

Its kernels are `cpu` (Numba) and `gpu` (Triton), imported when they are first called.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from spikeduel.kernels.reference import Dynamics

DEVICES = ("cpu", "cuda")
DTYPES = (torch.float32, torch.bfloat16)
"""The types of current that have a kernel; spikes come in the same."""


def _kernels(device_type: str) -> Any:
    if device_type == "cpu":
        from spikeduel.kernels import cpu

        return cpu
    from spikeduel.kernels import gpu  # type: ignore[attr-defined]

    return gpu


def _dynamics(
    threshold: float, reset_mechanism: str, surrogate: str, alpha: float, adaptation: Sequence[float]
) -> Dynamics:
    decay_and_gain = (adaptation[0], adaptation[1]) if adaptation else None
    return Dynamics(threshold, reset_mechanism, surrogate, alpha, decay_and_gain)


def _rows(x: Tensor | None) -> Tensor | None:
    """`x` `[rows, …]` as `[rows, N]`."""
    return None if x is None else x.contiguous().view(len(x), x.shape[1:].numel())


@torch.library.custom_op("spikeduel::scan", mutates_args=(), device_types=DEVICES)
def _scan(
    current: Tensor,
    state: Tensor | None,
    beta: Tensor,
    threshold: float,
    reset_mechanism: str,
    surrogate: str,
    alpha: float,
    adaptation: Sequence[float],
    num_steps: int,
    with_mem: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    rows, before = _rows(current), _rows(state)
    dynamics = _dynamics(threshold, reset_mechanism, surrogate, alpha, adaptation)
    kernel = _kernels(current.device.type).scan_forward
    results = kernel(rows, before, beta, dynamics, num_steps, current.dtype, with_mem)
    spk, mem, last = (x.view(len(x), *current.shape[1:]) for x in results)
    return spk, mem, last


@_scan.register_fake
def _(
    current: Tensor,
    state: Tensor | None,
    beta: Tensor,
    threshold: float,
    reset_mechanism: str,
    surrogate: str,
    alpha: float,
    adaptation: Sequence[float],
    num_steps: int,
    with_mem: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    shape = current.shape[1:]
    spk = current.new_empty((num_steps, *shape))
    mem = current.new_empty((num_steps if with_mem else 0, *shape), dtype=torch.float32)
    return spk, mem, current.new_empty((2 if adaptation else 1, *shape), dtype=torch.float32)


@torch.library.custom_op("spikeduel::scan_backward", mutates_args=(), device_types=DEVICES)
def _scan_backward(
    grad_spk: Tensor | None,
    grad_mem: Tensor | None,
    grad_last: Tensor | None,
    current: Tensor,
    state: Tensor | None,
    beta: Tensor,
    threshold: float,
    reset_mechanism: str,
    surrogate: str,
    alpha: float,
    adaptation: Sequence[float],
    num_steps: int,
    needs_beta: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    incoming = (_rows(grad_spk), _rows(grad_mem), _rows(grad_last))
    inputs = (_rows(current), _rows(state), beta)
    dynamics = _dynamics(threshold, reset_mechanism, surrogate, alpha, adaptation)
    kernel = _kernels(current.device.type).scan_backward
    grad_current, grad_state, grad_beta = kernel(*incoming, *inputs, dynamics, num_steps, needs_beta)
    return grad_current.view(current.shape), grad_state.view(len(grad_state), *current.shape[1:]), grad_beta


@_scan_backward.register_fake
def _(
    grad_spk: Tensor | None,
    grad_mem: Tensor | None,
    grad_last: Tensor | None,
    current: Tensor,
    state: Tensor | None,
    beta: Tensor,
    threshold: float,
    reset_mechanism: str,
    surrogate: str,
    alpha: float,
    adaptation: Sequence[float],
    num_steps: int,
    needs_beta: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    state_shape = (2 if adaptation else 1, *current.shape[1:])
    return (
        torch.empty_like(current, memory_format=torch.contiguous_format),
        current.new_empty(state_shape, dtype=torch.float32),
        torch.empty_like(beta),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    current, state, beta, *settings, num_steps, _ = inputs
    ctx.save_for_backward(current, state, beta)
    ctx.set_materialize_grads(False)
    ctx.settings = (*settings, num_steps)


def _differentiate(
    ctx: Any, grad_spk: Tensor | None, grad_mem: Tensor | None, grad_last: Tensor | None
) -> tuple[Tensor | None, ...]:
    current, state, beta = ctx.saved_tensors
    _, needs_state, needs_beta, *rest = ctx.needs_input_grad
    if grad_spk is None and grad_mem is None and grad_last is None:
        return (None,) * (3 + len(rest))
    grad_current, grad_state, grad_beta = _scan_backward(
        grad_spk, grad_mem, grad_last, current, state, beta, *ctx.settings, needs_beta
    )
    return grad_current, grad_state if needs_state else None, grad_beta if needs_beta else None, *(None,) * len(rest)


_scan.register_autograd(_differentiate, setup_context=_setup_context)


def scan(
    current: Tensor, state: Tensor | None, beta: Tensor, dynamics: Dynamics, num_steps: int, with_mem: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """`reference.scan` for `current` `[T, …]`, or `[1, …]` for one that is the same at every step.

    `current` has one of `DTYPES`, spikes come in the same; `state` and membranes are float32. Without `with_mem`,
    `mem` is `[0, …]`. Outputs have the memory layout of `current`.
    """
    # Neurons are independent: whatever the order of their axes in memory (channels last), it can be kept.
    order = [0, *sorted(range(1, current.dim()), key=current.stride, reverse=True)]
    back = [order.index(axis) for axis in range(current.dim())]
    threshold, reset_mechanism, surrogate, alpha, adaptation = dynamics
    results = _scan(
        current.permute(order),
        None if state is None else state.permute(order),
        beta,
        float(threshold),
        reset_mechanism,
        surrogate,
        float(alpha),
        list(adaptation or ()),
        num_steps,
        with_mem,
    )
    spk, mem, last = (x.permute(back) for x in results)
    return spk, mem, last
