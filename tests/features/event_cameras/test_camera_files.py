"""Each format, from a file made by hand to the events that went into it; and what is said of a
broken one.
"""

import io
import re
import struct
import tracemalloc

import numpy as np
import pytest

import made_recordings as made
from spikeduel.data.events import recording_files
from spikeduel.data.events.recording_files import read
from spikeduel.features.event_cameras.camera_files import READERS
from spikeduel.inputs.preprocessing import Events
from spikeduel.system.errors import InputError

EVENTS = made.some_events()


def text(events, header="", columns="xytp", separator=" "):
    rows = [dict(zip("xytp", row, strict=True)) for row in made.rows(events)]
    lines = [separator.join(str(row[name]) for name in columns) for row in rows]
    return "\n".join([*([header] if header else []), *lines]).encode()


def array(events, columns="xytp"):
    return saved(np.stack([getattr(events, name) for name in columns], 1))


def saved(values):
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def columns_in_npz(events):
    file = io.BytesIO()
    np.savez(file, x=events.x, y=events.y, t=events.t, p=events.p)
    return file.getvalue()


FILES = {
    "structured.npy": made.numpy_file,
    "x-y-t-p.npy": array,
    "t-x-y-p.npy": lambda events: array(events, "txyp"),
    "columns.npz": columns_in_npz,
    "spaces.txt": text,
    "time-first.txt": lambda events: text(events, columns="txyp"),
    "named.csv": lambda events: text(events, "p,ts,y,x", "ptyx", ","),
    "n-mnist.bin": made.five_bytes,
    "slayer.bs2": made.five_bytes,
    "version-1.dat": made.dat_1,
    "version-2.dat": made.dat,
    "evt2.raw": made.evt2,
    "evt21.raw": made.evt21,
    "evt21-halves-swapped.raw": lambda events: made.evt21(events, swapped=True),
    "evt3.raw": made.evt3,
    "dvs128.aedat": made.aedat2,
    "davis.aedat": lambda events: made.aedat2(events, "DAVIS240C", 180),
    "version-3.aedat": made.aedat3,
    "version-4.aedat4": made.aedat4,
}


SENSORS = {
    "version-2.dat": (480, 640),
    "evt21.raw": (480, 640),
    "evt3.raw": (480, 640),
    "dvs128.aedat": (128, 128),
    "davis.aedat": (180, 240),
    "slayer.bs2": None,
    "version-1.dat": None,
    "version-4.aedat4": (34, 34),
    "structured.npy": None,
    "spaces.txt": None,
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_gives_its_events_and_the_sensor_of_its_header(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(FILES[name](EVENTS))
    content = read(path)
    assert made.rows(content) == made.rows(EVENTS)
    assert name not in SENSORS or content.sensor == SENSORS[name]


def test_an_overflow_of_n_mnist_adds_8192_microseconds_to_all_that_follow(tmp_path):
    events = Events(
        np.array([1, 0, 2]), np.array([5, 240, 6]), np.array([8000, 0, 100]), np.array([1, 0, 0])
    )
    for name, expected in (
        ("a.bin", [(1, 5, 8000, 1), (2, 6, 8292, 0)]),
        ("a.bs2", made.rows(events)),
    ):
        (tmp_path / name).write_bytes(made.five_bytes(events))
        assert made.rows(read(tmp_path / name)) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        # y 7; base x 100, brighter; 12 pixels of which the first and the last are set, then 8 of
        # which the second is: a vector starts where the one before ended.
        (
            (0x8001, 0x6002, 7, 0x3000 | 1 << 11 | 100, 0x4801, 0x5002),
            [(x, 7, (1 << 12) | 2, 1) for x in (100, 111, 113)],
        ),
        # Time counts from 0 after a new TIME_HIGH, and goes on where it wraps.
        (
            (0x8FFF, 0x6FFF, 7, 0x2001, 0x8000, 0x2002, 0x6003, 0x2003),
            [(1, 7, (1 << 24) - 1, 0), (2, 7, 1 << 24, 0), (3, 7, (1 << 24) + 3, 0)],
        ),
    ],
)
def test_words_of_evt3(words, expected, tmp_path):
    path = tmp_path / "a.raw"
    path.write_bytes(b"% evt 3.0\n% end\n" + struct.pack(f"<{len(words)}H", *words))
    assert made.rows(read(path)) == expected


BROKEN = {
    "shape.npy": (array(EVENTS, "xyt"), "holds int64 [200, 3]"),
    "words.npy": (saved(np.array([["1", "2", "3", "1"]])), "holds <U1 [1, 4]"),
    "words-by-name.npy": (
        saved(np.array([("a", 2, 3, 1)], [("x", "U1"), ("y", "i4"), ("t", "i4"), ("p", "i4")])),
        "its column x holds <U1",
    ),
    "cut.npy": (array(EVENTS)[:-8], "cannot be read as a NumPy file"),
    "word.txt": (b"1 2 3 1\n1 2 x 1\n", "line 2: 4 numbers are expected, not '1 2 x 1'"),
    "names.csv": (b"x,y,time\n1,2,3\n", "has no column p; it has x, y, time"),
    "backwards.txt": (b"5 5 5 1\n3 3 3 1\n4 4 4 1\n", "Name them"),
    "bytes.txt": (b"1 2 3 \xff", "at byte 6: no text in UTF-8"),
    "cut.bs2": (made.five_bytes(EVENTS)[:-2], "cut off at byte 998"),
    "cut.dat": (made.dat(EVENTS)[:-3], "cut off at byte"),
    "cut.raw": (made.evt3(EVENTS)[:-1], "2 bytes belong together, 1 are left"),
    "no-version.raw": (b"% end\n1234", "names no EVT version"),
    "other-version.raw": (b"% evt 4.0\n% end\n1234", "names EVT 4.0"),
    "unknown-word.raw": (
        b"% evt 3.0\n% end\n" + struct.pack("<2H", 0x8001, 0x9000),
        "at byte 18: a word of kind 9",
    ),
    "cut-header.dat": (b"% Version 2", "within its header"),
    "kind.dat": (made.DAT_HEADER + b"\x0e\x08", "events of kind 14"),
    "nothing.aedat": (b"", "no line #!AER-DAT"),
    "version.aedat": (b"#!AER-DAT1.0\r\n", "is AEDAT 1.0"),
    "header.aedat": (made.aedat2(EVENTS)[:40], "cut off at byte 40, within its header"),
    "header-3.aedat": (made.aedat3(EVENTS)[:30], "ends at byte 30 without the line #!END-HEADER"),
    "header.aedat4": (made.aedat4(EVENTS)[:40], "its 40 bytes cannot be read as AEDAT 4"),
    "packet.aedat4": (
        made.aedat4(EVENTS)[:-9],
        "its 3,909 bytes cannot be read as AEDAT 4",
    ),
    "tag.aedat4": (made.aedat4(EVENTS).replace(b"<dv", b" v"), "no description of its streams"),
    "utf-8.aedat4": (made.aedat4(EVENTS).replace(b">34</", b">34<\xc9", 1), "no text in UTF-8"),
    "cut.aedat": (made.aedat3(EVENTS)[:-4], "are announced, and not all there"),
    "cut-2.aedat": (made.aedat2(EVENTS)[:-4], "8 bytes belong together, 4 are left"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_says_where_and_what_was_expected(name, tmp_path):
    content, expected = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=re.escape(expected)):
        read(tmp_path / name)


def declared_in_evt3(count):
    """Vectors of twelve pixels, two bytes each."""
    return b"% evt 3.0\n% end\n" + struct.pack("<H", 0x4FFF) * (count // 12)


@pytest.mark.parametrize(
    ("name", "content", "limit", "expected"),
    [
        ("a.raw", declared_in_evt3(1200), 1000, "has 1,200 events"),
        ("a.bs2", made.five_bytes(EVENTS), 100, "and 100 events are read. Cut it"),
        ("a.aedat4", made.aedat4(EVENTS), 100, "has 200 events"),
    ],
)
def test_a_number_of_events_is_checked_before_memory_is_allocated(
    name, content, limit, expected, tmp_path, monkeypatch
):
    monkeypatch.setattr(recording_files, "MAX_EVENTS", limit)
    (tmp_path / name).write_bytes(content)
    tracemalloc.start()
    with pytest.raises(InputError, match=expected):
        read(tmp_path / name)
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert used < 10 << 20  # NumPy reports its arrays


def test_a_size_is_checked_before_memory_is_allocated(tmp_path, monkeypatch):
    monkeypatch.setattr(recording_files, "MAX_BYTES", 1 << 20)
    np.savez_compressed(tmp_path / "a.npz", **{name: np.zeros(1 << 20, np.int8) for name in "xytp"})
    assert (tmp_path / "a.npz").stat().st_size < 1 << 20
    tracemalloc.start()
    with pytest.raises(InputError, match="has 4 MB, unpacked; at most 1 MB"):
        read(tmp_path / "a.npz")
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert used < 1 << 20  # NumPy reports its arrays


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_cut_off_anywhere_says_where_in_one_line_or_has_fewer_events(name, tmp_path):
    place = "line|holds no events|neither" if name.endswith((".txt", ".csv")) else "byte"
    made.require_error_or_fewer_events(tmp_path / name, FILES[name](EVENTS), place)


@pytest.mark.parametrize("name", FILES)
def test_bytes_that_were_changed_end_in_events_or_in_an_error_of_ours(name, tmp_path):
    made.require_error_or_events(tmp_path / name, FILES[name](EVENTS))


@pytest.mark.parametrize("write", [made.evt2, made.evt21, made.dat])
def test_a_sensor_of_any_number_of_digits_is_too_large(write):
    content = re.sub(rb"640(x480)?", b"9" * 5000 + rb"\1", write(EVENTS))
    with pytest.raises(InputError, match="names a sensor of 999,999,999×480 pixels"):
        READERS[".dat" if write is made.dat else ".raw"](content).packed()


def test_an_event_of_aedat_2_may_begin_like_a_line_of_its_header(tmp_path):
    # Byte 0x23 is '#': y 140 of a DAVIS, counted from below.
    events = Events(np.array([5, 6]), np.array([179 - 140, 1]), np.array([0, 10]), np.array([1, 0]))
    content = made.aedat2(events, "DAVIS240C", 180)
    assert content.count(b"#") == 3
    (tmp_path / "a.aedat").write_bytes(content)
    assert made.rows(read(tmp_path / "a.aedat")) == made.rows(events)
