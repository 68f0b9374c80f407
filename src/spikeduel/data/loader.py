"""Batches for training and testing, from memory or a memory map (step 3 of data)."""

import os
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import repeat, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from spikeduel.data.events.recordings import Recordings
from spikeduel.data.workers import in_turn
from spikeduel.system.load import available_memory

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    Batches = Generator[tuple[Tensor, Tensor, np.ndarray], None, None]

ImageArrays: TypeAlias = "Tensor | np.memmap | Recordings"
"""Source of batches, uint8 `[N, C, H, W]`."""
Item = TypeVar("Item")

_ORDER = 0x0DE2
"""Separates these random numbers from others drawn with the same seed."""
EVALUATION_BATCH = 256
WHOLE = 2 << 30
"""Bytes of training images up to which they are shuffled one by one, above by blocks."""
BLOCK = 64 << 10
"""Bytes of a block of images, which a disk reads at once."""
WINDOW = 512 << 20
"""Bytes of blocks whose images are mixed: a block may hold one class alone."""
AHEAD = 2
"""Batches made or asked for ahead."""
SHARE = 0.5
"""Largest share of the available memory for a set."""
_sharing = 1


def training_batches(
    images: ImageArrays,
    labels: "Tensor",
    indices: np.ndarray,
    batch_size: int,
    seed: int,
    epoch: int,
) -> "Batches":
    """Yield shuffled (images uint8 `[B, C, H, W]`, labels int64 `[B]`, indices int64 `[B]`). The
    order depends on `seed`, `epoch` and the images' size alone. A smaller last batch is kept.
    """
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([_ORDER, seed, epoch])))
    if by_blocks(images, len(indices)):
        size = _bytes_of_one(images)
        block, window = max(1, BLOCK // size), max(1, WINDOW // size)
        unmixed, order = _shuffled_blocks(np.sort(indices), block, window, rng)
        return _batches(images, labels, order, batch_size, unmixed, window)
    return _batches(images, labels, rng.permutation(indices), batch_size)


def by_blocks(images: "ImageArrays | np.ndarray", count: int) -> bool:
    """Return True if `count` images are shuffled by blocks; never recordings."""
    return not isinstance(images, Recordings) and count * _bytes_of_one(images) > WHOLE


def _bytes_of_one(images: "ImageArrays | np.ndarray") -> int:
    return max(1, images.nbytes // max(1, len(images)))


def _shuffled_blocks(
    indices: np.ndarray, block: int, window: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Shuffle `indices` `[N]` in blocks of `block`; return them so, and with each `window` mixed.
    The first block's length is drawn, so that blocks differ between epochs.
    """
    number = (np.arange(len(indices)) + rng.integers(block)) // block
    place = rng.permutation(int(number[-1]) + 1 if len(number) else 0)
    unmixed = indices[np.argsort(place[number], kind="stable")]
    order = unmixed.copy()
    for start in range(0, len(order), window):
        rng.shuffle(order[start : start + window])
    return unmixed, order


@dataclass(frozen=True, eq=False)
class EvaluationBatches:
    """Batches of `indices` in order, iterable many times."""

    images: ImageArrays
    labels: "Tensor"
    indices: np.ndarray

    def __iter__(self) -> "Batches":
        indices = np.asarray(self.indices, dtype=np.int64)
        return _batches(self.images, self.labels, indices, EVALUATION_BATCH)


def _batches(
    images: ImageArrays,
    labels: "Tensor",
    indices: np.ndarray,
    batch_size: int,
    announced: np.ndarray | None = None,
    ahead: int = 0,
) -> "Batches":
    """Yield the batches of `indices`; maps are read ahead, two batches or `ahead` images of
    `announced`.
    """
    batches = _gathered(
        images,
        labels,
        indices,
        batch_size,
        indices if announced is None else announced,
        ahead or AHEAD * batch_size,
    )
    # Frames are work; the system reads a map meanwhile, if it can be told to.
    is_late = isinstance(images, Recordings) or (
        isinstance(images, np.memmap) and not hasattr(os, "posix_fadvise")
    )
    return prefetched(batches, AHEAD) if is_late else batches


def _gathered(
    images: ImageArrays,
    labels: "Tensor",
    indices: np.ndarray,
    batch_size: int,
    announced: np.ndarray,
    ahead: int,
) -> "Batches":
    import torch

    announced_until = 0
    for start in range(0, len(indices), batch_size):
        batch = indices[start : start + batch_size]
        # A copy: torch warns about arrays that it could not write to.
        rows = torch.from_numpy(batch.copy())
        if isinstance(images, np.memmap):
            needed = start + batch_size + ahead
            _announce(images, announced[announced_until:needed])
            announced_until = needed
            picked = torch.from_numpy(np.take(np.asarray(images), batch, axis=0))
        elif isinstance(images, Recordings):
            picked = torch.from_numpy(images[batch])
        else:
            picked = images.index_select(0, rows.to(images.device))
        yield picked, labels.index_select(0, rows.to(labels.device)), batch


def _announce(images: np.memmap, coming: np.ndarray) -> None:
    if not len(coming) or images.filename is None or not hasattr(os, "posix_fadvise"):
        return
    size, ends = _bytes_of_one(images), np.flatnonzero(np.diff(coming) != 1) + 1
    # Only a hint: a map can be read even if its file was replaced.
    with suppress(OSError), Path(images.filename).open("rb") as file:
        for run in np.split(coming, ends):
            first = images.offset + int(run[0]) * size
            os.posix_fadvise(file.fileno(), first, len(run) * size, os.POSIX_FADV_WILLNEED)


def prefetched(batches: Iterable[Item], depth: int) -> Generator[Item, None, None]:
    """Yield `batches`, the next `depth` made by a thread until this generator is dropped.

    The producer's errors are raised here.
    """
    end: Any = object()
    pool = ThreadPoolExecutor(1, thread_name_prefix="spikeduel-batches")
    try:
        taken = in_turn(pool, depth, repeat(partial(next, iter(batches), end)))
        yield from takewhile(lambda batch: batch is not end, taken)
    finally:
        pool.shutdown(cancel_futures=True)


def on_device(
    batches: "Iterable[tuple[Tensor, Tensor, np.ndarray]]", device: "torch.device"
) -> "Batches":
    """Move images and labels to `device`; to CUDA without waiting.

    Apple's GPUs must wait for copies (pytorch/pytorch#139550).
    """
    on_cuda = device.type == "cuda"
    for images, labels, indices in batches:
        if on_cuda and images.device.type == "cpu":
            images, labels = images.pin_memory(), labels.pin_memory()
        yield (
            images.to(device, non_blocking=on_cuda),
            labels.to(device, non_blocking=on_cuda),
            indices,
        )


def share_memory(num_processes: int) -> None:
    """Leave memory for so many processes of this size."""
    global _sharing
    _sharing = num_processes


def fits_in_memory(num_bytes: int) -> bool:
    """Return True if so many bytes should be held in memory now."""
    return num_bytes * _sharing <= SHARE * available_memory()
