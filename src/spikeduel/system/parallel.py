"""Compiled functions: their options, and threads that run them on parts of an array."""

import ctypes
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import Any

import numpy as np
import torch
from numba import njit

MIN_PART = 1 << 15
"""Fewest elements that a part writes."""
_PARTS_PER_THREAD = 8
_PROCESS_ID = os.getpid()
_Callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def run_chunks(
    kernel: Callable[[int, int], None], length: int, *, work: int, grain: int = 1
) -> None:
    """Call `kernel(start, stop)` on parts of `range(length)`, on at most PyTorch's threads.

    The kernel releases the GIL. Parts begin at multiples of `grain` and write at least
    `MIN_PART` of the `work` elements. Threads and forked processes may call at once.
    """
    num_threads = torch.get_num_threads()
    num_parts = min(_PARTS_PER_THREAD * num_threads, work // MIN_PART, -(-length // grain))
    if num_threads == 1 or num_parts <= 1:
        kernel(0, length)
        return
    size = -(-length // (num_parts * grain)) * grain
    parts = deque((start, min(start + size, length)) for start in range(0, length, size))
    errors: list[BaseException] = []

    def run_parts() -> None:
        # The next free thread takes a part: a late thread delays no other.
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
    # GNU OpenMP does not survive a fork.
    parallel = _openmp() if os.getpid() == _PROCESS_ID else None
    if parallel is not None:
        parallel(_Callback(lambda _: run_parts()), None, num_threads, 0)
    else:
        workers = _pool(os.getpid(), torch.get_num_threads())
        wait([workers.submit(run_parts) for _ in range(num_threads)])
    if errors:
        raise errors[0]


def with_scratch(
    kernel: Callable[..., None], *shapes: int | tuple[int, ...]
) -> Callable[[int, int], None]:
    """Return `kernel(start, stop)` with fresh float32 arrays of these shapes as first arguments."""
    return lambda start, stop: kernel(
        *(np.empty(shape, np.float32) for shape in shapes), start, stop
    )


@cache
def _openmp() -> Any:
    """Return PyTorch's OpenMP threads (GNU's, or compatible), or None: others would wait while
    these spin after a matrix product.
    """
    try:
        parallel = ctypes.CDLL(None).GOMP_parallel
    except (OSError, AttributeError, TypeError):
        return None
    parallel.argtypes, parallel.restype = (
        [_Callback, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint],
        None,
    )
    return parallel


@cache
def _pool(process_id: int, num_workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(num_workers, thread_name_prefix=f"spikeduel-{process_id}")


COMPILED: dict[str, Any] = {
    "nogil": True,
    "cache": True,
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
}
"""Options of all kernels. Their parts are `register_jitable`: no entry from Python is compiled."""
try:
    njit(**COMPILED)(run_chunks)
except RuntimeError:
    # Without a folder for compiled code, as in a container without a home, each process compiles
    # anew.
    COMPILED["cache"] = False
UNCOUNTED = {**COMPILED, "_nrt": False}
"""Options of functions that allocate nothing: counting an array's holders takes an atomic operation
for each row, on a number that threads share.
"""
