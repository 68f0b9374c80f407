import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest

from spikeduel import auditing
from spikeduel.data import preparing
from spikeduel.data.catalogue import absolute, is_at_hand, is_packed, load, prepare
from spikeduel.data.folder import folder
from spikeduel.data.prepared import TEST, TRAIN, DataOptions
from spikeduel.data.shards import Member, shards
from spikeduel.data.splits import split
from spikeduel.settings import Experiment
from spikeduel.system.errors import InputError, UnreadableFiles
from synthetic_files import noisy_png


def write_shard(path: Path, content: dict[str, bytes | str], mode: str = "w") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as shard:  # type: ignore[call-overload]
        for name, text in content.items():
            member = tarfile.TarInfo(name)
            data = text.encode() if isinstance(text, str) else text
            member.size = len(data)
            shard.addfile(member, io.BytesIO(data))


def samples(first: int, count: int, label: object = lambda k: str(k % 2)) -> dict[str, bytes | str]:
    content: dict[str, bytes | str] = {}
    for k in range(first, first + count):
        content |= {f"{k:05}.cls": label(k), f"{k:05}.png": noisy_png(k)}  # type: ignore[operator]
    return content


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Three shards of eight samples."""
    for number in range(3):
        write_shard(tmp_path / "birds" / f"birds-{number:03}.tar", samples(8 * number, 8))
    return tmp_path / "birds"


def read(place: Path | str, **more: object) -> object:
    return shards(DataOptions(data_dir=str(place), **more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["", "birds-{000..002}.tar", "birds-*.tar", "birds-{000,00{1..2}}.tar"]
)
def test_a_folder_or_a_pattern(place: Path, name: str) -> None:
    assert is_packed(str(place / name))
    assert is_at_hand(str(place / name))
    raw = shards(DataOptions(data_dir=str(place / name)))
    assert raw.classes == ("0", "1")
    assert raw.labels.tolist() == [0, 1] * 12
    assert raw.official is None
    assert raw.names is not None
    assert raw.names[9] == "birds-001.tar/00009.png"
    assert raw.images.shape == (24, 3, 12, 12)
    assert [row for row, _ in raw.samples] == [0, 1]


def test_the_images_are_those_of_the_same_files_in_folders(place: Path, tmp_path: Path) -> None:
    for k in range(24):
        path = tmp_path / "loose" / str(k % 2) / f"{k:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(noisy_png(k))
    loose, packed = (
        folder(DataOptions(data_dir=str(tmp_path / "loose"))),
        shards(DataOptions(data_dir=str(place))),
    )
    order = np.argsort(packed.labels, kind="stable")
    np.testing.assert_array_equal(packed.images[order], loose.images)
    np.testing.assert_array_equal(np.asarray(packed.content)[order], loose.content)


def test_sides_by_name_or_folder(tmp_path: Path) -> None:
    write_shard(tmp_path / "a" / "birds-train-0.tar", samples(0, 4))
    write_shard(tmp_path / "a" / "birds-test-0.tar", samples(4, 2))
    write_shard(tmp_path / "b" / "train" / "0.tar", samples(0, 4))
    write_shard(tmp_path / "b" / "test" / "0.tar", samples(4, 2))
    for name in "ab":
        raw = shards(DataOptions(data_dir=str(tmp_path / name)))
        assert raw.official is not None
        assert sorted(raw.official.tolist()) == [TRAIN] * 4 + [TEST] * 2
        assert raw.images.shape[0] == 6


@pytest.mark.parametrize(
    ("label", "classes"),
    [
        (lambda k: str(9 + k % 2), ("9", "10")),
        (lambda k: ("wren", "owl")[k % 2], ("owl", "wren")),
    ],
)
def test_classes_by_number_or_name(tmp_path: Path, label: object, classes: tuple[str, ...]) -> None:
    write_shard(tmp_path / "x.tar", samples(0, 4, label))
    assert shards(DataOptions(data_dir=str(tmp_path / "x.tar"))).classes == classes


def test_json_says_the_class_and_other_endings_are_left(tmp_path: Path) -> None:
    content: dict[str, bytes | str] = {}
    for k in range(4):
        content |= {
            f"in/{k}.seg.txt": "…",
            f"in/{k}.jpg": noisy_png(k),
            f"in/{k}.json": json.dumps({"label": k % 2}),
        }
    write_shard(tmp_path / "x.tar", {**content, "README": "no sample", "no-picture.cls": "3"})
    raw = shards(DataOptions(data_dir=str(tmp_path / "x.tar")))
    assert raw.labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"a.png": noisy_png(0)}, "a.cls"),
        ({"a.png": noisy_png(0), "a.json": "{}"}, "a.json"),
        ({"a.png": noisy_png(0), "a.json": "{"}, "a.json"),
        ({"a.png": noisy_png(0), "a.cls": ""}, "a.cls"),
        ({"a.cls": "1"}, r"x\.tar"),
        ({}, r"x\.tar"),
    ],
)
def test_what_is_missing_is_named(
    tmp_path: Path, content: dict[str, bytes | str], told: str
) -> None:
    write_shard(tmp_path / "x.tar", content)
    with pytest.raises(InputError, match=told):
        read(tmp_path / "x.tar")


def test_shards_that_are_compressed_cut_off_or_missing(place: Path) -> None:
    write_shard(place / "birds-003.tar", samples(24, 4), "w:gz")
    with pytest.raises(InputError, match=r"birds-003\.tar.*gunzip"):
        read(place)
    with pytest.raises(InputError, match=r"birds-004\.tar"):
        read(place / "birds-{000..004}.tar")


def test_a_shard_without_samples_among_others_is_named(place: Path) -> None:
    write_shard(place / "birds-003.tar", {})
    with pytest.raises(InputError, match=r"birds-003\.tar"):
        read(place)


@pytest.mark.parametrize("name", ["birds-003.tar.gz", "birds-003.TGZ"])
def test_a_compressed_shard_beside_others_is_named(place: Path, name: str) -> None:
    write_shard(place / name, samples(24, 4), "w:gz")
    with pytest.raises(InputError, match=f"{name}.*gunzip"):
        prepare(str(place))


def test_compressed_shards_alone_are_named(tmp_path: Path) -> None:
    write_shard(tmp_path / "a" / "train" / "0.tar", samples(0, 4))
    for path in ("a/test/0.tar.gz", "b/train/0.tar.gz", "b/test/0.tar.gz", "c/0.tgz"):
        write_shard(tmp_path / path, samples(4, 2), "w:gz")
    for name in ("a", "b", "c", "c/0.tgz", "c/*.tgz"):
        with pytest.raises(InputError, match=r"0\.t.*gunzip"):
            prepare(str(tmp_path / name))


def test_a_compressed_archive_beside_listed_pictures_is_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "birds"
    write_shard(place / "backup.tar.gz", samples(4, 2), "w:gz")
    for k in range(4):
        (place / f"{k}.png").write_bytes(noisy_png(k))
    (place / "labels.csv").write_text(
        "file,label\n" + "".join(f"{k}.png,{k % 2}\n" for k in range(4))
    )
    assert len(prepare(str(place)).labels) == 4


def test_a_shard_that_is_cut_off_anywhere_is_no_shorter_shard(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    write_shard(
        path, samples(0, 3) | {f"{'long' * 40}.png": noisy_png(3), f"{'long' * 40}.cls": "0"}
    )
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
    assert len(shards(DataOptions(data_dir=str(path))).labels) == 4


def test_a_shard_whose_second_header_is_damaged_is_no_shorter_shard(tmp_path: Path) -> None:
    write_shard(tmp_path / "x.tar", samples(0, 3))
    with (tmp_path / "x.tar").open("r+b") as file:
        file.seek(2 * 512)
        file.write(b"not a name")
    with pytest.raises(InputError, match=r"x\.tar: cannot be read as a tar file .*1,024"):
        read(tmp_path / "x.tar")


def test_shards_that_were_joined_are_no_single_shard(tmp_path: Path) -> None:
    for n in range(2):
        write_shard(tmp_path / f"{n}.tar", samples(2 * n, 2 * n + 2))
    joined = tmp_path / "x.tar"
    joined.write_bytes(b"".join((tmp_path / f"{n}.tar").read_bytes() for n in range(2)))
    with pytest.raises(InputError, match=r"x\.tar: cannot be read as a tar file .*another tar"):
        read(joined)


@pytest.mark.skipif(shutil.which("tar") is None, reason="there is no tar")
@pytest.mark.parametrize("blocks", [1, 20, 64])
def test_what_the_system_packs_is_whole(tmp_path: Path, blocks: int) -> None:
    for name, data in samples(0, 4).items():
        (tmp_path / name).write_bytes(data.encode() if isinstance(data, str) else data)
    names = sorted(path.name for path in tmp_path.iterdir())
    subprocess.run(
        ["tar", "-c", "-b", str(blocks), "-f", "x.tar", *names], cwd=tmp_path, check=True
    )
    assert len(shards(DataOptions(data_dir=str(tmp_path / "x.tar"))).labels) == 4


def test_what_the_library_packs_is_whole(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    with webdataset.ShardWriter(str(tmp_path / "%02d.tar"), maxcount=3, verbose=0) as writer:
        for k in range(5):
            writer.write({"__key__": str(k), "png": noisy_png(k), "cls": str(k % 2).encode()})
    assert len(shards(DataOptions(data_dir=str(tmp_path))).labels) == 5


def test_each_picture_that_cannot_be_read_is_named_and_can_be_left_out(place: Path) -> None:
    broken = {**samples(24, 4), "00025.png": noisy_png(25)[:60], "00027.png": b"no picture"}
    write_shard(place / "birds-003.tar", broken)
    with pytest.raises(UnreadableFiles) as caught:
        read(place)
    assert set(caught.value.files) == {
        f"{place}/birds-003.tar/{name}.png" for name in ("00025", "00027")
    }
    raw = shards(DataOptions(data_dir=str(place), skip=frozenset(caught.value.files)))
    assert len(raw.images) == 26


def test_a_member_is_read_in_place(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources: list[object] = []
    made = preparing.made
    monkeypatch.setattr(
        "spikeduel.data.shards.made",
        lambda given, keys, options: sources.extend(given) or made(given, keys, options),
    )
    read(place)
    assert isinstance(sources[0], Member)
    assert sources[0].read_bytes() == noisy_png(0)


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


def test_a_folder_of_pictures_beside_an_archive_stays_a_folder(image_folder: Path) -> None:
    write_shard(image_folder / "backup.tar", samples(0, 2))
    write_shard(image_folder / "backup.tar.gz", samples(0, 2), "w:gz")
    assert not is_packed(str(image_folder))
