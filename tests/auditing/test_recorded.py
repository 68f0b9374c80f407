"""Whole audits of sets of recordings, clean and with one planted fault each."""

import numpy as np
import pytest

from made_events import Events, part
from spikeduel.auditing import examine
from spikeduel.auditing.audit_results import DuplicateCounts
from spikeduel.system.finding_tables import with_id


def ids(audit):
    """Findings, without the one that 30 recordings are few."""
    return {conclusion.id for conclusion in audit.conclusions} - {"too_few_to_audit"}


def test_a_clean_set_raises_no_alarm(make_recorded, recorded_events):
    audit = examine(make_recorded(recorded_events))
    assert ids(audit) == set()
    assert audit.details.pairs == ()
    assert audit.noun == "recording"
    assert audit.shared_segments.across == 0
    assert audit.statistics.hot_pixels == ()
    assert audit.formats == ()


def test_a_part_of_a_training_recording_is_found_in_the_test(make_recorded, recorded_events):
    recorded_events[100] = part(recorded_events[7], 60_000, 200_000)
    audit = examine(make_recorded(recorded_events))
    assert not audit.ok
    (problem,) = audit.problems
    assert (problem.id, problem.values) == (
        "shared_segment_test_in_training",
        {"count": 1, "share": 1 / 30},
    )
    assert problem.remedy == "divide the data anew"
    assert audit.near_duplicates == DuplicateCounts(across=0, test_in_training=0)
    (pair,) = audit.details.pairs
    assert (pair.kind, pair.a.file, pair.b.file, pair.ratio) == (
        "shared segment in two splits",
        "100.npy",
        "7.npy",
        0,
    )
    # The shared segment counts as a near-duplicate for the nearest neighbour.
    assert audit.probe.near_duplicates_in_train == pytest.approx(1 / 30)


def test_longer_recordings_of_one_class_are_found(make_recorded, recorded_events):
    for number in range(0, 120, 3):
        recording = recorded_events[number]
        recorded_events[number] = Events(recording.x, recording.y, recording.t * 2, recording.p)
    audit = examine(make_recorded(recorded_events))
    assert ids(audit) == {"statistics_tell_class"}
    (finding,) = with_id(audit.conclusions, "statistics_tell_class")
    assert finding.values["share"] > 0.6
    assert set(finding.values["names"]) == {"length", "event rate"}
    assert finding.remedy == "--bin-ms N"
    length = audit.statistics.statistics[0]
    assert length.name == "length"
    assert length.classes["a"] == pytest.approx(2 * length.classes["b"], rel=0.01)


def test_a_hot_pixel_of_the_test_recordings_is_found(make_recorded, recorded_events):
    for number in range(90, 120):
        recording, random = recorded_events[number], np.random.default_rng(number)
        is_hot = random.random(len(recording.t)) < 0.08
        recorded_events[number] = Events(
            np.where(is_hot, 5, recording.x),
            np.where(is_hot, 3, recording.y),
            recording.t,
            recording.p,
        )
    audit = examine(make_recorded(recorded_events))
    assert ids(audit) == {"hot_pixels", "statistics_tell_split"}
    assert audit.statistics.hot_pixels == ((5, 3),)
    (finding,) = with_id(audit.conclusions, "statistics_tell_split")
    assert finding.values["share"] > 0.9
    assert finding.values["names"][0] == "at hot pixels"
