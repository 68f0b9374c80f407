"""Folders of images: found in them, links followed; a data set of one sub-folder a class, or train/, val/, test/."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from spikeduel.data.events import formats
from spikeduel.data.events.source import recorded
from spikeduel.data.inventory import inventory
from spikeduel.data.pictures import (
    DEFAULT_SIZE,
    Preprocessing,
    content_of,
    endings,
    opened,
    over_pictures,
    plain,
    room_for,
)
from spikeduel.data.prepared import TEST, TRAIN, VALIDATION, DataOptions, RawDataset
from spikeduel.results.words.file_counts import described, pictures_left_out
from spikeduel.results.words.numbers import counted
from spikeduel.system import files
from spikeduel.system.errors import InputError

DEEPEST = 32
"""Folders nested deeper than this are refused."""
SAMPLE_SIZE = 1024
_SIDES = {"train": TRAIN, "val": VALIDATION, "valid": VALIDATION, "validation": VALIDATION, "test": TEST}
_GREY = {"1", "L", "LA", "La", "I", "F"}
_LAYOUT = "Put the images of each class in a sub-folder of its own, or such folders under train/ and test/."


def folder(options: DataOptions) -> RawDataset:
    """A folder of images: one sub-folder a class, or train/, val/ and test/ with those in each.

    Images become squares of `image_size` pixels; unset, of 64, or of the largest image's longer side where
    all are smaller than that. They are grey if all are: stored as grey, or in colour with equal channels.
    Names are paths relative to the folder, with forward slashes.
    """
    root = Path(options.data_dir or ".").expanduser()
    if not files.is_folder(root):
        raise InputError(f"{root}: no such folder.")
    is_recorded = holds_recordings(root)
    listed, classes, notes = _scan(root, frozenset(formats.READERS) if is_recorded else endings())
    listed = [image for image in listed if str(image[0]) not in options.skip]
    if not listed:
        raise InputError(f"{root}: none of its {'recordings' if is_recorded else 'images'} can be read.")
    paths = [path for path, _, _ in listed]
    labels = np.array([label for _, label, _ in listed], dtype=np.int64)
    sides = np.array([side for _, _, side in listed], dtype=np.uint8)
    if is_recorded:
        recordings, its_content = recorded(paths, options)
        return RawDataset(
            images=recordings,
            labels=labels,
            classes=classes,
            preprocessing=Preprocessing.of_recordings(recordings.binning),
            official=sides if sides.any() else None,
            notes=tuple(notes),
            sources=_sources(root, paths),
            names=_names(root, paths),
            content=its_content,
        )
    preprocessing = options.preprocessing or _preprocessing(paths, options)
    images = room_for(len(paths), preprocessing)

    def prepare(row: int, picture: Image.Image) -> int:
        images[row] = preprocessing(picture)
        return content_of(paths[row])

    content = over_pictures(prepare, paths, options.track, "reading images")
    if options.preprocessing is None and preprocessing.channels == 3 and bool((images == images[:, :1]).all()):
        preprocessing = replace(preprocessing, channels=1)
        images = np.ascontiguousarray(images[:, :1])
    firsts = [int(np.argmax(labels == k)) for k in range(len(classes))]
    return RawDataset(
        images=images,
        labels=labels,
        classes=classes,
        preprocessing=preprocessing,
        official=sides if sides.any() else None,
        samples=[(row, _sample(paths[row], preprocessing)) for row in firsts],
        notes=tuple(notes),
        sources=_sources(root, paths),
        names=_names(root, paths),
        content=np.array(content, dtype=np.int64),
    )


def holds_recordings(root: Path) -> bool:
    """Whether a folder holds recordings of an event camera, and no pictures. Raises `InputError`."""
    if next(_walk(root, set(), endings()), None) is not None:
        return False
    return any(map(formats.is_recording, _walk(root, set(), frozenset(formats.READERS))))


def _sources(root: Path, paths: Sequence[Path]) -> tuple[Path, ...]:
    return (root, *sorted({path.parent for path in paths if path.parent.is_symlink()}))


def _names(root: Path, paths: Sequence[Path]) -> tuple[str, ...]:
    return tuple(path.relative_to(root).as_posix() for path in paths)


def _scan(root: Path, wanted: frozenset[str]) -> tuple[list[tuple[Path, int, int]], tuple[str, ...], list[str]]:
    """The path, class and side of every file with one of the endings `wanted`, the class names, what was ignored."""
    below, _ = _inside(root, wanted)
    sides = sorted((_SIDES[path.name.lower()], path) for path in below if path.name.lower() in _SIDES)
    notes = []
    if sides and sides[0][0] == TRAIN:
        if ignored := [path.name for path in below if path.name.lower() not in _SIDES]:
            notes.append(f"ignored beside train/: {', '.join(ignored)}.")
        if TEST not in {side for side, _ in sides}:
            notes.append("there is no test/ beside train/: a tenth of train/ is the test set.")
    elif sides and len(sides) == len(below):
        named = ", ".join(f"{path.name}/" for path in below)
        raise InputError(f"{root}: has {named} but no train/. Add train/, or put class folders in {root} alone.")
    else:
        sides = [(TRAIN, root)]
    images: list[tuple[Path, int, int]] = []
    classes: tuple[str, ...] = ()
    for side, parent in sides:
        folders, loose = _inside(parent, wanted)
        if not folders:
            holds = f"has {len(loose)} images but no class sub-folders" if loose else "holds no images"
            raise InputError(f"{parent}: {holds}. {_LAYOUT}")
        if strange := [path for path in folders if any("\ud800" <= letter <= "\udfff" for letter in path.name)]:
            raise InputError(f"{strange[0]}: its name, a class, is not UTF-8. Rename the folder.")
        names = {path.name for path in folders}
        if classes and names != set(classes):
            differences = {"lacks": set(classes) - names, "adds": names - set(classes)}
            told = "; ".join(f"{verb} {', '.join(sorted(which))}" for verb, which in differences.items() if which)
            raise InputError(
                f"{parent}: its class folders differ from those for training ({told}). Make them the same."
            )
        classes = tuple(path.name for path in folders)
        seen = {os.path.realpath(root), os.path.realpath(parent)}
        of_class = [sorted(_walk(path, set(seen), wanted)) for path in folders]
        if not any(of_class):
            raise InputError(f"{parent}: {_no_images(parent)} {_LAYOUT}")
        if empty := [path for path, paths in zip(folders, of_class, strict=True) if not paths]:
            raise InputError(f"{empty[0]}: {_no_images(empty[0])} Add some, or remove the folder.")
        if len(classes) == 1:
            raise InputError(f"{parent}: has one class only ({classes[0]}); two are needed. {_LAYOUT}")
        images += [(path, label, side) for label, paths in enumerate(of_class) for path in paths]
        notes += [f"loose in {parent.name}, and ignored: {counted(len(loose), 'image')}."] * bool(loose)
    return images, classes, notes


def _preprocessing(paths: list[Path], options: DataOptions) -> Preprocessing:
    """The size of the prepared images, and whether all are stored as grey; from the files' headers."""

    def header(row: int, picture: Image.Image) -> tuple[int, bool]:
        return max(picture.size), picture.mode in _GREY or picture.mode.startswith("I;16")

    headers = over_pictures(header, paths, options.track, "looking at images")
    size = options.image_size or min(DEFAULT_SIZE, max(side for side, _ in headers))
    return Preprocessing(channels=1 if all(grey for _, grey in headers) else 3, height=size, width=size)


def _sample(path: Path, preprocessing: Preprocessing) -> np.ndarray:
    with opened(path) as picture:
        sample = plain(picture).convert("L" if preprocessing.channels == 1 else "RGB")
    sample.thumbnail((SAMPLE_SIZE, SAMPLE_SIZE))
    return np.asarray(sample)


def _no_images(folder: Path) -> str:
    """What is said of a folder in which there is none that can be read."""
    return " ".join(["holds no images that can be read here.", *pictures_left_out(inventory(folder, ()))])


def _inside(folder: Path, wanted: frozenset[str]) -> tuple[list[Path], list[Path]]:
    """The sub-folders of `folder` and its files with the endings `wanted`, by name, hidden ones left out.

    Raises `InputError`.
    """
    try:
        paths = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror or error}).") from None
    # What is called like an image and is a pipe, a socket or a device is no regular file, and left alone.
    images = [path for path in paths if path.suffix.lower() in wanted and files.is_file(path)]
    return [path for path in paths if not path.name.startswith("__") and files.is_folder(path)], images


def _walk(folder: Path, visited: set[str], wanted: frozenset[str], depth: int = 0) -> Iterator[Path]:
    """The files in `folder` and below with the endings `wanted`, links followed; each real folder once, so that a loop
    of links ends.

    Raises `InputError` for folders that cannot be read or lie deeper than `DEEPEST`.
    """
    real = os.path.realpath(folder)
    if real in visited:
        return
    visited.add(real)
    if depth > DEEPEST:
        raise InputError(f"{folder}: nested deeper than {DEEPEST} folders. Move its images up.")
    folders, images = _inside(folder, wanted)
    yield from images
    for path in folders:
        yield from _walk(path, visited, wanted, depth + 1)


def picture_files(
    paths: Sequence[Path], say: Callable[[str], None] = lambda text: None
) -> tuple[list[Path], list[str]]:
    """The files among `paths`, and all images in the folders among them, in order; and what is wrong with the rest.

    Pictures in folders that cannot be opened are wrong; `say` tells of the other files there that are ignored.
    """
    pictures: list[Path] = []
    unusable: list[str] = []
    for path in paths:
        if files.is_folder(path):
            images = sorted(_walk(path, set(), endings()))
            unusable += [] if images else [f"{path}: {_no_images(path)}"]
            pictures += images
            found = inventory(path, images)
            unusable += [f"{path}: {line}" for line in pictures_left_out(found) if images]
            for each in found.ignored:
                say(f"{path}: ignored {described(each)}")
        elif files.is_file(path):
            pictures.append(path)
        else:
            unusable.append(f"{path}: {'not a regular file' if os.path.lexists(path) else 'no such file'}.")
    return pictures, unusable
