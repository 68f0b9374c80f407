"""Recordings that share a stretch of events: one is a part of the other, or both were cut from a
third.

Kept events are numbers whose differences do not change when a recording is shifted in time or
place. Rows of `LINKS` differences are compared where a hash of them chooses the row (as in
Schleimer, Wilkerson, Aiken 2003, Winnowing). Recordings with a row in common are laid over one
another, and the events that agree are counted.
"""

from dataclasses import dataclass

import numpy as np

from spikeduel.data.events.recordings import Recordings
from spikeduel.data.grouping import join_groups
from spikeduel.networks.preprocessing import TIME_SHIFT
from spikeduel.system.progress import Progress

LINKS = 16
"""Differences between successive events that must agree."""
CHOSEN = 16
"""Rows of which one is compared; of very many events, one of twice, four times as many."""
MOST_ROWS = 1 << 24
AT_ONCE = 1 << 20
"""Events whose differences are taken at once."""
MOST_LAID = 1 << 17
"""Pairs that are laid over one another; those with the most rows in common where there are more."""
LEAST_COMMON, LEAST_PIXELS = 48, 8
"""Events that must agree, and pixels on which they must lie: a single flickering pixel repeats
itself.
"""
LEAST_SHARE = 0.05
"""Share of the shorter recording's events that must agree."""


@dataclass(frozen=True, eq=False)
class Stretches:
    """The recording with which each of N recordings shares most events, on its own side of the
    split and on an earlier side.

    Each is (index int64 `[N]`, −1 where there is none; share float64 `[N]` of the events of the
    shorter of the two). `pairs` int64 `[P, 2]` share a stretch: not all that do, but enough to join
    all that belong together.
    """

    same_side: tuple[np.ndarray, np.ndarray]
    earlier: tuple[np.ndarray, np.ndarray]
    pairs: np.ndarray

    @property
    def within(self) -> np.ndarray:
        """Recordings that share a stretch with another one of their own side, bool `[N]`."""
        return self.same_side[0] >= 0

    @property
    def across(self) -> np.ndarray:
        """Recordings that share a stretch with one of an earlier side, bool `[N]`."""
        return self.earlier[0] >= 0

    def joined(self, groups: np.ndarray) -> np.ndarray:
        """Return `groups` `[N]` joined where recordings of two share a stretch, int64 `[N]`."""
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        count, (one, other) = len(groups), self.pairs.T
        edges = coo_matrix((np.ones(len(one), np.int8), (one, other)), shape=(count, count))
        return join_groups(groups, connected_components(edges, directed=False)[1])


def search(
    recordings: Recordings, same: np.ndarray, side: np.ndarray, progress: Progress
) -> Stretches:
    """Return the shared stretches among recordings of the sides `side` `[N]` (−1: left out); equal
    ones (equal numbers in `same` `[N]`) are left out.

    A shared stretch of 100 events is missed once in 200 times, one of 200 events once in 100,000
    times.
    """
    count = len(recordings)
    same_side, earlier = ((np.full(count, -1), np.zeros(count)) for _ in range(2))
    pairs, shifts = _candidates(recordings, same, side, progress)
    sharing = np.zeros(len(pairs), bool)
    laid = enumerate(zip(pairs.tolist(), shifts, strict=True))
    for number, (pair, shift) in progress.track(laid, "comparing recordings", len(pairs)):
        # A shift can lead to before a recording's start, so that events are signed.
        one, other = pair
        signed = [recordings.events_of(row).view(np.int64) for row in pair]
        share = _share(signed[0], signed[1], shift)
        sharing[number] = share > 0
        # Of two sides, the later one has the copy; on one side, both are copies of one another.
        is_one_side = side[one] == side[other]
        index, shares = same_side if is_one_side else earlier
        for image, partner in (pair, pair[::-1])[: 1 + is_one_side]:
            if share > shares[image]:
                index[image], shares[image] = partner, share
    return Stretches(same_side, earlier, pairs[sharing])


def _share(one: np.ndarray, other: np.ndarray, shift: np.int64) -> float:
    """Return the share of the shorter recording's events that agree where `other` is shifted; 0
    where that is too little.
    """
    moved = other + shift
    place = np.searchsorted(moved, one)
    common = one[moved[np.minimum(place, len(moved) - 1)] == one]
    share = len(common) / min(len(one), len(other))
    pixels = np.unique(common & ((1 << TIME_SHIFT) - 2))
    is_enough = len(common) >= LEAST_COMMON and len(pixels) >= LEAST_PIXELS
    return share if is_enough and share >= LEAST_SHARE else 0.0


def _candidates(
    recordings: Recordings, same: np.ndarray, side: np.ndarray, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs, of a later side before an earlier one, that have rows in common, int64
    `[P, 2]`, and by what number the second must be shifted, int64 `[P]`.
    """
    rows, place = _chosen(recordings.packed, progress)
    image = np.searchsorted(recordings.offsets, place, side="right") - 1
    whole = (place + LINKS < recordings.offsets[image + 1]) & (side[image] >= 0)
    rows, place, image = rows[whole], place[whole], image[whole]
    order = np.argsort(rows, kind="stable")
    twice = np.flatnonzero(rows[order][1:] == rows[order][:-1])
    order = order[np.union1d(twice, twice + 1)]
    # Of equal recordings of one side one is compared, and that once for each row.
    order = order[np.lexsort((same[image[order]], side[image[order]], rows[order]))]
    rows, place, image = rows[order], place[order], image[order]
    keys = np.stack([rows, side[image].astype(np.uint64), same[image].astype(np.uint64)])
    is_new = np.ones(len(rows), bool)
    is_new[1:] = (keys[:, 1:] != keys[:, :-1]).any(0)
    rows, place, image = rows[is_new], place[is_new], image[is_new]
    # Each is paired with the one before it, and with the first, which is of the earliest side.
    before, first = np.arange(len(rows)) - 1, np.searchsorted(rows, rows)
    has_earlier = np.flatnonzero(first <= before)
    later = np.tile(has_earlier, 2)
    earlier = np.concatenate([before[has_earlier], first[has_earlier]])
    differ = same[image[later]] != same[image[earlier]]
    later, earlier = later[differ], earlier[differ]
    events = recordings.packed.view(np.int64)
    shifts = events[place[later]] - events[place[earlier]]
    ways, votes = np.unique(
        np.stack([image[later], image[earlier], shifts], 1), axis=0, return_counts=True
    )
    # Of the ways to lay a pair, the one that most rows agree on.
    ways = ways[np.argsort(-votes, kind="stable")]
    _, best = np.unique(ways[:, :2], axis=0, return_index=True)
    ways = ways[np.sort(best)[:MOST_LAID]]
    return ways[:, :2], ways[:, 2]


def _chosen(packed: np.ndarray, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
    """Return hashes uint64 `[R]` of the rows of differences that are compared, and the event at
    which each row begins, int64 `[R]`.
    """
    step = CHOSEN
    while len(packed) > step * MOST_ROWS:
        step *= 2
    hashes, places = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    starts = range(0, len(packed), AT_ONCE)
    for start in progress.track(starts, "looking for shared stretches", len(starts)):
        row = _mixed(np.diff(packed[start : start + AT_ONCE + LINKS]))
        length = 1
        while length < LINKS and len(row) > length:
            row = _mixed(row[:-length] * np.uint64(3) + row[length:])
            length *= 2
        if length == LINKS:
            chosen = np.flatnonzero(row % np.uint64(step) == 0)
            hashes.append(row[chosen])
            places.append(chosen + start)
    return np.concatenate(hashes), np.concatenate(places)


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Return hashes uint64 of `numbers` (the finaliser of MurmurHash3)."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        numbers = (numbers ^ (numbers >> np.uint64(33))) * np.uint64(factor)
    return numbers ^ (numbers >> np.uint64(33))
