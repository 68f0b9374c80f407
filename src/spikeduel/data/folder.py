"""Any folder of images: one sub-folder a class, or `train/`, `val/`, `test/` above those."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spikeduel.data.decoding import opened, over_pictures, room_for
from spikeduel.data.prepared import TEST, TRAIN, VALIDATION, DataOptions, Preprocessing, RawDataset
from spikeduel.data.preprocessing import plain
from spikeduel.system import files
from spikeduel.system.errors import InputError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
DEFAULT_SIZE = 64
SAMPLE_SIZE = 1024
_SIDES = {"train": TRAIN, "val": VALIDATION, "valid": VALIDATION, "validation": VALIDATION, "test": TEST}
DEEPEST = 32
"""Folders nested deeper than this are refused."""
_GREY = {"1", "L", "LA", "La", "I", "F"}
_LAYOUT = "Put the images of each class in a sub-folder of its own, or such folders under train/ and test/."


@dataclass(frozen=True)
class _Found:
    """One image file: its class, its side of the official split, and its path."""

    path: Path
    label: int
    side: int


def folder(options: DataOptions) -> RawDataset:
    """A folder of images: one sub-folder a class, or train/, val/ and test/ with those in each.

    Images become squares of `image_size` pixels; unset, of 64, or of the largest image's longer side where
    all are smaller than that. They are grey if all are: stored as grey, or in colour with equal channels.
    Names are paths relative to the folder, with forward slashes.
    """
    root = Path(options.data_dir or ".").expanduser()
    if not files.is_folder(root):
        raise InputError(f"{root}: no such folder.")
    found, classes, notes = _scan(root)
    found = [item for item in found if str(item.path) not in options.skip]
    if not found:
        raise InputError(f"{root}: none of its images can be read.")
    preprocessing = options.preprocessing or _preprocessing(found, options)
    images = room_for(len(found), preprocessing)

    def decode(row: int) -> None:
        with opened(found[row].path) as picture:
            images[row] = preprocessing(picture)

    over_pictures(decode, range(len(found)), options.track, "reading images", lambda row: str(found[row].path))
    if options.preprocessing is None and preprocessing.channels == 3 and bool((images == images[:, :1]).all()):
        preprocessing = replace(preprocessing, channels=1)
        images = np.ascontiguousarray(images[:, :1])
    labels = np.array([item.label for item in found], dtype=np.int64)
    sides = np.array([item.side for item in found], dtype=np.uint8)
    links = {item.path.parent for item in found if item.path.parent.is_symlink()}
    return RawDataset(
        images=images,
        labels=labels,
        classes=classes,
        preprocessing=preprocessing,
        official=sides if sides.any() else None,
        samples=[_sample(found, int(np.argmax(labels == k)), preprocessing) for k in range(len(classes))],
        notes=tuple(notes),
        sources=(root, *sorted(links)),
        names=tuple(item.path.relative_to(root).as_posix() for item in found),
    )


def paths(root: Path, skip: frozenset[str] = frozenset()) -> list[Path]:
    """The image files in a folder of images, in the order of the prepared set, without those named in `skip`."""
    return [item.path for item in _scan(root)[0] if str(item.path) not in skip]


def _scan(root: Path) -> tuple[list[_Found], tuple[str, ...], list[str]]:
    """Every image, the class names, and what was ignored."""
    below = _subfolders(root)
    sides = [path for path in below if path.name.lower() in _SIDES]
    if not any(_SIDES[path.name.lower()] == TRAIN for path in sides):
        if sides and len(sides) == len(below):
            names = ", ".join(f"{path.name}/" for path in sides)
            raise InputError(f"{root}: has {names} but no train/. Add train/, or put class folders in {root} alone.")
        return _scan_classes(root, root, TRAIN, None)
    notes = []
    ignored = [path.name for path in below if path not in sides]
    if ignored:
        notes.append(f"ignored beside train/: {', '.join(ignored)}.")
    found: list[_Found] = []
    classes: tuple[str, ...] | None = None
    for side in sorted(sides, key=lambda path: (_SIDES[path.name.lower()], path.name)):
        more, classes, more_notes = _scan_classes(root, side, _SIDES[side.name.lower()], classes)
        found, notes = found + more, notes + more_notes
    assert classes is not None
    return found, classes, notes


def _scan_classes(
    root: Path, parent: Path, side: int, expected: tuple[str, ...] | None
) -> tuple[list[_Found], tuple[str, ...], list[str]]:
    folders = _subfolders(parent)
    loose = [path for path in _inside(parent) if _is_image(path)]
    if not folders:
        holds = f"has {len(loose)} images but no class sub-folders" if loose else "holds no images"
        raise InputError(f"{parent}: {holds}. {_LAYOUT}")
    classes = tuple(path.name for path in folders)
    for name in classes:
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            raise InputError(f"{parent / name}: its name, a class, is not UTF-8. Rename the folder.")
    if expected is not None and classes != expected:
        missing, extra = sorted(set(expected) - set(classes)), sorted(set(classes) - set(expected))
        differences = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"adds {', '.join(extra)}"] * bool(extra)
        raise InputError(
            f"{parent}: its class folders differ from those for training ({'; '.join(differences)}). "
            "Give all sides the same classes."
        )
    found = []
    for label, path in enumerate(folders):
        images = sorted(walk(path, {os.path.realpath(root), os.path.realpath(parent)}))
        if not images and not any(True for other in folders if any(walk(other, set()))):
            raise InputError(f"{parent}: holds no images ({', '.join(e[1:] for e in EXTENSIONS)}). {_LAYOUT}")
        if not images:
            raise InputError(
                f"{path}: holds no images ({', '.join(e[1:] for e in EXTENSIONS)}). Add some, or remove the folder."
            )
        found += [_Found(image, label, side) for image in images]
    if len(classes) == 1:
        raise InputError(f"{parent}: has one class only ({classes[0]}); two are needed. {_LAYOUT}")
    notes = [f"{len(loose)} images lie loose in {parent.name} and are ignored."] if loose else []
    return found, classes, notes


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror or error}).") from None


def _is_subfolder(path: Path) -> bool:
    return not path.name.startswith((".", "__")) and files.is_folder(path)


def _subfolders(folder: Path) -> list[Path]:
    return [path for path in _inside(folder) if _is_subfolder(path)]


def _is_image(path: Path) -> bool:
    # What is called like an image and is a pipe, a socket or a device is no regular file, and left alone.
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".") and files.is_file(path)


def walk(folder: Path, visited: set[str], depth: int = 0) -> Iterator[Path]:
    """The images in `folder` and below, links followed; each real folder once, so that a loop of links ends.

    Raises `InputError` for folders that cannot be read or lie deeper than `DEEPEST`.
    """
    real = os.path.realpath(folder)
    if real in visited:
        return
    visited.add(real)
    if depth > DEEPEST:
        raise InputError(f"{folder}: nested deeper than {DEEPEST} folders. Move its images up.")
    for path in _inside(folder):
        if _is_subfolder(path):
            yield from walk(path, visited, depth + 1)
        elif _is_image(path):
            yield path


def _preprocessing(found: list[_Found], options: DataOptions) -> Preprocessing:
    """The size of the prepared images, and whether all are stored as grey; from the files' headers."""

    def header(row: int) -> tuple[int, bool]:
        with opened(found[row].path) as picture:
            return max(picture.size), picture.mode in _GREY or picture.mode.startswith("I;16")

    rows = range(len(found))
    headers = over_pictures(header, rows, options.track, "looking at images", lambda row: str(found[row].path))
    size = options.image_size or min(DEFAULT_SIZE, max(side for side, _ in headers))
    return Preprocessing(channels=1 if all(grey for _, grey in headers) else 3, height=size, width=size)


def _sample(found: list[_Found], row: int, preprocessing: Preprocessing) -> tuple[int, np.ndarray]:
    with opened(found[row].path) as picture:
        sample = plain(picture).convert("L" if preprocessing.channels == 1 else "RGB")
    sample.thumbnail((SAMPLE_SIZE, SAMPLE_SIZE))
    return row, np.asarray(sample)
