"""Random numbers that depend on what they are for, not on when they are drawn."""

import hashlib
import random
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial, reduce

import numpy as np
import torch
from torch import Tensor

from spikeduel.spiking.kernels import reference

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class RandomKeys:
    """What random numbers of one batch are drawn from: a 64-bit key for each image.

    So they depend on neither batching nor threads. `values` `[B]` may be a function that gives the
    keys: those of a batch that nothing random is done to are never made.
    """

    def __init__(
        self,
        values: np.ndarray | Callable[[], np.ndarray],
        first_step: int = 0,
        turns: Callable[[], np.ndarray] | None = None,
    ) -> None:
        self._values = values
        self.first_step = first_step
        self._turns = turns

    @cached_property
    def values(self) -> np.ndarray:
        """The keys, uint64 `[B]`."""
        values = self._values() if callable(self._values) else self._values
        return np.ascontiguousarray(values, dtype=np.uint64)

    def starting_at(self, first_step: int) -> "RandomKeys":
        """The same random numbers, from time step `first_step` on."""
        return RandomKeys(lambda: self.values, first_step)

    @classmethod
    def for_training(cls, seed: int, epoch: int, indices: np.ndarray) -> "RandomKeys":
        """Others for every seed, epoch and image index `[B]`: to encode training images."""
        return cls(lambda: _folded(1, seed, epoch, indices))

    @classmethod
    def for_evaluation(cls, indices: np.ndarray, repeat: int = 0) -> "RandomKeys":
        """The same at every evaluation, by image index `[B]`; others for another `repeat`."""
        return cls(_folded(2, repeat, indices))

    @classmethod
    def for_content(cls, images: Tensor) -> "RandomKeys":
        """By the pixels only, for images uint8 `[B, …]` without an index."""
        digests = [
            hashlib.blake2b(image.tobytes(), digest_size=8).digest()
            for image in images.cpu().numpy()
        ]
        return cls(_folded(3, np.frombuffer(b"".join(digests), np.uint64)))

    @classmethod
    def for_augmentation(cls, seed: int, epoch: int, indices: np.ndarray) -> "RandomKeys":
        """As `for_training`, and independent of it: to change training images, not to encode
        them.
        """
        turns = lambda: (_folded(6, seed, indices) >> np.uint64(32)) + np.uint64(epoch)  # noqa: E731
        return cls(lambda: _folded(4, seed, epoch, indices), turns=turns)

    @classmethod
    def for_mixing(cls, seed: int, epoch: int, indices: np.ndarray) -> "RandomKeys":
        """As `for_training`, and independent of all other keys: to mix training images with one
        another.
        """
        return cls(lambda: _folded(7, seed, epoch, indices))

    @classmethod
    def for_events(cls, seed: int, epoch: int, indices: np.ndarray) -> "RandomKeys":
        """As `for_training`, and independent of all other keys: to change the events of
        recordings.
        """
        return cls(lambda: _folded(8, seed, epoch, indices))

    @classmethod
    def for_corruption(cls, name: str, indices: np.ndarray) -> "RandomKeys":
        """To corrupt test images in the way `name`: by image index `[B]`, the same for every
        model.
        """
        return cls(lambda: _folded(16, zlib.crc32(name.encode()), indices))

    def another(self) -> "RandomKeys":
        """Keys for the same images that are independent of these: for a second purpose."""
        return RandomKeys(_folded(5, self.values), turns=self._turns)

    def integers(self, *stops: int) -> Tensor:
        """For each image and each of `stops`, a whole number uniform on 0 … stop − 1: int64 `[B,
        n]`, on the CPU.
        """
        words = _mix(self.values[:, None], np.arange(len(stops))) >> np.uint64(32)
        return torch.from_numpy(
            ((words * np.array(stops, np.uint64)) >> np.uint64(32)).astype(np.int64)
        )

    def alternating(self) -> Tensor:
        """For each image true or false, and the other in the next epoch: bool `[B]`, on the CPU.

        Only keys `for_augmentation` know epochs; of others it is drawn.
        """
        turns = self._turns() if self._turns else self.integers(2)[:, 0].numpy()
        return torch.from_numpy(turns.astype(np.int64) % 2 == 1)

    def levels(self, num_steps: int, images: Tensor) -> Tensor:
        """Random levels, uniform on 0 … 254: uint8 `[T, B, …]` for `images` `[B, …]`."""
        levels = reference.draw_levels(
            self.values, num_steps, images.shape[1:].numel(), self.first_step
        )
        return torch.from_numpy(levels).view(num_steps, *images.shape).to(images.device)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within, the generators of torch (on every device), NumPy and Python start from `seed`; after,
    they are as before.

    For the user's code and layers such as dropout, which draw from these generators: each epoch and
    each measure begins from its seed, so that no state of a generator has to be saved. A generator
    that an object holds is out of reach.
    """
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
            for each in put_back:
                each()
            random.setstate(of_python)
            np.random.set_state(of_numpy)  # noqa: NPY002


def _folded(stream: int, *values: int | np.ndarray) -> np.ndarray:
    """Keys of a `stream` of their own that depend on all of `values`, numbers or arrays `[B]`."""
    return reduce(_mix, values, np.array([stream], np.uint64))


def _mix(state: np.ndarray, value: int | np.ndarray) -> np.ndarray:
    """Folds `value` into `state` by the finaliser of SplitMix64 (Steele, Lea, Flood 2014)."""
    z = state * _GOLDEN + np.asarray(value).astype(np.uint64) + _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
