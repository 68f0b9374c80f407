from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_files import MakePrepared

from spikeduel.data import cache as prepared_cache
from spikeduel.data.loader import evaluation_batches, in_memory, training_batches
from spikeduel.data.prepared import Prepared


@pytest.fixture
def prepared(make_prepared: MakePrepared) -> Prepared:
    return make_prepared(np.arange(50) % 3)


INDICES = np.arange(3, 40)


def order(images: torch.Tensor, labels: torch.Tensor, seed: int, epoch: int, batch_size: int = 8) -> list[int]:
    batches = training_batches(images, labels, INDICES, batch_size, seed, epoch)
    return np.concatenate([indices for _, _, indices in batches]).tolist()


def test_memory_mapped_arrays_are_copied_without_a_warning(prepared: Prepared, tmp_path: Path) -> None:
    prepared_cache.write(tmp_path / "set", prepared)
    mapped = prepared_cache.read(tmp_path / "set")
    assert not mapped.images.flags.writeable
    images, labels = in_memory(mapped)
    np.testing.assert_array_equal(images.numpy(), prepared.images)
    images[0] = 0
    labels[0] = 0


def test_batches_hold_what_their_indices_say(prepared: Prepared) -> None:
    images, labels = in_memory(prepared)
    sizes = []
    for batch, truth, indices in training_batches(images, labels, INDICES, 8, 0, 0):
        assert batch.dtype == torch.uint8
        assert truth.dtype == torch.int64
        assert indices.dtype == np.int64
        np.testing.assert_array_equal(batch.numpy(), prepared.images[indices])
        np.testing.assert_array_equal(truth.numpy(), prepared.labels[indices])
        sizes.append(len(indices))
    assert sizes == [8, 8, 8, 8, 5]


def test_every_image_comes_once(prepared: Prepared) -> None:
    assert sorted(order(*in_memory(prepared), 0, 0)) == INDICES.tolist()


def test_order_depends_on_seed_and_epoch_alone(prepared: Prepared) -> None:
    images, labels = in_memory(prepared)
    first = order(images, labels, 0, 0)
    assert order(images, labels, 0, 0) == first
    assert order(images, labels, 0, 0, batch_size=5) == first
    others = [order(images, labels, seed, epoch) for seed, epoch in ((0, 1), (1, 0), (1, 1))]
    assert len({tuple(o) for o in [first, *others, INDICES.tolist()]}) == 5


def test_evaluation_keeps_the_order(prepared: Prepared) -> None:
    images, labels = in_memory(prepared)
    indices = np.array([9, 2, 5])
    batches = list(evaluation_batches(images, labels, indices, 2))
    np.testing.assert_array_equal(np.concatenate([i for _, _, i in batches]), indices)
    np.testing.assert_array_equal(torch.cat([b for b, _, _ in batches]).numpy(), prepared.images[indices])


def test_no_indices_no_batches(prepared: Prepared) -> None:
    images, labels = in_memory(prepared)
    assert list(evaluation_batches(images, labels, np.array([], dtype=np.int64), 4)) == []


def test_copies_do_not_touch_the_cache(prepared: Prepared) -> None:
    images, _ = in_memory(prepared)
    before = prepared.images[0, 0, 0, 0]
    images[0, 0, 0, 0] = 255 - int(before)
    assert prepared.images[0, 0, 0, 0] == before
