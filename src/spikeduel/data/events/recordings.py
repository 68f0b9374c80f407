"""Recordings kept as events and made frames when taken, like an array of images."""

import hashlib
import math
import tempfile
import threading
import zipfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spikeduel.data.disk_arrays import empty_array
from spikeduel.data.events import formats
from spikeduel.data.events.altering import Alteration, alteration_of
from spikeduel.data.workers import Track, over_files
from spikeduel.networks.preprocessing import TIME_SHIFT, Binning, unpacked
from spikeduel.system import files
from spikeduel.system.errors import InputError, UnreadableFiles
from spikeduel.system.typed import Amount, Frozen, Share

AT_ONCE = 256
"""Recordings binned at once where all are asked for."""
BRIGHT = 0.99
"""Share of a picture's pixels with events that are not the brightest."""
FEW, FAR = 0.05, 2
"""Largest share of stray recordings, and how many times as large as all others they are."""
_LARGE = 32 << 20
"""Bytes of a file that waits for other large ones: reading takes ten times the memory."""
_ONE_LARGE_AT_A_TIME = threading.Lock()


class EventRates(Frozen):
    """Rates of tested recordings: events a second, events of a recording and its frames, and the
    share of nonzero entries.
    """

    a_second: Amount
    each: Amount
    in_frames: Amount
    non_zero: Share


@dataclass(frozen=True, eq=False)
class Recordings:
    """N recordings as uint8 `[N, 2·T, H, W]`, counts of events binned when taken.

    `packed` uint64 `[E]` has all events (`Events.packed`); recording i begins at `offsets[i]`,
    int64 `[N + 1]`. `altering` returns the alteration of rows `[B]`.
    """

    packed: np.ndarray
    offsets: np.ndarray
    binning: Binning
    altering: Callable[[np.ndarray], Alteration] | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """`[N, 2·T, H, W]`."""
        return (len(self), *self.binning.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the events."""
        return self.packed.nbytes

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: Any) -> np.ndarray:
        rows = np.arange(len(self))[index]
        taken = np.atleast_1d(rows)
        alter = None if self.altering is None else self.altering(taken).altered
        frames = self.binning.frames(self.packed, self.offsets, taken, alter)
        return frames[0] if np.ndim(rows) == 0 else frames

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:]

    def received(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the end of each frame of `rows` and the events until then (`Binning.received`)."""
        return self.binning.received(self.packed, self.offsets, rows)

    def events_of(self, row: int) -> np.ndarray:
        """Return the events of one recording, uint64 `[E]`."""
        return self.packed[self.offsets[row] : self.offsets[row + 1]]

    def binned(self, binning: Binning) -> "Recordings":
        """Return the same events with another binning."""
        return replace(self, binning=binning)

    def altered(self, names: Sequence[str], seed: int, epoch: int) -> "Recordings":
        """Return the recordings changed by the `EVENT_AUGMENTATIONS` `names`."""
        num_frames = self.binning.num_frames
        return replace(self, altering=partial(alteration_of, names, num_frames, seed, epoch))

    def in_memory(self) -> "Recordings":
        """Return the same with the events copied into memory."""
        return replace(self, packed=np.array(self.packed), offsets=np.array(self.offsets))

    def rates(self, rows: np.ndarray) -> EventRates:
        """Return the rates of the recordings `rows` `[M]`."""
        begins, ends = self.offsets[rows], self.offsets[rows + 1]
        microseconds = (self.packed[ends - 1] >> np.uint64(TIME_SHIFT)) + np.uint64(1)
        num_counted = num_filled = 0
        for start in range(0, len(rows), AT_ONCE):
            frames = self[rows[start : start + AT_ONCE]]
            num_counted += int(frames.sum(dtype=np.int64))
            num_filled += int(np.count_nonzero(frames))
        return EventRates(
            a_second=float((ends - begins).sum() / (microseconds.sum(dtype=np.float64) / 1e6)),
            each=float((ends - begins).mean()),
            in_frames=num_counted / len(rows),
            non_zero=num_filled / (len(rows) * math.prod(self.binning.shape)),
        )

    @cached_property
    def pictures(self) -> np.ndarray:
        """Pictures of each recording's events, uint8 `[N, 1, H, W]`."""
        return self._pictured(1)

    @cached_property
    def halves(self) -> np.ndarray:
        """Pictures of both halves of each recording, uint8 `[N, 2, H, W]`, which show motion."""
        return self._pictured(2)

    def _pictured(self, parts: int) -> np.ndarray:
        whole = replace(
            self.binning,
            num_frames=parts,
            by="time",
            frame_us=None,
            start_us=0,
            stop_us=None,
            binary=False,
        )
        pictures = empty_array((len(self), parts, *whole.shape[1:]))
        for start in range(0, len(self), AT_ONCE):
            rows = np.arange(start, min(start + AT_ONCE, len(self)))
            frames = whole.frames(self.packed, self.offsets, rows)
            counts = frames.reshape(len(rows), parts, 2, *whole.shape[1:]).sum(2, dtype=np.float32)
            pictures[rows] = list(map(picture_of, counts))
        return pictures


def picture_of(counts: np.ndarray) -> np.ndarray:
    """Return the brightness of `counts` by the square root, uint8."""
    positive = counts[counts > 0]
    most = np.quantile(positive, BRIGHT) if len(positive) else 1.0
    return np.rint(255 * np.sqrt(np.minimum(counts / most, 1.0))).astype(np.uint8)


class Part(NamedTuple):
    """A recording: its file, begin and end in microseconds of the file's clock (None: all).

    `name` is the user's name for the file.
    """

    file: Path | zipfile.Path
    interval: tuple[int, int] | None = None
    name: str | None = None

    @property
    def file_name(self) -> str:
        """User's name for the file."""
        return self.name or str(self.file)


def recorded(parts: Sequence[Part], track: Track) -> tuple[Recordings, np.ndarray]:
    """Read N recordings into a file; return them with a hash of each one's events, int64 `[N]`.

    The sensor is as large as a file says, or as the pixels that occur. Raises `UnreadableFiles`.
    """
    of_files = [list(group) for _, group in groupby(parts, key=lambda part: part.file_name)]
    names = [group[0].file_name for group in of_files]
    lengths, content, sensors = [0], [], []
    is_declared = False
    # On the disk of the prepared set: the system's temporary folder may be in memory.
    place = files.cache_dir()
    with files.writing_to(place):
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place) as file:
            for _, recordings in over_files(
                lambda row, _: _read(of_files[row]),
                names,
                track,
                "reading recordings",
                noun="a recording",
            ):
                for packed, sensor in recordings:
                    file.write(packed.data)
                    lengths.append(len(packed))
                    digest = hashlib.blake2b(packed.data, digest_size=8).digest()
                    content.append(int.from_bytes(digest, "little", signed=True))
                    used = unpacked(packed)
                    sensors.append(sensor or (int(used.y.max()) + 1, int(used.x.max()) + 1))
                    is_declared |= sensor is not None
            file.flush()
            events = np.memmap(file, np.uint64, "r")
    sides = np.array(sensors)
    if not is_declared:
        _require_one_sensor(sides, [part.file_name for part in parts])
    height, width = sides.max(0).tolist()
    binning = Binning(1, (height, width))
    return Recordings(events, np.cumsum(lengths), binning), np.array(content, np.int64)


def _require_one_sensor(sides: np.ndarray, names: Sequence[str]) -> None:
    """Raise `UnreadableFiles` naming few recordings far larger than all others: a stray event would
    enlarge the sensor. `sides` `[N, 2]` are (height, width).
    """
    few = int(FEW * len(sides))
    usual = np.sort(sides, 0)[-1 - few] if few else sides.max(0)
    strays = {
        names[row]: f"has events at ({width - 1}, {height - 1}), where others end at "
        f"({usual[1] - 1}, {usual[0] - 1})"
        for row, (height, width) in enumerate(sides.tolist())
        if (sides[row] > FAR * usual).any()
    }
    if strays:
        raise UnreadableFiles(strays)


def _read(parts: Sequence[Part]) -> list[tuple[np.ndarray, tuple[int, int] | None]]:
    file, made = parts[0].file, []
    with _ONE_LARGE_AT_A_TIME if formats.size_of(file) > _LARGE else nullcontext():
        events = formats.read(file)
        for part in parts:
            inside: Any = slice(None)
            if part.interval is not None:
                start, stop = part.interval
                inside = (events.t >= start) & (events.t < stop)
                if not inside.any():
                    raise InputError(f"holds no events from {start:,} to {stop:,} microseconds")
            columns = {name: getattr(events, name)[inside] for name in "xytp"}
            made.append((replace(events, **columns).packed(), events.sensor))
    return made
