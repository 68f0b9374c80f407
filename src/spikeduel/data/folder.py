"""Own images or recordings: a folder of classes, or a CSV of labels."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spikeduel.data.events.recording_files import is_recording, readers
from spikeduel.data.events.recordings import Part, recorded
from spikeduel.data.grouping import columns_of, rows_of
from spikeduel.data.inventory import (
    files_below,
    inventory,
    pictures_left_out,
    regular_files,
    walk,
)
from spikeduel.data.pictures import endings, picture_dataset
from spikeduel.data.prepared import TEST, TRAIN, VALIDATION, DataOptions, RawDataset
from spikeduel.inputs.preprocessing import Preprocessing
from spikeduel.statistics import numbered
from spikeduel.system import files
from spikeduel.system.errors import InputError
from spikeduel.system.sentences import counted, listed

LABELS = ("file", "label")
"""Columns of a CSV of labels; it may also have `group` and `split`."""
SPLITS = {
    "train": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "test": TEST,
}
"""Codes of splits by the names of folders and splits."""


class Item(NamedTuple):
    """A file of a data set."""

    split_code: int
    label: str
    path: Path
    group: str | None = None


def folder(options: DataOptions) -> RawDataset:
    """A folder of images or recordings: one sub-folder a class, or train/, val/ and test/ with such
    folders; or a CSV that lists them, with the columns file and label, and perhaps group and split.

    Names are paths relative to the folder (of the CSV), with forward slashes.
    """
    place = Path(options.data_dir or ".").expanduser()
    if not files.is_folder(place) and not files.is_file(place):
        raise InputError(f"{place}: no such folder.")
    if (table := labels_file(place)) is None:
        home, is_recorded = place, holds_recordings(place)
        items = _scanned(place, is_recorded)
    else:
        home = table.parent
        items, is_recorded = _listed(table)
    items.sort(key=lambda item: (item.split_code, item.label, item.path.parts))
    _require_same_classes(items, place, is_recorded)
    classes = sorted({item.label for item in items})
    items = [item for item in items if str(item.path) not in options.skip]
    if not items:
        raise InputError(f"{home}: none of its {_noun(is_recorded)}s can be read.")
    paths = [item.path for item in items]
    number = {name: code for code, name in enumerate(classes)}
    labels = np.array([number[item.label] for item in items], np.int64)
    split_codes = np.array([item.split_code for item in items], np.uint8)
    groups = [item.group for item in items]
    more: dict[str, Any] = {
        "classes": tuple(classes),
        "groups": None if None in groups else numbered(groups),
        "group_names": None if None in groups else tuple(groups),
        "official": split_codes if split_codes.any() else None,
        "sources": _sources(place, paths),
        "names": tuple(Path(os.path.relpath(path, home)).as_posix() for path in paths),
    }
    if not is_recorded:
        return picture_dataset(paths, labels, options, **more)
    recordings, content = recorded(list(map(Part, paths)), options.track)
    how = Preprocessing.of_recordings(recordings.binning)
    return RawDataset(recordings, labels, preprocessing=how, content=content, **more)


def labels_file(place: Path) -> Path | None:
    """Return the CSV of labels: `place`, or the only one in a folder without classes.

    Raises `InputError` for several.
    """
    if not files.is_folder(place):
        return place
    _, folders, names = next(walk(place))
    if len(folders) > 1 or any(name.lower() in SPLITS for name in folders):
        return None
    tables = [
        path
        for path in regular_files(place, names, (".csv",))
        if set(LABELS) <= set(columns_of(path))
    ]
    if len(tables) > 1:
        raise InputError(
            f"{place}: {len(tables)} CSVs have the columns file and label "
            f"({listed([path.name for path in tables])}). Name the one to use."
        )
    return tables[0] if tables else None


def holds_recordings(place: Path) -> bool:
    """Return True for a folder of only recordings, or a CSV of some. Raises `InputError`."""
    if (table := labels_file(place)) is not None:
        return any(_is_recorded(Path(row["file"])) for _, row in rows_of(table, LABELS))
    if next(files_below(place, endings()), None) is not None:
        return False
    return any(map(is_recording, files_below(place, frozenset(readers()))))


def _is_recorded(path: Path) -> bool:
    return path.suffix.lower() in frozenset(readers())


def _noun(is_recorded: bool) -> str:
    return "recording" if is_recorded else "image"


def endings_of(is_recorded: bool) -> frozenset[str]:
    """Return the endings of recordings, or of images."""
    return frozenset(readers()) if is_recorded else endings()


def none_in(folder: Path, is_recorded: bool) -> str:
    """Return a sentence about a folder without a usable file, with the pictures left out."""
    left_out = [] if is_recorded else pictures_left_out(inventory(folder, ()))
    return " ".join([f"holds no {_noun(is_recorded)}s that can be read here.", *left_out])


def _remedy(is_recorded: bool) -> str:
    return (
        f"Put the {_noun(is_recorded)}s of each class in a sub-folder of its own, or such folders "
        f"under train/ and test/; or list them in a CSV with the columns file and label."
    )


def _require_same_classes(items: Sequence[Item], place: Path, is_recorded: bool) -> None:
    classes = {
        split_code: {item.label for item in items if item.split_code == split_code}
        for split_code in SPLITS.values()
    }
    if len(set.union(*classes.values())) == 1:
        raise InputError(
            f"{place}: has one class only ({items[0].label}); two are needed. "
            f"{_remedy(is_recorded)}"
        )
    if not classes[TRAIN]:
        raise InputError(
            f"{place}: no file is for training. Give some the split train, or leave the column out."
        )
    for split_code, name in ((VALIDATION, "val"), (TEST, "test")):
        lacks, adds = classes[TRAIN] - classes[split_code], classes[split_code] - classes[TRAIN]
        if classes[split_code] and (lacks or adds):
            raise InputError(
                f"{place}: the classes for {name} differ from those for train (lacks "
                f"{', '.join(sorted(lacks)) or 'none'}; adds {', '.join(sorted(adds)) or 'none'}). "
                f"Make them the same."
            )


def _scanned(root: Path, is_recorded: bool) -> list[Item]:
    if files.is_file(root / "results.json") and files.is_file(root / "experiment.toml"):
        raise InputError(
            f"{root}: a run's folder, and no images. --experiment {root} takes the run's data and "
            "settings."
        )
    items: list[Item] = []
    for split_code, parent in _split_folders(root):
        _, folders, names = next(walk(parent))
        if not folders:
            problem = none_in(parent, is_recorded)
            if loose := regular_files(parent, names, endings_of(is_recorded)):
                problem = f"has {counted(len(loose), _noun(is_recorded))} but no class sub-folders."
            raise InputError(f"{parent}: {problem} {_remedy(is_recorded)}")
        seen = (os.path.realpath(root), os.path.realpath(parent))
        for name in folders:
            folder = parent / name
            if any("\ud800" <= letter <= "\udfff" for letter in name):
                raise InputError(f"{folder}: its name, a class, is not UTF-8. Rename the folder.")
            paths = list(files_below(folder, endings_of(is_recorded), seen))
            if not paths:
                raise InputError(
                    f"{folder}: {none_in(folder, is_recorded)} Each sub-folder is a class: add "
                    f"some, or remove the folder."
                )
            items += [Item(split_code, name, path) for path in paths]
    return items


def _split_folders(root: Path) -> list[tuple[int, Path]]:
    """Return splits and folders, training first; `root` alone without a split."""
    _, folders, _ = next(walk(root))
    split_codes = sorted(
        (SPLITS[name.lower()], root / name) for name in folders if name.lower() in SPLITS
    )
    if split_codes and split_codes[0][0] == TRAIN:
        return split_codes
    if split_codes and len(split_codes) == len(folders):
        named = ", ".join(f"{name}/" for name in folders)
        raise InputError(
            f"{root}: has {named} but no train/. Add train/, or put class folders in {root} alone."
        )
    return [(TRAIN, root)]


def _listed(table: Path) -> tuple[list[Item], bool]:
    needed = [column for column in (*LABELS, "group") if column in columns_of(table)]
    items: dict[Path, tuple[str, Item]] = {}
    for line, row in rows_of(table, LABELS):
        path = Path(os.path.normpath(table.parent / row["file"]))
        split_code, first = row.get("split", "train").lower(), next(iter(items), path)
        problem = None
        if empty := [column for column in needed if not row[column]]:
            problem = f"has no {empty[0]}."
        elif split_code not in SPLITS:
            problem = f"the split is '{split_code}'; train, val and test are known."
        elif path in items:
            problem = f"{row['file']} is listed in {items[path][0].rpartition(', ')[2]}, too."
        elif path.suffix.lower() not in frozenset(readers()) | endings():
            problem = (
                f"{path.name} is neither an image nor a recording that is read (by its ending)."
            )
        elif _is_recorded(path) != _is_recorded(first):
            problem = (
                f"lists {path.name}, and lines above {first.name}: images and recordings cannot be "
                f"one set. Make a CSV for each."
            )
        if problem is not None:
            raise InputError(f"{line}: {problem}")
        items[path] = line, Item(SPLITS[split_code], row["label"], path, row.get("group"))
    if not items:
        raise InputError(f"{table}: lists no files.")
    if absent := [path for path in items if not files.is_file(path)]:
        more = f" (the first of {len(absent):,} that are not there)" if len(absent) > 1 else ""
        raise InputError(
            f"{items[absent[0]][0]}: there is no file {absent[0]}{more}. Files are named relative "
            f"to the CSV's folder."
        )
    return [item for _, item in items.values()], _is_recorded(next(iter(items)))


def _sources(place: Path, paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return places that change with any file: `place`, and folders outside of it."""
    sources = [place]
    for parent in sorted({path.parent for path in paths}, key=lambda path: path.parts):
        if not any(parent.is_relative_to(source) for source in (place, sources[-1])):
            sources.append(parent)
    return tuple(sources)
