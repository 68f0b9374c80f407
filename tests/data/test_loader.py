import gc
import os
import threading

import numpy as np
import pytest
import torch

from spikeduel.data import cache, loader
from spikeduel.data.loader import on_device, prefetched, training_batches

INDICES = np.arange(3, 40)


@pytest.fixture(params=["in memory", "on disk"])
def prepared(
    request,
    make_prepared,
    tmp_path,
    monkeypatch,
):
    """The same set, once held in memory and once larger than what there is of it."""
    made = make_prepared(np.arange(50) % 3)
    if request.param == "in memory":
        return made
    monkeypatch.setattr(loader, "available_memory", lambda: 0)
    cache.write(tmp_path / "set", made)
    mapped = cache.read(tmp_path / "set")
    assert isinstance(mapped.arrays[0], np.memmap)
    return mapped


@pytest.fixture(autouse=True)
def _no_thread_left_behind():
    yield
    assert producers() == []


def producers():
    return [
        thread for thread in threading.enumerate() if thread.name.startswith("spikeduel-batches")
    ]


def order(prepared, seed, epoch, batch_size=8):
    batches = training_batches(*prepared.arrays, INDICES, batch_size, seed, epoch)
    return np.concatenate([indices for _, _, indices in batches]).tolist()


def test_batches_hold_what_their_indices_say(prepared):
    sizes = []
    for batch, truth, indices in training_batches(*prepared.arrays, INDICES, 8, 0, 0):
        assert batch.dtype == torch.uint8
        assert truth.dtype == torch.int64
        assert indices.dtype == np.int64
        np.testing.assert_array_equal(batch.numpy(), prepared.images[indices])
        np.testing.assert_array_equal(truth.numpy(), prepared.labels[indices])
        sizes.append(len(indices))
    assert sizes == [8, 8, 8, 8, 5]


def test_order_depends_on_seed_and_epoch_alone(prepared):
    first = order(prepared, 0, 0)
    assert order(prepared, 0, 0) == first
    assert order(prepared, 0, 0, batch_size=5) == first
    others = [order(prepared, seed, epoch) for seed, epoch in ((0, 1), (1, 0), (1, 1))]
    assert len({tuple(o) for o in [first, *others, INDICES.tolist()]}) == 5


# ---- a thread that works ahead


class Counted:
    """0, 1, 2, … and how many of them have been asked for."""

    def __init__(self, stop, fails_at=None):
        self.stop, self.fails_at, self.made = stop, fails_at, 0

    def __iter__(self):
        for number in range(self.stop):
            if number == self.fails_at:
                raise OSError("the disk is gone")
            self.made += 1
            yield number


def test_what_the_producer_raises_is_raised_in_its_place():
    got = []
    with pytest.raises(OSError, match="the disk is gone"):
        for number in prefetched(Counted(9, fails_at=4), 2):
            got.append(number)
    assert got == [0, 1, 2, 3]


# ---- shuffled by blocks


@pytest.fixture
def large(monkeypatch):
    """The images of these tests (4×4 grey) count as many: blocks of 4, of which 3 are mixed."""
    monkeypatch.setattr(loader, "WHOLE", 10 * 16)
    monkeypatch.setattr(loader, "BLOCK", 4 * 16)
    monkeypatch.setattr(loader, "WINDOW", 12 * 16)


@pytest.mark.usefixtures("large")
def test_blocks_come_in_windows_whose_images_are_mixed(prepared):
    rows = order(prepared, 0, 0)
    assert sorted(rows) == INDICES.tolist()
    assert rows != order(prepared, 0, 1)
    assert rows == order(prepared, 0, 0, batch_size=5)
    for start in range(0, len(rows), 12):
        window = np.sort(rows[start : start + 12])
        assert rows[start : start + 12] != window.tolist() or len(window) == 1
        # Three whole blocks, or two and some that are cut off by the ends of the window, or of the
        # set.
        assert np.count_nonzero(np.diff(window) != 1) <= 5


@pytest.mark.usefixtures("large")
@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system takes no such advice")
def test_blocks_are_asked_for_a_window_ahead(make_prepared, tmp_path, monkeypatch):
    cache.write(tmp_path / "set", make_prepared(np.arange(50) % 3))
    monkeypatch.setattr(loader, "available_memory", lambda: 0)
    images, labels = cache.read(tmp_path / "set").arrays
    announced = []
    monkeypatch.setattr(
        os, "posix_fadvise", lambda _file, _at, length, _advice: announced.append(length // 16)
    )
    batches = training_batches(images, labels, INDICES, 4, 0, 0)
    next(batches)
    assert sum(announced) == 4 + 12
    assert max(announced) == 4
    next(batches)
    assert sum(announced) == 8 + 12
    list(batches)
    assert sum(announced) == len(INDICES)


def test_nobody_waits_only_where_numbers_arrive_all_the_same(monkeypatch):
    asked = []
    monkeypatch.setattr(
        torch.Tensor, "to", lambda self, device, non_blocking: asked.append(non_blocking) or self
    )
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    batch = (
        torch.zeros(2, 1, 3, 3, dtype=torch.uint8),
        torch.zeros(2, dtype=torch.int64),
        np.arange(2),
    )
    for kind, waits in (("cuda:1", False), ("mps", True), ("xpu", True)):
        list(on_device([batch], torch.device(kind)))
        assert asked == [not waits] * 2
        asked.clear()


def test_closed_early_or_dropped_the_thread_ends():
    source = Counted(1000)
    batches = prefetched(source, 2)
    next(batches)
    assert len(producers()) == 1
    batches.close()
    with pytest.raises(ZeroDivisionError):
        for number in prefetched(source, 2):
            1 / (number - 3)
    gc.collect()
    assert producers() == []
    assert source.made < 1000
