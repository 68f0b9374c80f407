# mypy: disable-error-code="no-untyped-def"
"""Numbers as compiled functions see them: float32, or the bits of bfloat16, a type that Numba
does not know.
"""

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload


def as_float32(row: Any, buffer: Any) -> Any:
    """`row` as float32: itself, or, where it holds the bits of bfloat16 as int16, widened into
    `buffer`.
    """


def write(values: Any, out: Any) -> None:
    """Copies float32 `values` to `out`, float32 or the bits of bfloat16 as int16 (rounded to
    nearest, ties to even).
    """


def from_bf16(x: Any) -> Any:
    """float32 of a number: `x` itself, or of the bits of bfloat16 as int16."""


COMPILED: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}
try:
    njit(**COMPILED)(write)
except RuntimeError:
    # No folder for compiled code, neither beside the sources nor in the user's cache nor
    # NUMBA_CACHE_DIR, as in a container without a home: each process compiles anew.
    COMPILED["cache"] = False
UNCOUNTED = {**COMPILED, "_nrt": False}
"""For functions that allocate nothing: they do not count who holds an array. That takes an atomic
operation at each row that is cut out of one, on a number that threads share.
"""


@overload(as_float32, jit_options=COMPILED)  # type: ignore[arg-type]
def _as_float32(row, buffer):
    if isinstance(row.dtype, types.Float):
        return lambda row, buffer: row

    def widened(row, buffer):
        for i in range(len(buffer)):
            buffer[i] = from_bf16(row[i])
        return buffer

    return widened


@overload(from_bf16, jit_options=COMPILED)  # type: ignore[arg-type]
def _from_bf16(x):
    if isinstance(x, types.Float):
        return lambda x: x
    return lambda x: np.int32(np.int32(x) << 16).view(np.float32)


@njit(**COMPILED)
def to_bf16(x):
    """The bits of float32 `x` in bfloat16, rounded to nearest, ties to even."""
    bits = np.float32(x).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    # Rounding could carry a NaN's bits over into another number's.
    return np.int16(np.uint32(0x7FC0) if x != x else rounded)


@overload(write, jit_options=COMPILED)  # type: ignore[arg-type]
def _write(values, out):
    if isinstance(out.dtype, types.Float):

        def copied(values, out):
            for i in range(len(out)):
                out[i] = values[i]

        return copied

    def narrowed(values, out):
        for i in range(len(out)):
            out[i] = to_bf16(values[i])

    return narrowed
