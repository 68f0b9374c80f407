import numpy as np
import pytest

import made_recordings as made
from spikeduel.data.events.recordings import Recordings
from spikeduel.data.prepared import hash_of
from spikeduel.inputs.preprocessing import Binning, Events


def recordings(*events, binning=None):
    packed = [recording.packed() for recording in events]
    offsets = np.cumsum([0, *map(len, packed)])
    return Recordings(np.concatenate(packed), offsets, binning or Binning(3, (34, 34)))


ALL = recordings(made.some_events(seed=1), made.some_events(50, seed=2), made.some_events(seed=1))


def test_they_look_like_an_array_of_images():
    whole = np.asarray(ALL)
    assert whole.shape == ALL.shape == (3, 6, 34, 34)
    assert whole.dtype == np.uint8
    assert (ALL[1] == whole[1]).all()
    assert (ALL[[2, 0]] == whole[[2, 0]]).all()
    assert (ALL[-2:] == whole[1:]).all()
    assert whole.sum() == len(ALL.packed)


def test_equal_recordings_have_equal_hashes():
    assert hash_of(ALL, 0) == hash_of(ALL, 2) != hash_of(ALL, 1)


def test_the_rate_of_events_and_how_sparse_frames_are():
    # 3 and 1 events in 2 and 1 seconds; two of the first in one pixel and frame.
    first = Events(
        *(np.array(column) for column in ([1, 1, 2], [0, 0, 0], [0, 10, 1_999_999], [1, 1, 0]))
    )
    second = Events(*(np.array(column) for column in ([0, 1], [3, 3], [0, 999_999], [1, 1])))
    rates = recordings(first, second, binning=Binning(2, (4, 4))).rates(np.array([0, 1]))
    assert rates.a_second == pytest.approx(5 / 3)
    assert (rates.each, rates.in_frames) == (2.5, 2.5)
    # Of 2 recordings with 2 frames of 2 polarities with 16 pixels.
    assert rates.non_zero == 4 / 128
    # Frames that end earlier count less, and what arrives is the same.
    early = recordings(first, second, binning=Binning(2, (4, 4), frame_us=100_000))
    rates_of_early = early.rates(np.array([0, 1]))
    assert (rates_of_early.a_second, rates_of_early.in_frames) == (rates.a_second, 1.5)
