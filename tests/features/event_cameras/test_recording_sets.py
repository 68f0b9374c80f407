"""Sets by name, from small ones laid out as their makers do: folders, zip files, downloads."""

import hashlib
import zipfile
from dataclasses import replace

import numpy as np
import pytest

import made_recordings as made
from spikeduel.data import listing, load, split
from spikeduel.data.events import recording_files
from spikeduel.data.fetching import Remote
from spikeduel.data.prepared import TEST, TRAIN, DataOptions
from spikeduel.experiment.settings import Experiment
from spikeduel.features.event_cameras.recording_sets import DATASETS, GESTURES, OBJECTS
from spikeduel.system.errors import InputError, UnreadableFiles

COUNTS = {"n-mnist": 80, "dvs-gesture": 88, "cifar10-dvs": 40, "n-caltech101": 12, "n-cars": 16}
FOLDERS = {
    "n-mnist": ["Train", "Test"],
    "cifar10-dvs": list(OBJECTS),
    "n-caltech101": ["Caltech101"],
    "n-cars": ["n-cars_train", "n-cars_test"],
}
"""Folders that are distributed as zips."""


@pytest.fixture(params=DATASETS)
def named(request, tmp_path):
    """A set's name, and the folder of a small one."""
    made.as_distributed(request.param, tmp_path / "mine")
    return request.param, tmp_path / "mine"


def made_of(name, place, **more):
    return DATASETS[name](DataOptions(data_dir=str(place), **more))


def zipped(folder, target):
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, f"{folder.name}/{path.relative_to(folder)}")
        archive.writestr(f"__MACOSX/{folder.name}/._x.bin", b"of the system")
    return target


def as_archives(name, folder, target):
    """The archives that the makers give out, in `target`."""
    target.mkdir()
    for part in FOLDERS[name]:
        zipped(folder / part, target / f"{part}.zip")


def test_a_set_is_what_its_folders_say(named):
    name, folder = named
    raw = made_of(name, folder)
    assert len(raw.labels) == COUNTS[name]
    assert len(set(np.bincount(raw.labels))) == 1
    counts = {"n-mnist": [40, 40], "dvs-gesture": [44, 44], "n-cars": [8, 8]}.get(name)
    assert (
        None
        if raw.official is None
        else [int((raw.official == code).sum()) for code in (TRAIN, TEST)]
    ) == counts
    (note,) = raw.notes
    assert f"{COUNTS[name]} of the " in note
    assert raw.sources == (folder,)
    assert len(set(raw.names)) == COUNTS[name]


@pytest.mark.parametrize("name", FOLDERS)
def test_zip_files_give_the_same_as_folders(name, tmp_path):
    folder, packed = tmp_path / "mine", tmp_path / "packed"
    made.as_distributed(name, folder)
    as_archives(name, folder, packed)
    plain, zipped_set = (made_of(name, place) for place in (folder, packed))
    assert zipped_set.names == plain.names
    assert (zipped_set.labels == plain.labels).all()
    assert (zipped_set.content == plain.content).all()
    assert (np.asarray(zipped_set.images.packed) == np.asarray(plain.images.packed)).all()
    assert list((tmp_path / "cache").iterdir()) == []


def test_gestures_are_cut_by_their_labels_and_grouped_by_person(tmp_path, monkeypatch):
    made.gestures(tmp_path / "mine")
    reads = []
    whole = recording_files.read
    monkeypatch.setattr(
        recording_files, "read", lambda file: reads.append(str(file)) or whole(file)
    )
    raw = made_of("dvs-gesture", tmp_path / "mine")
    assert sorted(reads) == sorted(map(str, (tmp_path / "mine").glob("*.aedat")))
    assert raw.classes == GESTURES
    assert raw.labels[:11].tolist() == list(range(11))
    assert raw.groups.tolist() == [k // 11 for k in range(88)]
    of_user = whole(tmp_path / "mine" / "user01_led.aedat")
    inside = (of_user.t >= 300_000) & (of_user.t < 350_000)
    events = raw.images.events_of(2)
    expected = replace(of_user, **{name: getattr(of_user, name)[inside] for name in "xytp"})
    assert (events == expected.packed()).all()
    assert raw.names[2] == "user01_led.aedat, 300000 to 350000"


def test_missing_files_are_named_with_the_page_that_has_them(named, tmp_path):
    name, folder = named
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        InputError, match=r"empty: the recordings of .* are not all there.*https://"
    ):
        made_of(name, tmp_path / "empty")
    with pytest.raises(InputError, match="absent: no such folder or zip file"):
        made_of(name, tmp_path / "absent")
    for gone in ("Test", "trials_to_test.txt", "n-cars_test"):
        if (folder / gone).exists():
            (folder / gone).rename(tmp_path / "gone")
            with pytest.raises(InputError, match="not all there"):
                made_of(name, folder)


def test_a_broken_recording_in_a_zip_file_is_named_by_it(tmp_path):
    made.as_distributed("n-mnist", tmp_path / "mine")
    broken = tmp_path / "mine" / "Train" / "0" / "00001.bin"
    broken.write_bytes(broken.read_bytes()[:-3])
    as_archives("n-mnist", tmp_path / "mine", tmp_path / "packed")
    with pytest.raises(UnreadableFiles, match=r"Train\.zip/Train/0/00001\.bin: cut off") as caught:
        made_of("n-mnist", tmp_path / "packed")
    # As an audit goes on.
    rest = made_of("n-mnist", tmp_path / "packed", skip=frozenset(caught.value.files))
    assert len(rest.labels) == COUNTS["n-mnist"] - 1


def test_what_can_be_downloaded_is(tmp_path):
    name = "n-mnist"
    made.as_distributed(name, tmp_path / "mine")
    as_archives(name, tmp_path / "mine", tmp_path / "mirror")
    remotes = {
        file.name: Remote((file.as_uri(),), hashlib.md5(file.read_bytes()).hexdigest())
        for file in (tmp_path / "mirror").iterdir()
    }
    assert set(remotes) == set(DATASETS[name].remotes)
    raw = replace(DATASETS[name], remotes=remotes)(DataOptions())
    assert len(raw.labels) == COUNTS[name]
    assert raw.sources == ()
    folder = tmp_path / "cache" / "downloads" / name
    assert {path.name for path in folder.iterdir()} == set(remotes)
    wrong = {file: remote._replace(md5="0" * 32) for file, remote in remotes.items()}
    with pytest.raises(InputError, match=rf"another file than.*{DATASETS[name].page}.*--data-dir"):
        replace(DATASETS[name], remotes=wrong)(DataOptions())


def test_a_set_is_known_by_its_name(named):
    name, folder = named
    experiment = Experiment(dataset=name, data_dir=str(folder))
    prepared = load(experiment)
    assert len(prepared) == COUNTS[name]
    assert load(experiment).fingerprint == prepared.fingerprint
    assert name in {row["name"] for row in listing()}
    parts = split(prepared, experiment)
    assert sum(map(len, (parts.train, parts.val, parts.test))) == len(prepared)
