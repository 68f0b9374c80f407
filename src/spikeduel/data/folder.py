"""Own images or recordings: a folder of classes, or a CSV of labels."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spikeduel.data import tables
from spikeduel.data.events import formats
from spikeduel.data.events.recordings import Part, recorded
from spikeduel.data.grouping import numbered
from spikeduel.data.inventory import (
    files_below,
    inventory,
    pictures_left_out,
    regular_files,
    walk,
)
from spikeduel.data.pictures import endings, picture_dataset
from spikeduel.data.prepared import TEST, TRAIN, VALIDATION, DataOptions, RawDataset
from spikeduel.networks.preprocessing import Preprocessing
from spikeduel.system import files
from spikeduel.system.errors import InputError
from spikeduel.system.sentences import counted, listed

LABELS = ("file", "label")
"""Columns of a CSV of labels; it may also have `group` and `split`."""
SIDES = {
    "train": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "test": TEST,
}
"""Sides by the names of folders and splits."""
_RECORDINGS = frozenset(formats.READERS)


class Item(NamedTuple):
    """A file of a data set."""

    side: int
    label: str
    path: Path
    group: str | None = None


class Layout(NamedTuple):
    """Files of a data set by side, class and path, with names relative to `home`.

    `sources` change with any file.
    """

    home: Path
    is_recorded: bool
    items: Sequence[Item]
    sources: tuple[Path, ...]


def folder(options: DataOptions) -> RawDataset:
    """A folder of images or recordings: one sub-folder a class, or train/, val/ and test/ with such
    folders; or a CSV that lists them, with the columns file and label, and perhaps group and split.

    Names are paths relative to the folder (of the CSV), with forward slashes.
    """
    place = Path(options.data_dir or ".").expanduser()
    if not files.is_folder(place) and not files.is_file(place):
        raise InputError(f"{place}: no such folder.")
    layout = laid_out(place)
    classes = sorted({item.label for item in layout.items})
    items = [item for item in layout.items if str(item.path) not in options.skip]
    if not items:
        raise InputError(f"{layout.home}: none of its {_noun(layout.is_recorded)}s can be read.")
    paths = [item.path for item in items]
    number = {name: code for code, name in enumerate(classes)}
    labels = np.array([number[item.label] for item in items], np.int64)
    sides = np.array([item.side for item in items], np.uint8)
    groups = [item.group for item in items]
    more: dict[str, Any] = {
        "classes": tuple(classes),
        "groups": None if None in groups else numbered(groups),
        "official": sides if sides.any() else None,
        "sources": layout.sources,
        "names": tuple(Path(os.path.relpath(path, layout.home)).as_posix() for path in paths),
    }
    if not layout.is_recorded:
        return picture_dataset(paths, labels, options, **more)
    recordings, content = recorded([Part(path, str(path)) for path in paths], options.track)
    how = Preprocessing.of_recordings(recordings.binning)
    return RawDataset(recordings, labels, preprocessing=how, content=content, **more)


def files_to_answer(
    paths: Sequence[Path], is_recorded: bool, say: Callable[[str], None] = lambda text: None
) -> tuple[list[Path], list[str]]:
    """Return the files among `paths` and in their folders, and a sentence for each unusable path.

    `say` tells of other files.
    """
    chosen: list[Path] = []
    unusable: list[str] = []
    for path in paths:
        if files.is_folder(path):
            inside = sorted(_readable(files_below(path, _endings(is_recorded)), is_recorded))
            counts = inventory(path, inside, is_recorded=is_recorded)
            problems = pictures_left_out(counts) if inside else [_none_in(path, is_recorded)]
            unusable += [f"{path}: {problem}" for problem in problems]
            chosen += inside
            for ignored in counts.ignored:
                say(f"{path}: ignored {ignored}")
        elif files.is_file(path):
            chosen.append(path)
        else:
            unusable.append(f"{path}: no such file, or not a regular one.")
    return chosen, unusable


def laid_out(place: Path) -> Layout:
    """Return the layout of a folder or a CSV. Raises `InputError`."""
    table = labels_file(place)
    if table is None:
        home, is_recorded = place, holds_recordings(place)
        items = _scanned(place, is_recorded)
    else:
        home = table.parent
        items, is_recorded = _listed(table)
    items.sort(key=lambda item: (item.side, item.label, item.path.parts))
    classes = {
        side: {item.label for item in items if item.side == side} for side in set(SIDES.values())
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
    for side, name in ((VALIDATION, "val"), (TEST, "test")):
        lacks, adds = classes[TRAIN] - classes[side], classes[side] - classes[TRAIN]
        if classes[side] and (lacks or adds):
            raise InputError(
                f"{place}: the classes for {name} differ from those for train (lacks "
                f"{', '.join(sorted(lacks)) or 'none'}; adds {', '.join(sorted(adds)) or 'none'}). "
                f"Make them the same."
            )
    sources = _sources(place, [item.path for item in items])
    return Layout(home, is_recorded, items, sources)


def labels_file(place: Path) -> Path | None:
    """Return the CSV of labels: `place`, or the only one in a folder without classes.

    Raises `InputError` for several.
    """
    if not files.is_folder(place):
        return place
    _, folders, names = next(walk(place))
    if len(folders) > 1 or any(name.lower() in SIDES for name in folders):
        return None
    tables_here = [
        path
        for path in regular_files(place, names, (".csv",))
        if set(LABELS) <= set(tables.columns(path))
    ]
    if len(tables_here) > 1:
        raise InputError(
            f"{place}: {len(tables_here)} CSVs have the columns file and label "
            f"({listed([path.name for path in tables_here])}). Name the one to use."
        )
    return tables_here[0] if tables_here else None


def holds_recordings(place: Path) -> bool:
    """Return True if a folder holds only recordings, or a CSV lists some. Raises `InputError`."""
    if (table := labels_file(place)) is not None:
        return any(
            Path(row["file"]).suffix.lower() in _RECORDINGS
            for _, row in tables.rows(table, LABELS, str(table))
        )
    if next(files_below(place, endings()), None) is not None:
        return False
    return any(map(formats.is_recording, files_below(place, _RECORDINGS)))


def _noun(is_recorded: bool) -> str:
    return "recording" if is_recorded else "image"


def _endings(is_recorded: bool) -> frozenset[str]:
    return _RECORDINGS if is_recorded else endings()


def _readable(paths: Iterable[Path], is_recorded: bool) -> list[Path]:
    return [path for path in paths if not is_recorded or formats.is_recording(path)]


def _none_in(folder: Path, is_recorded: bool) -> str:
    left_out = [] if is_recorded else pictures_left_out(inventory(folder, ()))
    return " ".join([f"holds no {_noun(is_recorded)}s that can be read here.", *left_out])


def _remedy(is_recorded: bool) -> str:
    return (
        f"Put the {_noun(is_recorded)}s of each class in a sub-folder of its own, or such folders "
        f"under train/ and test/; or list them in a CSV with the columns file and label."
    )


def _scanned(root: Path, is_recorded: bool) -> list[Item]:
    items: list[Item] = []
    for side, parent in _sides(root):
        _, folders, names = next(walk(parent))
        loose = _readable(regular_files(parent, names, _endings(is_recorded)), is_recorded)
        if not folders:
            told = counted(len(loose), _noun(is_recorded))
            problem = f"has {told} but no class sub-folders."
            raise InputError(
                f"{parent}: {problem if loose else _none_in(parent, is_recorded)} "
                f"{_remedy(is_recorded)}"
            )
        seen = (os.path.realpath(root), os.path.realpath(parent))
        for name in folders:
            folder = parent / name
            if any("\ud800" <= letter <= "\udfff" for letter in name):
                raise InputError(f"{folder}: its name, a class, is not UTF-8. Rename the folder.")
            paths = list(files_below(folder, _endings(is_recorded), seen))
            if not paths:
                raise InputError(
                    f"{folder}: {_none_in(folder, is_recorded)} Each sub-folder is a class: add "
                    f"some, or remove the folder."
                )
            items += [Item(side, name, path) for path in paths]
    return items


def _sides(root: Path) -> list[tuple[int, Path]]:
    """Return sides and their folders, training first; `root` alone without a split."""
    _, folders, _ = next(walk(root))
    sides = sorted((SIDES[name.lower()], root / name) for name in folders if name.lower() in SIDES)
    others = [name for name in folders if name.lower() not in SIDES]
    if sides and sides[0][0] == TRAIN:
        return sides
    if sides and not others:
        named = ", ".join(f"{name}/" for name in folders)
        raise InputError(
            f"{root}: has {named} but no train/. Add train/, or put class folders in {root} alone."
        )
    return [(TRAIN, root)]


def _listed(table: Path) -> tuple[list[Item], bool]:
    named = tables.columns(table)
    needed = [column for column in (*LABELS, "group") if column in named]
    items: dict[Path, Item] = {}
    lines: dict[Path, str] = {}
    kinds: dict[bool, Path] = {}
    for line, row in tables.rows(table, LABELS, str(table)):
        path = Path(os.path.normpath(table.parent / row["file"]))
        is_recorded, side = path.suffix.lower() in _RECORDINGS, row.get("split", "train").lower()
        problem = None
        if empty := [column for column in needed if not row[column]]:
            problem = f"has no {empty[0]}."
        elif side not in SIDES:
            problem = f"the split is '{side}'; train, val and test are known."
        elif path in lines:
            problem = f"{row['file']} is listed in {lines[path].rpartition(', ')[2]}, too."
        elif not is_recorded and path.suffix.lower() not in endings():
            problem = (
                f"{path.name} is neither an image nor a recording that is read (by its ending)."
            )
        elif (not is_recorded) in kinds:
            problem = (
                f"lists {path.name}, and lines above {kinds[not is_recorded].name}: images and "
                f"recordings cannot be one set. Make a CSV for each."
            )
        if problem is not None:
            raise InputError(f"{line}: {problem}")
        kinds.setdefault(is_recorded, path)
        lines[path] = line
        items[path] = Item(SIDES[side], row["label"], path, row.get("group"))
    if not items:
        raise InputError(f"{table}: lists no files.")
    if absent := [path for path in lines if not files.is_file(path)]:
        more = f" (the first of {len(absent):,} that are not there)" if len(absent) > 1 else ""
        raise InputError(
            f"{lines[absent[0]]}: there is no file {absent[0]}{more}. Files are named relative to "
            f"the CSV's folder."
        )
    return list(items.values()), next(iter(kinds))


def _sources(place: Path, paths: Sequence[Path]) -> tuple[Path, ...]:
    sources = [place]
    for parent in sorted({path.parent for path in paths}, key=lambda path: path.parts):
        if not any(parent.is_relative_to(source) for source in (place, sources[-1])):
            sources.append(parent)
    return tuple(sources)
