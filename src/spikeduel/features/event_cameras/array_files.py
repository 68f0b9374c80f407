"""Read recordings in files of arrays: NumPy and text, with four columns."""

import io
from contextlib import AbstractContextManager

import numpy as np

from spikeduel.data.events.recording_files import require_room
from spikeduel.inputs.preprocessing import Events
from spikeduel.system.errors import InputError, refusing

_NAMES = {
    "x": ("x",),
    "y": ("y",),
    "t": ("t", "ts", "time", "timestamp", "timestamps"),
    "p": ("p", "pol", "polarity", "polarities", "on"),
}
"""Column names in files."""
_NUMBERS = "biuf"
"""Kinds of data types that a column may have."""


def from_numpy(content: bytes) -> Events:
    with reading(content, "a NumPy file"):
        loaded = np.load(io.BytesIO(content), allow_pickle=False)
        if not isinstance(loaded, np.ndarray):
            require_room(sum(entry.file_size for entry in loaded.zip.infolist()))
        arrays = {"": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    if len(arrays) != 1:
        return _named(arrays)
    (array,) = arrays.values()
    if array.dtype.names:
        return _named({name: array[name] for name in array.dtype.names})
    if array.ndim != 2 or array.shape[1] != 4 or array.dtype.kind not in _NUMBERS:
        raise InputError(
            f"holds {array.dtype} {list(array.shape)}; a structured array or [N, 4] of numbers is "
            f"expected"
        )
    return _unnamed(array)


def _unnamed(table: np.ndarray) -> Events:
    """Return the events of columns x, y, t, p or t, x, y, p.

    Time has fractions, or else never falls and goes furthest.
    """
    first, third = table[:, 0], table[:, 2]
    rises = [bool((np.diff(column) >= 0).all()) for column in (first, third)]
    spans = [float(np.ptp(column)) if len(table) else 0.0 for column in (first, third)]
    fractions = [bool((column != np.rint(column)).any()) for column in (first, third)]
    if fractions[0] or (not fractions[1] and rises[0] and (not rises[1] or spans[0] > spans[1])):
        return _named(dict(zip("txyp", table.T, strict=True)))
    if fractions[1] or rises[1] or spans[1] > spans[0]:
        return _named(dict(zip("xytp", table.T, strict=True)))
    raise InputError(
        "its four columns are neither x, y, t, p nor t, x, y, p. Name them: x, y, t, p"
    )


def _named(columns: dict[str, np.ndarray]) -> Events:
    lower = {name.lower(): values for name, values in columns.items()}
    events: dict[str, np.ndarray] = {}
    for column, names in _NAMES.items():
        name = next((name for name in names if name in lower), None)
        if name is None:
            raise InputError(f"has no column {column}; it has {', '.join(columns) or 'none'}")
        events[column] = np.asarray(lower[name]).reshape(-1)
        if events[column].dtype.kind not in _NUMBERS:
            raise InputError(f"its column {name} holds {events[column].dtype}, and no numbers")
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


def from_text(content: bytes) -> Events:
    lines = decoded(content).replace(",", " ").replace(";", " ").splitlines()
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
        table = np.loadtxt([line for _, line in rows], ndmin=2).reshape(len(rows), width)
    except ValueError:
        for number, line in rows:
            if len(row := line.split()) != width or not all(map(_is_number, row)):
                raise InputError(
                    f"line {number:,}: {width} numbers are expected, not '{line.strip()[:60]}'"
                ) from None
        raise
    return _named(dict(zip(names, table.T, strict=True))) if names else _unnamed(table)


def decoded(content: bytes) -> str:
    """Return a text. Raises `InputError` that names the first byte that is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"at byte {error.start:,}: no text in UTF-8") from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def reading(content: bytes, kind: str) -> AbstractContextManager[None]:
    """Turn the errors of a library, which are many, into `InputError`."""
    return refusing(
        lambda error: InputError(
            f"its {len(content):,} bytes cannot be read as {kind}, or are cut off ({error})"
        )
    )
