"""Recordings from files: read one after the other into a file of events, so that memory stays
bounded.
"""

import hashlib
import tempfile
import threading
import zipfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spikeduel.data.events import formats
from spikeduel.data.events.recordings import Recordings
from spikeduel.data.prepared import DataOptions
from spikeduel.data.workers import over_files
from spikeduel.networks.binning import Binning
from spikeduel.networks.events import Events, unpacked
from spikeduel.system import files
from spikeduel.system.errors import InputError, UnreadableFiles

FEW, FAR = 0.05, 2
"""At most this share of the recordings may be strays: so many times as large as the pixels of all
others.
"""
_LARGE = 32 << 20
_ONE_LARGE_AT_A_TIME = threading.Lock()
"""Files of more than `_LARGE` bytes wait for one another: read, they take ten times as much
memory.
"""


class Part(NamedTuple):
    """A recording: the file that it is in, and from when on until before when, in microseconds of
    the file's own clock.

    Without `interval` it is all of the file; `name` is what its user calls the file, where that is
    not its path.
    """

    file: Path | zipfile.Path
    interval: tuple[int, int] | None = None
    name: str | None = None


class _Read(NamedTuple):
    """A recording that was read: its events, the sensor that it needs at least, a hash of its
    events.
    """

    packed: np.ndarray
    sensor: tuple[int, int]
    is_declared: bool
    content: int


def recorded(parts: Sequence[Part], options: DataOptions) -> tuple[Recordings, np.ndarray]:
    """The N recordings `parts`, and a hash of the events of each, int64 `[N]`
    (`RawDataset.content`).

    Of parts of one file that follow one another, the file is read once. Their sensor is as large as
    a file says, or as the pixels that occur. Raises `UnreadableFiles`.
    """
    of_file = [
        list(group) for _, group in groupby(parts, key=lambda part: part.name or str(part.file))
    ]
    lengths, content, sensors = [0], [], []
    declared = False
    names = [group[0].name or str(group[0].file) for group in of_file]
    # On the disk to which the prepared set goes: the system's folder for such files may be in
    # memory.
    place = files.cache_dir()
    with files.writing_to(place):
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place) as file:

            def keep(found: list[_Read]) -> None:
                nonlocal declared
                for each in found:
                    declared |= each.is_declared
                    file.write(each.packed.data)
                    lengths.append(len(each.packed))
                    sensors.append(each.sensor)
                    content.append(each.content)

            over_files(
                lambda row: _read(of_file[row]),
                names,
                options.track,
                "reading recordings",
                "a recording",
                keep,
            )
            file.flush()
            packed = np.memmap(file, np.uint64, "r")
    sides = np.array(sensors)
    if not declared:
        _require_one_sensor(sides, [part.name or str(part.file) for part in parts])
    height, width = sides.max(0).tolist()
    return Recordings(packed, np.cumsum(lengths), Binning(1, (height, width))), np.array(
        content, np.int64
    )


def _require_one_sensor(sides: np.ndarray, names: Sequence[str]) -> None:
    """Raises `UnreadableFiles` naming the few recordings that reach far beyond the pixels of all
    others.

    `sides` `[N, 2]` are (height, width) of the pixels that each has events on. One stray event
    would blow up the sensor, and with it every frame.
    """
    few = int(FEW * len(sides))
    usual = np.sort(sides, 0)[-1 - few] if few else sides.max(0)
    strays = {
        names[
            row
        ]: f"has events at ({width - 1}, {height - 1}), where others end at ({usual[1] - 1}, {usual[0] - 1})"
        for row, (height, width) in enumerate(sides.tolist())
        if (sides[row] > FAR * usual).any()
    }
    if strays:
        raise UnreadableFiles(strays)


def _read(parts: Sequence[Part]) -> list[_Read]:
    """The recordings `parts` of one file."""
    file = parts[0].file
    with _ONE_LARGE_AT_A_TIME if formats.size_of(file) > _LARGE else nullcontext():
        events = formats.read(file)
        return [
            _made(events if part.interval is None else _cut(events, *part.interval))
            for part in parts
        ]


def _cut(events: Events, start: int, stop: int) -> Events:
    """The events from `start` on, before `stop`. Raises `InputError` where there are none."""
    inside = (events.t >= start) & (events.t < stop)
    if not inside.any():
        raise InputError(f"holds no events from {start:,} to {stop:,} microseconds")
    columns = {name: getattr(events, name)[inside] for name in "xytp"}
    return replace(events, **columns)


def _made(events: Events) -> _Read:
    packed = events.packed()
    columns = unpacked(packed)
    declared = events.sensor is not None
    sensor = events.sensor or (int(columns.y.max()) + 1, int(columns.x.max()) + 1)
    digest = hashlib.blake2b(packed.data, digest_size=8).digest()
    return _Read(packed, sensor, declared, int.from_bytes(digest, "little", signed=True))
