"""Random numbers by purpose, not by when they are drawn."""

import hashlib
import random
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial, reduce

import numpy as np
import torch
from torch import Tensor

from spikeduel.engine.kernels import reference

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class RandomKeys:
    """A 64-bit key per image, for random numbers that depend on neither batches nor threads.

    Parameters
    ----------
    values : ndarray of uint64, shape [B], or callable
        Keys, or a function that returns them. The function is called only if keys are used.
    turns : callable, optional
        Function that returns a number per image. It makes `alternating` alternate.

    Examples
    --------
    An image has the same numbers in any batch:

    >>> both = RandomKeys.for_evaluation(np.array([7, 8])).integers(100)
    >>> torch.equal(both[1:], RandomKeys.for_evaluation(np.array([8])).integers(100))
    True
    """

    def __init__(
        self,
        values: np.ndarray | Callable[[], np.ndarray],
        turns: Callable[[], np.ndarray] | None = None,
    ) -> None:
        self._values = values
        self._turns = turns

    @cached_property
    def values(self) -> np.ndarray:
        values = self._values() if callable(self._values) else self._values
        return np.ascontiguousarray(values, dtype=np.uint64)

    @classmethod
    def for_training(cls, seed: int, epoch: int, indices: np.ndarray) -> "RandomKeys":
        """Return keys to encode training images, by seed, epoch and image index `[B]`."""
        return cls(lambda: _folded(1, seed, epoch, indices))

    @classmethod
    def for_evaluation(cls, indices: np.ndarray, repeat: int = 0) -> "RandomKeys":
        """Return keys by image index `[B]`, equal at every evaluation of a `repeat`."""
        return cls(_folded(2, repeat, indices))

    @classmethod
    def for_content(cls, images: Tensor) -> "RandomKeys":
        """Return keys by the pixels of images uint8 `[B, …]`."""
        digests = [
            hashlib.blake2b(image.tobytes(), digest_size=8).digest()
            for image in images.cpu().numpy()
        ]
        return cls(_folded(3, np.frombuffer(b"".join(digests), np.uint64)))

    @classmethod
    def for_augmentation(cls, seed: int, epoch: int, indices: np.ndarray) -> "RandomKeys":
        """Return keys to change training images."""
        turns = lambda: (_folded(6, seed, indices) >> np.uint64(32)) + np.uint64(epoch)  # noqa: E731
        return cls(lambda: _folded(4, seed, epoch, indices), turns=turns)

    @classmethod
    def for_events(cls, seed: int, epoch: int, indices: np.ndarray) -> "RandomKeys":
        """Return keys to change the events of recordings."""
        return cls(lambda: _folded(8, seed, epoch, indices))

    @classmethod
    def for_corruption(cls, name: str, indices: np.ndarray) -> "RandomKeys":
        """Return keys to corrupt test images in the way `name`."""
        return cls(lambda: _folded(16, zlib.crc32(name.encode()), indices))

    def another(self) -> "RandomKeys":
        """Return independent keys for a second purpose."""
        return RandomKeys(_folded(5, self.values), turns=self._turns)

    def integers(self, *stops: int) -> Tensor:
        """Return int64 `[B, n]`: per image a uniform integer below each of n `stops`."""
        words = _mix(self.values[:, None], np.arange(len(stops))) >> np.uint64(32)
        return torch.from_numpy(
            ((words * np.array(stops, np.uint64)) >> np.uint64(32)).astype(np.int64)
        )

    def alternating(self) -> Tensor:
        """Return bool `[B]`: random, and with keys `for_augmentation` the opposite in the next
        epoch.
        """
        turns = self._turns() if self._turns else self.integers(2)[:, 0].numpy()
        return torch.from_numpy(turns.astype(np.int64) % 2 == 1)

    def levels(self, num_steps: int, images: Tensor) -> Tensor:
        """Return levels, uniform on 0 … 254: uint8 `[T, B, …]` for `images` `[B, …]`."""
        levels = reference.draw_levels(self.values, num_steps, images.shape[1:].numel())
        return torch.from_numpy(levels).view(num_steps, *images.shape).to(images.device)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch (all devices), NumPy and Python within; restore their states after."""
    of_python, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (what others draw from)
    put_back = [
        partial(module.set_rng_state, module.get_rng_state(number), number)
        for module in (torch.cuda, torch.xpu)
        for number in range(module.device_count() if module.is_initialized() else 0)
    ]
    if torch.backends.mps.is_available():
        put_back.append(partial(torch.mps.set_rng_state, torch.mps.get_rng_state()))
    with torch.random.fork_rng(()):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            for restore in put_back:
                restore()
            random.setstate(of_python)
            np.random.set_state(of_numpy)  # noqa: NPY002


def _folded(stream: int, *values: int | np.ndarray) -> np.ndarray:
    return reduce(_mix, values, np.array([stream], np.uint64))


def _mix(state: np.ndarray, value: int | np.ndarray) -> np.ndarray:
    """Fold `value` into `state` by the finaliser of SplitMix64 (Steele, Lea, Flood 2014)."""
    z = state * _GOLDEN + np.asarray(value).astype(np.uint64) + _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
