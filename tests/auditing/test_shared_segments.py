import numpy as np
import pytest

from made_events import Events, part, recordings_of, some_events
from spikeduel.auditing import shared_segments
from spikeduel.auditing.shared_segments import search
from spikeduel.system.progress import Progress

SENSOR = (34, 34)


def found_in(recorded, split_code, same=None):
    same = np.arange(len(recorded)) if same is None else np.array(same)
    return search(recordings_of(recorded, SENSOR), same, np.array(split_code), Progress())


@pytest.fixture
def recorded():
    return [some_events(2000, seed=seed) for seed in range(6)]


def test_recordings_of_their_own_share_nothing(recorded):
    shared = found_in(recorded, [0, 0, 0, 1, 2, 2])
    assert (shared.earlier.nearest == -1).all()
    assert not len(shared.pairs)


def test_overlapping_halves_share_what_overlaps(recorded):
    whole = recorded[0]
    recorded[0], recorded[4] = part(whole, 0, 180_000), part(whole, 120_000, 300_000)
    shared = found_in(recorded, [0, 0, 0, 1, 2, 2])
    assert shared.earlier.nearest.tolist() == [-1, -1, -1, -1, 0, -1]
    common, shorter = (
        (whole.t[whole.t >= 120_000] < 180_000).sum(),
        min(len(recorded[0].t), len(recorded[4].t)),
    )
    assert shared.earlier.ratio[4] == pytest.approx(1 - common / shorter)
    assert shared.pairs.tolist() == [[4, 0]]


def test_a_part_that_is_shifted_in_place_is_found(recorded):
    cut = part(recorded[1], 50_000, 200_000)
    recorded[5] = Events(cut.x // 2 + 3, cut.y // 2, cut.t, cut.p)
    recorded[1] = Events(recorded[1].x // 2, recorded[1].y // 2, recorded[1].t, recorded[1].p)
    shared = found_in(recorded, [0, 0, 0, 1, 2, 2])
    assert (shared.earlier.nearest[5], shared.earlier.ratio[5]) == (1, 0)


def test_recordings_of_one_split_are_joined(recorded):
    recorded[1] = part(recorded[0], 0, 100_000)
    shared = found_in(recorded, [0, 0, 0, 1, 2, 2])
    assert (shared.earlier.nearest == -1).all()
    assert shared.joined(np.arange(6)).tolist() == [0, 0, 1, 2, 3, 4]


def test_equal_recordings_and_those_left_out_do_not_count(recorded):
    recorded[4], recorded[5] = recorded[0], part(recorded[1], 0, 150_000)
    shared = found_in(recorded, [0, 0, 0, 1, 2, -1], same=[0, 1, 2, 3, 0, 5])
    assert not len(shared.pairs)


def test_a_flickering_pixel_is_no_segment():
    flickering = Events(
        *(np.full(2000, value) for value in (5, 7)), np.arange(2000) * 100, np.arange(2000) % 2
    )
    later = Events(flickering.x + 1, flickering.y, flickering.t, flickering.p)
    assert not found_in([flickering, later], [0, 2]).pairs.any()


def test_blocks_of_events_meet_without_a_gap(recorded, monkeypatch):
    packed = recordings_of(recorded, SENSOR).packed
    whole = shared_segments._compared_rows(packed, Progress())
    monkeypatch.setattr(shared_segments, "AT_ONCE", 100)
    for one, other in zip(whole, shared_segments._compared_rows(packed, Progress()), strict=True):
        np.testing.assert_array_equal(one, other)
