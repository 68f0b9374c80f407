"""What the CPU kernels share: threads to run on, memory to write to, and whether their compiled code is kept."""

import ctypes
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

SMALLEST_PART = 1 << 15
_PARTS_PER_THREAD = 8
_PROCESS_ID = os.getpid()
_Callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


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
    errors: list[BaseException] = []

    def run_parts() -> None:
        # Whoever is free takes the next: a thread may be late, and the others should not wait for its share.
        while not errors:
            try:
                part = parts.popleft()
            except IndexError:
                return
            try:
                kernel(*part)
            except BaseException as error:
                errors.append(error)

    num_threads = min(num_threads, len(parts))
    # GNU OpenMP does not survive a fork, hence not where this process is another's child.
    parallel = _openmp() if os.getpid() == _PROCESS_ID else None
    if parallel is not None:
        parallel(_Callback(lambda _: run_parts()), None, num_threads, 0)
    else:
        _run_on_own_threads(run_parts, num_threads)
    if errors:
        raise errors[0]


@cache
def _openmp() -> Any:
    """The entry to the OpenMP threads that PyTorch runs on (GNU's, or what is compatible with it), or None.

    After a matrix product these threads spin for a while, waiting for more: threads of our own would have to wait
    until they are descheduled, which made a scan on two cores no faster than on one.
    """
    try:
        parallel = ctypes.CDLL(None).GOMP_parallel
    except (OSError, AttributeError, TypeError):
        return None
    parallel.argtypes, parallel.restype = [_Callback, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint], None
    return parallel


def _run_on_own_threads(run_parts: Callable[[], None], num_threads: int) -> None:
    pool = _pool(os.getpid(), torch.get_num_threads() - 1)
    futures = [pool.submit(run_parts) for _ in range(num_threads - 1)]
    run_parts()
    for future in futures:
        # The caller may free its buffers once this has returned.
        if not future.cancel():
            future.result()


@cache
def _pool(process_id: int, num_workers: int) -> ThreadPoolExecutor:
    # Keyed by process, because threads do not survive a fork: a child must not wait for its parent's.
    return ThreadPoolExecutor(num_workers, thread_name_prefix=f"spikeduel-{process_id}")


@cache
def is_code_kept() -> bool:
    """Whether Numba finds a folder to keep compiled code in for the next process.

    That is beside the sources, in the user's cache folder, or named by NUMBA_CACHE_DIR. Where there is none, as in a
    container without a home, each process compiles anew, instead of ending in an error.
    """
    try:
        njit(cache=True)(_nothing)
    except RuntimeError:
        return False
    return True


def _nothing() -> None:
    pass


def empty(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """`torch.empty` on the CPU, in memory that NumPy allocates.

    NumPy asks Linux for huge pages, PyTorch does not: first touching 100 MB takes a quarter of the time.
    """
    return torch.from_numpy(np.empty(shape, f"i{dtype.itemsize}")).view(dtype)
