"""Whether compiled kernels can be kept for the next process."""

from functools import cache

from numba import njit


@cache
def is_kept() -> bool:
    """Whether Numba finds a folder to keep compiled code in: beside the sources, in the user's cache folder, or named
    by NUMBA_CACHE_DIR.

    Where there is none, as in a container without a home, each process compiles anew, instead of ending in an error.
    """
    try:
        njit(cache=True)(_nothing)
    except RuntimeError:
        return False
    return True


def _nothing() -> None:
    pass
