"""Read iniVation's AEDAT files: 2.0 of DVS128 and DAVIS, 3.1, and 4 by the library `aedat`.

Source: docs.inivation.com, "AEDAT file formats".
"""

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from spikeduel.networks.preprocessing import Events
from spikeduel.system.errors import InputError

_CHIPS = {
    "dvs128": (128, 128),
    "davis240": (180, 240),
    "davis346": (260, 346),
    "davis640": (480, 640),
}
"""(height, width) by the header's name of the chip."""
_PACKET = np.dtype(
    [
        ("kind", "<i2"),
        ("source", "<i2"),
        ("size", "<i4"),
        ("offset", "<i4"),
        ("overflow", "<i4"),
        ("capacity", "<i4"),
        ("number", "<i4"),
        ("valid", "<i4"),
    ]
)
_POLARITY = 1


def read(content: bytes) -> Events:
    """Return the events of an AEDAT file of any version."""
    version = re.match(rb"#!AER-DAT(\d)\.(\d)", content)
    if version is None:
        raise InputError("at byte 0: no line #!AER-DAT, which names the version")
    if version[1] not in _READERS:
        raise InputError(
            f"is AEDAT {version[1].decode()}.{version[2].decode()}; 2.0, 3.1 and 4 are known"
        )
    return _READERS[version[1]](content)


def _version_2(content: bytes) -> Events:
    start = _end_of_text(content)
    header = content[:start].decode("latin-1").lower()
    if over := (len(content) - start) % 8:
        raise InputError(f"cut off at byte {len(content):,}: an event has 8 bytes, {over} are left")
    address, time = np.frombuffer(content, ">u4", offset=start).astype(np.int64).reshape(-1, 2).T
    # Addresses of the DVS128 have 16 bits.
    sensor = _sensor(header) or _CHIPS["davis240" if (address >> 16).any() else "dvs128"]
    if sensor == _CHIPS["dvs128"]:
        is_event = (address >> 15) & 1 == 0
        x, y, p = (address >> 1) & 0x7F, (address >> 8) & 0x7F, address & 1
    else:
        # Bit 31 marks samples of frames, bit 10 events from outside.
        is_event = (address >> 31 == 0) & ((address >> 10) & 1 == 0)
        x, y, p = (address >> 12) & 0x3FF, (address >> 22) & 0x1FF, (address >> 11) & 1
    # The origin is the lower left corner.
    return Events(x[is_event], sensor[0] - 1 - y[is_event], time[is_event], p[is_event], sensor)


def _end_of_text(content: bytes) -> int:
    start = 0
    while content[start : start + 1] == b"#":
        end = content.find(b"\n", start) + 1
        line = content[start : end or None]
        if not line.isascii() or not line.decode().rstrip("\r\n").replace("\t", " ").isprintable():
            break
        if not end:
            raise InputError(f"cut off at byte {len(content):,}, within its header")
        start = end
    return start


def _version_3(content: bytes) -> Events:
    mark = b"#!END-HEADER\r\n"
    place = content.find(mark)
    if place < 0:
        raise InputError(
            f"ends at byte {len(content):,} without the line #!END-HEADER, after which events begin"
        )
    sensor = _sensor(content[:place].decode("latin-1").lower())
    place += len(mark)
    parts = [np.empty((2, 0), np.int64)]
    while place < len(content):
        if len(content) < place + _PACKET.itemsize:
            raise InputError(f"cut off at byte {len(content):,}, within the header of a packet")
        packet = np.frombuffer(content, _PACKET, 1, place)[0]
        size, number = int(packet["size"]), int(packet["number"])
        place += _PACKET.itemsize
        if size < 0 or number < 0 or len(content) < place + size * number:
            raise InputError(
                f"at byte {place:,}: {number:,} events of {size} bytes are announced, and not all "
                f"there"
            )
        if packet["kind"] == _POLARITY:
            if size != 8:
                raise InputError(
                    f"at byte {place:,}: polarity events of {size} bytes; 8 are expected"
                )
            words = np.frombuffer(content, "<u4", 2 * number, place).astype(np.int64)
            data, time = words.reshape(-1, 2).T
            parts.append(np.stack([data, time + (int(packet["overflow"]) << 31)])[:, data & 1 == 1])
        # Packets hold `number` events; their capacity is that of the camera's memory.
        place += size * number
    data, time = np.concatenate(parts, 1)
    return Events((data >> 17) & 0x7FFF, (data >> 2) & 0x7FFF, time, (data >> 1) & 1, sensor)


def _sensor(header: str) -> tuple[int, int] | None:
    return next((sides for chip, sides in _CHIPS.items() if chip in header), None)


def _version_4(content: bytes) -> Events:
    try:
        import aedat
    except ImportError:
        raise InputError(
            "is AEDAT 4, for which the package aedat is missing: pip install 'spikeduel[events]'"
        ) from None
    with tempfile.NamedTemporaryFile(suffix=".aedat4", delete=False) as file:
        file.write(content)
    path = Path(file.name)
    try:
        decoder = aedat.Decoder(path)
        streams = decoder.id_to_stream()
        chosen = next((key for key, stream in streams.items() if stream["type"] == "events"), None)
        if chosen is None:
            raise InputError("has no stream of events")
        parts = [
            packet["events"]
            for packet in decoder
            if packet["stream_id"] == chosen and "events" in packet
        ]
    except (InputError, KeyboardInterrupt, SystemExit):
        raise
    # The library's panics are no Exception.
    except BaseException as error:
        raise InputError(
            f"its {len(content):,} bytes cannot be read as AEDAT 4, or are cut off ({error})"
        ) from None
    finally:
        path.unlink()
    none = np.empty(0, [("t", "u8"), ("x", "u2"), ("y", "u2"), ("on", "?")])
    events, stream = np.concatenate(parts) if parts else none, streams[chosen]
    sensor = int(stream["height"]), int(stream["width"])
    return Events(events["x"], events["y"], events["t"], events["on"].astype(np.uint8), sensor)


_READERS: dict[bytes, Callable[[bytes], Events]] = {
    b"2": _version_2,
    b"3": _version_3,
    b"4": _version_4,
}
