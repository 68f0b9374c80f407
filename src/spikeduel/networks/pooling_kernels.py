"""The compiled part of `pooling`: loops over whole rows of an image, since LLVM vectorises long ones only.

Numbers that are not negative are ordered as their bits are. A key is such a number, shifted to the left for one more
bit that says in which of two rows it lies: the higher key is the number that PyTorch takes, which of equal ones is the
first, row by row.
"""

from typing import Any

import numpy as np
from numba import njit

from spikeduel.spiking.kernels.cpu_numbers import COMPILED

_NOBODY = np.uint8(4)  # wins where none of four numbers is positive
_WORD = np.uint64


def constants(num_bytes: int) -> tuple[Any, ...]:
    """The bits of −0, of −infinity and of a NaN, of bfloat16 (2 bytes) or float32 (4)."""
    kind: Any = np.uint16 if num_bytes == 2 else np.uint32
    above = 8 * (num_bytes - 2)
    return tuple(kind(bits << above) for bits in (0x8000, 0xFF80, 0x7FC0))


@njit(**COMPILED)
def pool(x, pooled, winners, height, channels, constants, start, stop):  # type: ignore[no-untyped-def]
    """Fills images `start` to `stop` of `pooled` and `winners` `[N·(H/2), W/2·C]` from `x` `[N·H, W·C]`.

    A winner is the place in its square, row by row, of the number that was taken.
    """
    size, rows = 2 * winners.shape[1], height // 2
    # A pixel more, so that each has one to its right.
    keys, highest, places = np.zeros(size + channels, x.dtype), np.empty(size, x.dtype), np.empty(size, np.uint8)
    left, right = keys[:size], keys[channels:]
    words, out_words = (highest.view(_WORD), places.view(_WORD)), (pooled.view(_WORD), winners.view(_WORD))
    num_words = channels * x.itemsize // 8, channels // 8
    for image in range(start, stop):
        for row in range(rows):
            first, out = image * height + 2 * row, image * rows + row
            _higher_of_rows(x[first, :size], x[first + 1, :size], left, constants)
            _higher_of_neighbours(left, right, highest, places)
            _every_second(words[0], out_words[0][out], num_words[0])
            _every_second(words[1], out_words[1][out], num_words[1])


@njit(**COMPILED)
def unpool(grad, winners, grad_x, height, channels, start, stop):  # type: ignore[no-untyped-def]
    """Fills images `start` to `stop` of `grad_x` `[N·H, W·C]`: the winners get `grad` `[N·(H/2), W/2·C]`, the others
    nothing.
    """
    size, rows = 2 * winners.shape[1], height // 2
    grads, places = np.empty(size, grad.dtype), np.empty(size, np.uint8)
    own = np.empty((2, size), np.uint8)
    for i in range(size):
        own[0, i] = i // channels % 2
        own[1, i] = own[0, i] + 2
    words, in_words = (grads.view(_WORD), places.view(_WORD)), (grad.view(_WORD), winners.view(_WORD))
    num_words = channels * grad.itemsize // 8, channels // 8
    for image in range(start, stop):
        for row in range(rows):
            _twice(in_words[0][image * rows + row], words[0], num_words[0])
            _twice(in_words[1][image * rows + row], words[1], num_words[1])
            for side in range(2):
                line = grad_x[image * height + 2 * row + side]
                _where(places, own[side], grads, line[:size])
                line[size:] = 0
        grad_x[image * height + 2 * rows : (image + 1) * height] = 0


@njit(**COMPILED)
def _higher_of_rows(above, below, keys, constants):  # type: ignore[no-untyped-def]
    number = keys.dtype.type
    one, (zero, infinity, nan) = number(1), constants
    for i in range(len(keys)):
        a, b = above[i], below[i]
        # What is negative counts as 0, but for a NaN.
        a = number(a if a < zero else (nan if a > infinity else number(0)))
        b = number(b if b < zero else (nan if b > infinity else number(0)))
        a, b = number(number(a << one) | one), number(b << one)
        keys[i] = a if a > b else b


@njit(**COMPILED)
def _higher_of_neighbours(left, right, highest, places):  # type: ignore[no-untyped-def]
    one = highest.dtype.type(1)
    for i in range(len(highest)):
        a, b = left[i], right[i]
        key = b if b > a else a
        highest[i] = key >> one
        place = np.uint8(2) - np.uint8((key & one) << one) + np.uint8(b > a)
        places[i] = place if key > one else _NOBODY


@njit(**COMPILED)
def _every_second(pixels, out, n):  # type: ignore[no-untyped-def]
    """Every second pixel of a row, each `n` words, two at a time: loops over a few channels would take longer."""
    for j in range(len(out) // n):
        for q in range(0, n, 2):
            first, second = pixels[2 * j * n + q], pixels[2 * j * n + q + 1]
            out[j * n + q], out[j * n + q + 1] = first, second


@njit(**COMPILED)
def _twice(pixels, out, n):  # type: ignore[no-untyped-def]
    """Every pixel of a row, each `n` words, and once more to its right."""
    for j in range(len(pixels) // n):
        for q in range(0, n, 2):
            first, second = pixels[j * n + q], pixels[j * n + q + 1]
            at = 2 * j * n + q
            out[at], out[at + 1] = first, second
            out[at + n], out[at + n + 1] = first, second


@njit(**COMPILED)
def _where(places, own, grads, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        out[i] = grads[i] if places[i] == own[i] else 0
