"""Folders of recordings, from files to prepared sets; and a duel on them."""

import numpy as np
import pytest

import made_recordings as made
from spikeduel import data
from spikeduel.data.catalogue import binned
from spikeduel.data.events.recording_files import read
from spikeduel.data.events.recordings import Recordings
from spikeduel.experiment.settings import Experiment
from spikeduel.inputs.preprocessing import Events
from spikeduel.system.errors import UnreadableFiles


@pytest.fixture
def folder(tmp_path):
    made.directions(tmp_path / "bars", 20)
    return tmp_path / "bars"


def experiment(folder, **changes):
    return Experiment(dataset=str(folder), **{"num_steps": 4, **changes})


def test_a_folder_of_recordings_is_prepared_once_and_binned_as_the_experiment_says(folder):
    first = data.load(experiment(folder))
    assert isinstance(first.images, Recordings)
    assert first.image_shape == (8, 12, 12)
    assert first.names[0] == "down/0.npy"
    packed = read(folder / "down" / "0.npy").packed()
    assert (first.images.events_of(0) == packed).all()
    # Found in the cache, as others are: its files are mapped.
    again = data.load(experiment(folder, num_steps=2, image_size=6))
    assert isinstance(again.images.packed, np.memmap)
    assert again.fingerprint == first.fingerprint
    assert again.image_shape == (4, 6, 6)
    merged = binned(first, experiment(folder), None, "merged")
    assert not np.asarray(merged.images)[:, 1::2].any()


def test_a_stray_event_does_not_blow_up_the_sensor(folder):
    stray = made.some_events(sensor=(12, 12), last=9000)
    stray.x[7] = 200
    (folder / "up" / "0.npy").write_bytes(made.numpy_file(stray))
    with pytest.raises(
        UnreadableFiles,
        match=r"up/0\.npy: has events at \(200, 11\), where others end at \(11, 11\)",
    ):
        data.load(experiment(folder))
    # Where many are so large, the sensor is.
    for number in range(1, 6):
        (folder / "up" / f"{number}.npy").write_bytes(made.numpy_file(stray))
    assert data.load(experiment(folder)).images.binning.sensor == (12, 201)


@pytest.mark.parametrize(
    ("num_steps", "bin_ms", "share"), [(12, None, 0.0), (11, 21.0, 9 / 240), (6, 20.0, 0.5)]
)
def test_a_set_tells_of_events_after_the_last_frame_if_they_are_more_than_5_percent(
    num_steps, bin_ms, share, tmp_path
):
    t = np.arange(240) * 1000
    content = made.numpy_file(Events(t % 12, t % 7, t, t % 2))
    for name in ("a/0.npy", "a/1.npy", "b/0.npy"):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    messages = []
    of = experiment(tmp_path / "set", num_steps=num_steps, bin_ms=bin_ms)
    found = data.load(of, say=messages.append)
    assert found.images.left_out == pytest.approx(share)
    notes = [note for note in found.notes if "50.0 % of the events come after the last" in note]
    assert notes == messages
    assert len(messages) == (share == 0.5)
