"""Augment the events of recordings before binning.

Gu, Sng, Hu and Yu 2021, "EventDrop: Data Augmentation for Event-based Learning"; shares as in its
public implementations.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from spikeduel.spiking.random_keys import RandomKeys

TENTHS, TWENTIETHS = 9, 5
"""Most tenths of time or events, and twentieths of a place's sides, that are left out."""
WHOLE = 1 << 16
"""Parts of a whole, for shares in whole numbers."""
JITTER = 0.5
"""Furthest move of an event in time, as a share of a T-th of its recording."""


@dataclass(frozen=True, eq=False)
class Alteration:
    """An alteration of the events of B recordings, in parts of `WHOLE`.

    Left out are a time `hidden` `[B, 2]`, a rectangle `place` `[B, 4]` (top, bottom, left, right),
    and a random share `left_out` `[B]`; others move in time by up to `moved` `[B]`. `keys` uint64
    `[B]` decide about single events.
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
        """Return the altered (packed, begins, ends).

        Recording i has the events `packed[begins[i]:ends[i]]`, the last one at `lasts[i]`
        microseconds.
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
"""Adds to the alteration of recordings of so many frames."""


def droptime(
    alteration: Alteration, keys: "RandomKeys", num_frames: int, which: np.ndarray | None = None
) -> Alteration:
    """recordings: of every other one, by chance, all events of one to nine tenths of the time left
    out
    """
    which = _every_other(keys) if which is None else which
    tenths, start = _drawn(keys, TENTHS, WHOLE)
    length = (1 + tenths) * WHOLE // 10
    start = start * (WHOLE - length) // WHOLE
    hidden = np.where(which[:, None], np.stack([start, start + length], 1), alteration.hidden)
    return replace(alteration, hidden=hidden)


def dropplace(
    alteration: Alteration, keys: "RandomKeys", num_frames: int, which: np.ndarray | None = None
) -> Alteration:
    """recordings: of every other one, by chance, all events of a place left out, up to a quarter of
    each side
    """
    which = _every_other(keys) if which is None else which
    twentieths, *starts = _drawn(keys, TWENTIETHS, WHOLE, WHOLE)
    size = (1 + twentieths) * WHOLE // 20
    top, left = (start * (WHOLE - size) // WHOLE for start in starts)
    place = np.where(
        which[:, None], np.stack([top, top + size, left, left + size], 1), alteration.place
    )
    return replace(alteration, place=place)


def droprandom(
    alteration: Alteration, keys: "RandomKeys", num_frames: int, which: np.ndarray | None = None
) -> Alteration:
    """recordings: of every other one, by chance, one to nine tenths of all events left out, by
    chance
    """
    which = _every_other(keys) if which is None else which
    (tenths,) = _drawn(keys, TENTHS)
    return replace(
        alteration, left_out=np.where(which, (1 + tenths) * WHOLE // 10, alteration.left_out)
    )


def eventdrop(alteration: Alteration, keys: "RandomKeys", num_frames: int) -> Alteration:
    """recordings: events left out by time, by place, by chance or not at all, each of a quarter of
    them
    """
    (way,) = _drawn(keys.another(), 4)
    for number, drop in enumerate((droptime, dropplace, droprandom)):
        alteration = drop(alteration, keys, num_frames, way == number)
    return alteration


def jitter(alteration: Alteration, keys: "RandomKeys", num_frames: int) -> Alteration:
    """recordings: each event moved in time, by up to half a T-th of its recording"""
    return replace(alteration, moved=np.full_like(alteration.moved, JITTER * WHOLE / num_frames))


def _every_other(keys: "RandomKeys") -> np.ndarray:
    return _drawn(keys.another(), 2)[0] == 1


def _drawn(keys: "RandomKeys", *stops: int) -> np.ndarray:
    return keys.integers(*stops).numpy().T


EVENT_AUGMENTATIONS: dict[str, Change] = {
    "droptime": droptime,
    "dropplace": dropplace,
    "droprandom": droprandom,
    "eventdrop": eventdrop,
    "jitter": jitter,
}
"""Augmentations by name; hyphens join them with one another and with those of images."""


def alteration_of(
    names: Sequence[str], num_frames: int, seed: int, epoch: int, rows: np.ndarray
) -> Alteration:
    """Return the alteration by `names` of the recordings `rows` in an epoch.

    Each draws by seed, epoch and recording alone.
    """
    from spikeduel.spiking.random_keys import RandomKeys

    keys, none = RandomKeys.for_events(seed, epoch, rows), np.zeros((len(rows), 4), np.int64)
    alteration = Alteration(keys.values, none[:, :2], none, none[:, 0], none[:, 0])
    for name in names:
        keys = keys.another()
        alteration = EVENT_AUGMENTATIONS[name](alteration, keys, num_frames)
    return alteration
