import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import filelock
import numpy as np
import pytest

from spikeduel.data import cache
from spikeduel.data.prepared import TEST, TRAIN, Prepared, RawDataset, from_raw
from spikeduel.networks.preprocessing import Preprocessing
from spikeduel.system.errors import InputError


class Maker:
    """Makes a small set, and counts how often it was asked to."""

    def __init__(self, sources: tuple[Path, ...] = ()) -> None:
        self.calls = 0
        self.sources = sources

    def __call__(self, place: Path | None = None) -> RawDataset:
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


def fetch(make: Maker, **identity: object) -> Prepared:
    return cache.fetch("my set", identity, "somewhere", make)


def test_what_is_read_is_what_was_written_and_memory_mapped() -> None:
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


def test_second_time_is_not_made_again_and_other_options_are() -> None:
    make = Maker()
    first = fetch(make, size=1)
    assert fetch(make, size=1).fingerprint == first.fingerprint
    assert make.calls == 1
    fetch(make, size=2)
    assert make.calls == 2


def test_many_at_once_make_it_once() -> None:
    make = Maker()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: fetch(make).fingerprint, range(4)))
    assert len(set(found)) == 1
    assert make.calls == 1


def cut_images(folder: Path) -> None:
    (folder / "images.npy").write_bytes((folder / "images.npy").read_bytes()[:-5])


def other_shape(folder: Path) -> None:
    np.save(folder / "labels.npy", np.zeros(3, dtype=np.int64))


def labels_of_no_class(folder: Path) -> None:
    np.save(folder / "labels.npy", np.full(8, 9, dtype=np.int64))


def garbage_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"format": 1, "na')


def sources_that_are_no_list(folder: Path) -> None:
    # Letter by letter, this would be the root of the disk and all below it.
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"sources": "../x"}))


def other_format(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": 0}))


def pickled_labels(folder: Path) -> None:
    np.save(folder / "labels.npy", np.array([{}] * 8, dtype=object), allow_pickle=True)


def a_file_in_its_place(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "manifest.json").mkdir()


@pytest.mark.parametrize(
    "damage",
    [
        cut_images,
        other_shape,
        labels_of_no_class,
        garbage_manifest,
        other_format,
        sources_that_are_no_list,
        pickled_labels,
        a_file_in_its_place,
    ],
)
def test_damaged_set_is_made_again(damage: Callable[[Path], None]) -> None:
    make = Maker()
    first = fetch(make)
    ((folder, _),) = cache.cached()
    damage(folder)
    assert fetch(make).fingerprint == first.fingerprint
    assert make.calls == 2


def test_changed_source_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "a").write_text("1")
    make = Maker(sources=(folder,))
    fetch(make)
    fetch(make)
    assert make.calls == 1
    (folder / "b").write_text("2")
    fetch(make)
    assert make.calls == 2
    os.utime(folder / "a", ns=(1, 1))
    fetch(make)
    assert make.calls == 3
    shutil.rmtree(folder)
    fetch(make)
    assert make.calls == 4


def test_cached_lists_sets_and_skips_damaged_ones() -> None:
    assert cache.cached() == []
    fetch(Maker(), size=1)
    fetch(Maker(), size=2)
    first, second = cache.cached()
    garbage_manifest(second[0])
    (found,) = cache.cached()
    assert found == first
    assert (found[1].name, found[1].count, found[1].classes, found[1].source) == (
        "my set",
        8,
        ("a", "b"),
        "somewhere",
    )


def test_failure_leaves_nothing_behind() -> None:
    def fail(place: Path) -> RawDataset:
        raise InputError("no such data")

    with pytest.raises(InputError, match="no such data"):
        cache.fetch("my set", {}, "", fail)
    assert [path for path in cache.root().iterdir() if path.suffix != ".lock"] == []


def test_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SPIKEDUEL_CACHE", str(tmp_path / "file"))
    make = Maker()
    with pytest.raises(InputError, match="SPIKEDUEL_CACHE") as caught:
        fetch(make)
    assert str(tmp_path / "file") in str(caught.value)
    assert make.calls == 0


def test_who_waits_for_another_process_says_so(tmp_path: Path) -> None:
    make, said = Maker(), []
    fetch(make)
    (lock,) = cache.root().glob(".*.lock")
    for images in cache.root().glob("*/images.npy"):
        images.unlink()
    left = cache.root() / f".{lock.name[1:-5]}.abcdefgh.part"
    left.mkdir()

    def say(text: str) -> None:
        said.append(text)
        release.release()

    release = filelock.FileLock(lock)
    release.acquire()
    cache.fetch("my set", {}, "somewhere", make, say)
    assert said == ["another process is preparing my set; waiting"]
    assert make.calls == 2
    # Only one process at a time makes this set, so that what was left of it is nobody's.
    assert not left.exists()


def test_a_saved_array_is_what_numpy_saves(tmp_path: Path) -> None:
    for array in (
        np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
        np.arange(12).reshape(3, 4).T,
        np.zeros((0, 3)),
    ):
        cache._save(tmp_path / "ours.npy", array)
        np.save(tmp_path / "theirs.npy", np.ascontiguousarray(array))
        assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "theirs.npy").read_bytes()
