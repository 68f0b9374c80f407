"""Tar files of WebDataset, which the library `datasets` reads; whole ones only."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from spikeduel import auditing
from spikeduel.data.catalogue import absolute, is_at_hand, is_packed, load, prepare
from spikeduel.data.hub import shards
from spikeduel.data.prepared import TEST, TRAIN, DataOptions, RawDataset
from spikeduel.data.splits import split
from spikeduel.settings import Experiment
from spikeduel.system.errors import InputError
from synthetic_files import noisy_png

datasets = pytest.importorskip("datasets")
Content = dict[str, bytes | str]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def write_shard(path: Path, content: Content, mode: str = "w") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as shard:  # type: ignore[call-overload]
        for name, text in content.items():
            member = tarfile.TarInfo(name)
            data = text.encode() if isinstance(text, str) else text
            member.size = len(data)
            shard.addfile(member, io.BytesIO(data))


def samples(first: int, count: int) -> Content:
    content: Content = {}
    for k in range(first, first + count):
        content |= {f"{k:05}.cls": str(9 + k % 2), f"{k:05}.png": noisy_png(k)}
    return content


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Three shards of eight samples."""
    for number in range(3):
        write_shard(tmp_path / "birds" / f"birds-{number:03}.tar", samples(8 * number, 8))
    return tmp_path / "birds"


def read(place: Path | str, **more: object) -> RawDataset:
    return shards(DataOptions(data_dir=str(place), **more))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "birds-*.tar"])
def test_a_folder_or_a_pattern(place: Path, name: str) -> None:
    assert is_packed(str(place / name))
    assert is_at_hand(str(place / name))
    raw = read(place / name)
    assert raw.classes == ("9", "10")
    assert raw.labels.tolist() == [0, 1] * 12
    assert raw.official is None
    assert raw.names is not None
    assert raw.names[9] == "birds-001.tar/00009.png"
    assert raw.images.shape == (24, 3, 12, 12)


@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
@pytest.mark.parametrize("naming", ["birds-{}-0", "{}/0"])
def test_sides_by_name_or_folder(tmp_path: Path, naming: str, ending: str) -> None:
    mode = "w" if ending == "tar" else "w:gz"
    for side, first, count in (("test", 4, 2), ("train", 0, 4)):
        write_shard(tmp_path / "a" / f"{naming.format(side)}.{ending}", samples(first, count), mode)
    raw = read(tmp_path / "a")
    assert raw.official is not None
    assert raw.official.tolist() == [TRAIN] * 4 + [TEST] * 2
    assert is_packed(str(tmp_path / "a"))


@pytest.mark.parametrize(
    ("ending", "label", "classes"),
    [
        ("cls.txt", lambda k: ("wren", "owl")[k % 2], ("owl", "wren")),
        ("json", lambda k: json.dumps({"width": 5, "class_name": "ab"[k % 2]}), ("a", "b")),
        ("json", lambda k: json.dumps({"cls": k % 2}), ("0", "1")),
    ],
)
def test_texts_and_json_say_the_class(
    tmp_path: Path, ending: str, label: object, classes: tuple[str, ...]
) -> None:
    content: Content = {}
    for k in range(4):
        content |= {f"in/{k}.jpg": noisy_png(k), f"in/{k}.{ending}": label(k)}  # type: ignore[operator]
    write_shard(tmp_path / "x.tar", content)
    assert read(tmp_path / "x.tar").classes == classes


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"a.png": noisy_png(0)}, r"sample a has no class.*\.cls"),
        ({"a.png": noisy_png(0), "a.json": '{"width": 3}'}, "sample a has no class"),
        ({"a.png": noisy_png(0), "a.json": "{"}, r"x\.tar"),
        ({"a.png": noisy_png(0), "a.cls": "owl"}, r"x\.tar: cannot be loaded .*owl.*\.cls\.txt"),
        ({"a.cls": "1"}, "one column .*of the type Image"),
        ({}, r"x\.tar"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, content: Content, told: str) -> None:
    write_shard(tmp_path / "x.tar", content)
    with pytest.raises(InputError, match=told) as caught:
        read(tmp_path / "x.tar")
    assert "\n" not in str(caught.value)


def test_missing_shards_sides_and_classes_are_named(place: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"finches-\*\.tar: there are no such shards"):
        read(place / "finches-*.tar")
    write_shard(tmp_path / "a" / "test.tar", samples(0, 4))
    with pytest.raises(InputError, match="all shards are called one of val or test"):
        read(tmp_path / "a")
    write_shard(tmp_path / "a" / "train.tar", {"1.png": noisy_png(1), "1.cls": "9"})
    with pytest.raises(InputError, match="no shard for training has the classes 10"):
        read(tmp_path / "a")


def test_archives_beside_pictures_are_no_shards(tmp_path: Path, image_folder: Path) -> None:
    place = tmp_path / "birds"
    write_shard(place / "backup.tar.gz", samples(4, 2), "w:gz")
    for k in range(4):
        (place / f"{k}.png").write_bytes(noisy_png(k))
    lines = "".join(f"{k}.png,{k % 2}\n" for k in range(4))
    (place / "labels.csv").write_text(f"file,label\n{lines}")
    assert len(prepare(str(place)).labels) == 4
    write_shard(image_folder / "backup.tar", samples(0, 2))
    assert not is_packed(str(image_folder))


def test_a_shard_that_is_cut_off_anywhere_is_no_shorter_shard(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    long = "long" * 40
    write_shard(path, samples(0, 3) | {f"{long}.cls": "0", f"{long}.png": noisy_png(3)})
    whole = path.read_bytes()
    with tarfile.open(path) as opened:
        opened.getmembers()
        end = opened.offset
    between = np.random.default_rng(0).integers(0, end + 512, 50).tolist()
    for size in [*range(0, end + 512, 512), end + 511, *between]:
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"x\.tar: cannot be read as a tar file"):
            read(path)
    # One block of zeros is an end.
    path.write_bytes(whole[: end + 512])
    assert len(read(path).labels) == 4


def test_damaged_and_joined_shards_are_no_shorter_ones(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    write_shard(path, samples(0, 3))
    whole = path.read_bytes()
    path.write_bytes(whole + whole)
    with pytest.raises(InputError, match=r"x\.tar: cannot be read as a tar file .*another tar"):
        read(path)
    path.write_bytes(whole[: 2 * 512] + b"not a name" + whole[2 * 512 + 10 :])
    with pytest.raises(InputError, match=r"x\.tar: cannot be read as a tar file .*1,024"):
        read(path)


def test_prepared_grouped_split_and_audited_like_a_folder(place: Path) -> None:
    experiment = Experiment(
        dataset=absolute(str(place / "birds-*.tar")), group_by=r"/(\d{4})\d\.png$"
    )
    prepared = load(experiment)
    assert isinstance(prepared.images, np.memmap)
    assert prepared.name == "birds"
    assert prepared.groups is not None
    assert len(np.unique(prepared.groups)) == 3
    plain = load(Experiment(dataset=str(place)))
    audit = auditing.audit(Experiment(dataset=str(place)))
    assert audit.fingerprint == plain.fingerprint
    assert len(split(plain, experiment).train) > 0
    write_shard(place / "birds-003.tar", samples(24, 4))
    assert len(load(Experiment(dataset=str(place)))) == 28
    write_shard(place / "birds-000.tar", samples(90, 8))
    assert not np.array_equal(load(Experiment(dataset=str(place))).images[:8], plain.images[:8])
