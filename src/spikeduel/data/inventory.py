"""Every file under a data folder accounted for: read, unreadable, or ignored, and by which rule."""

import os
from collections import Counter
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import get_args

from spikeduel.data import pictures
from spikeduel.data.events import formats
from spikeduel.results.file_counts import FileCounts, IgnoredBy, IgnoredFiles
from spikeduel.system import files

PICTURE_ENDINGS = frozenset(
    (
        ".heic",
        ".heif",
        ".hif",
        ".avif",
        ".jxl",
        ".jxr",
        ".wdp",
        ".hdp",
        ".jp2",
        ".j2k",
        ".jpf",
        ".webp",
        ".svg",
        ".svgz",
        ".psd",
        ".psb",
        ".xcf",
        ".kra",
        ".ai",
        ".eps",
        ".ps",
        ".wmf",
        ".emf",
        ".ico",
        ".icns",
        ".cur",
        ".exr",
        ".hdr",
        ".xbm",
        ".xpm",
        ".dcm",
        ".dicom",
        ".fits",
        ".fit",
        ".fts",
        ".czi",
        ".nd2",
        ".lif",
        ".svs",
        ".ndpi",
        ".mrc",
        ".raw",
        ".dng",
        ".cr2",
        ".cr3",
        ".crw",
        ".nef",
        ".nrw",
        ".arw",
        ".srf",
        ".sr2",
        ".orf",
        ".rw2",
        ".raf",
        ".pef",
        ".srw",
        ".x3f",
        ".3fr",
        ".iiq",
        ".erf",
        ".mef",
        ".mos",
        ".kdc",
        ".dcr",
        ".rwl",
    )
)
"""Of pictures, whether they can be opened here or not."""
_SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
_LONGEST_ENDING = 12
_FIRST_BYTES = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\0",
    b"MM\0*",
    b"8BPS\0\1",
    b"qoif",
    b"\0\0\0\x0cjP  \r\n",
    b"\xff\x4f\xff\x51",
    b"\0\0\0\x0cJXL \r\n",
    b"\xff\x0a",
)
"""What files of JPEG, PNG, GIF, TIFF, PSD, QOI, JPEG 2000 and JPEG XL begin with."""
_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis")
"""Of the ISO base media file format, those of HEIF and AVIF: they stand after "ftyp" at byte 4."""


def inventory(
    root: Path,
    read: Collection[Path],
    unreadable: Collection[Path] = (),
    is_recorded: bool = False,
    is_listed: bool = False,
) -> FileCounts:
    """What became of each file under `root`, links followed; `read` and `unreadable` are paths
    below it.

    `is_recorded`: the set is one of recordings, and no picture is looked for; `is_listed`: a CSV
    says what is read. Files in a folder that is reached twice, through a link, count once.
    """
    real = cache(os.path.realpath)
    known = {(real(path.parent), path.name) for path in (*read, *unreadable)}
    ignored: dict[IgnoredBy, Counter[str]] = {}
    for path in _all_files(root):
        if (real(path.parent), path.name) not in known:
            ignored.setdefault(_rule(path, root, is_recorded, is_listed), Counter())[
                ending(path)
            ] += 1
    return FileCounts(
        read=dict(Counter(map(ending, read)).most_common()),
        unreadable=len(unreadable),
        ignored=tuple(
            IgnoredFiles(
                rule=rule, count=ignored[rule].total(), endings=dict(ignored[rule].most_common())
            )
            for rule in get_args(IgnoredBy)
            if rule in ignored
        ),
    )


def ending(path: Path) -> str:
    """That of a file's name, in small letters: ".jpg"; "" where it has none, or none that would be
    an ending.
    """
    suffix = path.suffix.lower()
    return (
        suffix
        if len(suffix) <= _LONGEST_ENDING and suffix.isascii() and suffix.isprintable()
        else ""
    )


def _all_files(folder: Path, visited: set[str] | None = None) -> Iterator[Path]:
    """All that is no folder in `folder` and below, hidden or not; each real folder once; unreadable
    ones left.
    """
    visited = set() if visited is None else visited
    real = os.path.realpath(folder)
    if real in visited:
        return
    visited.add(real)
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for path in entries:
        if files.is_folder(path):
            yield from _all_files(path, visited)
        else:
            yield path


def _rule(path: Path, root: Path, is_recorded: bool, is_listed: bool) -> IgnoredBy:
    """Why `path`, below `root`, is not read."""
    parts = path.relative_to(root).parts
    if any(part.startswith(".") for part in parts):
        return "hidden"
    if path.name.lower() in _SYSTEM_FILES or any(part.startswith("__") for part in parts[:-1]):
        return "of the system"
    if not files.is_file(path):
        return "no regular file"
    if formats.is_recording(path) if is_recorded else ending(path) in pictures.endings():
        return "not in the CSV" if is_listed else "outside the class folders"
    if is_recorded:
        return "no recording"
    if ending(path) in PICTURE_ENDINGS:
        return "not in the CSV" if is_listed else "format not opened here"
    return "picture without its ending" if _begins_like_a_picture(path) else "no picture"


def _begins_like_a_picture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError:
        return False
    webp = start[:4] == b"RIFF" and start[8:12] == b"WEBP"
    return (
        start.startswith(_FIRST_BYTES) or webp or (start[4:8] == b"ftyp" and start[8:12] in _BRANDS)
    )
