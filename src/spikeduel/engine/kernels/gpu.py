# mypy: disable-error-code="no-untyped-def"
"""Scans over time and rate encoding on CUDA, in Triton. Not yet measured on a GPU.

Operations come in the order of `reference.step`, without fused multiply-add: results are equal to
the last bit. Tensors are `[T, N]`: one thread works on one neuron.
"""

import math
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from spikeduel.engine.kernels.reference import Dynamics

WRITTEN_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.bool)
"""Types that `rate_spikes` writes."""

# A thread reads back only its own neuron, so that nothing waits. For encoding, one block of Philox
# a thread, which makes 4 pixels.
_BLOCK = 128
_COMPILED = {"num_warps": _BLOCK // 32, "enable_fp_fusion": False}

# Without `ADAPTIVE`, `adaptation`, `decay` and `gain` play no part.


@triton.jit
def read_state(state, columns, inside, num_neurons, ADAPTIVE: tl.constexpr, BLOCK: tl.constexpr):
    """Return membrane and adaptation in `state` `[S, N]`; zeros for None."""
    mem = tl.zeros((BLOCK,), tl.float32)
    adaptation = tl.zeros((BLOCK,), tl.float32)
    if state is not None:
        mem = tl.load(state + columns, mask=inside, other=0.0)
        if ADAPTIVE:
            adaptation = tl.load(state + num_neurons + columns, mask=inside, other=0.0)
    return mem, adaptation


@triton.jit
def write_state(state, mem, adaptation, columns, inside, num_neurons, ADAPTIVE: tl.constexpr):
    tl.store(state + columns, mem, mask=inside)
    if ADAPTIVE:
        tl.store(state + num_neurons + columns, adaptation, mask=inside)


@triton.jit
def overshoot(mem, adaptation, threshold, gain, ADAPTIVE: tl.constexpr):
    return mem - (threshold + gain * adaptation) if ADAPTIVE else mem - threshold


@triton.jit
def fires(mem, adaptation, threshold, gain, ADAPTIVE: tl.constexpr):
    return tl.where(overshoot(mem, adaptation, threshold, gain, ADAPTIVE) > 0, 1.0, 0.0)


@triton.jit
def step(
    now, mem, adaptation, beta, threshold, decay, gain, RESET: tl.constexpr, ADAPTIVE: tl.constexpr
):
    fired = fires(mem, adaptation, threshold, gain, ADAPTIVE)
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
def surrogate_gradient(u, alpha, SURROGATE: tl.constexpr):
    if SURROGATE == "atan":
        x = 1.5707963267948966 * alpha * u
        gradient = 0.5 * alpha / (1.0 + x * x)
    elif SURROGATE == "fast_sigmoid":
        x = 1.0 + alpha * tl.abs(u)
        gradient = 1.0 / (x * x)
    elif SURROGATE == "sigmoid":
        # s·(1 − s), without overflow or cancellation at either end
        e = tl.exp(-tl.abs(alpha * u))
        gradient = alpha * e / ((1.0 + e) * (1.0 + e))
    elif SURROGATE == "triangular":
        x = 1.0 - alpha * tl.abs(u)
        gradient = alpha * tl.where(x < 0.0, 0.0, x)
    else:
        tl.static_assert(SURROGATE == "straight_through_estimator")
        gradient = tl.full(u.shape, 1.0, tl.float32)
    return gradient


@triton.jit
def run(
    current,
    beta,
    mem,
    adaptation,
    spk,
    mem_out,
    adaptation_out,
    columns,
    num_neurons,
    num_steps,
    threshold,
    decay,
    gain,
    RESET: tl.constexpr,
    CONSTANT: tl.constexpr,
    ADAPTIVE: tl.constexpr,
):
    """Run all steps; write the `[T, N]` outputs that are not None."""
    inside = columns < num_neurons
    if CONSTANT:
        now = tl.load(current + columns, mask=inside, other=0.0).to(tl.float32)
    for t in range(num_steps):
        at = tl.cast(t, tl.int64) * num_neurons + columns
        if not CONSTANT:
            now = tl.load(current + at, mask=inside, other=0.0).to(tl.float32)
        mem, adaptation = step(now, mem, adaptation, beta, threshold, decay, gain, RESET, ADAPTIVE)
        if spk is not None:
            tl.store(spk + at, fires(mem, adaptation, threshold, gain, ADAPTIVE), mask=inside)
        if mem_out is not None:
            tl.store(mem_out + at, mem, mask=inside)
        if adaptation_out is not None:
            tl.store(adaptation_out + at, adaptation, mask=inside)
    return mem, adaptation


@triton.jit(do_not_specialize=["num_steps"])
def _forward(
    current,
    state,
    beta,
    spk,
    mem_out,
    last,
    num_neurons,
    num_steps,
    threshold,
    decay,
    gain,
    RESET: tl.constexpr,
    CONSTANT: tl.constexpr,
    ADAPTIVE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    columns = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < num_neurons
    mem, adaptation = read_state(state, columns, inside, num_neurons, ADAPTIVE, BLOCK)
    mem, adaptation = run(
        current,
        tl.load(beta),
        mem,
        adaptation,
        spk,
        mem_out,
        None,
        columns,
        num_neurons,
        num_steps,
        threshold,
        decay,
        gain,
        RESET,
        CONSTANT,
        ADAPTIVE,
    )
    write_state(last, mem, adaptation, columns, inside, num_neurons, ADAPTIVE)


@triton.jit
def back_through_spike(
    d_spk,
    d_mem,
    d_adaptation,
    mem,
    adaptation,
    threshold,
    gain,
    alpha,
    SURROGATE: tl.constexpr,
    ADAPTIVE: tl.constexpr,
):
    slope = surrogate_gradient(
        overshoot(mem, adaptation, threshold, gain, ADAPTIVE), alpha, SURROGATE
    )
    d_mem += d_spk * slope
    if ADAPTIVE:
        d_adaptation -= gain * (d_spk * slope)
    return d_mem, d_adaptation


@triton.jit(do_not_specialize=["num_steps"])
def _backward(
    grad_spk,
    grad_mem,
    grad_last,
    current,
    state,
    beta,
    mem_trace,
    adaptation_trace,
    grad_current,
    grad_state,
    grad_beta_parts,
    num_neurons,
    num_steps,
    threshold,
    decay,
    gain,
    alpha,
    RESET: tl.constexpr,
    SURROGATE: tl.constexpr,
    CONSTANT: tl.constexpr,
    ADAPTIVE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    columns = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < num_neurons
    b = tl.load(beta)
    mem_before, adaptation_before = read_state(state, columns, inside, num_neurons, ADAPTIVE, BLOCK)

    mem, adaptation = run(
        current,
        b,
        mem_before,
        adaptation_before,
        None,
        mem_trace,
        adaptation_trace,
        columns,
        num_neurons,
        num_steps,
        threshold,
        decay,
        gain,
        RESET,
        CONSTANT,
        ADAPTIVE,
    )
    d_mem, d_adaptation = read_state(grad_last, columns, inside, num_neurons, ADAPTIVE, BLOCK)
    d_spk = tl.zeros((BLOCK,), tl.float32)
    d_current = tl.zeros((BLOCK,), tl.float32)
    d_beta = tl.zeros((BLOCK,), tl.float32)
    for t in range(num_steps - 1, -1, -1):
        at = tl.cast(t, tl.int64) * num_neurons + columns
        if grad_spk is not None:
            d_spk += tl.load(grad_spk + at, mask=inside, other=0.0).to(tl.float32)
        if grad_mem is not None:
            d_mem += tl.load(grad_mem + at, mask=inside, other=0.0)
        if ADAPTIVE or grad_spk is not None:
            d_mem, d_adaptation = back_through_spike(
                d_spk,
                d_mem,
                d_adaptation,
                mem,
                adaptation,
                threshold,
                gain,
                alpha,
                SURROGATE,
                ADAPTIVE,
            )
        mem = tl.load(mem_trace + at - num_neurons, mask=inside & (t > 0), other=mem_before)
        if ADAPTIVE:
            adaptation = tl.load(
                adaptation_trace + at - num_neurons, mask=inside & (t > 0), other=adaptation_before
            )
        if CONSTANT:
            d_current += d_mem
        else:
            tl.store(grad_current + at, d_mem, mask=inside)
        remaining = mem
        if RESET == "zero":
            fired = fires(mem, adaptation, threshold, gain, ADAPTIVE)
            remaining = (1.0 - fired) * mem
        if grad_beta_parts is not None:
            d_beta += d_mem * remaining
        d_mem = b * d_mem
        if RESET == "zero":
            d_mem = (1.0 - fired) * d_mem
        d_spk = tl.zeros((BLOCK,), tl.float32)
        if ADAPTIVE:
            d_spk = d_adaptation
            d_adaptation = decay * d_adaptation

    if ADAPTIVE:
        d_mem, d_adaptation = back_through_spike(
            d_spk, d_mem, d_adaptation, mem, adaptation, threshold, gain, alpha, SURROGATE, ADAPTIVE
        )
    write_state(grad_state, d_mem, d_adaptation, columns, inside, num_neurons, ADAPTIVE)
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
    with_mem: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run `cpu.scan_forward` for contiguous tensors on CUDA; `current` may be float16, too."""
    num_neurons, device = current.shape[1], current.device
    spk = empty((num_steps, num_neurons), current.dtype, device)
    mem = empty((num_steps if with_mem else 0, num_neurons), torch.float32, device)
    last = empty((dynamics.state_size, num_neurons), torch.float32, device)
    outputs = spk, mem if with_mem else None, last
    numbers = num_neurons, num_steps, dynamics.threshold, *(dynamics.adaptation or (0.0, 0.0))
    with torch.cuda.device_of(current):
        _forward[(triton.cdiv(num_neurons, _BLOCK),)](
            current, state, beta, *outputs, *numbers, **launch_options(current, dynamics)
        )
    return spk, mem, last


def scan_backward(
    grads: tuple[Tensor | None, Tensor | None, Tensor | None],
    current: Tensor,
    state: Tensor | None,
    beta: Tensor,
    dynamics: Dynamics,
    num_steps: int,
    needs_beta: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run `cpu.scan_backward` for contiguous tensors on CUDA, computing membranes again."""
    num_neurons, device = current.shape[1], current.device
    grad_current = empty(tuple(current.shape), current.dtype, device)
    grad_state = empty((dynamics.state_size, num_neurons), torch.float32, device)
    grid = (triton.cdiv(num_neurons, _BLOCK),)
    grad_beta_parts = empty(grid, torch.float32, device) if needs_beta else None
    # Row t of the membranes is read before row t of the gradient is written.
    shape = (num_steps, num_neurons)
    shared = grad_current.shape == shape and grad_current.dtype == torch.float32
    mem_trace = grad_current if shared else empty(shape, torch.float32, device)
    adaptation_trace = empty(shape, torch.float32, device) if dynamics.adaptation else None
    tensors = (
        current,
        state,
        beta,
        mem_trace,
        adaptation_trace,
        grad_current,
        grad_state,
        grad_beta_parts,
    )
    numbers = (
        num_neurons,
        num_steps,
        dynamics.threshold,
        *(dynamics.adaptation or (0.0, 0.0)),
        dynamics.alpha,
    )
    with torch.cuda.device_of(current):
        _backward[grid](
            *grads,
            *tensors,
            *numbers,
            SURROGATE=dynamics.surrogate,
            **launch_options(current, dynamics),
        )
    grad_beta = torch.zeros((), device=device) if grad_beta_parts is None else grad_beta_parts.sum()
    return grad_current, grad_state, grad_beta


def empty(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.empty(shape, dtype=dtype, device=device)


def launch_options(current: Tensor, dynamics: Dynamics) -> dict[str, Any]:
    return {
        "RESET": dynamics.reset_mechanism,
        "CONSTANT": len(current) == 1,
        "ADAPTIVE": dynamics.adaptation is not None,
        "BLOCK": _BLOCK,
        **_COMPILED,
    }


@triton.jit
def _level(word):
    return ((word.to(tl.uint64) * 255) >> 32).to(tl.int32)


@triton.jit
def _rate_rows(images, keys, spikes, num_images, num_pixels, num_tiles, BLOCK: tl.constexpr):
    program = tl.program_id(0)
    row, tile = program // num_tiles, program % num_tiles
    step, image = row // num_images, row % num_images

    block = (tile * BLOCK + tl.arange(0, BLOCK)).to(tl.uint32)
    zero = tl.zeros((BLOCK,), tl.uint32)
    step_word = zero + step.to(tl.uint32)
    w0, w1, w2, w3 = tl.philox(tl.load(keys + image), block, step_word, zero, zero)
    levels = tl.interleave(
        tl.interleave(_level(w0), _level(w2)), tl.interleave(_level(w1), _level(w3))
    )

    pixel = tile * (4 * BLOCK) + tl.arange(0, 4 * BLOCK)
    inside = pixel < num_pixels
    value = tl.load(
        images + tl.cast(image, tl.int64) * num_pixels + pixel, mask=inside, other=0
    ).to(tl.int32)
    fired = tl.where(levels < value, 1.0, 0.0).to(spikes.dtype.element_ty)
    tl.store(spikes + tl.cast(row, tl.int64) * num_pixels + pixel, fired, mask=inside)


def rate_spikes(
    images: Tensor,
    keys: np.ndarray,
    num_steps: int,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    num_images, num_pixels = len(images), math.prod(images.shape[1:])
    spikes = empty((num_steps, *images.shape), dtype, images.device)
    num_tiles = triton.cdiv(num_pixels, 4 * _BLOCK)
    written = spikes.view(torch.uint8) if dtype == torch.bool else spikes
    # The words of a key are taken apart as unsigned.
    words = torch.from_numpy(np.array(keys, np.uint64).view(np.int64)).to(images.device)
    numbers = num_images, num_pixels, num_tiles
    with torch.cuda.device_of(images):
        _rate_rows[(num_steps * num_images * num_tiles,)](
            images.contiguous(), words, written, *numbers, BLOCK=_BLOCK, **_COMPILED
        )
    return spikes
