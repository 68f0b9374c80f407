"""What training does to the events of recordings, before they are binned, so that a network meets
more of them.

After Gu, Sng, Hu and Yu 2021, "EventDrop: Data Augmentation for Event-based Learning"; how much is
left out, as public implementations of it have it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from spikeduel.spiking.random_keys import RandomKeys

TENTHS, TWENTIETHS = 9, 5
"""One to nine tenths of time, or of all events, are left out; or a place of one to five twentieths
of each side.
"""
WHOLE = 1 << 16
"""Shares are whole numbers of so many parts."""
JITTER = 0.5
"""An event is moved in time by up to so much of a T-th of its recording."""


@dataclass(frozen=True, eq=False)
class Alteration:
    """What is done to the events of B recordings; shares are numbers of parts of a `WHOLE`.

    Events are left out from one time to before another (`hidden` `[B, 2]`, shares of the
    recording's length), in a rectangle (`place` `[B, 4]`: top, bottom, left and right, shares of
    the sensor's sides), and by chance (`left_out` `[B]`). `moved` `[B]`: by up to which share of
    its length all others are moved in time. `keys` uint64 `[B]` decide about single events.
    """

    keys: np.ndarray
    hidden: np.ndarray
    place: np.ndarray
    left_out: np.ndarray
    moved: np.ndarray

    def altered(
        self,
        packed: np.ndarray,
        begins: np.ndarray,
        ends: np.ndarray,
        lasts: np.ndarray,
        sensor: tuple[int, int],
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(packed, begins, ends) after it: recording i, whose last event is at `lasts[i]`
        microseconds, has the events `packed[begins[i]:ends[i]]`, in order of time.
        """
        from spikeduel.data.events.altering_kernel import alter
        from spikeduel.spiking.kernels.cpu import run_chunks

        lengths, counts = lasts + 1, ends - begins
        starts = np.cumsum(counts) - counts
        stops, kept = starts.copy(), np.empty(int(counts.sum()), np.uint64)
        moved = self.moved * lengths // WHOLE
        kernel = partial(
            alter,
            packed,
            begins,
            ends,
            lasts,
            self.keys,
            self.hidden * lengths[:, None] // WHOLE,
            self.place * np.repeat(sensor, 2) // WHOLE,
            self.left_out,
            moved,
            kept,
            starts,
            stops,
        )
        run_chunks(kernel, len(counts), work=len(kept))
        for row in np.flatnonzero(moved):
            kept[starts[row] : stops[row]].sort()
        return kept, starts, stops


Change: TypeAlias = "Callable[[Alteration, RandomKeys, int], Alteration]"
"""Adds to what is done to recordings of so many frames."""


def droptime(alteration: Alteration, keys: "RandomKeys", num_frames: int) -> Alteration:
    """recordings: of every other one, by chance, all events of one to nine tenths of the time left
    out
    """
    return _droptime(alteration, keys, _drawn(keys.another(), 2)[0] == 1)


def dropplace(alteration: Alteration, keys: "RandomKeys", num_frames: int) -> Alteration:
    """recordings: of every other one, by chance, all events of a place left out, up to a quarter of
    each side
    """
    return _dropplace(alteration, keys, _drawn(keys.another(), 2)[0] == 1)


def droprandom(alteration: Alteration, keys: "RandomKeys", num_frames: int) -> Alteration:
    """recordings: of every other one, by chance, one to nine tenths of all events left out, by
    chance
    """
    return _droprandom(alteration, keys, _drawn(keys.another(), 2)[0] == 1)


def eventdrop(alteration: Alteration, keys: "RandomKeys", num_frames: int) -> Alteration:
    """recordings: events left out by time, by place, by chance or not at all, each of a quarter of
    them
    """
    (way,) = _drawn(keys.another(), 4)
    for number, drop in enumerate((_droptime, _dropplace, _droprandom)):
        alteration = drop(alteration, keys, way == number)
    return alteration


def jitter(alteration: Alteration, keys: "RandomKeys", num_frames: int) -> Alteration:
    """recordings: each event moved in time, by up to half a T-th of its recording"""
    return replace(alteration, moved=np.full_like(alteration.moved, JITTER * WHOLE / num_frames))


def _droptime(alteration: Alteration, keys: "RandomKeys", which: np.ndarray) -> Alteration:
    tenths, start = _drawn(keys, TENTHS, WHOLE)
    length = (1 + tenths) * WHOLE // 10
    start = start * (WHOLE - length) // WHOLE
    hidden = np.where(which[:, None], np.stack([start, start + length], 1), alteration.hidden)
    return replace(alteration, hidden=hidden)


def _dropplace(alteration: Alteration, keys: "RandomKeys", which: np.ndarray) -> Alteration:
    twentieths, *starts = _drawn(keys, TWENTIETHS, WHOLE, WHOLE)
    size = (1 + twentieths) * WHOLE // 20
    top, left = (start * (WHOLE - size) // WHOLE for start in starts)
    place = np.where(
        which[:, None], np.stack([top, top + size, left, left + size], 1), alteration.place
    )
    return replace(alteration, place=place)


def _droprandom(alteration: Alteration, keys: "RandomKeys", which: np.ndarray) -> Alteration:
    (tenths,) = _drawn(keys, TENTHS)
    return replace(
        alteration, left_out=np.where(which, (1 + tenths) * WHOLE // 10, alteration.left_out)
    )


def _drawn(keys: "RandomKeys", *stops: int) -> np.ndarray:
    """For each of `stops` a row of whole numbers below it, int64 `[n, B]`."""
    return keys.integers(*stops).numpy().T


EVENT_AUGMENTATIONS: dict[str, Change] = {
    "droptime": droptime,
    "dropplace": dropplace,
    "droprandom": droprandom,
    "eventdrop": eventdrop,
    "jitter": jitter,
}
"""By name; they can be joined with one another, and with those of images, by hyphens."""


def alteration_of(
    names: Sequence[str], num_frames: int, seed: int, epoch: int, rows: np.ndarray
) -> Alteration:
    """What those of `EVENT_AUGMENTATIONS` called `names` do to the recordings `rows` in an epoch of
    a training.

    Each draws independently, by seed, epoch and recording alone.
    """
    from spikeduel.spiking.random_keys import RandomKeys

    keys, none = RandomKeys.for_events(seed, epoch, rows), np.zeros((len(rows), 4), np.int64)
    alteration = Alteration(keys.values, none[:, :2], none, none[:, 0], none[:, 0])
    for name in names:
        keys = keys.another()
        alteration = EVENT_AUGMENTATIONS[name](alteration, keys, num_frames)
    return alteration
