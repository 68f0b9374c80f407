from dataclasses import replace

import numpy as np
import pytest

import made_recordings as made
from spikeduel.data.events.recordings import (
    EVENT_AUGMENTATIONS,
    WHOLE,
    Alteration,
    Recordings,
    alteration_of,
)
from spikeduel.inputs.preprocessing import Binning, unpacked

SENSOR, FRAMES, LAST = (20, 40), 5, 99_999
COUNT, EACH = 100, 150


def recordings(count=COUNT, **settings):
    packed = [made.some_events(EACH, SENSOR, LAST, seed).packed() for seed in range(count)]
    offsets = np.cumsum([0, *map(len, packed)])
    return Recordings(np.concatenate(packed), offsets, Binning(FRAMES, SENSOR, **settings))


MADE = recordings()


def alteration(**changes):
    """The alteration of one recording."""
    nothing = {"hidden": [[0, 0]], "place": [[0, 0, 0, 0]], "left_out": [0], "moved": [0]}
    arrays = {name: np.array(value, np.int64) for name, value in {**nothing, **changes}.items()}
    return Alteration(np.array([7], np.uint64), **arrays)


def left(of, packed=MADE.events_of(0), sensor=SENSOR):
    """The events of a recording after an alteration, as (x, y, t, p)."""
    last = int(unpacked(packed).t[-1])
    remaining, begins, ends = of.altered(
        packed, np.array([0]), np.array([len(packed)]), np.array([last]), sensor
    )
    return made.rows(unpacked(remaining[begins[0] : ends[0]]))


ALL = made.rows(unpacked(MADE.events_of(0)))


def test_events_of_a_time_are_left_out():
    length = ALL[-1][2] + 1
    first, until = WHOLE // 4 * length // WHOLE, WHOLE // 2 * length // WHOLE
    expected = [row for row in ALL if not first <= row[2] < until]
    assert left(alteration(hidden=[[WHOLE // 4, WHOLE // 2]])) == expected
    assert 0 < len(expected) < EACH


def test_events_of_a_place_are_left_out():
    # Of 20 rows those from 5 on to before 10, of 40 columns those from 20 on to before 40.
    expected = [row for row in ALL if not (5 <= row[1] < 10 and 20 <= row[0] < 40)]
    assert left(alteration(place=[[WHOLE // 4, WHOLE // 2, WHOLE // 2, WHOLE]])) == expected
    assert 0 < len(expected) < EACH


def test_jitter_moves_only_times_and_keeps_the_order():
    packed = made.some_events(20_000, (1, 1 << 12), LAST).packed()
    before = made.rows(unpacked(packed))
    rows = left(alteration(moved=[WHOLE // 10]), packed, (1, 1 << 12))
    times = np.array([row[2] for row in rows])
    most = before[-1][2]
    assert (np.diff(times) >= 0).all()
    assert times.min() >= 0
    assert times.max() <= most
    assert sorted((x, y, p) for x, y, _, p in rows) == sorted((x, y, p) for x, y, _, p in before)
    # Uniform up to a tenth of 100,000 µs either way: pixels that occur once say by how much they
    # were moved.
    pixels, counts = np.unique([row[0] for row in before], return_counts=True)
    once = set(pixels[counts == 1].tolist())
    then, now = ({row[0]: row[2] for row in events if row[0] in once} for events in (before, rows))
    inside = [now[x] - t for x, t in then.items() if 10_000 < t < most - 10_000]
    assert max(map(abs, inside)) <= 10_000
    assert np.std(inside) == pytest.approx(10_000 / np.sqrt(3), rel=0.05)


def test_a_quarter_each_loses_events_of_a_time_of_a_place_by_chance_or_none():
    drawn = alteration_of(["eventdrop"], FRAMES, 0, 0, np.arange(4000))
    lengths, edges = np.diff(drawn.hidden)[:, 0], np.diff(drawn.place)[:, [0, 2]]
    is_way = [lengths > 0, edges.any(1), drawn.left_out > 0]
    assert np.sum(is_way, 0).max() == 1
    # 1,000 of 4,000; 3.3 standard deviations of 27 (0.1 %).
    assert (abs(np.sum(is_way, 1) - 1000) < 90).all()
    for parts, most, whole in ((lengths, 9, 10), (edges, 5, 20), (drawn.left_out, 9, 10)):
        shares = np.rint(whole * parts[parts > 0] / WHOLE).astype(int)
        assert set(shares.tolist()) == set(range(1, most + 1))
    assert max(drawn.hidden.max(), drawn.place.max()) <= WHOLE


@pytest.mark.parametrize("name", EVENT_AUGMENTATIONS)
def test_what_a_recording_becomes_depends_on_seed_epoch_and_recording_alone(name):
    def frames(seed, epoch, rows):
        return MADE.altered([name], seed, epoch)[rows]

    whole, some = frames(2, 3, np.arange(COUNT)), np.array([40, 3, 17])
    assert (frames(2, 3, some) == whole[some]).all()
    others = [frames(*drawn, np.arange(COUNT)) for drawn in ((2, 4), (3, 3))]
    assert all((other != whole).any() for other in others)
    assert (whole != np.asarray(MADE)).any()
    assert EVENT_AUGMENTATIONS[name].__doc__


@pytest.mark.parametrize("settings", [{}, {"frame_us": 15_000}])
def test_frames_are_those_of_the_events_that_are_left(settings):
    """Events as if they had been recorded so, but for the recording's length: an event at its very
    end stays.
    """
    made_so = recordings(1, **settings)
    of = alteration(hidden=[[0, WHOLE // 3]], left_out=[WHOLE // 10])
    remaining = set(left(of))
    packed = np.array(
        [word for word, row in zip(MADE.events_of(0), ALL, strict=True) if row in remaining]
    )
    alone = replace(made_so, packed=packed, offsets=np.array([0, len(packed)]))
    assert packed[-1] == MADE.events_of(0)[-1]
    assert (replace(made_so, altering=lambda rows: of)[0] == alone[0]).all()
