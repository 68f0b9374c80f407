# mypy: disable-error-code="no-untyped-def"
"""Compiled loops over the events of recordings."""

import numpy as np
from numba import njit
from numba.extending import register_jitable

from spikeduel.inputs.preprocessing import MAX_SIZE, TIME_SHIFT, X_SHIFT, Y_SHIFT
from spikeduel.system.parallel import UNCOUNTED

COLLAPSED, REDRAWN, MERGED = 1, 4, 5
"""Positions in `binning.Change`."""


@register_jitable(**UNCOUNTED)
def drawn(key, event):
    """Return an event's random 64-bit number under `key`, by SplitMix64's finaliser."""
    z = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(event) * np.uint64(
        0xD1342543DE82EF95
    )
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@register_jitable(**UNCOUNTED)
def _first_from(packed, begin, end, microseconds):
    """Return the first event from `microseconds` on."""
    while begin < end:
        middle = (begin + end) // 2
        if np.int64(packed[middle] >> np.uint64(TIME_SHIFT)) < microseconds:
            begin = middle + 1
        else:
            end = middle
    return begin


@register_jitable(**UNCOUNTED)
def _add(packed, begin, end, frame, sensor, factor, merged):
    """Count the events from `begin` to `end` in `frame` `[2, H, W]`."""
    for event in range(begin, end):
        word = np.int64(packed[event])
        y, x = (word >> Y_SHIFT) & (MAX_SIZE - 1), (word >> X_SHIFT) & (MAX_SIZE - 1)
        if y >= sensor[0] or x >= sensor[1]:
            continue
        if factor > 1:
            y, x = y // factor, x // factor
        polarity = 0 if merged else word & 1
        seen = frame[polarity, y, x]
        frame[polarity, y, x] = seen + (seen < 255)


@njit(**UNCOUNTED)
def bin_recordings(
    packed, begins, ends, lasts, rows, out, sensor, frame_us, factor, change, orders, first, last
):
    """Bin the recordings `first` to `last` into `out`; see `Binning`. `frame_us` 0 stands for None.

    Recording i has the events `packed[begins[i]:ends[i]]`, the last one at `lasts[i]` microseconds,
    and its frames in the order `orders[i]`. `rows[i]` is its number in the set, which decides
    random changes.
    """
    num_frames = out.shape[1] // 2
    for row in range(first, last):
        # Events are sorted by time: each frame is a slice.
        begin, end, length = begins[row], ends[row], lasts[row] + 1
        if frame_us > 0:
            length = frame_us * num_frames
            end = _first_from(packed, begin, end, length)
        if change == REDRAWN:
            for event in range(begin, end):
                chosen = (
                    np.int64(drawn(rows[row], event - begins[row]) >> np.uint64(33)) % num_frames
                )
                frame = out[row, 2 * chosen : 2 * chosen + 2]
                _add(packed, event, event + 1, frame, sensor, factor, False)
            continue
        start = begin
        for number in range(num_frames):
            stop = _first_from(packed, start, end, -((number + 1) * -length // num_frames))
            into = 2 * orders[row, number]
            if change == COLLAPSED:
                start, stop = begin, end
            frame = out[row, into : into + 2]
            _add(packed, start, stop, frame, sensor, factor, change == MERGED)
            start = stop


@njit(**UNCOUNTED)
def alter(
    packed,
    begins,
    ends,
    lasts,
    keys,
    hidden,
    area,
    left_out,
    moved,
    remaining,
    starts,
    stops,
    first,
    last,
):
    """Write what stays of the recordings `first` to `last` to `remaining`, each from its number in
    `starts` on, and the number behind it to `stops`.

    `hidden` and `moved` are in microseconds, `area` in pixels, `left_out` in parts of 2¹⁶. Events
    moved beyond an end are reflected.
    """
    for row in range(first, last):
        to = starts[row]
        for event in range(begins[row], ends[row]):
            word = np.int64(packed[event])
            time = word >> TIME_SHIFT
            if hidden[row, 0] <= time < hidden[row, 1]:
                continue
            y, x = (word >> Y_SHIFT) & (MAX_SIZE - 1), (word >> X_SHIFT) & (MAX_SIZE - 1)
            if area[row, 0] <= y < area[row, 1] and area[row, 2] <= x < area[row, 3]:
                continue
            draw = drawn(keys[row], event - begins[row])
            if np.int64(draw & np.uint64(0xFFFF)) < left_out[row]:
                continue
            if moved[row] > 0:
                by = np.int64(draw >> np.uint64(20)) % (2 * moved[row] + 1) - moved[row]
                time = abs(time + by)
                time = time if time <= lasts[row] else 2 * lasts[row] - time
                word = (word & ((1 << TIME_SHIFT) - 1)) | (time << TIME_SHIFT)
            remaining[to] = np.uint64(word)
            to += 1
        stops[row] = to
