"""How an image becomes something that has a time axis."""

import hashlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from spikeduel import kernels
from spikeduel.constant import Constant
from spikeduel.kernels import reference

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Draw:
    """The random numbers of one batch: one 64-bit key an image, so that they depend on neither batching nor threads."""

    def __init__(self, keys: np.ndarray, first_step: int = 0) -> None:
        self.keys = np.ascontiguousarray(keys, dtype=np.uint64)
        self.first_step = first_step

    def starting_at(self, first_step: int) -> "Draw":
        """The same numbers, from `first_step` on."""
        return Draw(self.keys, first_step)

    @classmethod
    def for_training(cls, seed: int, epoch: int, indices: np.ndarray) -> "Draw":
        """Fresh draws for every seed, epoch and image index `[B]`."""
        return cls(_mix(_mix(_mix(_stream(1), seed), epoch), indices))

    @classmethod
    def for_evaluation(cls, indices: np.ndarray, repeat: int = 0) -> "Draw":
        """The same draws at every evaluation, by image index `[B]`; another `repeat`, other draws."""
        return cls(_mix(_mix(_stream(2), repeat), indices))

    @classmethod
    def for_content(cls, images: Tensor) -> "Draw":
        """Draws that depend on the pixels only, for images `[B, …]` without an index."""
        digests = [hashlib.blake2b(image.tobytes(), digest_size=8).digest() for image in images.cpu().numpy()]
        return cls(_mix(_stream(3), np.frombuffer(b"".join(digests), np.uint64)))

    def levels(self, num_steps: int, images: Tensor) -> Tensor:
        """Random levels, uniform on 0 … 254: uint8 `[T, B, …]` for `images` `[B, …]`; for encoders of one's own."""
        levels = reference.draw_levels(self.keys, num_steps, images.shape[1:].numel(), self.first_step)
        return torch.from_numpy(levels).view(num_steps, *images.shape).to(images.device)


def _stream(number: int) -> np.ndarray:
    return np.array([number], np.uint64)


def _mix(state: np.ndarray, value: int | np.ndarray) -> np.ndarray:
    """Folds `value` into `state` by the finaliser of SplitMix64 (Steele, Lea, Flood 2014)."""
    z = state * _GOLDEN + np.asarray(value).astype(np.uint64) + _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def analogue(images: Tensor) -> Tensor:
    """uint8 `[B, C, H, W]` as float32 in [0, 1]: what a CNN sees."""
    return images.float() / 255


def direct(images: Tensor, num_steps: int, draw: Draw) -> Constant:
    """the analogue image at every step"""
    return Constant(analogue(images), num_steps)


def rate(images: Tensor, num_steps: int, draw: Draw) -> Tensor:
    """at every step a pixel of value p fires with probability p/255"""
    device = images.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32
    return kernels.rate_spikes(images, draw.keys, num_steps, dtype, draw.first_step)


def latency(images: Tensor, num_steps: int, draw: Draw) -> Tensor:
    """one spike a pixel, the earlier the brighter: at step round((1 − p/255)·(T−1)); black pixels stay silent"""
    # In whole numbers (rounding half up), so that every machine rounds alike.
    step = ((255 - images.int()) * (num_steps - 1) * 2 + 255) // 510
    step = torch.where(images == 0, num_steps, step)
    steps = torch.arange(num_steps, device=images.device).view(-1, *[1] * images.ndim)
    return (step == steps).float()


ENCODERS: dict[str, Callable[[Tensor, int, Draw], Tensor | Constant]] = {
    "direct": direct,
    "rate": rate,
    "latency": latency,
}

STEPWISE = ("direct", "rate")
"""Those whose step t depends on neither the number of steps nor the other ones: a window of time is made directly."""
