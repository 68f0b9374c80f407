"""Read files of event cameras: Prophesee's RAW and DAT, iniVation's AEDAT, N-MNIST's binary.

Sources: docs.inivation.com, "AEDAT file formats"; docs.prophesee.ai, "File formats" and "Data
encoding formats".
"""

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from spikeduel.data.events.recording_files import Reader, require_room
from spikeduel.features.event_cameras.array_files import decoded, from_numpy, from_text, reading
from spikeduel.inputs.preprocessing import Events
from spikeduel.system.errors import InputError, needing_extra

Columns = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""x, y, t and p of events, int64 `[N]` each."""


def _fields(content: bytes, start: int, kind: str, per_event: int = 1) -> np.ndarray:
    """Return the numbers from byte `start` on, int64 `[per_event, N]`."""
    size = np.dtype(kind).itemsize * per_event
    if over := (len(content) - start) % size:
        raise InputError(
            f"cut off at byte {len(content):,}: {size} bytes belong together, {over} are left"
        )
    return np.frombuffer(content, kind, offset=start).astype(np.int64).reshape(-1, per_event).T


# ---- N-MNIST and SLAYER

_OVERFLOW_ROW, _OVERFLOW = 240, 1 << 13
"""Events in this row of N-MNIST's `.bin` add so many microseconds."""


def _bs2(content: bytes) -> Events:
    x, y, high, middle, low = _fields(content, 0, "u1", 5)
    return Events(x, y, ((high & 0x7F) << 16) | (middle << 8) | low, high >> 7)


def _bin(content: bytes) -> Events:
    events = _bs2(content)
    is_overflow = events.y == _OVERFLOW_ROW
    time = events.t + _OVERFLOW * np.cumsum(is_overflow)
    columns = (events.x, events.y, time, events.p)
    return Events(*(column[~is_overflow] for column in columns))


# ---- iniVation: AEDAT 2.0 of DVS128 and DAVIS, 3.1, and 4 by the library `aedat`

_CHIPS = {
    "dvs128": (128, 128),
    "davis240": (180, 240),
    "davis346": (260, 346),
    "davis640": (480, 640),
}
"""(height, width) by the header's name of the chip."""
_PACKET = np.dtype([("kind", "<i2"), ("source", "<i2"), ("rest", "<i4", 6)])
"""Header of a packet; the rest: size, offset, overflow, capacity, number of events, valid."""
_POLARITY = 1


def _aedat(content: bytes) -> Events:
    version = re.match(rb"#!AER-DAT(\d)\.(\d)", content)
    if version is None:
        raise InputError("at byte 0: no line #!AER-DAT, which names the version")
    if version[1] not in _AEDAT:
        raise InputError(
            f"is AEDAT {version[1].decode()}.{version[2].decode()}; 2.0, 3.1 and 4 are known"
        )
    return _AEDAT[version[1]](content)


def _aedat2(content: bytes) -> Events:
    header, start = _header(content, b"#")
    address, time = _fields(content, start, ">u4", 2)
    # Addresses of the DVS128 have 16 bits.
    sensor = _chip(header) or _CHIPS["davis240" if (address >> 16).any() else "dvs128"]
    if sensor == _CHIPS["dvs128"]:
        is_event = (address >> 15) & 1 == 0
        x, y, p = (address >> 1) & 0x7F, (address >> 8) & 0x7F, address & 1
    else:
        # Bit 31 marks samples of frames, bit 10 events from outside.
        is_event = (address >> 31 == 0) & ((address >> 10) & 1 == 0)
        x, y, p = (address >> 12) & 0x3FF, (address >> 22) & 0x1FF, (address >> 11) & 1
    # The origin is the lower left corner.
    return Events(x[is_event], sensor[0] - 1 - y[is_event], time[is_event], p[is_event], sensor)


def _header(content: bytes, mark: bytes) -> tuple[str, int]:
    """Return the lines that begin with `mark`, and their end in bytes."""
    end = 0
    while content[end : end + 1] == mark:
        start, end = end, content.find(b"\n", end) + 1
        line = content[start : end or None]
        text = line.rstrip(b"\r\n").replace(b"\t", b" ")
        if mark == b"#" and not (text.isascii() and text.decode().isprintable()):
            # An event may begin with the mark's byte.
            end = start
            break
        if not end:
            raise InputError(f"cut off at byte {len(content):,}, within its header")
        if line.strip().lower() == b"% end":
            break
    return content[:end].decode("latin-1"), end


def _aedat3(content: bytes) -> Events:
    header, mark, _ = content.partition(b"#!END-HEADER\r\n")
    if not mark:
        raise InputError(
            f"ends at byte {len(content):,} without the line #!END-HEADER, after which events begin"
        )
    place = len(header) + len(mark)
    parts = [np.empty((2, 0), np.int64)]
    while place < len(content):
        if len(content) < place + _PACKET.itemsize:
            raise InputError(f"cut off at byte {len(content):,}, within the header of a packet")
        packet = np.frombuffer(content, _PACKET, 1, place)[0]
        # Packets hold `number` events; their capacity is that of the camera's memory.
        size, _, overflow, _, number, _ = packet["rest"].tolist()
        place += _PACKET.itemsize
        if size < 0 or number < 0 or len(content) < place + size * number:
            raise InputError(
                f"at byte {place:,}: {number:,} events of {size} bytes are announced, and not all "
                f"there"
            )
        end = place + size * number
        if packet["kind"] == _POLARITY:
            if size != 8:
                raise InputError(
                    f"at byte {place:,}: polarity events of {size} bytes; 8 are expected"
                )
            data, time = _fields(content[place:end], 0, "<u4", 2)
            parts.append(np.stack([data, time + (overflow << 31)])[:, data & 1 == 1])
        place = end
    data, time = np.concatenate(parts, 1)
    x, y = (data >> 17) & 0x7FFF, (data >> 2) & 0x7FFF
    return Events(x, y, time, (data >> 1) & 1, _chip(header.decode("latin-1")))


def _chip(header: str) -> tuple[int, int] | None:
    return next((sizes for chip, sizes in _CHIPS.items() if chip in header.lower()), None)


def _aedat4(content: bytes) -> Events:
    with needing_extra(("aedat",), "events"):
        import aedat
    # On other bytes in the header's XML, the library may abort the process.
    with reading(content, "AEDAT 4"):
        description = re.search(rb"<dv.*?</dv>", content, re.DOTALL)
        if description is None:
            raise ValueError("no description of its streams")
    decoded(description[0])
    with tempfile.NamedTemporaryFile(suffix=".aedat4", delete=False) as file:
        file.write(content)
    path = Path(file.name)
    num_events, parts = 0, []
    try:
        with reading(content, "AEDAT 4"):
            decoder = aedat.Decoder(path)
            streams = decoder.id_to_stream()
            chosen = next(
                (id for id, stream in streams.items() if stream["type"] == "events"), None
            )
            if chosen is None:
                raise InputError("has no stream of events")
            for packet in decoder:
                if packet["stream_id"] == chosen and "events" in packet:
                    num_events += len(packet["events"])
                    require_room(events=num_events)
                    parts.append(packet["events"])
    finally:
        path.unlink()
    none = np.empty(0, [("t", "u8"), ("x", "u2"), ("y", "u2"), ("on", "?")])
    events, stream = np.concatenate(parts) if parts else none, streams[chosen]
    sensor = int(stream["height"]), int(stream["width"])
    return Events(events["x"], events["y"], events["t"], events["on"].astype(np.uint8), sensor)


_AEDAT: dict[bytes, Reader] = {b"2": _aedat2, b"3": _aedat3, b"4": _aedat4}


# ---- Prophesee: DAT, and RAW with EVT 2.0, 2.1 and 3.0


def _dat(content: bytes) -> Events:
    """Return the events of a DAT file, version 2 or 1 (the ATIS sensor's)."""
    header, start = _header(content, b"%")
    if len(content) < start + 2:
        raise InputError(
            f"cut off at byte {len(content):,}: two bytes for the kind and size of events are "
            f"expected"
        )
    kind, size = content[start], content[start + 1]
    if kind not in (0x00, 0x0C) or size != 8:
        raise InputError(
            f"at byte {start:,}: events of kind {kind} and {size} bytes; kinds 0 and 12 of 8 are "
            f"known"
        )
    time, data = _fields(content, start + 2, "<u4", 2)
    version = re.search(r"version\s+(\d+)", header, re.IGNORECASE)
    if version and version[1] == "1":
        x, y, p = data & 0x1FF, (data >> 9) & 0xFF, (data >> 17) & 1
    else:
        x, y, p = data & 0x3FFF, (data >> 14) & 0x3FFF, (data >> 28) & 1
    return Events(x, y, _unwrapped(time, 32), p, _geometry(header))


def _raw(content: bytes) -> Events:
    header, start = _header(content, b"%")
    named = re.search(r"(?:evt\s*|format\s+EVT)(\d)(?:\.?(\d))?", header, re.IGNORECASE)
    version = f"EVT {named[1]}.{named[2] or 0}" if named else "no EVT version"
    if version not in _EVT:
        known = ", ".join(name.removeprefix("EVT ") for name in _EVT)
        raise InputError(f"its header, up to byte {start:,}, names {version}; {known} are known")
    return Events(*_EVT[version](content, start), _geometry(header))


def _evt2(content: bytes, start: int) -> Columns:
    """Decode words of kind (4 bits), time (6), x (11) and y (11); kinds 0 and 1 are events of that
    polarity, 8 is TIME_HIGH, the rest triggers and others.
    """
    (words,) = _fields(content, start, "<u4")
    kind = words >> 28
    _require_kinds(kind, (0x0, 0x1, 0x8, 0xA, 0xE, 0xF), start, 4)
    high, is_event = _highs(kind, words & 0xFFFFFFF), kind <= 1
    words, high, kind = words[is_event], high[is_event], kind[is_event]
    return (words >> 11) & 0x7FF, words & 0x7FF, (high << 6) | ((words >> 22) & 0x3F), kind


def _evt21(content: bytes, start: int) -> Columns:
    (sent,) = _fields(content, start, "<u8")
    known = (0x0, 0x1, 0x8, 0xA, 0xE)
    # Some sensors send the two halves of a word in the other order.
    for words in (sent, (sent << 32) | ((sent >> 32) & 0xFFFFFFFF), sent):
        kind = (words >> 60) & 0xF
        if (kind == 0x8).any() and np.isin(kind, known).all():
            break
    _require_kinds(kind, known, start, 8)
    upper = words >> 32
    high, is_event = _highs(kind, upper & 0xFFFFFFF), kind <= 1
    upper, high, kind = upper[is_event], high[is_event], kind[is_event]
    row, bit = _set_bits(words[is_event] & 0xFFFFFFFF, 32)
    time = (high << 6) | ((upper >> 22) & 0x3F)
    return ((upper >> 11) & 0x7FF)[row] + bit, (upper & 0x7FF)[row], time[row], kind[row]


def _evt3(content: bytes, start: int) -> Columns:
    (words,) = _fields(content, start, "<u2")
    kind, value = words >> 12, words & 0xFFF
    _require_kinds(kind, (0x0, 0x2, 0x3, 0x4, 0x5, 0x6, 0x7, 0x8, 0xA, 0xE, 0xF), start, 2)
    y = _last(kind == 0x0, value & 0x7FF)
    # A new TIME_HIGH holds before its TIME_LOW has come.
    high, low = _highs(kind, value, 12), _last(kind == 0x6, value)
    time = (high << 12) | np.where(_latest(kind == 0x8) > _latest(kind == 0x6), 0, low)
    is_base, is_vector = kind == 0x3, (kind == 0x4) | (kind == 0x5)
    # Each vector starts at the end of the one before, the first at the base.
    width = np.where(kind == 0x4, 12, np.where(kind == 0x5, 8, 0))
    before = np.cumsum(width) - width
    base, base_before = _last(is_base, value & 0x7FF), _last(is_base, before)
    row, bit = _set_bits(
        np.where(is_vector, value & np.where(kind == 0x5, 0xFF, 0xFFF), kind == 0x2), 12
    )
    single = kind[row] == 0x2
    x = np.where(single, value[row] & 0x7FF, base[row] + before[row] - base_before[row] + bit)
    p = np.where(single, value[row] >> 11, _last(is_base, value >> 11)[row])
    return x, y[row], time[row], p


_EVT: dict[str, Callable[[bytes, int], Columns]] = {
    "EVT 2.0": _evt2,
    "EVT 2.1": _evt21,
    "EVT 3.0": _evt3,
}


def _geometry(header: str) -> tuple[int, int] | None:
    if geometry := re.search(r"geometry\s+(\d{1,9})\d*x(\d{1,9})", header, re.IGNORECASE):
        return int(geometry[2]), int(geometry[1])
    height, width = (
        re.search(rf"{axis}[ =](\d{{1,9}})", header, re.IGNORECASE) for axis in ("height", "width")
    )
    return (int(height[1]), int(width[1])) if height and width else None


def _require_kinds(kind: np.ndarray, known: tuple[int, ...], start: int, size: int) -> None:
    unknown = ~np.isin(kind, known)
    if unknown.any():
        row = int(unknown.argmax())
        raise InputError(
            f"at byte {start + row * size:,}: a word of kind {kind[row]}, which is none of this "
            f"format's"
        )


def _latest(is_new: np.ndarray) -> np.ndarray:
    return np.maximum.accumulate(np.where(is_new, np.arange(len(is_new)), -1))


def _last(is_new: np.ndarray, value: np.ndarray) -> np.ndarray:
    latest = _latest(is_new)
    return np.where(latest >= 0, value[np.maximum(latest, 0)], 0) if len(value) else value


def _highs(kind: np.ndarray, value: np.ndarray, bits: int = 28) -> np.ndarray:
    """Return the latest TIME_HIGH at each word, at first the first one."""
    is_high = kind == 0x8
    if not is_high.any():
        return np.zeros_like(value)
    highs = _unwrapped(value[is_high], bits)
    return highs[np.maximum(np.cumsum(is_high) - 1, 0)]


def _unwrapped(values: np.ndarray, bits: int) -> np.ndarray:
    """Undo the wrap-around of a counter of `bits` bits."""
    jumps = np.diff(values, prepend=values[:1])
    return values + (np.cumsum(jumps < -(1 << (bits - 1))) << bits)


def _set_bits(words: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    lanes = words.astype("<u4").view(np.uint8).reshape(-1, 4)
    is_set = np.unpackbits(lanes, axis=1, count=bits, bitorder="little")
    require_room(events=int(np.count_nonzero(is_set)))
    row, bit = np.nonzero(is_set)
    return row, bit


READERS: dict[str, Reader] = {
    ".npy": from_numpy,
    ".npz": from_numpy,
    ".txt": from_text,
    ".csv": from_text,
    ".bin": _bin,
    ".bs2": _bs2,
    ".aedat": _aedat,
    ".aedat4": _aedat,
    ".dat": _dat,
    ".raw": _raw,
}
"""Readers by lower-case ending."""
