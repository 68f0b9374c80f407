"""Scans over time on CUDA, in Triton: one pass forward, one pass back. Not yet measured on a GPU.

The equations are `reference.lif_step`'s and `reference.alif_step`'s, in the same order of operations and without
fused multiply-add, so that spikes and membranes equal the reference's to the last bit. Tensors are `[T, N]`:
neurons are independent, one thread works on one of them at all steps, and neighbours lie side by side.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from spikeduel.spiking.kernels.reference import Dynamics

# One neuron a thread: then what a thread reads back from memory is what it wrote itself, and nothing has to wait.
_BLOCK = 128


# One step of a block of neurons. Where `ADAPTIVE` is false, `adaptation`, `decay` and `gain` play no part.


@triton.jit
def initial_state(state, columns, inside, num_neurons, ADAPTIVE: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """The membrane and the adaptation before the first step, of `state` `[S, N]`; None is rest."""
    mem = tl.zeros((BLOCK,), tl.float32)
    adaptation = tl.zeros((BLOCK,), tl.float32)
    if state is not None:
        mem = tl.load(state + columns, mask=inside, other=0.0)
        if ADAPTIVE:
            adaptation = tl.load(state + num_neurons + columns, mask=inside, other=0.0)
    return mem, adaptation


@triton.jit
def overshoot(mem, adaptation, threshold, gain, ADAPTIVE: tl.constexpr):  # type: ignore[no-untyped-def]
    """By how much the membrane is above the threshold: it spikes where this is greater than 0."""
    return mem - (threshold + gain * adaptation) if ADAPTIVE else mem - threshold


@triton.jit
def step(  # type: ignore[no-untyped-def]
    now, mem, adaptation, beta, threshold, decay, gain, RESET: tl.constexpr, ADAPTIVE: tl.constexpr
):
    """The membrane and the adaptation one step later."""
    fired = tl.where(overshoot(mem, adaptation, threshold, gain, ADAPTIVE) > 0, 1.0, 0.0)
    if RESET == "subtract":
        mem = (beta * mem + now) - fired * threshold
    elif RESET == "zero":
        mem = beta * ((1.0 - fired) * mem) + now
    else:
        tl.static_assert(RESET == "none")
        mem = beta * mem + now
    if ADAPTIVE:
        adaptation = decay * adaptation + fired
    return mem, adaptation


@triton.jit
def surrogate_gradient(u, alpha, SURROGATE: tl.constexpr):  # type: ignore[no-untyped-def]
    """The gradient of the spike at `u`; `SURROGATE` is one of `reference.SURROGATE_KERNELS`."""
    if SURROGATE == "atan":
        x = 1.5707963267948966 * alpha * u
        gradient = 0.5 * alpha / (1.0 + x * x)
    elif SURROGATE == "fast_sigmoid":
        x = 1.0 + alpha * tl.abs(u)
        gradient = 1.0 / (x * x)
    elif SURROGATE == "sigmoid":
        # s·(1 − s), written so that neither end of the range overflows or cancels.
        e = tl.exp(-tl.abs(alpha * u))
        gradient = alpha * e / ((1.0 + e) * (1.0 + e))
    elif SURROGATE == "triangular":
        x = 1.0 - alpha * tl.abs(u)
        gradient = alpha * tl.where(x < 0.0, 0.0, x)
    else:
        tl.static_assert(SURROGATE == "straight_through_estimator")
        gradient = tl.full(u.shape, 1.0, tl.float32)
    return gradient


@triton.jit(do_not_specialize=["num_steps"])
def _forward(  # type: ignore[no-untyped-def]
    current, state, beta, spk, mem_out, last, num_neurons, num_steps, threshold, decay, gain,
    RESET: tl.constexpr, CONSTANT: tl.constexpr, ADAPTIVE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    columns = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < num_neurons
    b = tl.load(beta)
    mem, adaptation = initial_state(state, columns, inside, num_neurons, ADAPTIVE, BLOCK)
    if CONSTANT:
        now = tl.load(current + columns, mask=inside, other=0.0).to(tl.float32)
    for t in range(num_steps):
        at = tl.cast(t, tl.int64) * num_neurons + columns
        if not CONSTANT:
            now = tl.load(current + at, mask=inside, other=0.0).to(tl.float32)
        mem, adaptation = step(now, mem, adaptation, b, threshold, decay, gain, RESET, ADAPTIVE)
        fired = tl.where(overshoot(mem, adaptation, threshold, gain, ADAPTIVE) > 0, 1.0, 0.0)
        tl.store(spk + at, fired, mask=inside)
        if mem_out is not None:
            tl.store(mem_out + at, mem, mask=inside)
    tl.store(last + columns, mem, mask=inside)
    if ADAPTIVE:
        tl.store(last + num_neurons + columns, adaptation, mask=inside)


@triton.jit(do_not_specialize=["num_steps"])
def _backward(  # type: ignore[no-untyped-def]
    grad_spk, grad_mem, grad_last, current, state, beta, mem_trace, adaptation_trace,
    grad_current, grad_state, grad_beta_parts, num_neurons, num_steps, threshold, decay, gain, alpha,
    RESET: tl.constexpr, SURROGATE: tl.constexpr, CONSTANT: tl.constexpr, ADAPTIVE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    columns = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < num_neurons
    b = tl.load(beta)
    mem_before, adaptation_before = initial_state(state, columns, inside, num_neurons, ADAPTIVE, BLOCK)

    mem, adaptation = mem_before, adaptation_before
    if CONSTANT:
        now = tl.load(current + columns, mask=inside, other=0.0).to(tl.float32)
    for t in range(num_steps):
        at = tl.cast(t, tl.int64) * num_neurons + columns
        if not CONSTANT:
            now = tl.load(current + at, mask=inside, other=0.0).to(tl.float32)
        mem, adaptation = step(now, mem, adaptation, b, threshold, decay, gain, RESET, ADAPTIVE)
        tl.store(mem_trace + at, mem, mask=inside)
        if ADAPTIVE:
            tl.store(adaptation_trace + at, adaptation, mask=inside)

    # What reaches the membrane, the adaptation and the spike of step t from the steps after it.
    d_mem = tl.zeros((BLOCK,), tl.float32)
    d_adaptation = tl.zeros((BLOCK,), tl.float32)
    d_spk = tl.zeros((BLOCK,), tl.float32)
    if grad_last is not None:
        d_mem = tl.load(grad_last + columns, mask=inside, other=0.0)
        if ADAPTIVE:
            d_adaptation = tl.load(grad_last + num_neurons + columns, mask=inside, other=0.0)
    d_current = tl.zeros((BLOCK,), tl.float32)
    d_beta = tl.zeros((BLOCK,), tl.float32)
    for t in range(num_steps - 1, -1, -1):
        at = tl.cast(t, tl.int64) * num_neurons + columns
        if grad_spk is not None:
            d_spk += tl.load(grad_spk + at, mask=inside, other=0.0).to(tl.float32)
        if grad_mem is not None:
            d_mem += tl.load(grad_mem + at, mask=inside, other=0.0)
        if ADAPTIVE or grad_spk is not None:
            slope = surrogate_gradient(overshoot(mem, adaptation, threshold, gain, ADAPTIVE), alpha, SURROGATE)
            d_mem += d_spk * slope
            if ADAPTIVE:
                d_adaptation -= gain * (d_spk * slope)

        mem = tl.load(mem_trace + at - num_neurons, mask=inside & (t > 0), other=mem_before)
        if ADAPTIVE:
            adaptation = tl.load(adaptation_trace + at - num_neurons, mask=inside & (t > 0), other=adaptation_before)
        if CONSTANT:
            d_current += d_mem
        else:
            tl.store(grad_current + at, d_mem, mask=inside)
        kept = mem
        if RESET == "zero":
            fired = tl.where(overshoot(mem, adaptation, threshold, gain, ADAPTIVE) > 0, 1.0, 0.0)
            kept = (1.0 - fired) * mem
        if grad_beta_parts is not None:
            d_beta += d_mem * kept
        d_mem = b * d_mem
        if RESET == "zero":
            d_mem = (1.0 - fired) * d_mem
        d_spk = tl.zeros((BLOCK,), tl.float32)
        if ADAPTIVE:
            d_spk = d_adaptation
            d_adaptation = decay * d_adaptation

    if ADAPTIVE:
        slope = surrogate_gradient(overshoot(mem, adaptation, threshold, gain, ADAPTIVE), alpha, SURROGATE)
        d_mem += d_spk * slope
        d_adaptation -= gain * (d_spk * slope)
        tl.store(grad_state + num_neurons + columns, d_adaptation, mask=inside)
    tl.store(grad_state + columns, d_mem, mask=inside)
    if CONSTANT:
        tl.store(grad_current + columns, d_current, mask=inside)
    if grad_beta_parts is not None:
        tl.store(grad_beta_parts + tl.program_id(0), tl.sum(d_beta, axis=0))


def scan_forward(
    current: Tensor,
    state: Tensor | None,
    beta: Tensor,
    dynamics: Dynamics,
    num_steps: int,
    spk_dtype: torch.dtype,
    with_mem: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """All steps of `N` neurons: `spk` `[T, N]` in `spk_dtype`, `mem` float32 `[T, N]` and the last state `[S, N]`.

    `current` is contiguous `[T, N]`, or `[1, N]` where every step gets the same; float32, bfloat16 or float16. `state`
    is float32 `[S, N]`: the membrane, then the adaptation where `dynamics` has one; None is rest. `beta` is a float32
    scalar on the same device. Without `with_mem`, `mem` is `[0, N]`.
    """
    num_neurons = current.shape[1]
    spk = empty((num_steps, num_neurons), spk_dtype, current.device)
    mem = empty((num_steps if with_mem else 0, num_neurons), torch.float32, current.device)
    last = empty((dynamics.state_size, num_neurons), torch.float32, current.device)
    with torch.cuda.device_of(current):
        _forward[_grid(num_neurons)](
            current,
            _contiguous(state),
            beta,
            spk,
            mem if with_mem else None,
            last,
            num_neurons,
            num_steps,
            dynamics.threshold,
            *(dynamics.adaptation or (0.0, 0.0)),
            **launch_options(current, dynamics),
        )
    return spk, mem, last


def scan_backward(
    grad_spk: Tensor | None,
    grad_mem: Tensor | None,
    grad_last: Tensor | None,
    current: Tensor,
    state: Tensor | None,
    beta: Tensor,
    dynamics: Dynamics,
    num_steps: int,
    needs_beta: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of `scan_forward`'s `current` (its shape and dtype), `state` `[S, N]` and `beta` (a scalar).

    `grad_spk`, `grad_mem` `[T, N]` and `grad_last` `[S, N]` are those of its results; None is zero. The membranes are
    computed again. Without `needs_beta` the gradient of `beta` is zero.
    """
    num_neurons, device = current.shape[1], current.device
    grad_current = empty(tuple(current.shape), current.dtype, device)
    grad_state = empty((dynamics.state_size, num_neurons), torch.float32, device)
    grid = _grid(num_neurons)
    grad_beta_parts = empty(grid, torch.float32, device) if needs_beta else None
    trace_shape = (num_steps, num_neurons)
    # Going back, row t of the membranes has been read before row t of the gradient is written: they can share memory.
    shared = grad_current.shape == trace_shape and grad_current.dtype == torch.float32
    with torch.cuda.device_of(current):
        _backward[grid](
            _contiguous(grad_spk),
            _contiguous(grad_mem),
            _contiguous(grad_last),
            current,
            _contiguous(state),
            beta,
            grad_current if shared else empty(trace_shape, torch.float32, device),
            empty(trace_shape, torch.float32, device) if dynamics.adaptation else None,
            grad_current,
            grad_state,
            grad_beta_parts,
            num_neurons,
            num_steps,
            dynamics.threshold,
            *(dynamics.adaptation or (0.0, 0.0)),
            dynamics.alpha,
            SURROGATE=dynamics.surrogate,
            **launch_options(current, dynamics),
        )
    grad_beta = torch.zeros((), device=device) if grad_beta_parts is None else grad_beta_parts.sum()
    return grad_current, grad_state, grad_beta


def empty(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Where all results are written."""
    return torch.empty(shape, dtype=dtype, device=device)


def _contiguous(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.contiguous()


def _grid(num_neurons: int) -> tuple[int]:
    return (triton.cdiv(num_neurons, _BLOCK),)


def launch_options(current: Tensor, dynamics: Dynamics) -> dict[str, object]:
    """What both kernels are compiled for."""
    return {
        "RESET": dynamics.reset_mechanism,
        "CONSTANT": len(current) == 1,
        "ADAPTIVE": dynamics.adaptation is not None,
        "BLOCK": _BLOCK,
        "num_warps": _BLOCK // 32,
        "enable_fp_fusion": False,
    }
