import sys
import textwrap

import numpy as np
import pytest

from spikeduel.data import (
    DATASETS,
    catalogue,
    datasets,
    is_at_hand,
    listing,
    load,
    prepare,
    resolve,
    split,
)
from spikeduel.data.cache import cached
from spikeduel.data.mnist_like import EMNIST_STEMS
from spikeduel.experiment.settings import Experiment
from spikeduel.system.errors import InputError
from synthetic_files import write_mnist_like, write_socofing


def synthetic_source(name, folder):
    """Made-up files for the data set `name`; None where it needs none."""
    if name in catalogue.BUILT_IN:
        return None
    if name in ("socofing", "socofing-published"):
        write_socofing(folder / "SOCOFing", num_subjects=12)
    else:
        write_mnist_like(folder, **({"stems": EMNIST_STEMS} if name == "emnist-digits" else {}))
    return folder


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_every_data_set_loads_splits_and_batches(name, tmp_path):
    source = synthetic_source(name, tmp_path / "files")
    experiment = Experiment(dataset=name, data_dir=None if source is None else str(source))
    prepared = load(experiment)
    assert np.asarray(prepared.images[:2]).dtype == np.uint8
    assert prepared.images.shape == (len(prepared), *prepared.image_shape)
    assert prepared.labels.dtype == np.int64
    assert len(prepared.classes) == 10
    assert prepared.preprocessing.channels == prepared.image_shape[0]
    assert {int(prepared.labels[index]) for index, _ in prepared.samples} == set(range(10))
    assert load(experiment).fingerprint == prepared.fingerprint
    made = split(prepared, experiment)
    assert sorted(np.concatenate([made.train, made.val, made.test])) == list(range(len(prepared)))
    images, labels = prepared.arrays
    assert len(images) == len(labels) == len(prepared)


def test_folder_by_path(image_folder, monkeypatch):
    prepared = prepare(str(image_folder))
    assert prepared.name == "pets"
    assert prepared.classes == ("cat", "dog")
    monkeypatch.chdir(image_folder.parent)
    assert prepare("pets").fingerprint == prepared.fingerprint
    assert len(cached()) == 1


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("fashion-mnits", "unknown data set 'fashion-mnits': did you mean 'fashion-mnist'"),
        ("./nowhere", r"'\./nowhere': no such folder or CSV"),
        ("~/nowhere", r"'~/nowhere': no such folder or CSV .* Known sets: "),
        ("a_file", "'a_file': is a file; name a folder of images, a CSV of file and label"),
        ("nomodule:function", "no module 'nomodule'"),
        ("math:pi", "is not a function"),
    ],
)
def test_names_that_lead_nowhere(name, problem, tmp_path, monkeypatch):
    (tmp_path / "a_file").write_text("")
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
        images = np.full((40, 1, 4, 4), {level}, np.uint8)
        images += labels[:, None, None, None].astype(np.uint8)
        return RawDataset(images, labels, ("dark", "light"), Preprocessing(1, 4, 4))
"""


def test_own_function_and_its_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(tmp_path)
    for level in (7, 100):
        (tmp_path / "own_blobs.py").write_text(textwrap.dedent(OWN.format(level=level)))
        monkeypatch.delitem(sys.modules, "own_blobs", raising=False)
        prepared = prepare("own_blobs:blobs")
        assert prepared.images.max() == level + 1
    assert prepared.classes == ("dark", "light")


def test_the_listing_shows_every_set_and_what_is_prepared(image_folder):
    before = {row["name"]: row for row in listing()}
    assert set(before) >= set(datasets()) >= set(DATASETS)
    assert all(len(row["description"]) > 20 for row in before.values())
    assert before["socofing"]["prepared"] == "no"
    assert [is_at_hand(name) for name in ("digits", "mnist", str(image_folder))] == [
        True,
        False,
        True,
    ]
    prepare(str(image_folder))
    row = {row["name"]: row for row in listing()}["pets"]
    assert "12 images" in row["prepared"]
    assert str(image_folder) in row["description"]


def test_grouping_a_folder_decodes_nothing_anew(image_folder, monkeypatch):
    plain = load(Experiment(dataset=str(image_folder)))
    monkeypatch.setattr("spikeduel.data.folder.picture_dataset", None)
    grouped = load(Experiment(dataset=str(image_folder), group_by=r"00(\d)"))
    assert grouped.groups.tolist() == [0, 1, 2, 3, 4, 5] * 2
    assert grouped.ungrouped == plain.fingerprint
    assert len(cached()) == 1


def test_an_expression_is_checked_before_images_are_read(image_folder):
    (image_folder / "cat" / "broken.png").write_text("no image")
    with pytest.raises(InputError, match="group_by"):
        load(Experiment(dataset=str(image_folder), group_by="("))
