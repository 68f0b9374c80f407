"""Which files a data set of one's own has, and what is said of each: by folders of classes, or by a
CSV of labels.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spikeduel.data import tables
from spikeduel.data.events import formats
from spikeduel.data.inventory import inventory
from spikeduel.data.pictures import endings
from spikeduel.data.prepared import TEST, TRAIN, VALIDATION
from spikeduel.results.groups import numbered
from spikeduel.results.words.file_counts import pictures_left_out
from spikeduel.system import files
from spikeduel.system.errors import InputError
from spikeduel.system.sentences import counted, listed

DEEPEST = 32
"""Folders nested deeper than this are refused."""
LABELS = ("file", "label")
"""The columns that make a CSV one of labels; it may also have `group` and `split`."""
SIDES = {
    "train": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "test": TEST,
}
"""What folders, splits and shards are called, and the side that each is."""
_RECORDINGS = frozenset(formats.READERS)


@dataclass(frozen=True, eq=False)
class Layout:
    """The N files of a data set, `is_recorded` if they are an event camera's recordings, by side,
    class and path.

    `labels` int64 `[N]` are indices into `classes`, `sides` uint8 `[N]` are TRAIN, VALIDATION or
    TEST, `groups` int64 `[N]` or None. Names are paths relative to `home`; `sources` change where
    the files do.
    """

    home: Path
    is_recorded: bool
    paths: tuple[Path, ...]
    labels: np.ndarray
    classes: tuple[str, ...]
    sides: np.ndarray
    groups: np.ndarray | None
    notes: tuple[str, ...]
    sources: tuple[Path, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The path of each file relative to `home`, with forward slashes."""
        inside, texts = f"{self.home}{os.sep}", map(str, self.paths)
        relative = (
            text.removeprefix(inside)
            if text.startswith(inside)
            else os.path.relpath(text, self.home)
            for text in texts
        )
        return tuple(name.replace(os.sep, "/") for name in relative)

    def without(self, skip: Collection[str]) -> "Layout":
        """The same, less the files that `skip` names. Raises `InputError` where none is left."""
        kept = [row for row, path in enumerate(self.paths) if str(path) not in skip]
        if not kept:
            raise InputError(f"{self.home}: none of its {noun(self.is_recorded)}s can be read.")
        return replace(
            self,
            paths=tuple(self.paths[row] for row in kept),
            labels=self.labels[kept],
            sides=self.sides[kept],
            groups=None if self.groups is None else self.groups[kept],
        )


def laid_out(place: Path) -> Layout:
    """What is said of the files that a folder holds, or a CSV lists. Raises `InputError`."""
    table = labels_file(place)
    return _scanned(place, holds_recordings(place)) if table is None else _listed(table, place)


def labels_file(place: Path) -> Path | None:
    """The CSV that says the labels: `place` itself, or the only such one in a folder without
    folders of classes.

    Raises `InputError` where there are several.
    """
    if not files.is_folder(place):
        return place
    below, found = _inside(place, frozenset({".csv"}))
    if len(below) > 1 or any(path.name.lower() in SIDES for path in below):
        return None
    found = [path for path in found if set(LABELS) <= set(tables.columns(path))]
    if len(found) > 1:
        named = listed([path.name for path in found])
        raise InputError(
            f"{place}: {len(found)} CSVs have the columns file and label ({named}). Name the one "
            f"to use."
        )
    return found[0] if found else None


def holds_recordings(place: Path) -> bool:
    """Whether a folder holds an event camera's recordings and no pictures, or a CSV lists some.
    Raises `InputError`.
    """
    if (table := labels_file(place)) is not None:
        return any(
            Path(row["file"]).suffix.lower() in _RECORDINGS
            for _, row in tables.rows(table, LABELS, str(table))
        )
    if next(walk(place, endings()), None) is not None:
        return False
    return any(map(formats.is_recording, walk(place, _RECORDINGS)))


def noun(is_recorded: bool) -> str:
    """What one of the files is called."""
    return "recording" if is_recorded else "image"


def wanted(is_recorded: bool) -> frozenset[str]:
    """The endings of the files that are read."""
    return _RECORDINGS if is_recorded else endings()


def _remedy(is_recorded: bool) -> str:
    return (
        f"Put the {noun(is_recorded)}s of each class in a sub-folder of its own, or such folders "
        f"under train/ and "
        "test/; or list them in a CSV with the columns file and label."
    )


def _scanned(root: Path, is_recorded: bool) -> Layout:
    """One sub-folder a class, or train/, val/ and test/ with those in each."""
    remedy, its_noun = _remedy(is_recorded), noun(is_recorded)
    sides, notes = _sides(root, is_recorded)
    found: list[tuple[Path, int, int]] = []
    classes: tuple[str, ...] = ()
    for side, parent in sides:
        folders, loose = _inside(parent, wanted(is_recorded))
        loose = [path for path in loose if not is_recorded or formats.is_recording(path)]
        if not folders:
            holds = (
                f"has {counted(len(loose), its_noun)} but no class sub-folders"
                if loose
                else f"holds no {its_noun}s"
            )
            raise InputError(f"{parent}: {holds}. {remedy}")
        if strange := [
            path for path in folders if any("\ud800" <= letter <= "\udfff" for letter in path.name)
        ]:
            raise InputError(f"{strange[0]}: its name, a class, is not UTF-8. Rename the folder.")
        names = tuple(path.name for path in folders)
        if classes and set(names) != set(classes):
            told = _differences(set(names), set(classes))
            raise InputError(
                f"{parent}: its class folders differ from those for training ({told}). Make them "
                f"the same."
            )
        classes = names
        seen = {os.path.realpath(root), os.path.realpath(parent)}
        of_class = [
            sorted(walk(path, wanted(is_recorded), set(seen)), key=_parts) for path in folders
        ]
        if not any(of_class):
            raise InputError(f"{parent}: {none_in(parent, is_recorded)} {remedy}")
        if empty := [path for path, paths in zip(folders, of_class, strict=True) if not paths]:
            raise InputError(
                f"{empty[0]}: {none_in(empty[0], is_recorded)} Add some, or remove the folder."
            )
        if len(classes) == 1:
            raise InputError(
                f"{parent}: has one class only ({classes[0]}); two are needed. {remedy}"
            )
        found += [(path, label, side) for label, paths in enumerate(of_class) for path in paths]
        notes += [f"Loose in {parent.name}, and ignored: {counted(len(loose), its_noun)}."] * bool(
            loose
        )
    paths, labels, codes = zip(*found, strict=True)
    return Layout(
        home=root,
        is_recorded=is_recorded,
        paths=paths,
        labels=np.array(labels, np.int64),
        classes=classes,
        sides=np.array(codes, np.uint8),
        groups=None,
        notes=tuple(notes),
        sources=_sources(root, paths),
    )


def _sides(root: Path, is_recorded: bool) -> tuple[list[tuple[int, Path]], list[str]]:
    """The sides of a split and the folder of each, training first; `root` alone where there is no
    split. And notes.
    """
    below, _ = _inside(root, wanted(is_recorded))
    sides, notes = (
        sorted((SIDES[path.name.lower()], path) for path in below if path.name.lower() in SIDES),
        [],
    )
    if sides and sides[0][0] == TRAIN:
        if ignored := [path.name for path in below if path.name.lower() not in SIDES]:
            notes.append(f"Ignored beside train/: {', '.join(ignored)}.")
        if TEST not in {side for side, _ in sides}:
            notes.append("There is no test/ beside train/: a tenth of train/ is the test set.")
        return sides, notes
    if sides and len(sides) == len(below):
        named = ", ".join(f"{path.name}/" for path in below)
        raise InputError(
            f"{root}: has {named} but no train/. Add train/, or put class folders in {root} alone."
        )
    return [(TRAIN, root)], notes


def _listed(table: Path, place: Path) -> Layout:
    """What a CSV says of the files that it lists, by paths relative to its own folder."""
    named = tables.columns(table)
    lines: dict[Path, str] = {}
    found: list[tuple[int, str, Path, str]] = []
    for line, row in tables.rows(table, LABELS, str(table)):
        if empty := [
            column for column in (*LABELS, "group") if column in named and not row[column]
        ]:
            raise InputError(f"{line}: has no {empty[0]}.")
        side = SIDES.get(row["split"].lower()) if "split" in named else TRAIN
        if side is None:
            raise InputError(
                f"{line}: the split is '{row['split']}'; train, val and test are known."
            )
        path = Path(os.path.normpath(table.parent / row["file"]))
        if path in lines:
            raise InputError(
                f"{line}: {row['file']} is listed in {lines[path].rpartition(', ')[2]}, too. List "
                f"it once."
            )
        lines[path] = line
        found.append((side, row["label"], path, row.get("group", "")))
    if not found:
        raise InputError(f"{table}: lists no files.")
    is_recorded = _listed_kind(lines)
    found.sort(key=lambda each: (each[0], each[1], each[2].parts))
    codes, labels, paths, groups = zip(*found, strict=True)
    classes = tuple(sorted(set(labels)))
    number = {name: code for code, name in enumerate(classes)}
    return Layout(
        home=table.parent,
        is_recorded=is_recorded,
        paths=paths,
        labels=np.array([number[label] for label in labels], np.int64),
        classes=classes,
        sides=np.array(codes, np.uint8),
        groups=numbered(groups) if "group" in named else None,
        notes=_notes_on(table, named, codes, labels),
        sources=_sources(place, paths),
    )


def _listed_kind(lines: dict[Path, str]) -> bool:
    """Whether the files that a CSV lists, each in a line, are recordings. Raises `InputError` for
    what is not there, or neither an image nor a recording, or not the same as the others.
    """
    kinds: dict[bool, Path] = {}
    for path, line in lines.items():
        ending = path.suffix.lower()
        if ending not in endings() and ending not in _RECORDINGS:
            raise InputError(
                f"{line}: {path.name} is neither an image nor a recording that is read (by its "
                f"ending)."
            )
        kinds.setdefault(ending not in endings(), path)
        if len(kinds) > 1:
            raise InputError(
                f"{line}: lists {path.name}, and lines above {kinds[ending in endings()].name}: "
                f"images and recordings "
                "cannot be one set. Make a CSV for each."
            )
    if absent := [path for path in lines if not files.is_file(path)]:
        more = f" (the first of {len(absent):,} that are not there)" if len(absent) > 1 else ""
        raise InputError(
            f"{lines[absent[0]]}: there is no file {absent[0]}{more}. Files are named relative to "
            f"the CSV's folder."
        )
    return next(iter(kinds))


def _notes_on(
    table: Path, named: Sequence[str], codes: Sequence[int], labels: Sequence[str]
) -> tuple[str, ...]:
    """What is worth knowing of a CSV of labels. Raises `InputError` where its classes or sides
    cannot be used.
    """
    classes = {
        side: {label for code, label in zip(codes, labels, strict=True) if code == side}
        for side in set(codes)
    }
    if len(set(labels)) == 1:
        raise InputError(f"{table}: has one class only ({labels[0]}); two are needed.")
    if TRAIN not in classes:
        raise InputError(
            f"{table}: no file is for training. Give some the split train, or leave the column out."
        )
    for side, name in ((VALIDATION, "val"), (TEST, "test")):
        if side in classes and classes[side] != classes[TRAIN]:
            told = _differences(classes[side], classes[TRAIN])
            raise InputError(
                f"{table}: the classes for {name} differ from those for train ({told}). Make them "
                f"the same."
            )
    others = [name for name in named if name and name not in (*LABELS, "group", "split")]
    notes = [f"Columns of {table.name} that are not used: {', '.join(others)}."] * bool(others)
    if "split" in named and TEST not in classes:
        notes.append(
            f"No file of {table.name} is for test: a tenth of those for train is the test set."
        )
    return tuple(notes)


def _differences(names: set[str], of_training: set[str]) -> str:
    differences = {"lacks": of_training - names, "adds": names - of_training}
    return "; ".join(
        f"{verb} {', '.join(sorted(which))}" for verb, which in differences.items() if which
    )


def _sources(place: Path, paths: Sequence[Path]) -> tuple[Path, ...]:
    """What changes where one of the files does: `place`, and the folders of `paths` that lie
    elsewhere or are links.
    """
    kept = [place]
    for parent in sorted({path.parent for path in paths}, key=_parts):
        covered = any(parent.is_relative_to(each) for each in (place, kept[-1]))
        if parent.is_symlink() or not covered:
            kept.append(parent)
    return tuple(kept)


def _parts(path: Path) -> tuple[str, ...]:
    """By which paths are sorted as they compare, and ten times as fast."""
    return path.parts


def none_in(folder: Path, is_recorded: bool) -> str:
    """What is said of a folder in which there is none that can be read."""
    left_out = pictures_left_out(inventory(folder, ())) if not is_recorded else ()
    return " ".join([f"holds no {noun(is_recorded)}s that can be read here.", *left_out])


def _inside(folder: Path, wanted: frozenset[str]) -> tuple[list[Path], list[Path]]:
    """The sub-folders of `folder` and its files with the endings `wanted`, by name, hidden ones
    left out.

    Raises `InputError`.
    """
    try:
        # Not Path.iterdir: the system says here which entries are folders, and need not be asked
        # for each.
        with os.scandir(folder) as entries:
            visible = sorted(
                (each for each in entries if not each.name.startswith(".")),
                key=lambda each: each.name,
            )
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror or error}).") from None
    below: list[Path] = []
    found: list[Path] = []
    for entry in visible:
        linked = entry.is_symlink()
        if files.is_folder(entry.path) if linked else entry.is_dir(follow_symlinks=False):
            below += [folder / entry.name] * (not entry.name.startswith("__"))
        # What is called like an image and is a pipe, a socket or a device is no regular file, and
        # left alone.
        elif Path(entry.name).suffix.lower() in wanted:
            is_file = files.is_file(entry.path) if linked else entry.is_file(follow_symlinks=False)
            found += [folder / entry.name] * is_file
    return below, found


def walk(
    folder: Path, wanted: frozenset[str], visited: set[str] | None = None, depth: int = 0
) -> Iterator[Path]:
    """The files in `folder` and below with the endings `wanted`, links followed; each real folder
    once, so that a loop of links ends.

    Raises `InputError` for folders that cannot be read or lie deeper than `DEEPEST`.
    """
    visited = set() if visited is None else visited
    real = os.path.realpath(folder)
    if real in visited:
        return
    visited.add(real)
    if depth > DEEPEST:
        raise InputError(f"{folder}: nested deeper than {DEEPEST} folders. Move its files up.")
    folders, found = _inside(folder, wanted)
    yield from found
    for path in folders:
        yield from walk(path, wanted, visited, depth + 1)
