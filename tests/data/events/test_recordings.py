import numpy as np

import made_recordings as made
from spikeduel.data.events.binning import Binning
from spikeduel.data.events.recordings import Recordings


def recordings(*events, binning=None):
    packed = [each.packed() for each in events]
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


def test_equal_recordings_have_equal_checksums():
    assert ALL.checksum(0) == ALL.checksum(2) != ALL.checksum(1)


def test_a_picture_shows_where_events_are():
    pictures = ALL.pictures
    assert pictures.shape == (3, 1, 34, 34)
    assert pictures.max() == 255
    assert ((pictures[:, 0] > 0) == (np.asarray(ALL).sum(1) > 0)).all()
