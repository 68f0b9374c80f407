"""Read Prophesee's files: DAT, and RAW with EVT 2.0, 2.1 and 3.0.

Source: docs.prophesee.ai, "File formats" and "Data encoding formats".
"""

import re
from collections.abc import Callable

import numpy as np

from spikeduel.networks.preprocessing import Events
from spikeduel.system.errors import InputError

Decoder = Callable[[bytes, int], tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]
"""Decodes (bytes, place of the first event) to x, y, t and p."""


def read_dat(content: bytes) -> Events:
    """Return the events of a DAT file, version 2 or 1 (the ATIS sensor's)."""
    header, start = _header(content)
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
    words = _words(content, start + 2, "<u4", 2).reshape(-1, 2).astype(np.int64)
    data = words[:, 1]
    version = re.search(r"version\s+(\d+)", header, re.IGNORECASE)
    if version and version[1] == "1":
        x, y, p = data & 0x1FF, (data >> 9) & 0xFF, (data >> 17) & 1
    else:
        x, y, p = data & 0x3FFF, (data >> 14) & 0x3FFF, (data >> 28) & 1
    return Events(x, y, _unwrapped(words[:, 0], 32), p, _sensor(header))


def read_raw(content: bytes) -> Events:
    """Return the events of a RAW file of any EVT version."""
    header, start = _header(content)
    named = re.search(r"(?:evt\s*|format\s+EVT)(\d)(?:\.?(\d))?", header, re.IGNORECASE)
    version = f"{named[1]}.{named[2] or 0}" if named else ""
    if version not in _DECODERS:
        named_one = f"EVT {version}" if version else "no EVT version"
        raise InputError(
            f"its header, up to byte {start:,}, names {named_one}; {', '.join(_DECODERS)} are known"
        )
    return Events(*_DECODERS[version](content, start), _sensor(header))


def _evt2(content: bytes, start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    words = _words(content, start, "<u4").astype(np.int64)
    kind = words >> 28
    _require_kinds(kind, (0x0, 0x1, 0x8, 0xA, 0xE, 0xF), start, 4)
    high, is_event = _highs(kind, words & 0xFFFFFFF), kind <= 1
    words, high, kind = words[is_event], high[is_event], kind[is_event]
    return (words >> 11) & 0x7FF, words & 0x7FF, (high << 6) | ((words >> 22) & 0x3F), kind


def _evt21(content: bytes, start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    words = _words(content, start, "<u8")
    known = (0x0, 0x1, 0x8, 0xA, 0xE)
    kind = (words >> np.uint64(60)).astype(np.int64)
    if not (kind == 0x8).any() or not np.isin(kind, known).all():
        # Some sensors send the two halves of a word in the other order.
        swapped = (words << np.uint64(32)) | (words >> np.uint64(32))
        kind_swapped = (swapped >> np.uint64(60)).astype(np.int64)
        if (kind_swapped == 0x8).any() and np.isin(kind_swapped, known).all():
            words, kind = swapped, kind_swapped
    _require_kinds(kind, known, start, 8)
    upper = (words >> np.uint64(32)).astype(np.int64)
    high, is_event = _highs(kind, upper & 0xFFFFFFF), kind <= 1
    upper, high, kind = upper[is_event], high[is_event], kind[is_event]
    row, bit = _set_bits((words[is_event] & np.uint64(0xFFFFFFFF)).astype(np.int64), 32)
    time = (high << 6) | ((upper >> 22) & 0x3F)
    return ((upper >> 11) & 0x7FF)[row] + bit, (upper & 0x7FF)[row], time[row], kind[row]


def _evt3(content: bytes, start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    words = _words(content, start, "<u2").astype(np.int64)
    kind, value = words >> 12, words & 0xFFF
    _require_kinds(kind, (0x0, 0x2, 0x3, 0x4, 0x5, 0x6, 0x7, 0x8, 0xA, 0xE, 0xF), start, 2)
    y = _last(kind == 0x0, value & 0x7FF)
    # A new TIME_HIGH holds before its TIME_LOW has come.
    high, low = _highs(kind, value, 12), _last(kind == 0x6, value)
    latest_high, latest_low = _latest(kind == 0x8), _latest(kind == 0x6)
    time = (high << 12) | np.where(latest_high > latest_low, 0, low)
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


_DECODERS: dict[str, Decoder] = {"2.0": _evt2, "2.1": _evt21, "3.0": _evt3}


def _header(content: bytes) -> tuple[str, int]:
    end = 0
    while content[end : end + 1] == b"%":
        line_end = content.find(b"\n", end) + 1
        if not line_end:
            raise InputError(f"cut off at byte {len(content):,}, within its header")
        is_last = content[end:line_end].strip().lower() == b"% end"
        end = line_end
        if is_last:
            break
    return content[:end].decode("latin-1"), end


def _sensor(header: str) -> tuple[int, int] | None:
    if geometry := re.search(r"geometry\s+(\d+)x(\d+)", header, re.IGNORECASE):
        return int(geometry[2]), int(geometry[1])
    sides = [re.search(rf"{side}[ =](\d+)", header, re.IGNORECASE) for side in ("height", "width")]
    return (int(sides[0][1]), int(sides[1][1])) if sides[0] and sides[1] else None


def _words(content: bytes, start: int, kind: str, per_event: int = 1) -> np.ndarray:
    size = np.dtype(kind).itemsize * per_event
    if over := (len(content) - start) % size:
        raise InputError(
            f"cut off at byte {len(content):,}: words of {size} bytes are expected, {over} are left"
        )
    return np.frombuffer(content, kind, offset=start)


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
    row, bit = np.nonzero((words[:, None] >> np.arange(bits)) & 1)
    return row, bit
