"""The equations, readable: what every faster kernel has to agree with."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from spikeduel.spiking.surrogates import spike

RESET_MECHANISMS = ("subtract", "zero", "none")
SURROGATE_KERNELS = ("atan", "fast_sigmoid", "sigmoid", "triangular", "straight_through_estimator")
"""The surrogates that the fused kernels know."""


class Dynamics(NamedTuple):
    """What, beside its decay `beta`, a layer of neurons does at every step.

    `adaptation` is None, or an adaptive neuron's `(decay, gain)`.
    """

    threshold: float | Tensor
    reset_mechanism: str = "subtract"
    surrogate: str = "atan"
    alpha: float = 2.0
    adaptation: tuple[float, float] | None = None

    @property
    def state_size(self) -> int:
        """How many numbers a neuron carries from step to step: its membrane, and its adaptation if it has one."""
        return 1 if self.adaptation is None else 2


def lif_step(
    current: Tensor,
    mem: Tensor,
    beta: Tensor | float,
    threshold: Tensor | float,
    reset_mechanism: str,
    surrogate: str,
    alpha: float,
) -> tuple[Tensor, Tensor]:
    """One step of a leaky integrate-and-fire neuron, as snnTorch's `Leaky` defines it.

    `subtract`: U[t] = (beta·U[t−1] + I[t]) − R[t−1]·threshold; `zero`: U[t] = beta·(1−R[t−1])·U[t−1] + I[t];
    `none`: no reset. R[t−1] is 1 where U[t−1] > threshold: the reset comes one step late and carries no gradient.

    Takes `current` and `mem` `[B, …]`; returns `(spk, mem)` of that shape.
    """
    reset = (mem > threshold).to(mem.dtype).detach()
    mem = _membrane(current, mem, reset, beta, threshold, reset_mechanism)
    return spike(mem - threshold, surrogate, alpha), mem


def alif_step(
    current: Tensor,
    mem: Tensor,
    adaptation: Tensor,
    beta: Tensor | float,
    threshold: Tensor | float,
    decay: float,
    gain: float,
    reset_mechanism: str,
    surrogate: str,
    alpha: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """One step of an adaptive LIF neuron (Bellec et al. 2020, "A solution to the learning dilemma for recurrent
    networks of spiking neurons"): every spike raises the level that the next has to pass.

    A[t] = decay·A[t−1] + S[t−1]; the membrane as in `lif_step`; S[t] is 1 where U[t] > threshold + gain·A[t].
    A reset subtracts `threshold`, not the level. The adaptation carries a gradient, the reset none.

    Takes `current`, `mem` and `adaptation` `[B, …]`; returns `(spk, mem, adaptation)` of that shape.
    """
    last_spk = spike(mem - (threshold + gain * adaptation), surrogate, alpha)
    adaptation = decay * adaptation + last_spk
    mem = _membrane(current, mem, last_spk.detach(), beta, threshold, reset_mechanism)
    return spike(mem - (threshold + gain * adaptation), surrogate, alpha), mem, adaptation


def _membrane(
    current: Tensor,
    mem: Tensor,
    reset: Tensor,
    beta: Tensor | float,
    threshold: Tensor | float,
    reset_mechanism: str,
) -> Tensor:
    if reset_mechanism == "subtract":
        return (beta * mem + current) - reset * threshold
    if reset_mechanism == "zero":
        return beta * ((1 - reset) * mem) + current
    return beta * mem + current


def scan(
    current: Tensor, beta: Tensor | float, dynamics: Dynamics, state: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The step over the first axis of `current` `[T, …]`, from `state` `[S, …]` (at rest, zeros).

    Returns `(spk, mem, last)`: `[T, …]` twice, and the state after the last step. S is `dynamics.state_size`.
    """
    if state is None:
        state = torch.zeros_like(current[:1]).expand(dynamics.state_size, *current.shape[1:])
    threshold, reset_mechanism, surrogate, alpha, adaptation = dynamics
    mem, now = state[0], state[-1]
    spikes, membranes = [], []
    for x in current.unbind(0):
        if adaptation is None:
            spk, mem = lif_step(x, mem, beta, threshold, reset_mechanism, surrogate, alpha)
        else:
            decay, gain = adaptation
            spk, mem, now = alif_step(x, mem, now, beta, threshold, decay, gain, reset_mechanism, surrogate, alpha)
        spikes.append(spk)
        membranes.append(mem)
    last = torch.stack([mem] if adaptation is None else [mem, now])
    return torch.stack(spikes), torch.stack(membranes), last


def philox(counter: np.ndarray, key: np.ndarray, rounds: int = 10) -> np.ndarray:
    """Philox 4×32: random words from a counter (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").

    `counter` is uint32 `[…, 4]`, `key` uint32 `[…, 2]`; returns uint32 `[…, 4]`.
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


def draw_levels(keys: np.ndarray, num_steps: int, num_pixels: int, first_step: int = 0) -> np.ndarray:
    """Random levels, uniform on 0 … 254: uint8 `[T, B, num_pixels]`, for `keys` uint64 `[B]`, from `first_step` on.

    A level depends on its key, step and pixel only, hence on neither batching nor threads: pixel p at step t is
    word p mod 4 of Philox block (p div 4, t, 0, 0) under the key (low half, high half), scaled to 0 … 254 by
    (word · 255) >> 32.
    """
    blocks = -(-num_pixels // 4)
    counter = np.zeros((num_steps, len(keys), blocks, 4), np.uint32)
    counter[..., 0] = np.arange(blocks, dtype=np.uint32)
    counter[..., 1] = np.arange(first_step, first_step + num_steps, dtype=np.uint32)[:, None, None]
    key = np.stack([keys & np.uint64(0xFFFFFFFF), keys >> np.uint64(32)], axis=-1).astype(np.uint32)
    words = philox(counter, key[None, :, None, :])
    levels = (words.astype(np.uint64) * np.uint64(255)) >> np.uint64(32)
    return levels.astype(np.uint8).reshape(num_steps, len(keys), blocks * 4)[..., :num_pixels]


def rate_spikes(images: Tensor, keys: np.ndarray, num_steps: int, first_step: int = 0) -> Tensor:
    """Bernoulli spikes: bool `[T, B, …]` for `images` uint8 `[B, …]`, firing with probability exactly p/255.

    A pixel fires where its level, uniform on 0 … 254, is below its value: 255 always, 0 never.
    """
    levels = draw_levels(keys, num_steps, images.shape[1:].numel(), first_step)
    return torch.from_numpy(levels).view(num_steps, *images.shape).to(images.device) < images
