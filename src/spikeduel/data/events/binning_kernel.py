# mypy: disable-error-code="no-untyped-def"
"""The compiled loop behind `Binning.frames`."""

import numpy as np
from numba import njit

from spikeduel.data.events.events import LARGEST_SIDE, TIME_SHIFT, X_SHIFT, Y_SHIFT
from spikeduel.spiking.kernels.cpu_numbers import UNCOUNTED

COLLAPSED, REDRAWN, MERGED = 1, 4, 5
"""Places in `settings.fields.Change`."""


@njit(**UNCOUNTED)
def _drawn(recording, event):
    """A random whole number from 0 on for an event of a recording: the finaliser of SplitMix64."""
    z = np.uint64(recording) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(event) * np.uint64(0xD1342543DE82EF95)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64((z ^ (z >> np.uint64(31))) >> np.uint64(33))


@njit(**UNCOUNTED)
def bin_recordings(
    packed, offsets, rows, out, sensor, by_events, frame_us, start_us, stop_us, factor, binary, change, orders, first,
    last,
):  # fmt: skip
    """Fills `out[first:last]`; see `Binning`. `frame_us` 0 and `stop_us` −1 stand for None, `change` is a number."""
    num_frames = out.shape[1] // 2
    for row in range(first, last):
        begin, end = offsets[rows[row]], offsets[rows[row] + 1]
        # Events are in order of time: what is taken of them is a slice.
        while begin < end and np.int64(packed[begin] >> np.uint64(TIME_SHIFT)) < start_us:
            begin += 1
        if stop_us >= 0:
            while begin < end and np.int64(packed[end - 1] >> np.uint64(TIME_SHIFT)) >= stop_us:
                end -= 1
        length = frame_us * num_frames
        if length == 0 and end > begin:
            length = stop_us - start_us
            if stop_us < 0:
                length = np.int64(packed[end - 1] >> np.uint64(TIME_SHIFT)) + 1 - start_us
        for place in range(begin, end):
            word = np.int64(packed[place])
            if by_events:
                frame = (place - begin) * num_frames // (end - begin)
            else:
                frame = ((word >> TIME_SHIFT) - start_us) * num_frames // length
                if frame >= num_frames:
                    break
            y, x = (word >> Y_SHIFT) & (LARGEST_SIDE - 1), (word >> X_SHIFT) & (LARGEST_SIDE - 1)
            if y >= sensor[0] or x >= sensor[1]:
                continue
            y, x = y // factor, x // factor
            polarity = 0 if change == MERGED else word & 1
            until = frame + 1
            if change == COLLAPSED:
                frame, until = 0, num_frames
            elif change == REDRAWN:
                frame = _drawn(rows[row], place - offsets[rows[row]]) % num_frames
                until = frame + 1
            for each in range(frame, until):
                channel = 2 * orders[row, each] + polarity
                if binary:
                    out[row, channel, y, x] = 1
                elif out[row, channel, y, x] < 255:
                    out[row, channel, y, x] += 1
