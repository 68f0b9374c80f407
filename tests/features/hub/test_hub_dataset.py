"""Sets of the hub's library, from folders of this machine: there is no network here."""

import io

import numpy as np
import pytest
from PIL import Image

from lazily import Lazily
from spikeduel.data.catalogue import prepare
from spikeduel.data.prepared import DataOptions
from spikeduel.features.hub.hub_dataset import hub
from spikeduel.system.errors import InputError, UnreadableFiles
from synthetic_files import noisy_png, write_table

datasets = Lazily("datasets")
pytestmark = pytest.mark.usefixtures("hub_of_this_machine")


def read(place, **more):
    return hub(DataOptions(data_dir=str(place), **more))


@pytest.fixture
def birds(tmp_path):
    write_table(tmp_path / "birds", "train", [0, 1] * 12)
    write_table(tmp_path / "birds", "validation", [0, 1, 1])
    write_table(tmp_path / "birds", "test", [1, 0])
    return tmp_path / "birds"


def test_splits_are_sides_and_columns_are_found_by_their_types(birds):
    raw = read(birds)
    assert raw.classes == ("wren", "owl")
    assert raw.labels.tolist() == [0, 1] * 12 + [0, 1, 1] + [1, 0]
    assert np.bincount(raw.official).tolist() == [24, 3, 2]
    assert (raw.names[0], raw.names[-1]) == ("train/0", "test/1")
    with Image.open(io.BytesIO(noisy_png(3))) as picture:
        np.testing.assert_array_equal(raw.images[3], raw.preprocessing(picture))
    np.testing.assert_array_equal(raw.images[24], raw.images[0])
    assert [row for row, _ in raw.samples] == [0, 1]


def test_a_split_without_labels_is_left_out(tmp_path):
    write_table(tmp_path / "birds", "train", [0, 1, 0])
    write_table(tmp_path / "birds", "test", [-1, -1])
    raw = read(tmp_path / "birds")
    assert len(raw.labels) == 3
    assert raw.official is None
    assert any("test" in note for note in raw.notes)


def test_of_several_labels_one_is_named(tmp_path):
    coarse = datasets.ClassLabel(names=["bird", "other"])
    write_table(tmp_path / "birds", "train", [0, 1, 0], coarse=coarse)
    with pytest.raises(InputError, match=r"kind .*, coarse "):
        read(tmp_path / "birds")
    assert read(f"{tmp_path}/birds#kind").labels.tolist() == [0, 1, 0]
    assert read(f"{tmp_path}/birds#coarse").classes == ("bird", "other")
    with pytest.raises(InputError, match="picture"):
        read(f"{tmp_path}/birds#picture")


def test_what_is_missing_is_named(tmp_path):
    datasets.Dataset.from_dict({"text": ["a"], "stars": [1]}).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(InputError, match=r"text \(Value\), stars \(Value\)"):
        read(tmp_path)
    for function, name, problem in (
        (read, "nobody/nothing", "hf:nobody/nothing"),
        (read, "a:b:c", "hf:owner/name:config"),
        (prepare, "hf:", r"'hf:'.*hf:owner/name"),
    ):
        with pytest.raises(InputError, match=problem):
            function(name)


def test_each_picture_that_cannot_be_read_is_named_and_can_be_left_out(tmp_path):
    pictures = [{"bytes": noisy_png(k), "path": None} for k in range(5)]
    pictures[2], pictures[4] = {"bytes": b"no picture", "path": None}, None
    types = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])}
    )
    made = datasets.Dataset.from_dict({"image": pictures, "label": [0, 1, 0, 1, 1]}, features=types)
    place = tmp_path / "birds"
    place.mkdir()
    made.to_parquet(place / "train.parquet")
    with pytest.raises(UnreadableFiles) as caught:
        read(place)
    assert list(caught.value.files) == [f"hf:{place}, train/{row}" for row in (2, 4)]
    assert read(place, skip=frozenset(caught.value.files)).labels.tolist() == [0, 1, 1]
    every = frozenset(f"hf:{place}, train/{row}" for row in range(5))
    with pytest.raises(InputError, match="none of its images can be read"):
        read(place, skip=every)
