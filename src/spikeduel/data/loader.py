"""Batches from memory: one gather on a uint8 tensor, no work per image."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from spikeduel.data.prepared import Prepared

if TYPE_CHECKING:
    from torch import Tensor

_ORDER = 0x0DE2
"""Sets this stream of random numbers apart from the others that are drawn from the same seed."""


def in_memory(prepared: Prepared) -> "tuple[Tensor, Tensor]":
    """(images uint8 `[N, C, H, W]`, labels int64 `[N]`): copies in memory, writable."""
    import torch

    return torch.from_numpy(np.array(prepared.images)), torch.from_numpy(np.array(prepared.labels))


def training_batches(
    images: "Tensor", labels: "Tensor", indices: np.ndarray, batch_size: int, seed: int, epoch: int
) -> "Iterator[tuple[Tensor, Tensor, np.ndarray]]":
    """(images uint8 `[B, C, H, W]`, labels int64 `[B]`, indices int64 `[B]`), shuffled.

    A smaller last batch is kept. The order depends on `seed` and `epoch` alone, so that all contenders see
    the same one, resumed or not.
    """
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([_ORDER, seed, epoch])))
    return evaluation_batches(images, labels, rng.permutation(indices), batch_size)


def evaluation_batches(
    images: "Tensor", labels: "Tensor", indices: np.ndarray, batch_size: int
) -> "Iterator[tuple[Tensor, Tensor, np.ndarray]]":
    """As `training_batches`, in the order of `indices`."""
    import torch

    indices = np.asarray(indices, dtype=np.int64)
    for start in range(0, len(indices), batch_size):
        batch = indices[start : start + batch_size]
        # A copy, since torch warns about arrays that it could not write to.
        rows = torch.from_numpy(batch.copy()).to(images.device)
        yield images.index_select(0, rows), labels.index_select(0, rows.to(labels.device)), batch
