import json
import os
import shutil
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import filelock
import numpy as np
import pytest
from PIL import Image

from spikeduel.data import (
    DATASETS,
    catalogue,
    listing,
    load,
    prepare,
    resolve,
    split,
)
from spikeduel.data.catalogue import cached
from spikeduel.data.mnist_like import EMNIST_STEMS
from spikeduel.data.prepared import TEST, TRAIN, DataOptions, Prepared, Preprocessing, RawDataset, from_raw
from spikeduel.settings import Experiment
from spikeduel.system.errors import InputError
from synthetic_files import write_mnist_like, write_pictures, write_socofing


def synthetic_source(name: str, folder: Path) -> Path | None:
    """Made-up files for the data set `name`; None where it needs none."""
    if name in catalogue.BUILT_IN:
        return None
    if name == "socofing":
        write_socofing(folder / "SOCOFing", num_subjects=12)
    else:
        write_mnist_like(folder, **({"stems": EMNIST_STEMS} if name == "emnist-digits" else {}))
    return folder


def test_there_are_data_sets() -> None:
    assert set(DATASETS) >= {"fashion-mnist", "emnist-digits", "mnist", "socofing", "digits", "fashion-mnist-mini"}


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_every_data_set_loads_splits_and_batches(name: str, tmp_path: Path) -> None:
    source = synthetic_source(name, tmp_path / "files")
    experiment = Experiment(dataset=name, data_dir=None if source is None else str(source))
    prepared = load(experiment)
    assert isinstance(prepared, Prepared)
    assert prepared.images.dtype == np.uint8
    assert prepared.images.shape == (len(prepared), *prepared.image_shape)
    assert prepared.labels.dtype == np.int64
    assert len(prepared.classes) == 10
    assert prepared.preprocessing.channels == prepared.image_shape[0]
    assert {int(prepared.labels[index]) for index, _ in prepared.samples} == set(range(10))
    assert load(experiment).fingerprint == prepared.fingerprint
    made = split(prepared, experiment)
    assert sorted(np.concatenate([made.train, made.val, made.test])) == list(range(len(prepared)))
    images, labels = prepared.held
    assert len(images) == len(labels) == len(prepared)


@pytest.mark.parametrize("name", sorted(set(DATASETS) - set(catalogue.BUILT_IN)))
def test_second_load_does_not_decode_again(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = DataOptions(data_dir=str(synthetic_source(name, tmp_path / "files")))
    first = prepare(name, options)

    def fail(options: DataOptions) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setitem(DATASETS, name, fail)
    assert prepare(name, options).fingerprint == first.fingerprint
    assert [manifest.name for _, manifest in cached()] == [name]


def test_folder_by_path(image_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = prepare(str(image_folder))
    assert prepared.name == "pets"
    assert prepared.classes == ("cat", "dog")
    monkeypatch.chdir(image_folder.parent)
    assert prepare("pets").fingerprint == prepared.fingerprint
    assert len(cached()) == 1


def test_folder_that_changed_is_read_again(image_folder: Path) -> None:
    assert len(prepare(str(image_folder))) == 12
    write_pictures(image_folder / "cat" / "new", 1, seed=99)
    assert len(prepare(str(image_folder))) == 13
    assert len(cached()) == 1


def test_options_reach_the_data_set_and_progress_is_shown(image_folder: Path) -> None:
    shown = []

    def track(items, description, total):
        shown.append((description, total))
        return items

    prepared = load(Experiment(dataset=str(image_folder), image_size=10), track)
    assert prepared.image_shape == (1, 10, 10)
    assert shown == [("looking at images", 12), ("reading images", 12)]


def test_folder_with_data_dir_as_well(image_folder: Path) -> None:
    with pytest.raises(InputError, match="data_dir"):
        prepare(str(image_folder), DataOptions(data_dir=str(image_folder)))


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("fashion-mnits", "unknown data set 'fashion-mnits': did you mean 'fashion-mnist'"),
        ("./nowhere", r"'\./nowhere': no such folder"),
        ("some/where", "'some/where': no such folder"),
        ("a_file", "'a_file': is a file; name a folder of images.$"),
        ("a.zip", "'a.zip': is a file; name a folder of images, or a set and --data-dir a.zip.$"),
        ("nomodule:function", "no module 'nomodule'"),
        ("math:pi", "is not a function"),
    ],
)
def test_names_that_lead_nowhere(name: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_file").write_text("")
    zipfile.ZipFile(tmp_path / "a.zip", "w").close()
    monkeypatch.chdir(tmp_path)
    for function in (prepare, resolve):
        with pytest.raises(InputError, match=problem):
            function(name)


OWN = """
    import numpy as np
    from spikeduel.data import Preprocessing, RawDataset

    def blobs(options):
        "Blobs, light and dark."
        labels = np.arange(40) % 2
        images = np.full((40, 1, 4, 4), {level}, dtype=np.uint8) + labels[:, None, None, None].astype(np.uint8)
        return RawDataset(images, labels, ("dark", "light"), Preprocessing(1, 4, 4))

    def nothing(options):
        return None
"""


def write_own(folder: Path, level: int) -> None:
    (folder / "own_blobs.py").write_text(textwrap.dedent(OWN.format(level=level)))


def forget() -> None:
    sys.modules.pop("own_blobs", None)


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(tmp_path)
    write_own(tmp_path, level=7)
    forget()
    yield tmp_path
    forget()


def test_own_function_and_its_changes(own_module: Path) -> None:
    prepared = prepare("own_blobs:blobs")
    assert prepared.classes == ("dark", "light")
    assert prepared.images.max() == 8
    write_own(own_module, level=100)
    forget()
    assert prepare("own_blobs:blobs").images.max() == 101


def test_own_function_sees_changed_files(own_module: Path) -> None:
    options = DataOptions(data_dir=str(own_module / "data"))
    (own_module / "data").mkdir()
    prepare("own_blobs:blobs", options)
    first = cached()[0][0].stat().st_mtime_ns
    prepare("own_blobs:blobs", options)
    assert cached()[0][0].stat().st_mtime_ns == first
    (own_module / "data" / "x").write_text("new")
    prepare("own_blobs:blobs", options)
    assert cached()[0][0].stat().st_mtime_ns != first


def test_own_function_that_returns_something_else(own_module: Path) -> None:
    with pytest.raises(InputError, match=r"own_blobs:nothing.*must return a RawDataset, not NoneType"):
        prepare("own_blobs:nothing")


def test_importing_the_package_is_cheap() -> None:
    heavy = "{'torch', 'torchvision', 'sklearn', 'scipy', 'kagglehub', 'requests'}"
    code = f"import sys, spikeduel.data; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_listing_shows_every_set_and_what_is_prepared(image_folder):
    before = {row["name"]: row for row in listing()}
    assert set(before) == set(DATASETS)
    assert all(len(row["description"]) > 20 for row in before.values())
    assert before["socofing"]["prepared"] == "no"
    prepare(str(image_folder))
    row = {row["name"]: row for row in listing()}["pets"]
    assert "12 images" in row["prepared"]
    assert str(image_folder) in row["description"]


def test_a_folder_can_be_prepared_as_a_model_was(image_folder):
    experiment = Experiment(dataset=str(image_folder))
    assert load(experiment).image_shape[0] == 1
    wanted = Preprocessing(3, 12, 8, invert=True)
    again = load(experiment, preprocessing=wanted)
    assert again.image_shape == (3, 12, 8)
    assert again.preprocessing == wanted
    first = min((image_folder / "cat").iterdir())
    with Image.open(first) as picture:
        assert np.array_equal(again.images[0], wanted(picture))


def test_grouping_a_folder_decodes_nothing_anew(image_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = load(Experiment(dataset=str(image_folder)))
    monkeypatch.setattr("spikeduel.data.folder.over_pictures", None)
    grouped = load(Experiment(dataset=str(image_folder), group_by=r"00(\d)"))
    assert grouped.groups is not None
    assert grouped.groups.tolist() == [0, 1, 2, 3, 4, 5] * 2
    assert grouped.ungrouped == plain.fingerprint
    assert len(cached()) == 1


def test_an_expression_is_checked_before_images_are_read(image_folder: Path) -> None:
    (image_folder / "cat" / "broken.png").write_text("no image")
    with pytest.raises(InputError, match="group_by"):
        load(Experiment(dataset=str(image_folder), group_by="("))


def test_own_code_groups_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_groups.py").write_text("def pets(options): raise AssertionError\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="own_groups:pets groups its images itself"):
        load(Experiment(dataset="own_groups:pets", group_by="(a)"))
    sys.modules.pop("own_groups", None)


class Maker:
    """Makes a small set, and counts how often it was asked to."""

    def __init__(self, sources: tuple[Path, ...] = ()) -> None:
        self.calls = 0
        self.sources = sources

    def __call__(self) -> RawDataset:
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
    return catalogue.fetch("my set", identity, "somewhere", make)


def test_what_is_read_is_what_was_written_and_memory_mapped() -> None:
    make = Maker()
    prepared, raw = fetch(make), make()
    assert isinstance(prepared.images, np.memmap)
    for part in ("images", "labels", "groups", "official"):
        np.testing.assert_array_equal(getattr(prepared, part), getattr(raw, part))
    everyone = np.arange(len(prepared))
    np.testing.assert_array_equal(prepared.content_of(everyone), from_raw("my set", raw).content_of(everyone))
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


def delete_images(folder: Path) -> None:
    (folder / "images.npy").unlink()


def cut_images(folder: Path) -> None:
    (folder / "images.npy").write_bytes((folder / "images.npy").read_bytes()[:-5])


def other_shape(folder: Path) -> None:
    np.save(folder / "labels.npy", np.zeros(3, dtype=np.int64))


def labels_of_no_class(folder: Path) -> None:
    np.save(folder / "labels.npy", np.full(8, 9, dtype=np.int64))


def garbage_samples(folder: Path) -> None:
    (folder / "samples.npz").write_bytes(b"PK nonsense")


def garbage_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"format": 1, "na')


def empty_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("[]")


def manifest_without_classes(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["classes"]
    (folder / "manifest.json").write_text(json.dumps(manifest))


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
        delete_images,
        cut_images,
        other_shape,
        labels_of_no_class,
        garbage_samples,
        garbage_manifest,
        empty_manifest,
        manifest_without_classes,
        other_format,
        sources_that_are_no_list,
        pickled_labels,
        a_file_in_its_place,
    ],
)
def test_damaged_set_is_made_again(damage: Callable[[Path], None]) -> None:
    make = Maker()
    first = fetch(make)
    ((folder, _),) = catalogue.cached()
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
    assert catalogue.cached() == []
    fetch(Maker(), size=1)
    fetch(Maker(), size=2)
    first, second = catalogue.cached()
    garbage_manifest(second[0])
    (found,) = catalogue.cached()
    assert found == first
    assert (found[1].name, found[1].count, found[1].classes, found[1].source) == ("my set", 8, ("a", "b"), "somewhere")


def test_failure_leaves_nothing_behind() -> None:
    def fail() -> RawDataset:
        raise InputError("no such data")

    with pytest.raises(InputError, match="no such data"):
        catalogue.fetch("my set", {}, "", fail)
    assert [path for path in catalogue.root().iterdir() if path.suffix != ".lock"] == []


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
    (lock,) = catalogue.root().glob(".*.lock")
    for images in catalogue.root().glob("*/images.npy"):
        images.unlink()
    left = catalogue.root() / f".{lock.name[1:-5]}.abcdefgh.part"
    left.mkdir()

    def say(text: str) -> None:
        said.append(text)
        release.release()

    release = filelock.FileLock(lock)
    release.acquire()
    catalogue.fetch("my set", {}, "somewhere", make, say)
    assert said == ["another process is preparing my set; waiting"]
    assert make.calls == 2
    # Only one process at a time makes this set, so that what was left of it is nobody's.
    assert not left.exists()


def test_a_saved_array_is_what_numpy_saves(tmp_path: Path) -> None:
    for array in (np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.arange(12).reshape(3, 4).T, np.zeros((0, 3))):
        catalogue._save(tmp_path / "ours.npy", array)
        np.save(tmp_path / "theirs.npy", np.ascontiguousarray(array))
        assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "theirs.npy").read_bytes()
