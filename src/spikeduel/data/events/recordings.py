"""Recordings kept as events, augmented and binned when taken."""

import math
import threading
import zipfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spikeduel.data.events import recording_files
from spikeduel.data.workers import over_files
from spikeduel.inputs.preprocessing import MAX_MICROSECONDS, TIME_SHIFT, Binning, unpacked
from spikeduel.system import files
from spikeduel.system.errors import InputError, UnreadableFiles
from spikeduel.system.large_arrays import empty_array
from spikeduel.system.progress import Track
from spikeduel.system.typed import Amount, Frozen, Share

if TYPE_CHECKING:
    from spikeduel.engine.random_keys import RandomKeys

AT_ONCE = 256
"""Recordings binned at once."""
BRIGHT = 0.99
"""Share of a picture's pixels with events that are not the brightest."""
MAX_OUTLIER_SHARE, FAR = 0.05, 2
"""Largest share of stray recordings, and how many times as large as all others they are."""
TENTHS, TWENTIETHS = 9, 5
"""Most left-out tenths of time or events, and twentieths of a place's sides."""
WHOLE = 1 << 16
"""Parts of a whole, for shares in integers."""
JITTER = 0.5
"""Furthest move of an event in time, as a share of a T-th of its recording."""
_LARGE = 32 << 20
"""Bytes of a file that waits for other large ones: reading takes ten times as much."""
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
class Alteration:
    """An alteration of the events of B recordings, in parts of `WHOLE`.

    Left out are a time `hidden` `[B, 2]`, a rectangle `place` `[B, 4]` (top, bottom, left, right),
    and a random share `left_out` `[B]`; others move in time by up to `moved` `[B]`. `keys` uint64
    `[B]` decide about single events.
    """

    keys: np.ndarray
    hidden: np.ndarray
    place: np.ndarray
    left_out: np.ndarray
    moved: np.ndarray

    def altered(
        self,
        packed: np.ndarray,
        begins: np.ndarray,
        ends: np.ndarray,
        lasts: np.ndarray,
        sensor: tuple[int, int],
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the altered (packed, begins, ends).

        Recording i has the events `packed[begins[i]:ends[i]]`, the last one at `lasts[i]`
        microseconds.
        """
        from spikeduel.inputs.event_kernels import alter
        from spikeduel.system.parallel import run_chunks

        lengths, counts = lasts + 1, ends - begins
        starts = np.cumsum(counts) - counts
        stops, sorted_events = starts.copy(), np.empty(int(counts.sum()), np.uint64)
        moved = self.moved * lengths // WHOLE
        kernel = partial(
            alter,
            packed,
            begins,
            ends,
            lasts,
            self.keys,
            self.hidden * lengths[:, None] // WHOLE,
            self.place * np.repeat(sensor, 2) // WHOLE,
            self.left_out,
            moved,
            sorted_events,
            starts,
            stops,
        )
        run_chunks(kernel, len(counts), work=len(sorted_events))
        for row in np.flatnonzero(moved):
            sorted_events[starts[row] : stops[row]].sort()
        return sorted_events, starts, stops


def eventdrop(alteration: Alteration, keys: "RandomKeys", num_frames: int) -> Alteration:
    """recordings: events left out by time, by place, by chance or not at all, each of a quarter of
    them
    """
    # Gu, Sng, Hu and Yu 2021, "EventDrop: Data Augmentation for Event-based Learning"; shares as in
    # its public implementations.
    (way,) = keys.another().integers(4).numpy().T
    tenths, start = keys.integers(TENTHS, WHOLE).numpy().T
    twentieths, top, left = keys.integers(TWENTIETHS, WHOLE, WHOLE).numpy().T
    length, edge = (1 + tenths) * WHOLE // 10, (1 + twentieths) * WHOLE // 20
    start, top, left = (
        begin * (WHOLE - part) // WHOLE
        for begin, part in ((start, length), (top, edge), (left, edge))
    )
    return replace(
        alteration,
        hidden=np.stack([start, start + length], 1) * (way == 0)[:, None],
        place=np.stack([top, top + edge, left, left + edge], 1) * (way == 1)[:, None],
        left_out=length * (way == 2),
    )


def jitter(alteration: Alteration, keys: "RandomKeys", num_frames: int) -> Alteration:
    """recordings: each event moved in time, by up to half a T-th of its recording"""
    return replace(alteration, moved=np.full_like(alteration.moved, JITTER * WHOLE / num_frames))


EVENT_AUGMENTATIONS: dict[str, "Callable[[Alteration, RandomKeys, int], Alteration]"] = {
    "eventdrop": eventdrop,
    "jitter": jitter,
}
"""Augmentations by name; hyphens join them with one another and with those of images."""


def alteration_of(
    names: Sequence[str], num_frames: int, seed: int, epoch: int, rows: np.ndarray
) -> Alteration:
    """Return the alteration of the recordings `rows`, drawn by seed, epoch and recording alone."""
    from spikeduel.engine.random_keys import RandomKeys

    keys, none = RandomKeys.for_events(seed, epoch, rows), np.zeros((len(rows), 4), np.int64)
    alteration = Alteration(keys.values, none[:, :2], none, none[:, 0], none[:, 0])
    for name in names:
        keys = keys.another()
        alteration = EVENT_AUGMENTATIONS[name](alteration, keys, num_frames)
    return alteration


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

    def events_of(self, row: int) -> np.ndarray:
        """Return the events of one recording, uint64 `[E]`."""
        return self.packed[self.offsets[row] : self.offsets[row + 1]]

    @property
    def longest(self) -> int:
        """Length of the longest recording, in microseconds."""
        return int(self.packed[self.offsets[1:] - 1].max() >> np.uint64(TIME_SHIFT)) + 1

    @property
    def left_out(self) -> float:
        """Share of the events that come after the last frame."""
        length = self.binning.num_frames * (self.binning.frame_us or self.longest)
        end = np.uint64(min(length, MAX_MICROSECONDS) << TIME_SHIFT)
        sorted_events = sum(
            int(np.searchsorted(self.events_of(row), end)) for row in range(len(self))
        )
        return 1 - sorted_events / len(self.packed)

    def altered(self, names: Sequence[str], seed: int, epoch: int) -> "Recordings":
        """Return the recordings changed by the `EVENT_AUGMENTATIONS` `names`."""
        num_frames = self.binning.num_frames
        return replace(self, altering=partial(alteration_of, names, num_frames, seed, epoch))

    def rates(self, rows: np.ndarray) -> EventRates:
        """Return the rates of recordings `[M]`."""
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
        whole = replace(self.binning, num_frames=parts, frame_us=None)
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
    """A recording: its file, and its begin and end in microseconds of the file (None: all)."""

    file: Path | zipfile.Path
    interval: tuple[int, int] | None = None


def recorded(parts: Sequence[Part], track: Track) -> tuple[Recordings, np.ndarray]:
    """Read N recordings into a file; return them with a hash of each one's events, int64 `[N]`.

    The sensor is as large as a file says, or as the pixels that occur. Raises `UnreadableFiles`.
    """
    of_files = [list(group) for _, group in groupby(parts, key=lambda part: str(part.file))]
    names = [str(group[0].file) for group in of_files]
    lengths, content, sensors = [0], [], []
    is_declared = False
    # On the disk of the prepared set: the system's temporary folder may be in memory.
    with files.scratch_folder() as folder, files.writing_to(Path(folder)):
        path = Path(folder) / "events"
        with path.open("wb") as file:
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
                    content.append(files.hash64(packed.data))
                    used = unpacked(packed)
                    sensors.append(sensor or (int(used.y.max()) + 1, int(used.x.max()) + 1))
                    is_declared |= sensor is not None
        events = np.memmap(path, np.uint64, "r")
    edges = np.array(sensors)
    if not is_declared:
        _require_one_sensor(edges, [str(part.file) for part in parts])
    height, width = edges.max(0).tolist()
    binning = Binning(1, (height, width))
    return Recordings(events, np.cumsum(lengths), binning), np.array(content, np.int64)


def _require_one_sensor(edges: np.ndarray, names: Sequence[str]) -> None:
    """Raise `UnreadableFiles` naming few recordings far larger than all others: a stray event would
    enlarge the sensor. `edges` `[N, 2]` are (height, width).
    """
    few = int(MAX_OUTLIER_SHARE * len(edges))
    usual = np.sort(edges, 0)[-1 - few] if few else edges.max(0)
    strays = {
        names[row]: f"has events at ({width - 1}, {height - 1}), where others end at "
        f"({usual[1] - 1}, {usual[0] - 1})"
        for row, (height, width) in enumerate(edges.tolist())
        if (edges[row] > FAR * usual).any()
    }
    if strays:
        raise UnreadableFiles(strays)


def _read(parts: Sequence[Part]) -> list[tuple[np.ndarray, tuple[int, int] | None]]:
    file, made = parts[0].file, []
    with _ONE_LARGE_AT_A_TIME if recording_files.size_of(file) > _LARGE else nullcontext():
        events = recording_files.read(file)
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
