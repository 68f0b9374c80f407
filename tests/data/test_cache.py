import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import filelock
import numpy as np
import pytest

from spikeduel.data import cache
from spikeduel.data.prepared import TEST, TRAIN, RawDataset, from_raw
from spikeduel.inputs.preprocessing import Preprocessing
from spikeduel.system.errors import InputError


class Maker:
    """Makes a small set, and counts how often it was asked to."""

    def __init__(self, sources=()):
        self.calls = 0
        self.sources = sources

    def __call__(self, place=None):
        self.calls += 1
        rng = np.random.default_rng(0)
        return RawDataset(
            images=rng.integers(0, 256, (8, 1, 3, 3), dtype=np.uint8),
            labels=np.arange(8) % 2,
            classes=("a", "b"),
            preprocessing=Preprocessing(1, 3, 3, crop=(1, 2, 3, 4)),
            groups=np.arange(8) // 2,
            official=np.array([TRAIN] * 6 + [TEST] * 2, dtype=np.uint8),
            samples=[(0, np.eye(5, dtype=np.uint8)), (1, np.ones((2, 2, 3), dtype=np.uint8))],
            notes=("a note",),
            sources=self.sources,
            names=tuple(f"{'ab'[k % 2]}/{k}\udcff ü.png" for k in range(8)),
        )


def fetch(make, **identity):
    return cache.fetch("my set", identity, "somewhere", make)


def test_what_is_read_is_what_was_written_and_memory_mapped():
    make = Maker()
    prepared, raw = fetch(make), make()
    assert isinstance(prepared.images, np.memmap)
    for part in ("images", "labels", "groups", "official"):
        np.testing.assert_array_equal(getattr(prepared, part), getattr(raw, part))
    everyone = np.arange(len(prepared))
    np.testing.assert_array_equal(
        prepared.content_of(everyone), from_raw("my set", raw).content_of(everyone)
    )
    assert prepared.classes == raw.classes
    assert prepared.preprocessing == raw.preprocessing
    assert prepared.notes == raw.notes
    assert prepared.names == raw.names
    assert [index for index, _ in prepared.samples] == [0, 1]
    np.testing.assert_array_equal(prepared.samples[1][1], raw.samples[1][1])


def test_many_at_once_make_it_once():
    make = Maker()
    with ThreadPoolExecutor(4) as pool:
        fingerprints = list(pool.map(lambda _: fetch(make).fingerprint, range(4)))
    assert len(set(fingerprints)) == 1
    assert make.calls == 1


def test_changed_source_is_noticed(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "a").write_text("1")
    make = Maker(sources=(folder,))
    changes = (
        lambda: None,
        lambda: (folder / "b").write_text("2"),
        lambda: os.utime(folder / "a", ns=(1, 1)),
        lambda: shutil.rmtree(folder),
    )
    for num_calls, change in enumerate(changes, start=1):
        change()
        fetch(make)
        fetch(make)
        assert make.calls == num_calls


def test_failure_leaves_nothing_behind():
    def fail(place):
        raise InputError("no such data")

    with pytest.raises(InputError, match="no such data"):
        cache.fetch("my set", {}, "", fail)
    assert [path for path in cache.root().iterdir() if path.suffix != ".lock"] == []


def test_who_waits_for_another_process_says_so(tmp_path):
    make, messages = Maker(), []
    fetch(make)
    (lock,) = cache.root().glob(".*.lock")
    for images in cache.root().glob("*/images.npy"):
        images.unlink()
    left = cache.root() / f".{lock.name[1:-5]}.abcdefgh.part"
    left.mkdir()

    def say(text):
        messages.append(text)
        release.release()

    release = filelock.FileLock(lock)
    release.acquire()
    cache.fetch("my set", {}, "somewhere", make, say)
    assert messages == ["another process is preparing my set; waiting"]
    assert make.calls == 2
    # Only one process at a time makes this set, so that what was left of it is nobody's.
    assert not left.exists()


def manifest_with(**changes):
    def damage(folder):
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps(manifest | changes))

    return damage


def labels_of(labels):
    return lambda folder: np.save(folder / "labels.npy", labels)


def a_folder_in_its_place(folder):
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").mkdir()


DAMAGE = {
    "no images": lambda folder: (folder / "images.npy").unlink(),
    "cut images": lambda folder: os.truncate(folder / "images.npy", 100),
    "another shape": labels_of(np.zeros(3, np.int64)),
    "labels of no class": labels_of(np.full(8, 9, np.int64)),
    "pickled labels": labels_of(np.array([{}] * 8, dtype=object)),
    "garbage samples": lambda folder: (folder / "samples.npz").write_bytes(b"PK nonsense"),
    "garbage manifest": lambda folder: (folder / "manifest.json").write_text('{"format": 1, "na'),
    "another format": manifest_with(format=0),
    "no classes": manifest_with(classes=None),
    # Letter by letter, this would be the root of the disk and all below it.
    "sources that are no list": manifest_with(sources="../x"),
    "a folder in its place": a_folder_in_its_place,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_set_is_made_again(damage):
    make = Maker()
    first = fetch(make)
    ((folder, _),) = cache.cached()
    DAMAGE[damage](folder)
    assert fetch(make).fingerprint == first.fingerprint
    assert make.calls == 2
