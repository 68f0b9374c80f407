"""Read files of recordings by their endings."""

import io
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from spikeduel.data.events import aedat, prophesee
from spikeduel.networks.preprocessing import Events
from spikeduel.system.errors import InputError

MOST_BYTES = 1 << 30
"""Larger files are refused: they are read whole."""
_NAMES = {
    "x": ("x",),
    "y": ("y",),
    "t": ("t", "ts", "time", "timestamp", "timestamps"),
    "p": ("p", "pol", "polarity", "polarities", "on"),
}
"""Names of the columns of events in files that name them."""
_AT_ONCE = 1000
"""Microseconds of a stream's events that are handed on together."""
_OVERFLOW_ROW, _OVERFLOW = 240, 1 << 13
"""N-MNIST's `.bin` has events in this row that add so many microseconds."""


def read(path: Path | zipfile.Path) -> Events:
    """Return the events in a file. Raises `InputError` without the file's name."""
    if size_of(path) > MOST_BYTES:
        raise InputError(f"larger than {MOST_BYTES / 1e6:,.0f} MB; cut it into shorter recordings")
    return READERS[PurePosixPath(path.name).suffix.lower()](path.read_bytes())


def size_of(path: Path | zipfile.Path) -> int:
    """Return the bytes of a file, unpacked."""
    if isinstance(path, zipfile.Path):
        return path.root.getinfo(path.at).file_size
    return path.stat().st_size


def _bin(content: bytes) -> Events:
    events = _bs2(content)
    is_overflow = events.y == _OVERFLOW_ROW
    time = events.t + _OVERFLOW * np.cumsum(is_overflow)
    columns = (events.x, events.y, time, events.p)
    return Events(*(column[~is_overflow] for column in columns))


def _bs2(content: bytes) -> Events:
    if over := len(content) % 5:
        raise InputError(f"cut off at byte {len(content):,}: an event has 5 bytes, {over} are left")
    x, y, high, middle, low = np.frombuffer(content, np.uint8).reshape(-1, 5).astype(np.int64).T
    return Events(x, y, ((high & 0x7F) << 16) | (middle << 8) | low, high >> 7)


def _numpy(content: bytes) -> Events:
    try:
        loaded = np.load(io.BytesIO(content), allow_pickle=False)
        arrays = {"": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except Exception as error:  # a different one for each way in which it can be broken
        raise InputError(
            f"its {len(content):,} bytes cannot be read as a NumPy file ({error})"
        ) from None
    if len(arrays) != 1:
        return _of_columns(arrays)
    (array,) = arrays.values()
    if array.dtype.names:
        return _of_columns({name: array[name] for name in array.dtype.names})
    if array.ndim != 2 or array.shape[1] != 4:
        raise InputError(
            f"holds {array.dtype} {list(array.shape)}; a structured array or [N, 4] is expected"
        )
    return _of_four(array)


def _of_four(table: np.ndarray) -> Events:
    """Return the events of columns x, y, t, p or t, x, y, p.

    Time has fractions, or else never falls and goes furthest.
    """
    first, third = table[:, 0], table[:, 2]
    rises = [bool((np.diff(column) >= 0).all()) for column in (first, third)]
    spans = [float(np.ptp(column)) if len(table) else 0.0 for column in (first, third)]
    fractions = [bool((column != np.rint(column)).any()) for column in (first, third)]
    if fractions[0] or (not fractions[1] and rises[0] and (not rises[1] or spans[0] > spans[1])):
        return _of_columns(dict(zip("txyp", table.T, strict=True)))
    if fractions[1] or rises[1] or spans[1] > spans[0]:
        return _of_columns(dict(zip("xytp", table.T, strict=True)))
    raise InputError(
        "its four columns are neither x, y, t, p nor t, x, y, p. Name them: x, y, t, p"
    )


def _of_columns(columns: dict[str, np.ndarray]) -> Events:
    lower = {name.lower(): values for name, values in columns.items()}
    events: dict[str, np.ndarray] = {}
    for column, names in _NAMES.items():
        name = next((name for name in names if name in lower), None)
        if name is None:
            raise InputError(f"has no column {column}; it has {', '.join(columns) or 'none'}")
        events[column] = np.asarray(lower[name]).reshape(-1)
    if len({len(values) for values in events.values()}) > 1:
        lengths = ", ".join(f"{column} {len(values):,}" for column, values in events.items())
        raise InputError(f"its columns differ in length ({lengths})")
    time = events["t"]
    if np.issubdtype(time.dtype, np.floating):
        if not np.isfinite(time).all():
            raise InputError(f"event {int((~np.isfinite(time)).argmax()):,} has no time")
        # Seconds have fractions, microseconds none.
        time = np.rint(time if bool((time == np.rint(time)).all()) else time * 1e6)
    return Events(events["x"], events["y"], time.astype(np.int64), events["p"])


def _text(content: bytes) -> Events:
    try:
        lines = content.decode("utf-8-sig").replace(",", " ").replace(";", " ").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"at byte {error.start:,}: no text in UTF-8") from None
    rows = [
        (number, line)
        for number, line in enumerate(lines, 1)
        if line.strip() and line[0] not in "#%"
    ]
    names = None
    if rows and not _is_number(rows[0][1].split()[0]):
        # Some names carry the sensor's size: x@640.
        names = [name.partition("@")[0] for name in rows.pop(0)[1].split()]
    if not rows:
        raise InputError("holds no events")
    width = len(names) if names else 4
    try:
        table = np.loadtxt([line for _, line in rows], ndmin=2).reshape(-1, width)
        if len(table) != len(rows):
            raise ValueError
    except ValueError:
        for number, line in rows:
            if len(row := line.split()) != width or not all(map(_is_number, row)):
                raise InputError(
                    f"line {number:,}: {width} numbers are expected, not '{line.strip()[:60]}'"
                ) from None
        raise
    return _of_columns(dict(zip(names, table.T, strict=True))) if names else _of_four(table)


def of_lines(lines: Iterable[str]) -> Iterator[Events]:
    """Yield the events of lines "t x y p", a millisecond at a time.

    Raises `InputError` naming the line.
    """
    rows: list[tuple[int, ...]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            t, x, y, p = map(int, line.replace(",", " ").split())
        except ValueError:
            raise InputError(
                f'line {number:,}: "t x y p" is expected, whole numbers, t in microseconds; not '
                f"'{line.strip()[:60]}'."
            ) from None
        if rows and t - rows[0][2] >= _AT_ONCE:
            yield Events(*np.array(rows, np.int64).T)
            rows = []
        rows.append((x, y, t, p))
    if rows:
        yield Events(*np.array(rows, np.int64).T)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _hdf5(content: bytes) -> Events:
    try:
        import h5py
    except ImportError:
        raise InputError(
            "is HDF5, for which the package h5py is missing: pip install 'spikeduel[events]'"
        ) from None
    places: list[dict[str, np.ndarray]] = []

    def look(_name: str, place: "h5py.Group | h5py.Dataset") -> None:
        if isinstance(place, h5py.Group):
            places.append(
                {
                    name: dataset[()]
                    for name, dataset in place.items()
                    if isinstance(dataset, h5py.Dataset) and dataset.ndim == 1
                }
            )
        elif place.dtype.names:
            places.append({name: place[name] for name in place.dtype.names})

    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            look("", file)
            file.visititems(look)
    except Exception as error:  # HDF5 stumbles in many ways
        raise InputError(f"its {len(content):,} bytes cannot be read as HDF5 ({error})") from None
    for columns in places:
        if all(any(name.lower() in names for name in columns) for names in _NAMES.values()):
            return _of_columns(columns)
    raise InputError("no group has the datasets x, y, t and p, nor has a dataset such fields")


READERS: dict[str, Callable[[bytes], Events]] = {
    ".bin": _bin,
    ".bs2": _bs2,
    ".aedat": aedat.read,
    ".aedat4": aedat.read,
    ".dat": prophesee.read_dat,
    ".raw": prophesee.read_raw,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
    ".npy": _numpy,
    ".npz": _numpy,
    ".txt": _text,
    ".csv": _text,
}
"""Readers by the ending of a file, in small letters."""


def is_recording(path: Path) -> bool:
    """Return True if a file is a recording by its ending, a text also by its content."""
    if path.suffix.lower() not in (".txt", ".csv"):
        return path.suffix.lower() in READERS
    try:
        read(path)
    except (InputError, OSError):
        return False
    return True
