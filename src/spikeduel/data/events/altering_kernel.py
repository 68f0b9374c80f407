# mypy: disable-error-code="no-untyped-def"
"""Compiled loop behind `Alteration.altered`."""

import numpy as np
from numba import njit

from spikeduel.networks.binning_kernel import drawn
from spikeduel.networks.preprocessing import LARGEST_SIDE, TIME_SHIFT, X_SHIFT, Y_SHIFT
from spikeduel.spiking.kernels.cpu_numbers import UNCOUNTED


@njit(**UNCOUNTED)
def alter(
    packed,
    begins,
    ends,
    lasts,
    keys,
    hidden,
    place,
    left_out,
    moved,
    kept,
    starts,
    stops,
    first,
    last,
):
    """Write the altered recordings `first` to `last` to `kept`, from `starts` to `stops`, which is
    filled. `hidden`, `place` and `moved` are in microseconds and pixels, `left_out` in parts of
    2¹⁶. Events moved beyond an end are reflected.
    """
    for row in range(first, last):
        to = starts[row]
        for event in range(begins[row], ends[row]):
            word = np.int64(packed[event])
            time = word >> TIME_SHIFT
            if hidden[row, 0] <= time < hidden[row, 1]:
                continue
            y, x = (word >> Y_SHIFT) & (LARGEST_SIDE - 1), (word >> X_SHIFT) & (LARGEST_SIDE - 1)
            if place[row, 0] <= y < place[row, 1] and place[row, 2] <= x < place[row, 3]:
                continue
            chance = drawn(keys[row], event - begins[row])
            if np.int64(chance & np.uint64(0xFFFF)) < left_out[row]:
                continue
            if moved[row] > 0:
                by = np.int64(chance >> np.uint64(20)) % (2 * moved[row] + 1) - moved[row]
                time = abs(time + by)
                time = time if time <= lasts[row] else 2 * lasts[row] - time
                word = (word & ((1 << TIME_SHIFT) - 1)) | (time << TIME_SHIFT)
            kept[to] = np.uint64(word)
            to += 1
        stops[row] = to
