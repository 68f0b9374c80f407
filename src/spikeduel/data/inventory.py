"""List all files of a data folder: read, unreadable, or ignored by a rule (step 1 of data)."""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import get_args

from spikeduel.auditing.audit_results import FileCounts, IgnoredBy, IgnoredFiles, by_ending
from spikeduel.data import pictures
from spikeduel.data.events.recording_files import is_recording
from spikeduel.system import files
from spikeduel.system.errors import InputError

MAX_FOLDER_DEPTH = 32
"""Folders nested deeper than this are refused."""
_PICTURES = (
    "heic heif hif avif jxl jxr wdp hdp jp2 j2k jpf webp svg svgz psd psb xcf kra ai eps ps wmf "
    "emf ico icns cur exr hdr xbm xpm dcm dicom fits fit fts czi nd2 lif svs ndpi mrc raw dng cr2 "
    "cr3 crw nef nrw arw srf sr2 orf rw2 raf pef srw x3f 3fr iiq erf mef mos kdc dcr rwl"
)
PICTURE_ENDINGS = frozenset(f".{name}" for name in _PICTURES.split())
"""Endings of pictures, readable here or not."""
_SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
_MAX_ENDING_LENGTH = 12
_PICTURE_BYTES = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|II\*\0|MM\0\*|8BPS\0\x01|qoif|RIFF....WEBP"
    rb"|....ftyp(?:hei[cxms]|hevc|mif1|msf1|avi[fs])"
    rb"|\0\0\0\x0c(?:jP  |JXL )\r\n|\xff(?:\x4f\xff\x51|\x0a)",
    re.DOTALL,
)
"""First bytes of JPEG, PNG, GIF, TIFF, PSD, QOI, WebP, HEIF, AVIF, JPEG 2000 and JPEG XL."""


def walk(
    root: Path, seen: Collection[str] = (), hidden: bool = False, strict: bool = True
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield (folder, its folders' names, its files' names), by name, of `root` and below.

    Links are followed to each real folder once, and to none of `seen`. Hidden entries and folders
    such as __MACOSX are left out unless `hidden`. Raises `InputError` if `strict` and a folder is
    unreadable or deeper than `MAX_FOLDER_DEPTH`.
    """

    def refuse(error: OSError) -> None:
        if strict:
            raise InputError(f"{error.filename}: cannot be read ({error.strerror or error}).")

    visited = set(seen)
    for place, folders, names in os.walk(root, onerror=refuse, followlinks=True):
        folder, real = Path(place), os.path.realpath(place)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        if strict and len(folder.parts) - len(root.parts) > MAX_FOLDER_DEPTH:
            raise InputError(
                f"{folder}: nested deeper than {MAX_FOLDER_DEPTH} folders. Move its files up."
            )
        if not hidden:
            folders[:] = [name for name in folders if not name.startswith((".", "__"))]
            names = [name for name in names if not name.startswith(".")]
        folders.sort()
        yield folder, folders, sorted(names)


def files_below(root: Path, endings: Collection[str], seen: Collection[str] = ()) -> Iterator[Path]:
    """Yield the regular files with one of the `endings`; see `walk`."""
    for folder, _, names in walk(root, seen):
        yield from regular_files(folder, names, endings)


def regular_files(folder: Path, names: Collection[str], endings: Collection[str]) -> list[Path]:
    """Return the regular files among `names` with one of the `endings`."""
    suffixes = tuple(endings)
    paths = (folder / name for name in names if name.lower().endswith(suffixes))
    # A pipe, a socket or a device may be called like an image.
    return [path for path in paths if files.is_file(path)]


def inventory(
    root: Path,
    read: Collection[Path],
    unreadable: Collection[Path] = (),
    is_recorded: bool = False,
    table: Path | None = None,
) -> FileCounts:
    """Count every file under `root` once, but for the CSV `table` that lists what is read.

    Pictures are not looked for if `is_recorded`.
    """
    real = cache(os.path.realpath)
    used = [*read, *unreadable, *([table] if table else [])]
    accounted = {(real(path.parent), path.name) for path in used}
    ignored: dict[IgnoredBy, Counter[str]] = {rule: Counter() for rule in get_args(IgnoredBy)}
    for folder, _, names in walk(root, hidden=True, strict=False):
        for path in (folder / name for name in names if (real(folder), name) not in accounted):
            ignored[_rule(path, root, is_recorded, table is not None)][_ending(path)] += 1
    return FileCounts(
        read=dict(Counter(map(_ending, read)).most_common()),
        unreadable=len(unreadable),
        ignored=tuple(
            IgnoredFiles(rule=rule, count=endings.total(), endings=dict(endings.most_common()))
            for rule, endings in ignored.items()
            if endings
        ),
    )


def _ending(path: Path) -> str:
    suffix = path.suffix.lower()
    is_ending = len(suffix) <= _MAX_ENDING_LENGTH and suffix.isascii() and suffix.isprintable()
    return suffix if is_ending else ""


def _rule(path: Path, root: Path, is_recorded: bool, is_listed: bool) -> IgnoredBy:
    parts = path.relative_to(root).parts
    if any(part.startswith(".") for part in parts):
        return "hidden"
    if path.name.lower() in _SYSTEM_FILES or any(part.startswith("__") for part in parts[:-1]):
        return "of the system"
    if not files.is_file(path):
        return "no regular file"
    if is_recording(path) if is_recorded else _ending(path) in pictures.endings():
        return "not in the CSV" if is_listed else "outside the class folders"
    if is_recorded:
        return "no recording"
    if _ending(path) in PICTURE_ENDINGS:
        return "not in the CSV" if is_listed else "format not opened here"
    if _begins_like_a_picture(path):
        return "picture without its ending"
    if is_recording(path, by_content=True):
        return "not in the CSV" if is_listed else "recording beside images"
    return "no picture"


def _begins_like_a_picture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _PICTURE_BYTES.match(file.read(16)) is not None
    except OSError:
        return False


def pictures_left_out(counts: FileCounts) -> list[str]:
    remedies: dict[IgnoredBy, str] = {
        "format not opened here": (
            "cannot be opened here. Convert them to PNG or JPEG (for HEIC also: pip install "
            "pillow-heif), or move them out of the data folder."
        ),
        "picture without its ending": "begin like pictures, and are not called so. Rename them.",
        "recording beside images": (
            "are recordings, and the images beside them were taken: one data set holds one kind. "
            "Move the recordings to a folder of their own."
        ),
    }
    return [
        f"{by_ending(ignored.endings)} {remedy}"
        for rule, remedy in remedies.items()
        if (ignored := counts.by(rule))
    ]
