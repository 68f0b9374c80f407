import numpy as np
import pytest

from spikeduel.system import large_arrays
from spikeduel.system.errors import InputError
from spikeduel.system.large_arrays import empty_array


@pytest.fixture(params=["memory", "disk"])
def where(request, monkeypatch):
    if request.param == "disk":
        monkeypatch.setattr(large_arrays, "available_memory", lambda: 0)
    return str(request.param)


def test_an_array_contains_what_is_written(where, tmp_path):
    cache = tmp_path / "cache"
    array = empty_array((3, 2), np.float32)
    assert isinstance(array, np.memmap) == (where == "disk")
    array[:] = [[1, 2], [3, 4], [5, 6]]
    assert array.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert not cache.exists() or list(cache.iterdir()) == []


def test_a_full_disk_is_an_error_for_people(monkeypatch):
    def full(_descriptor, _at, _size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(large_arrays, "available_memory", lambda: 0)
    monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    with pytest.raises(InputError, match="make room"):
        empty_array((1000,))
