"""Events of an event camera, drawn by hand, as arrays."""

from typing import NamedTuple

import numpy as np


class Events(NamedTuple):
    """Pixels, microseconds and polarity (0 or 1) of events, `[N]` each."""

    x: np.ndarray
    y: np.ndarray
    t: np.ndarray
    p: np.ndarray


def some_events(count=200, sensor=(34, 34), last=300_000, seed=0):
    """Random events in order of time."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, last, count))
    t[0] = 0
    return Events(
        rng.integers(0, sensor[1], count),
        rng.integers(0, sensor[0], count),
        t,
        rng.integers(0, 2, count),
    )


def seen(picture, count=1500, last=300_000, seed=0):
    """A recording of `picture` `[H, W]`: events where it is bright, and a tenth of them anywhere,
    at random times.
    """
    rng = np.random.default_rng(seed)
    weight = picture / picture.sum() * 0.9 + 0.1 / picture.size
    place = rng.choice(picture.size, count, p=weight.ravel())
    t = np.sort(rng.integers(0, last, count))
    return Events(place % picture.shape[1], place // picture.shape[1], t, rng.integers(0, 2, count))


def part(events, first, last):
    """The events from time `first` to before `last`, in microseconds."""
    taken = (events.t >= first) & (events.t < last)
    return Events(events.x[taken], events.y[taken], events.t[taken], events.p[taken])


def recordings_of(recorded, sensor):
    """`EventRecordings` of events, each from time 0 on."""
    from spikeduel.auditing import EventRecordings

    packed = [
        np.sort((events.t - events.t.min()) << 27 | events.y << 14 | events.x << 1 | events.p)
        for events in recorded
    ]
    offsets = np.cumsum([0, *map(len, packed)])
    return EventRecordings(np.concatenate(packed).astype(np.uint64), offsets, sensor)
