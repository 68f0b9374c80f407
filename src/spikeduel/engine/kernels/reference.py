"""Equations that every faster kernel has to agree with.

`u` is the membrane minus the threshold; a spike is its Heaviside step, with a surrogate gradient
(Neftci, Mostafa, Zenke 2019, "Surrogate Gradient Learning in Spiking Neural Networks"). Its width
`alpha` is scaled as in snnTorch (`slope` for `fast_sigmoid` and `sigmoid`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from spikeduel.system import registry
from spikeduel.system.errors import InputError

RESET_MECHANISMS = ("subtract", "zero", "none")


def atan(u: Tensor, alpha: float) -> Tensor:
    """alpha/2 / (1 + (π/2·alpha·u)²)"""
    return alpha / 2 / (1 + (math.pi / 2 * alpha * u) ** 2)


def fast_sigmoid(u: Tensor, alpha: float) -> Tensor:
    """1 / (1 + alpha·|u|)²"""
    return 1 / (1 + alpha * u.abs()) ** 2


def sigmoid(u: Tensor, alpha: float) -> Tensor:
    """alpha·s·(1 − s), with s = 1 / (1 + exp(−alpha·u))"""
    # Neither end of the range overflows or cancels: 1 − s has few digits if s is near 1.
    e = torch.exp(-(alpha * u).abs())
    return alpha * e / ((1 + e) * (1 + e))


def triangular(u: Tensor, alpha: float) -> Tensor:
    """alpha·max(0, 1 − alpha·|u|): a triangle of area 1"""
    return alpha * (1 - alpha * u.abs()).clamp(min=0)


def straight_through_estimator(u: Tensor, alpha: float) -> Tensor:
    """1 everywhere; alpha has no effect"""
    return torch.ones_like(u)


@dataclass(frozen=True)
class Surrogate:
    """A gradient that replaces that of a spike in training.

    Parameters
    ----------
    gradient : callable
        `gradient(u, alpha)`, where `u` is the membrane minus the threshold.
    alpha : float
        Usual width.

    Examples
    --------
    >>> SURROGATES["atan"].gradient(torch.tensor(0.0), alpha=2.0)
    tensor(1.)
    """

    gradient: Callable[[Tensor, float], Tensor]
    alpha: float = 1.0


SURROGATES: dict[str, Surrogate] = {
    "atan": Surrogate(atan, 2.0),
    "fast_sigmoid": Surrogate(fast_sigmoid, 25.0),
    "sigmoid": Surrogate(sigmoid, 25.0),
    "triangular": Surrogate(triangular, 1.0),
    "straight_through_estimator": Surrogate(straight_through_estimator, 1.0),
}
SURROGATE_KERNELS = tuple(SURROGATES)
"""Surrogates with fused kernels."""


def surrogate_of(name: str) -> Surrogate:
    """Return the surrogate `name`, or `module:attribute`: a `Surrogate`, or its function. Raises
    `InputError`.
    """
    expected = "a function (u, alpha) -> gradient"
    return registry.resolve_as(Surrogate, "surrogate", name, SURROGATES, expected)


def resolve_alpha(name: str, alpha: float | None = None) -> float:
    """Return `alpha`, or the customary one of `name`. Raises `InputError`."""
    resolved = surrogate_of(name).alpha if alpha is None else float(alpha)
    if not resolved > 0 or not math.isfinite(resolved):
        raise InputError(f"surrogate_alpha must be a positive number, not {alpha}.")
    return resolved


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, gradient: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(u)
        ctx.gradient = gradient
        return (u > 0).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (u,) = ctx.saved_tensors
        return grad * ctx.gradient(u), None


def spike(u: Tensor, surrogate: str = "atan", alpha: float | None = None) -> Tensor:
    """Return 1 where `u` > 0, else 0, with the named surrogate's gradient."""
    gradient, width = surrogate_of(surrogate).gradient, resolve_alpha(surrogate, alpha)
    return _Spike.apply(u, lambda at: gradient(at, width))


class _IntegerRate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, current: Tensor, num_steps: int) -> Tensor:
        ctx.save_for_backward(current)
        ctx.beyond = 0.5 / num_steps
        return (current * num_steps).clamp(0, num_steps).round() / num_steps

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (current,) = ctx.saved_tensors
        return grad * ((current >= -ctx.beyond) & (current <= 1 + ctx.beyond)), None


def integer_rate(current: Tensor, num_steps: int) -> Tensor:
    """Return `current` rounded to 0, 1/T, … 1: the share of steps in which an integer neuron
    spikes. The gradient passes the rounding, up to half a step beyond 0 and 1.
    """
    rate: Tensor = _IntegerRate.apply(current, num_steps)
    return rate


def integer_spikes(current: Tensor, num_steps: int) -> Tensor:
    """Return the spikes `[T, B, …]` of integer neurons with the mean `current` `[B, …]`: the first
    steps have them, `integer_rate` of all. Each spike has the gradient of the rate.
    """
    rate = integer_rate(current, num_steps)
    steps = torch.arange(num_steps, device=rate.device).view(-1, *[1] * rate.dim())
    spk = (steps + 0.5 < rate * num_steps).to(rate.dtype)
    return spk + (rate - rate.detach())


class Dynamics(NamedTuple):
    """Dynamics of a layer of neurons without `beta`; `adaptation` is None, or `(decay, gain)`."""

    threshold: float | Tensor
    reset_mechanism: str = "subtract"
    surrogate: str = "atan"
    alpha: float = 2.0
    adaptation: tuple[float, float] | None = None

    @property
    def state_size(self) -> int:
        return 1 if self.adaptation is None else 2


def step(
    current: Tensor, state: tuple[Tensor, ...], beta: Tensor | float, dynamics: Dynamics
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return spikes and the next state for `current` `[B, …]` and a state, all of one shape.

    A leaky integrate-and-fire neuron, as snnTorch's `Leaky`, spikes, S[t] = 1, where its membrane
    U[t] > threshold. `subtract`: U[t] = (beta·U[t−1] + I[t]) − S[t−1]·threshold; `zero`: U[t] =
    beta·(1−S[t−1])·U[t−1] + I[t]; `none`: no reset. The reset comes one step late and carries no
    gradient.

    An adaptive one (Bellec et al. 2020, "A solution to the learning dilemma for recurrent networks
    of spiking neurons") has A[t] = decay·A[t−1] + S[t−1] too, and spikes where U[t] > threshold +
    gain·A[t]. A reset subtracts `threshold`, not the level. The adaptation carries a gradient.
    """
    threshold, reset_mechanism, surrogate, alpha, adaptation = dynamics
    mem = state[0]
    if adaptation is None:
        adapted: tuple[Tensor, ...] = ()
        reset, level = (mem > threshold).to(mem.dtype).detach(), threshold
    else:
        decay, gain = adaptation
        last_spk = spike(mem - (threshold + gain * state[1]), surrogate, alpha)
        adapted = (decay * state[1] + last_spk,)
        reset, level = last_spk.detach(), threshold + gain * adapted[0]
    if reset_mechanism == "subtract":
        mem = (beta * mem + current) - reset * threshold
    elif reset_mechanism == "zero":
        mem = beta * ((1 - reset) * mem) + current
    else:
        mem = beta * mem + current
    return spike(mem - level, surrogate, alpha), (mem, *adapted)


def scan(
    current: Tensor, beta: Tensor | float, dynamics: Dynamics, state: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return `(spk [T, …], mem [T, …], last state)` of the steps over `current` `[T, …]` from
    `state` `[S, …]` (None: zeros).
    """
    if state is None:
        state = torch.zeros_like(current[:1]).expand(dynamics.state_size, *current.shape[1:])
    now = tuple(state[i] for i in range(dynamics.state_size))
    spikes, membranes = [], []
    for x in current.unbind(0):
        spk, now = step(x, now, beta, dynamics)
        spikes.append(spk)
        membranes.append(now[0])
    return torch.stack(spikes), torch.stack(membranes), torch.stack(now)


def philox(counter: np.ndarray, key: np.ndarray, rounds: int = 10) -> np.ndarray:
    """Return random words uint32 `[…, 4]` of Philox 4×32 from a `counter` `[…, 4]` and a `key` `[…,
    2]` (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
    """
    c0, c1, c2, c3 = (counter[..., i].astype(np.uint64) for i in range(4))
    k0, k1 = key[..., 0].astype(np.uint64), key[..., 1].astype(np.uint64)
    low, high = np.uint64(0xFFFFFFFF), np.uint64(32)
    for _ in range(rounds):
        product0, product1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = (
            (product1 >> high) ^ c1 ^ k0,
            product1 & low,
            (product0 >> high) ^ c3 ^ k1,
            product0 & low,
        )
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & low, (k1 + np.uint64(0xBB67AE85)) & low
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def draw_levels(keys: np.ndarray, num_steps: int, num_pixels: int) -> np.ndarray:
    """Return levels uint8 `[T, B, num_pixels]`, uniform on 0 … 254, for `keys` uint64 `[B]`.

    Pixel p at step t is word p mod 4 of Philox block (p div 4, t, 0, 0) under the key (low half,
    high half), scaled by (word · 255) >> 32: independent of batching and threads.
    """
    blocks = -(-num_pixels // 4)
    counter = np.zeros((num_steps, len(keys), blocks, 4), np.uint32)
    counter[..., 0] = np.arange(blocks, dtype=np.uint32)
    counter[..., 1] = np.arange(num_steps, dtype=np.uint32)[:, None, None]
    key = np.stack([keys & np.uint64(0xFFFFFFFF), keys >> np.uint64(32)], axis=-1).astype(np.uint32)
    words = philox(counter, key[None, :, None, :])
    levels = (words.astype(np.uint64) * np.uint64(255)) >> np.uint64(32)
    return levels.astype(np.uint8).reshape(num_steps, len(keys), blocks * 4)[..., :num_pixels]


def rate_spikes(images: Tensor, keys: np.ndarray, num_steps: int) -> Tensor:
    """Return Bernoulli spikes, bool `[T, B, …]`, for `images` uint8 `[B, …]`, with probability
    exactly p/255.
    """
    levels = draw_levels(keys, num_steps, images.shape[1:].numel())
    return torch.from_numpy(levels).view(num_steps, *images.shape).to(images.device) < images
