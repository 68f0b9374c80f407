import numpy as np
import pytest
import torch

from spikeduel.auditing import arrays
from spikeduel.auditing.arrays import Rows, SplitIndices, equal_ids, in_parts, rows_of
from spikeduel.system import large_arrays


@pytest.mark.parametrize("memory", [0, 1 << 40])
def test_parts_and_rows_are_those_of_the_whole(memory, monkeypatch):
    monkeypatch.setattr(large_arrays, "available_memory", lambda: memory)
    monkeypatch.setattr(arrays, "ROWS_AT_ONCE", 3)
    images = np.arange(20, dtype=np.uint8).reshape(10, 2)
    doubled = in_parts(images, lambda part: torch.from_numpy(part.astype(np.float32)) * 2)
    assert torch.equal(doubled, torch.from_numpy(images) * 2.0)
    chosen = np.array([7, 0, 3, 3])
    assert torch.equal(rows_of(doubled, chosen), doubled[chosen])
    some = Rows(images, chosen[:3])
    assert len(some) == 3
    assert some[torch.tensor([1])].tolist() == [[0, 1]]
    assert some[1:].tolist() == [[0, 1], [6, 7]]


def test_a_split_numbers_its_parts():
    split = SplitIndices(np.array([0, 3]), np.array([1]), np.array([4]))
    assert split.codes(6).tolist() == [0, 1, -1, 0, 2, -1]


def test_only_equal_images_have_equal_numbers():
    images = np.array([[1, 2], [3, 4], [1, 2], [2, 1]], np.uint8)
    assert equal_ids(images).tolist() == [0, 1, 0, 2]
