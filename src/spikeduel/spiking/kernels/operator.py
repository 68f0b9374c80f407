"""The fused scan as one operator, `torch.ops.spikeduel.scan`: what autograd, `torch.compile` and export see.

Its kernels are `cpu` (Numba) and `gpu` (Triton), imported when they are first called.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils._python_dispatch import _len_torch_dispatch_stack

from spikeduel.spiking.kernels.reference import Dynamics
from spikeduel.spiking.kernels.threads import is_code_kept, run_chunks

_HIGH = np.uint64(32)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@njit(nogil=True, cache=is_code_kept())
def _permute_images(steps, keys, start, stop):  # type: ignore[no-untyped-def]
    """Permutes images `start` to `stop` of `steps` `[T, B, N]` over T, in place: Knuth's algorithm P.

    The random numbers are SplitMix64's (Steele, Lea, Flood 2014), started from an image's key.
    """
    num_steps, _, num_neurons = steps.shape
    for image in range(start, stop):
        state = keys[image]
        for last in range(num_steps - 1, 0, -1):
            for neuron in range(num_neurons):
                state += _GOLDEN
                z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
                z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
                z ^= z >> np.uint64(31)
                other = ((z >> _HIGH) * np.uint64(last + 1)) >> _HIGH
                kept = steps[last, image, neuron]
                steps[last, image, neuron] = steps[other, image, neuron]
                steps[other, image, neuron] = kept


def permuted_over_time(spk: Tensor, keys: np.ndarray) -> Tensor:
    """`spk` `[T, B, …]` with the steps of each neuron and image in a random order of its own, each equally likely.

    `keys` uint64 `[B]`, one an image, decide which, whatever else is in the batch.
    """
    # Neurons are independent: in the order in which they lie in memory (channels last), nothing is rearranged.
    order = [0, 1, *sorted(range(2, spk.dim()), key=spk.stride, reverse=True)]
    rows = spk.detach().permute(order).cpu().clone(memory_format=torch.contiguous_format)
    # The values are only moved: their bits will do, also where NumPy knows no such type.
    steps = rows.view(_BITS[rows.element_size()]).flatten(2).numpy()
    kernel = partial(_permute_images, steps, np.array(keys, np.uint64))
    run_chunks(kernel, spk.shape[1], work=rows.numel())
    return rows.permute([order.index(axis) for axis in range(spk.dim())]).to(spk.device)


DTYPES = (torch.float32, torch.bfloat16)
"""The types of current that have a kernel; spikes come in the same."""


def _kernels(device_type: str) -> Any:
    if device_type == "cpu":
        from spikeduel.spiking.kernels import cpu

        return cpu
    from spikeduel.spiking.kernels import gpu

    return gpu


def _dynamics(
    threshold: float, reset_mechanism: str, surrogate: str, alpha: float, adaptation: Sequence[float]
) -> Dynamics:
    decay_and_gain = (adaptation[0], adaptation[1]) if adaptation else None
    return Dynamics(threshold, reset_mechanism, surrogate, alpha, decay_and_gain)


def _rows(x: Tensor | None) -> Tensor | None:
    """`x` `[rows, …]` as `[rows, N]`."""
    return None if x is None else x.contiguous().view(len(x), x.shape[1:].numel())


# Registered by schema: `torch.library.custom_op` would import torch._dynamo at the first call, which takes a second.
_LIBRARY = torch.library.Library("spikeduel", "DEF")
_DYNAMICS = "Tensor beta, float threshold, str reset_mechanism, str surrogate, float alpha, float[] adaptation"
_LIBRARY.define(
    f"scan(Tensor current, Tensor? state, {_DYNAMICS}, SymInt num_steps, bool with_mem) -> (Tensor, Tensor, Tensor)"
)
_LIBRARY.define(
    "scan_backward(Tensor? grad_spk, Tensor? grad_mem, Tensor? grad_last, Tensor current, Tensor? state, "
    f"{_DYNAMICS}, SymInt num_steps, bool needs_beta) -> (Tensor, Tensor, Tensor)"
)


def _scan(current: Tensor, state: Tensor | None, beta: Tensor, *settings: Any) -> tuple[Tensor, ...]:
    *numbers, num_steps, with_mem = settings
    kernel = _kernels(current.device.type).scan_forward
    results = kernel(_rows(current), _rows(state), beta, _dynamics(*numbers), num_steps, current.dtype, with_mem)
    return tuple(x.view(len(x), *current.shape[1:]) for x in results)


def _scan_shapes(current: Tensor, state: Tensor | None, beta: Tensor, *settings: Any) -> tuple[Tensor, Tensor, Tensor]:
    *_, adaptation, num_steps, with_mem = settings
    shape = current.shape[1:]
    spk = current.new_empty((num_steps, *shape))
    mem = current.new_empty((num_steps if with_mem else 0, *shape), dtype=torch.float32)
    return spk, mem, current.new_empty((2 if adaptation else 1, *shape), dtype=torch.float32)


def _scan_backward(
    grad_spk: Tensor | None,
    grad_mem: Tensor | None,
    grad_last: Tensor | None,
    current: Tensor,
    state: Tensor | None,
    beta: Tensor,
    *settings: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    *numbers, num_steps, needs_beta = settings
    incoming = (_rows(grad_spk), _rows(grad_mem), _rows(grad_last))
    inputs = (_rows(current), _rows(state), beta)
    kernel = _kernels(current.device.type).scan_backward
    grad_current, grad_state, grad_beta = kernel(*incoming, *inputs, _dynamics(*numbers), num_steps, needs_beta)
    return grad_current.view(current.shape), grad_state.view(len(grad_state), *current.shape[1:]), grad_beta


def _scan_backward_shapes(
    grad_spk: Tensor | None,
    grad_mem: Tensor | None,
    grad_last: Tensor | None,
    current: Tensor,
    state: Tensor | None,
    beta: Tensor,
    *settings: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    *_, adaptation, _, _ = settings
    state_shape = (2 if adaptation else 1, *current.shape[1:])
    return (
        torch.empty_like(current, memory_format=torch.contiguous_format),
        current.new_empty(state_shape, dtype=torch.float32),
        torch.empty_like(beta),
    )


for _name, _kernel, _shapes in (
    ("scan", _scan, _scan_shapes),
    ("scan_backward", _scan_backward, _scan_backward_shapes),
):
    for _device in ("CPU", "CUDA"):
        _LIBRARY.impl(_name, _kernel, _device)
    torch.library.register_fake(f"spikeduel::{_name}", _shapes, lib=_LIBRARY)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    current, state, beta, *settings, num_steps, _ = inputs
    ctx.save_for_backward(current, state, beta)
    ctx.set_materialize_grads(False)
    ctx.settings = (*settings, num_steps)


def _differentiate(
    scan_backward: Any, ctx: Any, grad_spk: Tensor | None, grad_mem: Tensor | None, grad_last: Tensor | None
) -> tuple[Tensor | None, ...]:
    current, state, beta = ctx.saved_tensors
    _, needs_state, needs_beta, *rest = ctx.needs_input_grad
    if grad_spk is None and grad_mem is None and grad_last is None:
        return (None,) * (3 + len(rest))
    grad_current, grad_state, grad_beta = scan_backward(
        grad_spk, grad_mem, grad_last, current, state, beta, *ctx.settings, needs_beta
    )
    return grad_current, grad_state if needs_state else None, grad_beta if needs_beta else None, *(None,) * len(rest)


def _refuse(ctx: Any, *grads: Tensor | None) -> None:
    raise RuntimeError(
        "the fused scan has no gradient of its gradient; a float64 current runs on the reference, which has"
    )


torch.library.register_autograd("spikeduel::scan_backward", _refuse, lib=_LIBRARY)
torch.library.register_autograd(
    "spikeduel::scan",
    partial(_differentiate, torch.ops.spikeduel.scan_backward),
    setup_context=_setup_context,
    lib=_LIBRARY,
)


class _Scan(torch.autograd.Function):
    """The operator without PyTorch's dispatcher in between, whose calls a short step would notice."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, ...]:
        output = _scan(*inputs)
        _setup_context(ctx, inputs, output)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        return _differentiate(_scan_backward, ctx, *grads)


def _is_watched(x: Tensor) -> bool:
    """Whether somebody traces or counts operators, or `x` has no numbers."""
    return (
        torch.compiler.is_compiling()
        or type(x) not in (Tensor, torch.nn.Parameter)
        or x.device.type == "meta"
        or _len_torch_dispatch_stack() > 0
    )


def scan(
    current: Tensor, state: Tensor | None, beta: Tensor, dynamics: Dynamics, num_steps: int, with_mem: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """`reference.scan` for `current` `[T, …]`, or `[1, …]` for one that is the same at every step.

    `current` has one of `DTYPES`, spikes come in the same; `state` and membranes are float32. Without `with_mem`,
    `mem` is `[0, …]`. Outputs have the memory layout of `current`.
    """
    threshold, reset_mechanism, surrogate, alpha, adaptation = dynamics
    run = torch.ops.spikeduel.scan if _is_watched(current) else _Scan.apply
    numbers = float(threshold), reset_mechanism, surrogate, float(alpha), list(adaptation or ()), num_steps, with_mem
    if current.is_contiguous():
        return run(current, state, beta, *numbers)
    # Neurons are independent: whatever the order of their axes in memory (channels last), it can be kept.
    order = [0, *sorted(range(1, current.dim()), key=current.stride, reverse=True)]
    back = [order.index(axis) for axis in range(current.dim())]
    results = run(current.permute(order), None if state is None else state.permute(order), beta, *numbers)
    spk, mem, last = (x.permute(back) for x in results)
    return spk, mem, last
