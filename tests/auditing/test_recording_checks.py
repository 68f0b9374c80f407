import numpy as np
import pytest

from made_events import Events, recordings_of, some_events
from spikeduel.auditing import SplitIndices
from spikeduel.auditing.recording_checks import examine
from spikeduel.system.progress import Progress

SENSOR = (10, 20)


def examined(recorded, labels, split, groups=None):
    groups = np.arange(len(recorded)) if groups is None else groups
    recordings = recordings_of(recorded, SENSOR)
    return examine(recordings, np.array(labels), ("a", "b"), groups, split, Progress())


def test_statistics_by_hand():
    one = Events(*map(np.array, ([0, 3, 3, 19], [0, 1, 1, 4], [0, 10, 20, 9_999], [1, 1, 0, 1])))
    statistics = examined([one] * 4, [0, 1, 0, 1], SplitIndices(*map(np.array, ([0, 1], [2], [3]))))
    numbers = {statistic.name: statistic.by_split["test"] for statistic in statistics.statistics}
    assert numbers == {
        "length": 10,
        "events": 4,
        "event rate": 400,
        "brighter events": 0.75,
        "pixels in use": 3 / 200,
        "columns": 20,
        "rows": 5,
        "at hot pixels": 0,
    }
    assert (statistics.class_accuracy, statistics.class_chance, statistics.split_accuracy) == (
        None,
        None,
        None,
    )
    assert (statistics.num_tested, statistics.num_groups) == (0, 0)


def test_numbers_without_a_leak_tell_as_much_as_chance():
    recorded = [some_events(300, SENSOR, seed=seed) for seed in range(200)]
    statistics = examined(
        recorded,
        np.arange(200) % 2,
        SplitIndices(np.arange(100), np.arange(0), np.arange(100, 200)),
    )
    assert abs(statistics.class_accuracy - 0.5) < 0.15
    assert abs(statistics.split_accuracy - 0.5) < 0.1
    assert (statistics.num_tested, statistics.num_groups) == (100, 200)


def test_no_person_is_in_training_and_test_of_the_classifier():
    """Each person has an event rate of their own, which says nothing about other persons."""
    random = np.random.default_rng(0)
    person = np.repeat(np.arange(20), 10)
    rate = random.permutation(np.arange(200, 1000, 40))
    recorded = [some_events(rate[who], SENSOR, seed=seed) for seed, who in enumerate(person)]
    split = SplitIndices(np.arange(100), np.arange(0), np.arange(100, 200))
    alone = examined(recorded, np.arange(200) % 2, split)
    together = examined(recorded, np.arange(200) % 2, split, person)
    assert alone.split_accuracy > 0.75
    assert together.split_accuracy < 0.6
    assert together.num_groups == 20


@pytest.mark.parametrize("share", [0.4, 0.9])
def test_a_pixel_is_hot_in_most_recordings_of_a_class(share):
    random = np.random.default_rng(1)
    recorded = []
    for seed in range(60):
        events = some_events(500, SENSOR, seed=seed)
        is_hot = (random.random(500) < 0.2) & (seed % 2 == 1) & (random.random() < share)
        recorded.append(
            Events(np.where(is_hot, 4, events.x), np.where(is_hot, 2, events.y), events.t, events.p)
        )
    statistics = examined(
        recorded,
        np.arange(60) % 2,
        SplitIndices(np.arange(30), np.arange(0), np.arange(30, 60)),
    )
    assert statistics.hot_pixels == (((4, 2),) if share == 0.9 else ())
    if statistics.hot_pixels:
        hot = statistics.statistics[-1]
        assert hot.classes["a"] < 0.02
        assert hot.classes["b"] > 0.15
        assert hot.class_accuracy > 0.8
