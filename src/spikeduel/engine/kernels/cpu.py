"""CPU kernels in Numba.

Backward computes membranes again, which is faster than fetching them. Sums over a batch are taken
along a row, then over rows, then images, so that no number of threads changes them.
"""

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from numba import njit
from numba.extending import register_jitable
from torch import Tensor
from torch.autograd.function import once_differentiable

from spikeduel.engine.kernels import cpu_kernels as compiled
from spikeduel.engine.kernels.reference import (
    RESET_MECHANISMS,
    SURROGATE_KERNELS,
    Dynamics,
)
from spikeduel.system.parallel import COMPILED, run_chunks, with_scratch

_LOW = np.uint64(0xFFFFFFFF)
_HIGH = np.uint64(32)
_TILE = 1024  # a multiple of the 4 that one Philox block gives
NOTHING = torch.empty(0)
"""Stands for a missing tensor."""
_GROUPS = 16
"""Parts of a batch with separate sums about the weights, for any number of threads."""

# Numba knows no bfloat16: kernels see the bits of a type as integers.
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32}
WRITTEN_DTYPES: dict[torch.dtype, Any] = {
    torch.float32: np.int32(0x3F800000),
    torch.bfloat16: np.int16(0x3F80),
    torch.bool: np.uint8(1),
}
"""Types of written spikes."""


def empty(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """Return `torch.empty` on the CPU in NumPy's huge pages: first touching 100 MB takes a quarter
    of the time.
    """
    return torch.from_numpy(np.empty(shape, f"i{dtype.itemsize}")).view(dtype)


def _inputs(
    current: Tensor, state: Tensor | None, beta: Tensor, dynamics: Dynamics, num_steps: int
) -> tuple[object, ...]:
    return (
        flat(current),
        flat(NOTHING if state is None else state),
        np.float32(beta.item()),
        _numbered(dynamics),
        # None compiles less: of neurons whose threshold stays.
        dynamics.adaptation and tuple(map(np.float32, dynamics.adaptation)),
        current.shape[1:].numel(),
        num_steps,
    )


def flat(x: Tensor) -> np.ndarray:
    """Return float32, or the bits of bfloat16 as int16, row after row."""
    x = x.contiguous()  # kernels know no strides
    return (_bits(x) if x.dtype == torch.bfloat16 else x.detach().numpy()).reshape(-1)


def _bits(x: Tensor) -> np.ndarray:
    return x.detach().view(_INTEGERS[x.element_size()]).numpy()


@register_jitable(**COMPILED)
def _philox_levels(levels, first_block, num_blocks, step, key):  # type: ignore[no-untyped-def]
    for j in range(num_blocks):
        k0, k1 = key & _LOW, key >> _HIGH
        c0, c1, c2, c3 = np.uint64(first_block + j), np.uint64(step), np.uint64(0), np.uint64(0)
        for _ in range(10):
            # Masks tell the compiler that factors have 32 bits: one vector instruction for three.
            product0 = (c0 & _LOW) * np.uint64(0xD2511F53)
            product1 = (c2 & _LOW) * np.uint64(0xCD9E8D57)
            c0, c1, c2, c3 = (
                (product1 >> _HIGH) ^ c1 ^ k0,
                product1,
                (product0 >> _HIGH) ^ c3 ^ k1,
                product0,
            )
            c1, c3 = c1 & _LOW, c3 & _LOW
            k0, k1 = (k0 + np.uint64(0x9E3779B9)) & _LOW, (k1 + np.uint64(0xBB67AE85)) & _LOW
        levels[4 * j] = (c0 * np.uint64(255)) >> _HIGH
        levels[4 * j + 1] = (c1 * np.uint64(255)) >> _HIGH
        levels[4 * j + 2] = (c2 * np.uint64(255)) >> _HIGH
        levels[4 * j + 3] = (c3 * np.uint64(255)) >> _HIGH


@njit(**COMPILED)
def _rate_rows(images, keys, spike, spikes, start, stop):  # type: ignore[no-untyped-def]
    """Fill rows of `spikes` `[T·B, pixels]` from `images` `[B, pixels]`."""
    num_images, num_pixels = images.shape
    levels = np.empty(_TILE, np.uint8)
    for row in range(start, stop):
        step, image = divmod(row, num_images)
        for first in range(0, num_pixels, _TILE):
            count = min(_TILE, num_pixels - first)
            _philox_levels(levels, first // 4, (count + 3) // 4, step, keys[image])
            pixels, out = images[image, first : first + count], spikes[row, first : first + count]
            for i in range(count):
                out[i] = spike if levels[i] < pixels[i] else 0


def rate_spikes(
    images: Tensor,
    keys: np.ndarray,
    num_steps: int,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Run `reference.rate_spikes` in `dtype`, one of `WRITTEN_DTYPES`."""
    num_images, num_pixels = len(images), math.prod(images.shape[1:])
    spikes = empty((num_steps, *images.shape), dtype)
    kernel = partial(
        _rate_rows,
        images.contiguous().numpy().reshape(num_images, num_pixels),
        np.array(keys, np.uint64),  # Numba would compile a second time for a read-only array
        WRITTEN_DTYPES[dtype],
        _bits(spikes).reshape(num_steps * num_images, num_pixels),
    )
    run_chunks(kernel, num_steps * num_images, work=spikes.numel())
    return spikes


MAX_UNROLLED = 8
"""Most time steps with a kernel for their number."""


def _unrolled(number: int) -> tuple[int, ...] | np.ndarray:
    """Return `number` elements; few as a tuple, with a kernel of its own."""
    return (0,) * number if number <= MAX_UNROLLED else np.empty(number, np.int8)


def _through_statistics(
    grad: Tensor,
    current: Tensor,
    total: np.ndarray,
    product: np.ndarray,
    mean: np.ndarray,
    inverse: np.ndarray,
    scale: np.ndarray,
) -> None:
    """Turn `grad` `[…, H, W, C]` of the normalised current into that of `current`, in place.

    `total` `[C]` is the sum of `grad`, `product` that of `grad · (current − mean)`.
    """
    *images, height, width, channels = current.shape
    num_images = math.prod(images)
    count = num_images * height * width
    rows = [total / count, mean, product * inverse**2 / count, scale]
    # Rows of several pixels fill vectors better.
    pixels = compiled.LANES // math.gcd(channels, compiled.LANES)
    if height * width % pixels:
        pixels = 1
    coefficients = np.tile(np.array(rows).astype(np.float32), pixels).reshape(-1)
    shape = num_images, height * width // pixels, pixels * channels
    kernel = partial(compiled.normalise_gradient, flat(grad), flat(current), coefficients, shape)
    run_chunks(kernel, num_images, work=grad.numel())


def moments(current: Tensor) -> np.ndarray:
    """Return mean and biased variance, float64 `[2, C]`, of `current` `[…, H, W, C]`."""
    *images, height, width, channels = current.shape
    num_images = math.prod(images)
    values = flat(current)
    # Mean of squares less square of mean loses its digits if values are far from 0. So differences
    # from the channel's first value are summed, in each image, and their squares.
    pivot = current.reshape(-1, channels)[0].detach().float().numpy()
    sums = np.zeros((num_images, 2, channels), np.float32)
    kernel = partial(
        compiled.channel_sums,
        values,
        pivot,
        (num_images, height, width, channels),
        sums.reshape(-1),
    )
    run_chunks(kernel, num_images, work=len(values))
    offset, square = sums.sum(axis=0, dtype=np.float64) / (num_images * height * width)
    return np.stack([pivot + offset, np.maximum(square - offset * offset, 0)])


def inverse_deviation(var: np.ndarray, eps: float) -> np.ndarray:
    """Return float64 `[C]`."""
    return 1 / np.sqrt(var.astype(np.float64) + eps)


def _scale_and_shift(
    mean: np.ndarray, var: np.ndarray, weight: Tensor, bias: Tensor, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return scale and shift, float32 `[C]`, that normalise."""
    scale = weight.detach().numpy() * inverse_deviation(var, eps).astype(np.float32)
    return scale, bias.detach().numpy() - mean * scale


def _numbered(dynamics: Dynamics) -> tuple[Any, ...]:
    threshold, reset_mechanism, surrogate, alpha, _ = dynamics
    codes = RESET_MECHANISMS.index(reset_mechanism), SURROGATE_KERNELS.index(surrogate)
    return np.float32(threshold), *codes, float(alpha)


class Scanned(torch.autograd.Function):
    """Neurons over time, for a current `[T, …]`, or `[1, …]` if constant.

    Current and spikes are float32 or bfloat16, the rest float32.
    """

    @staticmethod
    def forward(
        ctx: Any,
        current: Tensor,
        state: Tensor | None,
        beta: Tensor,
        dynamics: Dynamics,
        num_steps: int,
        with_mem: bool,
    ) -> tuple[Tensor, ...]:
        """Return `(spk [T, …], mem [T, …] or [0, …], last [S, …])`."""
        ctx.save_for_backward(current, state, beta)
        ctx.set_materialize_grads(False)
        ctx.settings = dynamics, num_steps
        shape = current.shape[1:]
        spk = empty((num_steps, *shape), current.dtype)
        mem = empty((num_steps if with_mem else 0, *shape))
        last = empty((dynamics.state_size, *shape))
        inputs = _inputs(current, state, beta, dynamics, num_steps)
        kernel = partial(compiled.scan_forward, *inputs, flat(spk), flat(mem), flat(last))
        run_chunks(kernel, shape.numel(), work=spk.numel(), grain=compiled.LANES)
        return spk, mem, last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        if all(grad is None for grad in grads):
            return (None,) * 6
        (current, state, beta), (dynamics, num_steps) = ctx.saved_tensors, ctx.settings
        _, needs_state, needs_beta, *_ = ctx.needs_input_grad
        shape = current.shape[1:]
        grad_current = empty(tuple(current.shape), current.dtype)
        grad_state = empty((dynamics.state_size, *shape))
        grad_beta = empty((shape.numel() if needs_beta else 0,))
        kernel = partial(
            compiled.scan_backward,
            *(flat(NOTHING if grad is None else grad) for grad in grads),
            *_inputs(current, state, beta, dynamics, num_steps),
            flat(grad_current),
            flat(grad_state),
            flat(grad_beta),
        )
        run_chunks(
            with_scratch(kernel, *[(num_steps + 1) * compiled.LANES] * 3),
            shape.numel(),
            work=num_steps * shape.numel(),
            grain=compiled.LANES,
        )
        return (
            grad_current,
            grad_state if needs_state else None,
            grad_beta.double().sum().float() if needs_beta else None,
            None,
            None,
            None,
        )


class Normalised(torch.autograd.Function):
    """Batch norm, neurons and max-pooling of channels-last currents."""

    # Overflows give no warning, as in torch.
    @staticmethod
    @np.errstate(all="ignore")
    def forward(
        ctx: Any,
        current: Tensor,
        weight: Tensor,
        bias: Tensor,
        beta: Tensor,
        eps: float,
        dynamics: Dynamics,
        num_steps: int,
        window: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return `(spk [T, B, H / window, W / window, C], mean [C], var [C])` for contiguous
        `current` `[T, B, H, W, C]`, `[1, …]` if constant; `var` is biased.
        """
        _, batch, height, width, channels = current.shape
        mean, var = moments(current).astype(np.float32)
        rows, columns = height // window, width // window
        spk = empty((num_steps, batch, rows, columns, channels), current.dtype)
        kernel = partial(
            compiled.normalised_forward,
            flat(current),
            *_scale_and_shift(mean, var, weight, bias, eps),
            np.float32(beta.item()),
            _numbered(dynamics),
            tuple(current.shape[1:]),
            _unrolled(num_steps),
            _unrolled(window),
            flat(spk),
        )
        scratch = num_steps * compiled.LANES
        run_chunks(with_scratch(kernel, scratch), batch * rows, work=spk.numel() * window**2)
        statistics = torch.from_numpy(mean), torch.from_numpy(var)
        ctx.mark_non_differentiable(*statistics)
        ctx.save_for_backward(current, weight, bias, beta, *statistics)
        ctx.settings = eps, dynamics, num_steps, window
        return spk, *statistics

    @staticmethod
    @once_differentiable
    @np.errstate(all="ignore")
    def backward(ctx: Any, grad_spk: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        current, weight, bias, beta, *statistics = ctx.saved_tensors
        eps, dynamics, num_steps, window = ctx.settings
        needs_beta = ctx.needs_input_grad[3]
        mean, var = (values.numpy() for values in statistics)
        batch, height, width, channels = current.shape[1:]
        scale, shift = _scale_and_shift(mean, var, weight, bias, eps)
        grad = empty(tuple(current.shape), current.dtype)
        # Pixels left over by the pooling reach no spike.
        grad[:, :, height // window * window :] = 0
        grad[:, :, :, width // window * window :] = 0
        totals = np.zeros((3 if needs_beta else 2, batch, height, channels), np.float32)
        kernel = partial(
            compiled.normalised_backward,
            flat(grad_spk),
            flat(current),
            scale,
            shift,
            mean,
            np.float32(beta.item()),
            _numbered(dynamics),
            tuple(current.shape[1:]),
            _unrolled(num_steps),
            _unrolled(window),
            flat(grad),
            totals.reshape(-1),
            needs_beta,
        )
        size = num_steps * compiled.LANES
        run_chunks(
            with_scratch(kernel, window**2 * size, *[size] * 4),
            batch * (height // window),
            work=num_steps * current[0].numel(),
        )
        total, product, *about_beta = totals.sum(axis=2).sum(axis=1, dtype=np.float64)
        inverse = inverse_deviation(var, eps)
        _through_statistics(grad, current, total, product, mean, inverse, scale)
        of_weight, of_bias, of_beta = (
            torch.from_numpy(np.asarray(gradient, np.float32))
            for gradient in (product * inverse, total, np.sum(about_beta))
        )
        return grad, of_weight, of_bias, of_beta if needs_beta else None, *(None,) * 4


class NormalisedRate(torch.autograd.Function):
    """Batch norm, spike rates of integer neurons, and max-pooling of channels-last currents."""

    @staticmethod
    @np.errstate(all="ignore")
    def forward(
        ctx: Any,
        current: Tensor,
        shortcut: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        eps: float,
        num_steps: int,
        window: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return `(rate [B, H / window, W / window, C], mean [C], var [C])` for contiguous
        `current` and `shortcut` `[B, H, W, C]`; `var` is biased.
        """
        batch, height, width, channels = current.shape
        mean, var = moments(current).astype(np.float32)
        rows, columns = height // window, width // window
        rate = empty((batch, rows, columns, channels), current.dtype)
        kernel = partial(
            compiled.rate_forward,
            flat(current),
            flat(NOTHING if shortcut is None else shortcut),
            *_scale_and_shift(mean, var, weight, bias, eps),
            np.float32(num_steps),
            tuple(current.shape),
            _unrolled(window),
            flat(rate),
        )
        run_chunks(kernel, batch * rows, work=current.numel())
        statistics = torch.from_numpy(mean), torch.from_numpy(var)
        ctx.mark_non_differentiable(*statistics)
        ctx.save_for_backward(current, shortcut, weight, bias, *statistics)
        ctx.settings = eps, num_steps, window
        return rate, *statistics

    @staticmethod
    @once_differentiable
    @np.errstate(all="ignore")
    def backward(ctx: Any, grad_rate: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        current, shortcut, weight, bias, *statistics = ctx.saved_tensors
        eps, num_steps, window = ctx.settings
        mean, var = (values.numpy() for values in statistics)
        batch, height, width, channels = current.shape
        scale, shift = _scale_and_shift(mean, var, weight, bias, eps)
        grad = empty(tuple(current.shape), current.dtype)
        grad_shortcut = None if shortcut is None else empty(tuple(current.shape), current.dtype)
        # Pixels left over by the pooling reach no spike.
        for each in (grad, grad_shortcut):
            if each is not None:
                each[:, height // window * window :] = 0
                each[:, :, width // window * window :] = 0
        sums = np.zeros((2, batch, height, channels), np.float32)
        kernel = partial(
            compiled.rate_backward,
            flat(grad_rate),
            flat(current),
            flat(NOTHING if shortcut is None else shortcut),
            scale,
            shift,
            mean,
            np.float32(0.5 / num_steps),
            tuple(current.shape),
            _unrolled(window),
            flat(grad),
            flat(NOTHING if grad_shortcut is None else grad_shortcut),
            sums.reshape(-1),
        )
        run_chunks(kernel, batch * (height // window), work=current.numel())
        total, product = sums.sum(axis=2).sum(axis=1, dtype=np.float64)
        inverse = inverse_deviation(var, eps)
        _through_statistics(grad, current, total, product, mean, inverse, scale)
        of_weight, of_bias = (
            torch.from_numpy(gradient.astype(np.float32)) for gradient in (product * inverse, total)
        )
        return grad, grad_shortcut, of_weight, of_bias, None, None, None


class Projected(torch.autograd.Function):
    """Neurons under a constant current `[B, N]`, and a linear layer."""

    @staticmethod
    def forward(
        ctx: Any, current: Tensor, weight: Tensor, num_steps: int, beta: float, dynamics: Dynamics
    ) -> Tensor:
        """Return `[T, K, B]` in float32."""
        num_images, num_neurons = current.shape
        num_outputs = -(-len(weight) // compiled.OUTPUTS) * compiled.OUTPUTS
        weights = torch.zeros(num_outputs, num_neurons)
        weights[: len(weight)] = weight.detach()
        settings = np.float32(beta), _numbered(dynamics), num_steps, num_neurons
        ctx.save_for_backward(current, weight)
        ctx.operands, ctx.num_outputs = (flat(current), flat(weights), *settings), num_outputs
        out = torch.empty(num_images, num_steps, num_outputs)
        kernel = partial(compiled.projected_forward, *ctx.operands, flat(out))
        run_chunks(kernel, num_images, work=num_images * num_steps * num_neurons)
        return out[..., : len(weight)].permute(1, 2, 0).contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        current, weight = ctx.saved_tensors
        num_steps, (num_images, num_neurons) = len(grad), current.shape
        grads = torch.zeros(num_images, num_steps, ctx.num_outputs)
        grads[..., : len(weight)] = grad.permute(2, 0, 1)
        images = max(1, -(-num_images // _GROUPS))
        groups = -(-num_images // images)
        grad_current = empty((num_images, num_neurons), current.dtype)
        grad_weights = torch.empty(groups, ctx.num_outputs, num_neurons)
        operands = flat(grads), *ctx.operands, flat(grad_current), flat(grad_weights), images
        kernel = partial(compiled.projected_backward, *operands)
        run_chunks(kernel, groups, work=num_images * num_steps * num_neurons)
        return grad_current, grad_weights.sum(0)[: len(weight)].to(weight.dtype), None, None, None
