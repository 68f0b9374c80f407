"""Values taken apart and put together, in memory and by files."""

import pickle

import numpy as np
import torch

from spikeduel import data
from spikeduel.data.disk_arrays import SMALL, SharedPayload
from spikeduel.data.events.recordings import Recordings
from spikeduel.settings import Experiment

LARGE = np.arange(SMALL, dtype=np.int64)


def test_large_arrays_are_apart_once_and_the_rest_is_small():
    value = {
        "a": LARGE,
        "same": LARGE,
        "tensor": torch.from_numpy(LARGE.copy()),
        "few": np.arange(3),
        "text": "x",
    }
    taken = SharedPayload.of(value)
    assert len(taken.arrays) == 2
    assert len(taken.pickled) < 1000
    together = taken.load()
    assert together["a"] is together["same"] is LARGE
    assert isinstance(together["tensor"], torch.Tensor)
    np.testing.assert_array_equal(together["tensor"], LARGE)
    assert (together["few"].tolist(), together["text"]) == ([0, 1, 2], "x")


def test_maps_of_files_stay_such_and_parts_of_them_are_written(tmp_path):
    path = tmp_path / "whole.npy"
    np.save(path, LARGE)
    whole = np.load(path, mmap_mode="r")
    folder = tmp_path / "new"
    folder.mkdir()
    handed = pickle.loads(
        pickle.dumps(SharedPayload.of((whole, whole[7:], LARGE)).in_files(folder))
    )
    assert [each.file for each in handed.arrays] == [
        str(path),
        str(folder / "1.bin"),
        str(folder / "2.bin"),
    ]
    for found, asked in zip(handed.load(), (whole, whole[7:], LARGE), strict=True):
        assert isinstance(found, np.memmap)
        np.testing.assert_array_equal(found, asked)


def test_a_prepared_set_is_the_same_without_its_copy_in_memory(known_data, tmp_path):
    prepared = data.load(Experiment(dataset="digits"))
    assert prepared.held is prepared.held
    found = SharedPayload.of(prepared).in_files(tmp_path).load()
    assert "held" not in vars(found)
    np.testing.assert_array_equal(found.images, prepared.images)
    assert (found.fingerprint, found.classes) == (prepared.fingerprint, prepared.classes)
    np.testing.assert_array_equal(found.held[0], prepared.held[0])
    held = prepared.held
    prepared.let_go()
    assert prepared.held is not held
    assert not isinstance(found.images, Recordings)
