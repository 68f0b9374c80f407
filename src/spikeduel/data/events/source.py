"""Recordings from files: read one after the other into a file of events, so that memory stays bounded."""

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spikeduel.data.events import formats
from spikeduel.data.events.binning import Binning
from spikeduel.data.events.events import unpacked
from spikeduel.data.events.recordings import Recordings
from spikeduel.data.pictures import over_files
from spikeduel.data.prepared import DataOptions


class _Read(NamedTuple):
    """What a file gave: its events, the sensor that it needs at least, a hash of its bytes."""

    packed: np.ndarray
    sensor: tuple[int, int]
    content: int


def recorded(paths: Sequence[Path], options: DataOptions) -> tuple[Recordings, np.ndarray]:
    """The recordings in the files `paths`, and a hash of each file, int64 `[N]` (`RawDataset.content`).

    Their sensor is as large as a file says, or as the pixels that occur. Raises `UnreadableFiles`.
    """
    lengths, sensors, content = [0], [(1, 1)], []
    with tempfile.TemporaryFile() as file:

        def keep(read: _Read) -> _Read:
            file.write(read.packed.data)
            lengths.append(len(read.packed))
            sensors.append(read.sensor)
            content.append(read.content)
            return read._replace(packed=read.packed[:0])

        over_files(lambda row: _read(paths[row]), paths, options.track, "reading recordings", "a recording", keep)
        file.flush()
        packed = np.memmap(file, np.uint64, "r")
    height, width = np.array(sensors).max(0).tolist()
    if options.preprocessing and options.preprocessing.binning:
        binning = options.preprocessing.binning
    else:
        binning = Binning(1, (height, width))
    return Recordings(packed, np.cumsum(lengths), binning), np.array(content, np.int64)


def _read(path: Path) -> _Read:
    events = formats.read(path)
    packed = events.packed()
    columns = unpacked(packed)
    sensor = events.sensor or (int(columns.y.max()) + 1, int(columns.x.max()) + 1)
    digest = hashlib.blake2b(packed.data, digest_size=8).digest()
    return _Read(packed, sensor, int.from_bytes(digest, "little", signed=True))
