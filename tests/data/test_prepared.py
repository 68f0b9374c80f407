from dataclasses import replace

import numpy as np
import pytest
import torch

from spikeduel.data import cache, loader
from spikeduel.data.prepared import (
    TEST,
    TRAIN,
    RawDataset,
    from_raw,
)
from spikeduel.inputs.preprocessing import Preprocessing
from spikeduel.system.errors import InputError


@pytest.fixture
def raw():
    images = np.random.default_rng(0).integers(0, 256, (6, 1, 4, 5), dtype=np.uint8)
    return RawDataset(images, np.array([0, 1, 0, 1, 0, 1]), ("a", "b"), Preprocessing(1, 4, 5))


def test_exact_duplicates_are_groups_of_every_set_with_an_official_test_set_too(
    raw,
):
    assert from_raw("mine", raw).groups is None
    assert from_raw("mine", replace(raw, groups=np.array([3, 1, 2, 9, 8, 7]))).groups is None
    raw.images[5] = raw.images[1]
    official = np.array([TRAIN] * 4 + [TEST] * 2, dtype=np.uint8)
    prepared = from_raw("mine", replace(raw, official=official))
    np.testing.assert_array_equal(prepared.groups, [0, 1, 2, 3, 4, 1])
    assert prepared.notes == ("1 image is an exact copy of another; copies count as one group.",)


def test_fingerprint_depends_on_content_and_not_on_the_name(raw):
    first = from_raw("mine", raw).fingerprint
    assert from_raw("other name", raw).fingerprint == first
    changed = raw.images.copy()
    changed[3, 0, 1, 1] ^= 1
    others = [
        replace(raw, images=changed),
        replace(raw, labels=1 - raw.labels),
        replace(raw, classes=("a", "c")),
        replace(raw, groups=np.arange(6) // 2),
        replace(raw, official=np.array([TRAIN] * 5 + [TEST], dtype=np.uint8)),
        replace(raw, preprocessing=Preprocessing(1, 4, 5, invert=True)),
    ]
    assert (
        len({first, *(from_raw("mine", other).fingerprint for other in others)}) == len(others) + 1
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"images": np.zeros((6, 1, 4, 5))}, "uint8"),
        ({"images": np.zeros((6, 4, 5), np.uint8)}, r"\[N, C, H, W\]"),
        ({"images": np.zeros((6, 2, 4, 5), np.uint8)}, "1 or 3 channels"),
        ({"images": np.zeros((6, 1, 5, 5), np.uint8)}, "preprocessing makes"),
        ({"images": np.zeros((0, 1, 4, 5), np.uint8), "labels": np.zeros(0, int)}, "no images"),
        ({"labels": np.array([0, 1, 0])}, "6 labels"),
        ({"labels": np.array([0, 1, 0, 1, 0, 2])}, "labels must lie in 0 … 1"),
        ({"labels": np.array([0, 1, 0, 1, 0, -1])}, "labels must lie in 0 … 1"),
        ({"labels": np.array([0, 1, 0, 1, 0, 1.0])}, "whole numbers"),
        ({"labels": np.zeros(6, int)}, "class 'b' has no images"),
        ({"classes": ("a",)}, "two are needed"),
        ({"classes": ("a", "a")}, "same name"),
        ({"classes": ("a", "caf\udce9")}, r"the class 'caf\\udce9' is not UTF-8"),
        ({"groups": np.zeros(5, int)}, "one entry per image"),
        ({"content": np.arange(5)}, "content must have one entry per image"),
        ({"names": ("one", "two")}, "names must have one entry per image"),
        ({"official": np.full(6, 7, np.uint8)}, "TRAIN, VALIDATION and TEST"),
        ({"official": np.full(6, TEST, np.uint8)}, "no training images"),
    ],
)
def test_what_cannot_be_right_is_refused(raw, change, problem):
    with pytest.raises(InputError, match=problem) as caught:
        from_raw("mine", replace(raw, **change))
    assert "'mine'" in str(caught.value)


# ---- what batches are taken from


@pytest.fixture
def mapped(raw, tmp_path):
    """A set of 120 bytes, memory-mapped."""
    cache.write(tmp_path / "set", from_raw("mine", raw))
    return cache.read(tmp_path / "set")


def test_what_fits_is_copied_to_memory_without_a_warning(mapped, monkeypatch):
    monkeypatch.setattr(loader, "available_memory", lambda: 240)
    assert not mapped.images.flags.writeable
    images, labels = mapped.arrays
    assert (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
    np.testing.assert_array_equal(images.numpy(), mapped.images)
    np.testing.assert_array_equal(labels.numpy(), mapped.labels)
    images[0] ^= 255
    labels[0] = 9
    assert (mapped.images[0] != images[0].numpy()).all()
    assert mapped.labels[0] == 0
