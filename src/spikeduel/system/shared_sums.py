"""Sums over the processes of one machine, in memory that they share.

Batch norm asks for two small sums a layer in every step, and gradients for a larger one. Over
gloo's sockets most of such a sum's time goes to waking a process. Through memory nobody sleeps:
processes that take part have a core each, and are at the same place.
"""

import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from spikeduel.system import files

MOST_BYTES = 1 << 20
"""That a process hands on at once; longer sums are taken in parts."""
SPINS, LOOKS = 200, 2_000
"""Looks for the others without leaving the core to whoever wants it, and before sleeping in
between.
"""
SLEEP = 1e-4


class SharedSums:
    """Adds up arrays over processes, which all call it in the same order, in `memory` of this
    `shape`.

    It holds numbers of a call, before them what their process has got to, and whether it has left.
    Calls take turns in two halves, so that nobody writes what another one still reads.
    """

    @staticmethod
    def shape(size: int) -> tuple[int, int, int]:
        """Of the memory of `size` processes, float64 zeros to begin with."""
        return 2, size, 2 + MOST_BYTES // 8

    def __init__(self, memory: np.ndarray, rank: int, patience: float) -> None:
        self._reached, self._left, self._numbers = (
            memory[:, :, 0],
            memory[0, :, 1],
            memory[:, :, 2:],
        )
        self._rank, self._patience = rank, patience
        self._calls, self._lock = 0, Lock()

    def sum(self, x: np.ndarray) -> None:
        """Makes `x` `[N]` the sum of all processes', in their order: the same bits for all. Raises
        `OthersLeft`.
        """
        size = MOST_BYTES // x.itemsize
        for start in range(0, len(x), size):
            self._sum(x[start : start + size])

    def _sum(self, x: np.ndarray) -> None:
        self._calls += 1
        numbers, reached = (
            self._numbers[self._calls % 2].view(x.dtype)[:, : len(x)],
            self._reached[self._calls % 2],
        )
        numbers[self._rank] = x
        self._in_order()
        reached[self._rank] = self._calls
        self._wait(reached)
        self._in_order()
        np.add.reduce(numbers, 0, out=x)

    def _in_order(self) -> None:
        """On processors that reorder: what comes before a release is done before what comes after
        an acquire.
        """
        for _ in range(2):
            with self._lock:
                pass

    def leave(self) -> None:
        """Says that this process takes part in no more sums."""
        self._left[self._rank] = 1

    def _wait(self, reached: np.ndarray) -> None:
        looks, since = 0, time.monotonic()
        while reached.min() < self._calls:
            looks += 1
            if looks <= SPINS:
                continue
            # Who has left may have come here before.
            if self._left.any() and reached.min() < self._calls:
                raise OthersLeft("a process that trained with this one has given up.")
            if time.monotonic() - since > self._patience:
                raise OthersLeft(
                    "a process that trained with this one has not come to the same place."
                )
            if looks > LOOKS:
                time.sleep(SLEEP)
            else:
                os.sched_yield()


class OthersLeft(RuntimeError):
    """A sum that another process takes no part in."""


@contextmanager
def shared_sums(
    rank: int,
    size: int,
    decided: Callable[[Callable[[], str]], str],
    all_here: Callable[[], Any],
    patience: float,
) -> Iterator[SharedSums]:
    """Memory of `size` processes of this machine, of which this is number `rank`, as long as it is
    used. `decided` gives all of them what a function returns in the first, `all_here` waits for
    all. Raises `InputError` where there is no room for the memory.
    """
    shape = SharedSums.shape(size)
    with ExitStack() as held:

        def new() -> str:
            with files.writing_to(Path(tempfile.gettempdir())):
                file = held.enter_context(tempfile.NamedTemporaryFile(prefix="spikeduel-"))
                # Written whole: where a disk is full, what is only promised would end the process
                # when it is used.
                file.write(bytes(8 * math.prod(shape)))
                file.flush()
            return file.name

        memory = np.memmap(decided(new), np.float64, "r+", shape=shape)
        all_here()
    # Who has the file open does not need its name: nothing stays, however a process ends.
    sums = SharedSums(np.asarray(memory), rank, patience)
    try:
        yield sums
    finally:
        sums.leave()
