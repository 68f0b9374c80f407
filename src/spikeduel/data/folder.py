"""Any folder of images: one sub-folder a class, or `train/`, `val/`, `test/` above those."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spikeduel.data.pictures import (
    LISTED_EXTENSIONS,
    inside,
    is_image,
    opened,
    over_pictures,
    room_for,
    subfolders,
    walk,
)
from spikeduel.data.prepared import TEST, TRAIN, VALIDATION, DataOptions, RawDataset
from spikeduel.data.preprocessing import Preprocessing, plain
from spikeduel.system import files
from spikeduel.system.errors import InputError

DEFAULT_SIZE = 64
SAMPLE_SIZE = 1024
_SIDES = {"train": TRAIN, "val": VALIDATION, "valid": VALIDATION, "validation": VALIDATION, "test": TEST}
_GREY = {"1", "L", "LA", "La", "I", "F"}
_LAYOUT = "Put the images of each class in a sub-folder of its own, or such folders under train/ and test/."


@dataclass(frozen=True)
class _ImageFile:
    """One image file: its path, its class, and its side of the official split."""

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
    listed, classes, notes = _scan(root)
    listed = [image for image in listed if str(image.path) not in options.skip]
    if not listed:
        raise InputError(f"{root}: none of its images can be read.")
    preprocessing = options.preprocessing or _preprocessing(listed, options)
    images = room_for(len(listed), preprocessing)

    def decode(row: int) -> None:
        with opened(listed[row].path) as picture:
            images[row] = preprocessing(picture)

    over_pictures(decode, range(len(listed)), options.track, "reading images", lambda row: str(listed[row].path))
    if options.preprocessing is None and preprocessing.channels == 3 and bool((images == images[:, :1]).all()):
        preprocessing = replace(preprocessing, channels=1)
        images = np.ascontiguousarray(images[:, :1])
    labels = np.array([image.label for image in listed], dtype=np.int64)
    sides = np.array([image.side for image in listed], dtype=np.uint8)
    links = {image.path.parent for image in listed if image.path.parent.is_symlink()}
    firsts = [int(np.argmax(labels == k)) for k in range(len(classes))]
    return RawDataset(
        images=images,
        labels=labels,
        classes=classes,
        preprocessing=preprocessing,
        official=sides if sides.any() else None,
        samples=[(row, _sample(listed[row].path, preprocessing)) for row in firsts],
        notes=tuple(notes),
        sources=(root, *sorted(links)),
        names=tuple(image.path.relative_to(root).as_posix() for image in listed),
    )


def paths(root: Path, skip: frozenset[str] = frozenset()) -> list[Path]:
    """The image files in a folder of images, in the order of the prepared set, without those named in `skip`."""
    return [image.path for image in _scan(root)[0] if str(image.path) not in skip]


def _scan(root: Path) -> tuple[list[_ImageFile], tuple[str, ...], list[str]]:
    """Every image, the class names, and what was ignored."""
    below = subfolders(root)
    sides = [path for path in below if path.name.lower() in _SIDES]
    if not any(_SIDES[path.name.lower()] == TRAIN for path in sides):
        if sides and len(sides) == len(below):
            names = ", ".join(f"{path.name}/" for path in sides)
            raise InputError(f"{root}: has {names} but no train/. Add train/, or put class folders in {root} alone.")
        return _scan_classes(root, root, TRAIN)
    ignored = [path.name for path in below if path not in sides]
    notes = [f"ignored beside train/: {', '.join(ignored)}."] if ignored else []
    images: list[_ImageFile] = []
    classes: tuple[str, ...] = ()
    for path in sorted(sides, key=lambda path: (_SIDES[path.name.lower()], path.name)):
        more, classes, more_notes = _scan_classes(root, path, _SIDES[path.name.lower()], classes)
        images, notes = images + more, notes + more_notes
    return images, classes, notes


def _scan_classes(
    root: Path, parent: Path, side: int, expected: tuple[str, ...] = ()
) -> tuple[list[_ImageFile], tuple[str, ...], list[str]]:
    """As `_scan`, of the class folders in `parent`; their names must be those `expected`, if any are."""
    folders = subfolders(parent)
    loose = [path for path in inside(parent) if is_image(path)]
    if not folders:
        holds = f"has {len(loose)} images but no class sub-folders" if loose else "holds no images"
        raise InputError(f"{parent}: {holds}. {_LAYOUT}")
    classes = tuple(path.name for path in folders)
    for name in classes:
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            raise InputError(f"{parent / name}: its name, a class, is not UTF-8. Rename the folder.")
    if expected and classes != expected:
        missing, extra = sorted(set(expected) - set(classes)), sorted(set(classes) - set(expected))
        differences = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"adds {', '.join(extra)}"] * bool(extra)
        raise InputError(
            f"{parent}: its class folders differ from those for training ({'; '.join(differences)}). "
            "Give all sides the same classes."
        )
    images: list[_ImageFile] = []
    empty = []
    for label, path in enumerate(folders):
        paths_of_class = sorted(walk(path, {os.path.realpath(root), os.path.realpath(parent)}))
        images += [_ImageFile(image, label, side) for image in paths_of_class]
        empty += [] if paths_of_class else [path]
    if not images:
        raise InputError(f"{parent}: holds no images ({LISTED_EXTENSIONS}). {_LAYOUT}")
    if empty:
        raise InputError(f"{empty[0]}: holds no images ({LISTED_EXTENSIONS}). Add some, or remove the folder.")
    if len(classes) == 1:
        raise InputError(f"{parent}: has one class only ({classes[0]}); two are needed. {_LAYOUT}")
    return images, classes, [f"{len(loose)} images lie loose in {parent.name} and are ignored."] if loose else []


def _preprocessing(listed: list[_ImageFile], options: DataOptions) -> Preprocessing:
    """The size of the prepared images, and whether all are stored as grey; from the files' headers."""

    def header(image: _ImageFile) -> tuple[int, bool]:
        with opened(image.path) as picture:
            return max(picture.size), picture.mode in _GREY or picture.mode.startswith("I;16")

    headers = over_pictures(header, listed, options.track, "looking at images", lambda image: str(image.path))
    size = options.image_size or min(DEFAULT_SIZE, max(side for side, _ in headers))
    return Preprocessing(channels=1 if all(grey for _, grey in headers) else 3, height=size, width=size)


def _sample(path: Path, preprocessing: Preprocessing) -> np.ndarray:
    with opened(path) as picture:
        sample = plain(picture).convert("L" if preprocessing.channels == 1 else "RGB")
    sample.thumbnail((SAMPLE_SIZE, SAMPLE_SIZE))
    return np.asarray(sample)
