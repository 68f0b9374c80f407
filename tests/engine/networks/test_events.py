import numpy as np
import pytest
from hypothesis import given, strategies as st

import made_recordings as made
from spikeduel.inputs.preprocessing import MAX_LONG_EDGE, MAX_MICROSECONDS, Events, unpacked
from spikeduel.system.errors import InputError

EVENT = st.tuples(
    st.integers(0, MAX_LONG_EDGE - 1),
    st.integers(0, MAX_LONG_EDGE - 1),
    st.integers(0, MAX_MICROSECONDS - 1),
    st.integers(0, 1),
)


@given(st.lists(EVENT, min_size=1, max_size=20))
def test_packing_keeps_all_of_an_event_sorted_by_time_from_0(rows):
    rows.sort(key=lambda row: row[2])  # and in any order of pixels
    events = Events(*map(np.array, zip(*rows, strict=True)))
    first = min(t for _, _, t, _ in rows)
    expected = sorted((t - first, y, x, p) for x, y, t, p in rows)
    assert [(t, y, x, p) for x, y, t, p in made.rows(unpacked(events.packed()))] == expected


def one(x=1, y=1, t=0, p=1, sensor=None):
    return Events(np.array([0, x]), np.array([0, y]), np.array([0, t]), np.array([0, p]), sensor)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (one(x=10, sensor=(20, 10)), r"event 1 is at \(10, 1\), outside the sensor's 10×20 pixels"),
        (one(sensor=(9, 60_000)), "names a sensor of 60,000×9 pixels; at most 4,096 a side"),
        (one(y=-1), r"event 1 is at \(1, -1\)"),
        (one(p=2), "event 1 has polarity 2"),
        (one(t=MAX_MICROSECONDS), "lasts 19 hours"),
        (Events(*np.empty((4, 0), np.int64)), "holds no events"),
        (
            Events(
                *np.zeros((2, 3), np.int64), np.array([0, 90_000, 80_000]), np.zeros(3, np.int64)
            ),
            "time runs backwards at event 2, by 10,000 of 90,000 microseconds",
        ),
    ],
)
def test_what_cannot_be_right_is_refused(events, expected):
    with pytest.raises(InputError, match=expected):
        events.packed()


def test_neighbours_that_a_camera_mixed_up_are_sorted():
    t = np.array([0, 200_000, 198_000, 200_001])
    assert unpacked(
        Events(*np.zeros((2, 4), np.int64), t, np.zeros(4, np.int64)).packed()
    ).t.tolist() == sorted(t)


def test_minus_one_is_darker():
    assert unpacked(one(p=-1).packed()).p.tolist() == [0, 0]
