"""Values for other processes, their large arrays in files."""

import pickle

import numpy as np
import pytest

from spikeduel import data
from spikeduel.data.disk_arrays import SMALL, pickled
from spikeduel.experiment.settings import Experiment
from spikeduel.system.errors import InputError

LARGE = np.arange(SMALL, dtype=np.int64)


def test_large_arrays_lie_in_files_once_and_maps_where_they_are(tmp_path):
    path = tmp_path / "whole.npy"
    np.save(path, LARGE)
    whole = np.load(path, mmap_mode="r")
    folder = tmp_path / "new"
    folder.mkdir()
    np.save(tmp_path / "gone.npy", LARGE)
    gone = np.load(tmp_path / "gone.npy", mmap_mode="r")
    (tmp_path / "gone.npy").unlink()
    value = {
        "map": whole,
        "slice": whole[7:],
        "same": [LARGE] * 2,
        "few": np.arange(3),
        "gone": gone,
    }
    content = pickled(value, folder)
    assert len(content) < 2000
    assert [file.name for file in sorted(folder.iterdir())] == ["0.bin", "1.bin", "2.bin"]
    together = pickle.loads(content)
    assert together["map"].filename == str(path)
    assert together["same"][0] is together["same"][1]
    for name in ("map", "slice", "few", "gone"):
        np.testing.assert_array_equal(together[name], value[name])
    np.testing.assert_array_equal(together["same"][0], LARGE)
    (folder / "1.bin").unlink()
    with pytest.raises(InputError, match=r"does not find .*1\.bin"):
        pickle.loads(content)


def test_a_prepared_set_is_the_same_without_its_copy_in_memory(known_data, tmp_path):
    prepared = data.load(Experiment(dataset="digits"))
    assert prepared.arrays is prepared.arrays
    received = pickle.loads(pickled(prepared, tmp_path))
    assert "arrays" not in vars(received)
    np.testing.assert_array_equal(received.images, prepared.images)
    assert (received.fingerprint, received.classes) == (prepared.fingerprint, prepared.classes)
    np.testing.assert_array_equal(received.arrays[0], prepared.arrays[0])
    arrays = prepared.arrays
    prepared.release()
    assert prepared.arrays is not arrays
