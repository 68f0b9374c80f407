"""Labels from a CSV, for images and recordings. Folders of classes: test_folder."""

import numpy as np
import pytest

import made_recordings as made
from spikeduel.data import catalogue, load
from spikeduel.data.audited import file_counts
from spikeduel.data.prepared import TEST, TRAIN, VALIDATION
from spikeduel.experiment.settings import Experiment
from spikeduel.system.errors import InputError
from synthetic_files import write_pictures


def write_labels(folder, *lines, name="labels.csv", header="file,label"):
    (folder / name).write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return folder / name


@pytest.fixture(params=["image", "recording"])
def flat(request, tmp_path):
    """Twelve images, or recordings, side by side."""
    root = tmp_path / "flat"
    if request.param == "image":
        write_pictures(root, 12, seed=1)
    else:
        root.mkdir()
        for k in range(12):
            (root / f"{k:03}.npy").write_bytes(made.numpy_file(made.some_events(20, seed=k)))
    return root


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".csv")


def labelled(folder):
    """A line for each file, every third a cat."""
    return [f"{name},{'dog' if k % 3 else 'cat'}" for k, name in enumerate(names(folder))]


def fingerprint(place):
    return load(Experiment(dataset=str(place))).fingerprint


def test_a_csv_and_its_folder_and_folders_of_classes_are_the_same_set(flat, tmp_path):
    lines = labelled(flat)
    table = write_labels(flat, *reversed(lines))
    by_class = tmp_path / "by class"
    for line in lines:
        name, label = line.split(",")
        (by_class / label).mkdir(parents=True, exist_ok=True)
        (by_class / label / name).write_bytes((flat / name).read_bytes())
    assert fingerprint(table) == fingerprint(flat) == fingerprint(by_class)
    prepared = load(Experiment(dataset=str(table)))
    assert prepared.name == "flat/labels.csv"
    assert prepared.classes == ("cat", "dog")
    assert [
        f"{n},{prepared.classes[k]}" for n, k in zip(prepared.names, prepared.labels, strict=True)
    ] == sorted(lines, key=lambda line: line.split(",")[::-1])
    assert prepared.groups is prepared.official is None


def test_groups_and_splits_come_from_their_columns(flat):
    splits = ["train"] * 3 + ["VAL", "valid", "validation"] + ["test"] * 3 + ["train"] * 3
    lines = [
        f"{line},{split},p{k // 2}"
        for k, (line, split) in enumerate(zip(labelled(flat), splits, strict=True))
    ]
    prepared = load(
        Experiment(dataset=str(write_labels(flat, *lines, header=" File,LABEL,split,group")))
    )
    in_turn = [prepared.names.index(name) for name in names(flat)]
    expected = [TRAIN] * 3 + [VALIDATION] * 3 + [TEST] * 3 + [TRAIN] * 3
    assert prepared.official[in_turn].tolist() == expected
    _, by_file = np.unique(prepared.groups[in_turn], return_inverse=True)
    assert (by_file[::2] == by_file[1::2]).all()
    assert len(set(by_file)) == 6
    assert prepared.official.tolist() == sorted(expected)


def test_group_by_is_for_a_csv_without_groups(flat):
    lines = labelled(flat)
    table = write_labels(flat, *lines)
    grouped = load(Experiment(dataset=str(table), group_by=r"0(\d)"))
    assert len(np.unique(grouped.groups)) == 2
    write_labels(flat, *[f"{line},g" for line in lines], header="file,label,group")
    for place in (table, flat):
        with pytest.raises(InputError, match=r"labels\.csv has a column group"):
            load(Experiment(dataset=str(place), group_by=r"0(\d)"))


def test_files_that_a_csv_does_not_list_are_counted_as_such(flat):
    experiment = Experiment(dataset=str(write_labels(flat, *labelled(flat)[:8])))
    counts = file_counts(experiment, load(experiment))
    assert counts.num_read == 8
    ignored = {files.rule: files.count for files in counts.ignored}
    assert ignored.pop("not in the CSV") == 4
    assert not ignored  # the CSV itself is not counted


PROBLEMS = {
    "no label": (["0.npy,a", "1.npy,"], "file,label", r"labels\.csv, line 3: has no label"),
    "no file": ([",a"], "file,label", r"labels\.csv, line 2: has no file"),
    "no group": (["0.npy,a,g", "1.npy,b,"], "file,label,group", r"line 3: has no group"),
    "short line": (["0.npy"], "file,label", r"line 2: has no label"),
    "other split": (
        ["0.npy,a,dev"],
        "file,label,split",
        r"line 2: the split is 'dev'; train, val and test",
    ),
    "empty split": (["0.npy,a,"], "file,label,split", r"line 2: the split is ''"),
    "twice": (
        ["0.npy,a", "1.npy,b", "./0.npy,b"],
        "file,label",
        r"line 4: \./0\.npy is listed in line 2, too",
    ),
    "missing": (
        ["0.npy,a", "8.npy,b", "9.npy,b"],
        "file,label",
        r"line 3: there is no file .*8\.npy \(the first of 2",
    ),
    "ending": (
        ["0.npy,a", "1.pdf,b"],
        "file,label",
        r"line 3: 1\.pdf is neither an image nor a recording",
    ),
    "mixed": (
        ["0.npy,a", "one.png,b"],
        "file,label",
        r"line 3: lists one\.png, and lines above 0\.npy",
    ),
    "one class": (["0.npy,a", "1.npy,a"], "file,label", r"one class only \(a\)"),
    "nothing": ([], "file,label", "lists no files"),
    "no column": (
        ["0.npy,a"],
        "file,class",
        r"has no column 'label'; its first line names file, class",
    ),
    "no training": (
        ["0.npy,a,test", "1.npy,b,test"],
        "file,label,split",
        "no file is for training",
    ),
    "other classes": (
        ["0.npy,a,train", "1.npy,b,train", "2.npy,a,test", "3.npy,c,test"],
        "file,label,split",
        "classes for test differ .*lacks b; adds c",
    ),
}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_csv_that_cannot_be_used_is_named_with_the_line(problem, tmp_path):
    lines, header, expected = PROBLEMS[problem]
    for k in range(4):
        (tmp_path / f"{k}.npy").write_bytes(made.numpy_file(made.some_events(20, seed=k)))
    write_pictures(tmp_path, 1)
    (tmp_path / "000.png").rename(tmp_path / "one.png")
    with pytest.raises(InputError, match=expected) as caught:
        catalogue.prepare(str(write_labels(tmp_path, *lines, header=header)))
    assert "\n" not in str(caught.value)


def test_recordings_beside_the_classes_are_noted_and_counted_and_texts_are_none(
    tmp_path,
):
    root = tmp_path / "bars"
    made.directions(root, 3)
    for name in ("loose.npy", "also.NPY"):
        (root / name).write_bytes(made.numpy_file(made.some_events(20)))
    (root / "README.txt").write_text("These are recordings.")
    (root / "photo.heic").write_bytes(b"no picture is looked for here")
    experiment = Experiment(dataset=str(root))
    prepared = load(experiment)
    counts = file_counts(experiment, prepared)
    assert {files.rule: files.endings for files in counts.ignored} == {
        "outside the class folders": {".npy": 2},
        "no recording": {".txt": 1, ".heic": 1},
    }
