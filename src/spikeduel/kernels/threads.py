"""What the CPU kernels share: a few threads to run on, and memory to write to."""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch
from torch import Tensor

SMALLEST_PART = 1 << 15
_PARTS_PER_THREAD = 8


@cache
def _pool(process_id: int, num_workers: int) -> ThreadPoolExecutor:
    # Keyed by process, because threads do not survive a fork: a child must not wait for its parent's.
    return ThreadPoolExecutor(num_workers, thread_name_prefix=f"spikeduel-{process_id}")


def run_chunks(kernel: Callable[[int, int], None], length: int, *, work: int, grain: int = 1) -> None:
    """Calls `kernel(start, stop)` on parts of `range(length)`, in at most as many threads as PyTorch uses.

    The kernel has to release the GIL. Parts begin at multiples of `grain`. `work` is the number of elements
    written; a part has at least `SMALLEST_PART` of them. Several threads may call at once, and so may a forked
    process: parts never wait for one another.
    """
    num_threads = torch.get_num_threads()
    num_parts = min(_PARTS_PER_THREAD * num_threads, work // SMALLEST_PART, -(-length // grain))
    if num_threads == 1 or num_parts <= 1:
        kernel(0, length)
        return
    size = -(-length // (num_parts * grain)) * grain
    parts = deque((start, min(start + size, length)) for start in range(0, length, size))

    def run_parts() -> None:
        # Whoever is free takes the next: OpenMP's threads spin for a while after a matrix product, on the
        # cores that ours should run on, and halves fixed beforehand would wait for the slower one.
        while True:
            try:
                part = parts.popleft()
            except IndexError:
                return
            kernel(*part)

    pool = _pool(os.getpid(), num_threads - 1)
    futures = [pool.submit(run_parts) for _ in range(min(num_threads, len(parts)) - 1)]
    try:
        run_parts()
    finally:
        # Even after an error: the caller may free its buffers once this has returned.
        errors = [None if future.cancel() else future.exception() for future in futures]
    for error in errors:
        if error is not None:
            raise error


def empty(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """`torch.empty` on the CPU, in memory that NumPy allocates.

    NumPy asks Linux for huge pages, PyTorch does not: first touching 100 MB takes a quarter of the time.
    """
    return torch.from_numpy(np.empty(shape, f"i{dtype.itemsize}")).view(dtype)
