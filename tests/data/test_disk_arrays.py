import numpy as np
import pytest
import torch

from spikeduel.data import disk_arrays
from spikeduel.data.disk_arrays import Rows, empty_array, in_parts, rows_of
from spikeduel.system.errors import InputError


@pytest.fixture(params=["memory", "disk"])
def where(request, monkeypatch):
    if request.param == "disk":
        monkeypatch.setattr(disk_arrays, "available_memory", lambda: 0)
    return str(request.param)


def test_a_room_holds_what_is_written(where, cache):
    held = empty_array((3, 2), np.float32)
    assert isinstance(held, np.memmap) == (where == "disk")
    held[:] = [[1, 2], [3, 4], [5, 6]]
    assert held.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert not cache.exists() or list(cache.iterdir()) == []


def test_a_full_disk_is_told_and_kills_nobody(monkeypatch):
    def full(_descriptor, _at, _size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk_arrays, "available_memory", lambda: 0)
    monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    with pytest.raises(InputError, match="make room"):
        empty_array((1000,))


def test_parts_and_rows_are_those_of_the_whole(where, monkeypatch):
    monkeypatch.setattr(disk_arrays, "ROWS_AT_ONCE", 3)
    images = np.arange(20, dtype=np.uint8).reshape(10, 2)
    doubled = in_parts(images, lambda part: torch.from_numpy(part.astype(np.float32)) * 2)
    assert torch.equal(doubled, torch.from_numpy(images) * 2.0)
    chosen = np.array([7, 0, 3, 3])
    assert torch.equal(rows_of(doubled, chosen), doubled[chosen])
    some = Rows(images, chosen[:3], torch.from_numpy)
    assert len(some) == 3
    assert some[torch.tensor([1])].tolist() == [[0, 1]]
    assert some[1:].tolist() == [[0, 1], [6, 7]]
