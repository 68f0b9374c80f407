"""Recordings that share a segment of events: parts of one another, or of a third.

Differences between events do not change with shifts. Rows of `LINKS` differences are compared if
their hash chooses them (Schleimer, Wilkerson, Aiken 2003, Winnowing); recordings with a common row
are laid over one another, and agreeing events counted.
"""

from typing import NamedTuple

import numpy as np
import scipy

from spikeduel.auditing.arrays import TIME_SHIFT, EventRecordings
from spikeduel.auditing.neighbours import Matches
from spikeduel.system.progress import Progress

LINKS = 16
"""Differences between successive events that must agree."""
CHOSEN = 16
"""Rows of which one is compared; of very many events, one of twice, four times as many."""
MAX_ROWS = 1 << 24
AT_ONCE = 1 << 20
"""Events whose differences are taken at once."""
MAX_CANDIDATES = 1 << 17
"""Most pairs laid over one another, those with most rows in common."""
MIN_COMMON_EVENTS, MIN_PIXELS = 48, 8
"""Events that must agree, and their pixels: a single flickering pixel repeats itself."""
MIN_SHARE = 0.05
"""Share of the shorter recording's events that must agree."""


class SharedSegments(NamedTuple):
    """Recordings that share a segment of events.

    `earlier`: the one that shares most with each of N; `ratio` is the share of the shorter one's
    events that it lacks. `pairs` int64 `[P, 2]` suffice to join all that share a segment.
    """

    earlier: Matches
    pairs: np.ndarray

    def joined(self, groups: np.ndarray) -> np.ndarray:
        """Return `groups` `[N]` joined where recordings share a segment, int64 `[N]`."""
        count = len(groups)
        _, first, group = np.unique(groups, return_index=True, return_inverse=True)
        edges = np.concatenate([self.pairs, np.stack([np.arange(count), first[group]], 1)])
        graph = scipy.sparse.coo_matrix((np.ones(len(edges), np.int8), edges.T), (count, count))
        _, component = scipy.sparse.csgraph.connected_components(graph, directed=False)
        return np.asarray(component, np.int64)


def search(
    recordings: EventRecordings, same: np.ndarray, split_code: np.ndarray, progress: Progress
) -> SharedSegments:
    """Return the shared segments of unequal recordings (`same` `[N]`) in the splits
    `split_code` `[N]` (−1: left out). Segments of 100 events are missed once in 200 times, of 200
    events once in 100,000 times.
    """
    earlier = Matches(np.full(len(recordings), -1), np.full(len(recordings), np.inf))
    pairs, shifts = _candidates(recordings, same, split_code, progress)
    is_sharing = np.zeros(len(pairs), bool)
    candidates = enumerate(zip(pairs.tolist(), shifts, strict=True))
    for number, (pair, shift) in progress.track(candidates, "comparing recordings", len(pairs)):
        image, partner = pair
        # A shift can lead to before a recording's start, so that events are signed.
        events, of_partner = (recordings.events_of(row).view(np.int64) for row in pair)
        share = _share(events, of_partner + shift)
        is_sharing[number] = share > 0
        if split_code[image] != split_code[partner] and 0 < share > 1 - earlier.ratio[image]:
            earlier.nearest[image], earlier.ratio[image] = partner, 1 - share
    return SharedSegments(earlier, pairs[is_sharing])


def _share(events: np.ndarray, shifted: np.ndarray) -> float:
    """Return the share of the shorter recording's events that are in both; 0 if they are too
    few.
    """
    common = events[np.isin(events, shifted)]
    share = len(common) / min(len(events), len(shifted))
    pixels = np.unique(common & ((1 << TIME_SHIFT) - 2))
    is_enough = len(common) >= MIN_COMMON_EVENTS and len(pixels) >= MIN_PIXELS
    return share if is_enough and share >= MIN_SHARE else 0.0


def _candidates(
    recordings: EventRecordings, same: np.ndarray, split_code: np.ndarray, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs with common rows, int64 `[P, 2]`, that of the later split first, and the shift
    of the second, int64 `[P]`.
    """
    hashes, first_event = _compared_rows(recordings.packed, progress)
    image = np.searchsorted(recordings.offsets, first_event, side="right") - 1
    is_whole = (first_event + LINKS < recordings.offsets[image + 1]) & (split_code[image] >= 0)
    hashes, first_event, image = hashes[is_whole], first_event[is_whole], image[is_whole]
    order = np.argsort(hashes, kind="stable")
    is_twice = np.flatnonzero(hashes[order][1:] == hashes[order][:-1])
    order = order[np.union1d(is_twice, is_twice + 1)]
    # Of equal recordings of one split one is compared, and that once for each row.
    keys = np.stack([hashes[order], split_code[image[order]], same[image[order]]])
    order = order[np.unique(keys, axis=1, return_index=True)[1]]
    hashes, first_event, image = hashes[order], first_event[order], image[order]
    # Each is paired with the one before it, and with the first, which is of the earliest split.
    before, first = np.arange(len(hashes)) - 1, np.searchsorted(hashes, hashes)
    has_earlier = np.flatnonzero(first <= before)
    later = np.tile(has_earlier, 2)
    earlier = np.concatenate([before[has_earlier], first[has_earlier]])
    is_other = same[image[later]] != same[image[earlier]]
    later, earlier = later[is_other], earlier[is_other]
    events = recordings.packed.view(np.int64)
    shifts = events[first_event[later]] - events[first_event[earlier]]
    placements, votes = np.unique(
        np.stack([image[later], image[earlier], shifts], 1), axis=0, return_counts=True
    )
    # The placement of a pair that most rows agree on.
    placements = placements[np.argsort(-votes, kind="stable")]
    _, best = np.unique(placements[:, :2], axis=0, return_index=True)
    placements = placements[np.sort(best)[:MAX_CANDIDATES]]
    return placements[:, :2], placements[:, 2]


def _compared_rows(packed: np.ndarray, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
    """Return hashes int64 `[R]` of the compared rows, and the first event of each, int64 `[R]`."""
    step = CHOSEN
    while len(packed) > step * MAX_ROWS:
        step *= 2
    hashes, first_events = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    starts = range(0, len(packed), AT_ONCE)
    for start in progress.track(starts, "looking for shared segments", len(starts)):
        row = _mixed(np.diff(packed[start : start + AT_ONCE + LINKS]))
        length = 1
        while length < LINKS and len(row) > length:
            row = _mixed(row[:-length] * np.uint64(3) + row[length:])
            length *= 2
        if length == LINKS:
            chosen = np.flatnonzero(row % np.uint64(step) == 0)
            hashes.append(row[chosen])
            first_events.append(chosen + start)
    return np.concatenate(hashes).view(np.int64), np.concatenate(first_events)


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Return hashes uint64 of `numbers` (the finaliser of MurmurHash3)."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        numbers = (numbers ^ (numbers >> np.uint64(33))) * np.uint64(factor)
    return numbers ^ (numbers >> np.uint64(33))
