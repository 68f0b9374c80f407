"""Random numbers that depend on what they are for, not on when they are drawn."""

import hashlib
import random
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from spikeduel.spiking.kernels import reference

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class RandomKeys:
    """The random numbers of one batch: one 64-bit key an image, so that they depend on neither batching nor threads.

    `keys` `[B]` may be a function that gives them: many draws are never asked.
    """

    def __init__(self, keys: np.ndarray | Callable[[], np.ndarray], first_step: int = 0) -> None:
        self._given = keys
        self.first_step = first_step

    @cached_property
    def keys(self) -> np.ndarray:
        """uint64 `[B]`."""
        keys = self._given() if callable(self._given) else self._given
        return np.ascontiguousarray(keys, dtype=np.uint64)

    def starting_at(self, first_step: int) -> "RandomKeys":
        """The same numbers, from `first_step` on."""
        return RandomKeys(lambda: self.keys, first_step)

    @classmethod
    def for_training(cls, seed: int, epoch: int, indices: np.ndarray) -> "RandomKeys":
        """Fresh draws for every seed, epoch and image index `[B]`."""
        return cls(lambda: _mix(_mix(_mix(_stream(1), seed), epoch), indices))

    @classmethod
    def for_evaluation(cls, indices: np.ndarray, repeat: int = 0) -> "RandomKeys":
        """The same draws at every evaluation, by image index `[B]`; another `repeat`, other draws."""
        return cls(_mix(_mix(_stream(2), repeat), indices))

    @classmethod
    def for_content(cls, images: Tensor) -> "RandomKeys":
        """Draws that depend on the pixels only, for images `[B, …]` without an index."""
        digests = [hashlib.blake2b(image.tobytes(), digest_size=8).digest() for image in images.cpu().numpy()]
        return cls(_mix(_stream(3), np.frombuffer(b"".join(digests), np.uint64)))

    @classmethod
    def for_augmentation(cls, seed: int, epoch: int, indices: np.ndarray) -> "RandomKeys":
        """As `for_training`, and independent of it: what is drawn to change an image, not to encode it."""
        return cls(lambda: _mix(_mix(_mix(_stream(4), seed), epoch), indices))

    @classmethod
    def for_corruption(cls, name: str, indices: np.ndarray) -> "RandomKeys":
        """What is drawn to spoil a test image in the way `name`: by image index `[B]`, whoever looks at it."""
        return cls(lambda: _mix(_mix(_stream(16), zlib.crc32(name.encode())), indices))

    def another(self) -> "RandomKeys":
        """Draws for the same images that are independent of these: for a second purpose."""
        return RandomKeys(_mix(_stream(5), self.keys))

    def integers(self, *stops: int) -> Tensor:
        """For each image and each of `stops`, a whole number uniform on 0 … stop − 1: int64 `[B, n]`, on the CPU."""
        words = _mix(self.keys[:, None], np.arange(len(stops))) >> np.uint64(32)
        return torch.from_numpy(((words * np.array(stops, np.uint64)) >> np.uint64(32)).astype(np.int64))

    def levels(self, num_steps: int, images: Tensor) -> Tensor:
        """Random levels, uniform on 0 … 254: uint8 `[T, B, …]` for `images` `[B, …]`; for encoders of one's own."""
        levels = reference.draw_levels(self.keys, num_steps, images.shape[1:].numel(), self.first_step)
        return torch.from_numpy(levels).view(num_steps, *images.shape).to(images.device)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within, the generators of torch (on every device), NumPy and Python start from `seed`; after, they are as before.

    For code of the user's, and layers such as dropout, that draw by themselves: where each epoch and each measure
    begins from a seed of its own, nothing of these generators needs to be saved. Generators that an object holds of
    its own are out of reach.
    """
    of_python, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (what others draw from)
    with torch.random.fork_rng(range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(of_python)
            np.random.set_state(of_numpy)  # noqa: NPY002


def _stream(number: int) -> np.ndarray:
    return np.array([number], np.uint64)


def _mix(state: np.ndarray, value: int | np.ndarray) -> np.ndarray:
    """Folds `value` into `state` by the finaliser of SplitMix64 (Steele, Lea, Flood 2014)."""
    z = state * _GOLDEN + np.asarray(value).astype(np.uint64) + _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
