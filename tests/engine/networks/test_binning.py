from typing import get_args

import numpy as np
import pytest

import made_recordings as made
from spikeduel.inputs.preprocessing import Binning, Change, Events

SENSOR = (6, 9)
RECORDINGS = [
    made.some_events(count, SENSOR, last, seed)
    for seed, (count, last) in enumerate([(400, 900), (30, 5000), (1, 1)])
]


def binned(binning, recordings=RECORDINGS):
    packed = [recording.packed() for recording in recordings]
    offsets = np.cumsum([0, *map(len, packed)])
    return binning.frames(np.concatenate(packed), offsets, np.arange(len(packed)))


def by_hand(events, binning):
    """The same, event by event."""
    frames = np.zeros(binning.shape, int)
    rows = sorted((t, y, x, p) for x, y, t, p in made.rows(events))
    length = binning.frame_us * binning.num_frames if binning.frame_us else rows[-1][0] + 1
    for t, y, x, p in rows:
        frame = t * binning.num_frames // length
        if frame < binning.num_frames:
            frames[2 * frame + p, y // binning.factor, x // binning.factor] += 1
    return np.minimum(frames, 255)


@pytest.mark.parametrize("settings", [{}, {"frame_us": 100}, {"frame_us": 7}, {"factor": 2}])
def test_frames_are_those_of_a_loop_over_events(settings):
    binning = Binning(5, SENSOR, **settings)
    frames = binned(binning)
    assert (frames == [by_hand(recording, binning) for recording in RECORDINGS]).all()
    packed = [events.packed() for events in RECORDINGS]
    ends, counts = binning.received(
        np.concatenate(packed), np.cumsum([0, *map(len, packed)]), np.arange(3)
    )
    assert (counts == frames.reshape(3, binning.num_frames, -1).sum(2, dtype=int).cumsum(1)).all()
    assert (np.diff(ends) >= 0).all()
    if binning.frame_us:
        assert (ends == binning.frame_us * np.arange(1, binning.num_frames + 1)).all()


def test_counts_end_at_255():
    same = Events(*np.ones((4, 300), np.int64))
    frames = binned(Binning(1, (2, 2)), [same])
    assert frames[0, :, 1, 1].tolist() == [0, 255]


def test_events_outside_the_sensor_of_a_model_are_left_out():
    frames = binned(Binning(1, (3, 3)))
    assert frames[0].sum() == sum(x < 3 and y < 3 for x, y, _, _ in made.rows(RECORDINGS[0]))


def test_each_change_of_time_and_polarity():
    frames = {
        change: binned(Binning(5, SENSOR, change=change)).reshape(3, 5, 2, *SENSOR).astype(int)
        for change in get_args(Change)
    }
    plain, shuffled, redrawn = frames["none"], frames["shuffled"], frames["redrawn"]
    whole = plain.sum(1)
    assert (plain == binned(Binning(5, SENSOR)).reshape(plain.shape)).all()
    assert (frames["collapsed"] == whole[:, None]).all()
    assert (frames["reversed"] == plain[:, ::-1]).all()
    assert (frames["merged"][:, :, 0] == plain.sum(2)).all()
    assert not frames["merged"][:, :, 1].any()
    for changed in (shuffled, redrawn):
        assert (changed.sum(1) == whole).all()
        assert (changed != plain).any()
    assert {frame.tobytes() for frame in shuffled[0]} == {frame.tobytes() for frame in plain[0]}
    # Each frame gets about a fifth of 400 events: 80, with a standard deviation of 8.
    assert (abs(redrawn[0].sum((1, 2, 3)) - 80) < 40).all()
