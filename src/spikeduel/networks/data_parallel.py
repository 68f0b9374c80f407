"""Train one network by several processes: PyTorch's DistributedDataParallel and SyncBatchNorm.

Each process ("rank") takes its part of every batch, and gradients are averaged over all ranks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """The processes that train a network: this one is number `rank` of `size`, by default alone."""

    rank: int = 0
    size: int = 1

    def part(self, batch: np.ndarray) -> np.ndarray:
        """Return the part of `batch` `[B]` that this rank takes.

        Parts differ by at most one in size. All ranks take the whole of a batch smaller than
        `size`.
        """
        return batch if len(batch) < self.size else np.array_split(batch, self.size)[self.rank]

    def from_rank_zero(self, function: Callable[[], T]) -> T:
        """Return on all ranks what `function` returns on rank 0, which alone calls it."""
        if self.size == 1:
            return function()
        values: list[Any] = [function() if self.rank == 0 else None]
        distributed.broadcast_object_list(values, src=0)
        result: T = values[0]
        return result

    def sums(self, numbers: Sequence[float]) -> list[float]:
        """Return the sum over all ranks of each of `numbers`."""
        if self.size == 1:
            return list(numbers)
        totals = torch.tensor(numbers, dtype=torch.float64)
        distributed.all_reduce(totals)
        return totals.tolist()


ALONE = Ranks()
"""A training in one process."""


def data_parallel(module: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    """Return `forward`, which calls `module`, with gradients that are averaged over all ranks.

    All ranks begin with the weights of rank 0. On GPUs batch norm takes its statistics over the
    whole batch. SyncBatchNorm needs a GPU: on the CPU each rank normalises by its own part, and
    the running statistics are those of rank 0.
    """
    if next(module.parameters()).device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(module)
    # A user's network may leave weights unused.
    return DistributedDataParallel(_Forward(module, forward), find_unused_parameters=True)


class _Forward(nn.Module):
    """A module whose forward pass is `run`, which calls `module`."""

    def __init__(self, module: nn.Module, run: Callable[..., Any]) -> None:
        super().__init__()
        self.module, self._run = module, run

    def forward(self, *inputs: Any) -> Any:
        return self._run(*inputs)
