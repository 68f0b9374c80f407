"""Read recordings of event cameras by the readers of features."""

import zipfile
from collections import ChainMap
from collections.abc import Callable
from functools import cache
from pathlib import Path, PurePosixPath

from spikeduel.features import providing
from spikeduel.inputs.preprocessing import Events
from spikeduel.system.errors import InputError

MAX_BYTES, MAX_EVENTS = 1 << 30, 1 << 26
"""Largest size of a file, unpacked, and most events of a recording, which is read whole."""
Reader = Callable[[bytes], Events]
"""Returns the events in a file's bytes. Raises `InputError` that says which byte is wrong."""


@cache
def readers() -> dict[str, Reader]:
    """Return the features' readers of recordings, by lower-case ending."""
    return dict(ChainMap(*providing("READERS").values()))


def read(path: Path | zipfile.Path) -> Events:
    """Return the events in a file. Raises `InputError` without the file's name."""
    require_room(size_of(path))
    events = readers()[PurePosixPath(path.name).suffix.lower()](path.read_bytes())
    require_room(events=len(events.t))
    return events


def require_room(size: int = 0, events: int = 0) -> None:
    """Raise `InputError` for too many bytes or events."""
    if size > MAX_BYTES or events > MAX_EVENTS:
        amount = f"{events:,} events" if events else f"{size / 1e6:,.0f} MB, unpacked"
        raise InputError(
            f"has {amount}; at most {MAX_BYTES / 1e6:,.0f} MB and {MAX_EVENTS:,} events are "
            f"read. Cut it into shorter recordings"
        )


def size_of(path: Path | zipfile.Path) -> int:
    """Return the unpacked bytes of a file."""
    if isinstance(path, zipfile.Path):
        return path.root.getinfo(path.at).file_size
    return path.stat().st_size


def is_recording(path: Path, by_content: bool = False) -> bool:
    """Return True for a recording by its ending, a text also by its content; if `by_content`, for
    any file of possible events.
    """
    ending = path.suffix.lower()
    if ending not in readers() or not (by_content or ending in (".txt", ".csv")):
        return ending in readers()
    try:
        events = read(path)
        if by_content:
            events.packed()
    except (InputError, OSError):
        return False
    return True
