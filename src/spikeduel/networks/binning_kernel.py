# mypy: disable-error-code="no-untyped-def"
"""Compiled loop of `Binning.frames`."""

import numpy as np
from numba import njit

from spikeduel.networks.preprocessing import LARGEST_SIDE, TIME_SHIFT, X_SHIFT, Y_SHIFT
from spikeduel.spiking.kernels.cpu_numbers import UNCOUNTED

COLLAPSED, REDRAWN, MERGED = 1, 4, 5
"""Positions in `binning.Change`."""


@njit(**UNCOUNTED)
def drawn(key, event):
    """Return a random 64-bit number for an event under `key`, by SplitMix64's finaliser."""
    z = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(event) * np.uint64(
        0xD1342543DE82EF95
    )
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(**UNCOUNTED)
def _first_from(packed, begin, end, microseconds):
    while begin < end:
        middle = (begin + end) // 2
        if np.int64(packed[middle] >> np.uint64(TIME_SHIFT)) < microseconds:
            begin = middle + 1
        else:
            end = middle
    return begin


@njit(**UNCOUNTED)
def _add(packed, begin, end, frame, sensor, factor, binary, merged):
    for place in range(begin, end):
        word = np.int64(packed[place])
        y, x = (word >> Y_SHIFT) & (LARGEST_SIDE - 1), (word >> X_SHIFT) & (LARGEST_SIDE - 1)
        if y >= sensor[0] or x >= sensor[1]:
            continue
        if factor > 1:
            y, x = y // factor, x // factor
        polarity = 0 if merged else word & 1
        seen = frame[polarity, y, x]
        frame[polarity, y, x] = 1 if binary else seen + (seen < 255)


@njit(**UNCOUNTED)
def bin_recordings(
    packed,
    begins,
    ends,
    lasts,
    rows,
    out,
    sensor,
    by_events,
    frame_us,
    start_us,
    stop_us,
    factor,
    binary,
    change,
    orders,
    first,
    last,
):
    """Fill `out[first:last]`; see `Binning`. `frame_us` 0 and `stop_us` −1 stand for None."""
    num_frames = out.shape[1] // 2
    for row in range(first, last):
        # Events are sorted by time: each frame is a slice.
        begin = _first_from(packed, begins[row], ends[row], start_us)
        end = ends[row] if stop_us < 0 else _first_from(packed, begin, ends[row], stop_us)
        length = (lasts[row] + 1 if stop_us < 0 else stop_us) - start_us
        if frame_us > 0:
            length = frame_us * num_frames
            end = end if by_events else _first_from(packed, begin, end, start_us + length)
        if change == REDRAWN:
            for place in range(begin, end):
                chosen = (
                    np.int64(drawn(rows[row], place - begins[row]) >> np.uint64(33)) % num_frames
                )
                frame = out[row, 2 * chosen : 2 * chosen + 2]
                _add(packed, place, place + 1, frame, sensor, factor, binary, False)
            continue
        place = begin
        for number in range(num_frames):
            if by_events:
                stop = begin - (number + 1) * (begin - end) // num_frames
            else:
                stop = _first_from(
                    packed, place, end, start_us - (number + 1) * -length // num_frames
                )
            into = 2 * orders[row, number]
            if change == COLLAPSED:
                place, stop = begin, end
            _add(
                packed,
                place,
                stop,
                out[row, into : into + 2],
                sensor,
                factor,
                binary,
                change == MERGED,
            )
            place = stop
