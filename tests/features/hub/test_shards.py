"""Tar files of WebDataset, which the library `datasets` reads; whole ones only."""

import io
import tarfile

import numpy as np
import pytest

from lazily import Lazily
from spikeduel.data.catalogue import is_packed, load
from spikeduel.data.prepared import TEST, TRAIN, DataOptions
from spikeduel.experiment.settings import Experiment
from spikeduel.features.hub.hub_dataset import hub
from spikeduel.system.errors import InputError
from synthetic_files import noisy_png

Lazily("datasets")
pytestmark = pytest.mark.usefixtures("hub_of_this_machine")
Content = dict[str, bytes | str]


def write_shard(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as shard:
        for name, text in content.items():
            entry = tarfile.TarInfo(name)
            data = text.encode() if isinstance(text, str) else text
            entry.size = len(data)
            shard.addfile(entry, io.BytesIO(data))


def samples(first, count):
    content = {}
    for k in range(first, first + count):
        content |= {f"{k:05}.cls": str(9 + k % 2), f"{k:05}.png": noisy_png(k)}
    return content


def read(place):
    return hub(DataOptions(data_dir=str(place)))


def test_shards_are_read_and_grouped_by_their_keys(tmp_path):
    for number in range(3):
        write_shard(tmp_path / "birds" / f"birds-{number:03}.tar", samples(8 * number, 8))
    raw = read(tmp_path / "birds")
    assert raw.classes == ("9", "10")
    assert raw.labels.tolist() == [0, 1] * 12
    assert raw.official is None
    assert raw.names[9] == "train/00009"
    assert raw.images.shape == (24, 3, 12, 12)
    name = f"hf:{tmp_path / 'birds'}"
    assert is_packed(name)
    grouped = load(Experiment(dataset=name, group_by=r"/(\d{4})\d$"))
    assert len(np.unique(grouped.groups)) == 3


def test_splits_and_texts(tmp_path):
    for split, first, count in (("test", 4, 2), ("train", 0, 4)):
        content = {}
        for k in range(first, first + count):
            content |= {f"{k}.jpg": noisy_png(k), f"{k}.cls.txt": ("wren", "owl")[k % 2]}
        write_shard(tmp_path / "a" / f"{split}.tar", content)
    raw = read(tmp_path / "a")
    assert raw.classes == ("owl", "wren")
    assert raw.official.tolist() == [TRAIN] * 4 + [TEST] * 2


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"a.png": noisy_png(0)}, r"one column .*called cls, cls\.txt, label"),
        ({"a.cls": "1"}, "one column of the type Image"),
        ({}, "cannot be loaded"),
    ],
)
def test_what_is_missing_is_named(tmp_path, content, problem):
    write_shard(tmp_path / "a" / "x.tar", content)
    with pytest.raises(InputError, match=problem) as caught:
        read(tmp_path / "a")
    assert "\n" not in str(caught.value)


def test_a_shard_that_is_cut_off_or_joined_is_no_shorter_shard(tmp_path):
    path = tmp_path / "a" / "x.tar"
    write_shard(path, samples(0, 3))
    whole = path.read_bytes()
    with tarfile.open(path) as opened:
        opened.getmembers()
        end = opened.offset
    broken = [whole[:size] for size in (512, 1024, end, end + 511, 700)] + [whole + whole]
    for content in broken:
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"x\.tar: cannot be read as a tar file"):
            read(tmp_path / "a")
    # One block of zeros is an end.
    path.write_bytes(whole[: end + 512])
    assert len(read(tmp_path / "a").labels) == 3
