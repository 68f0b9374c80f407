"""Recordings as NumPy arrays and as text: the events that went into a file, and what is said of a
broken one.
"""

import io
import re
import tracemalloc

import numpy as np
import pytest

import made_recordings as made
from spikeduel.data.events import recording_files
from spikeduel.data.events.recording_files import read
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
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_gives_the_events_that_went_into_it(name, tmp_path):
    (tmp_path / name).write_bytes(FILES[name](EVENTS))
    assert made.rows(read(tmp_path / name)) == made.rows(EVENTS)


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
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_says_where_and_what_was_expected(name, tmp_path):
    content, expected = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=re.escape(expected)):
        read(tmp_path / name)


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
    place = "byte" if ".np" in name else "line|holds no events|neither"
    made.require_error_or_fewer_events(tmp_path / name, FILES[name](EVENTS), place)


@pytest.mark.parametrize("name", FILES)
def test_bytes_that_were_changed_end_in_events_or_in_an_error_of_ours(name, tmp_path):
    made.require_error_or_events(tmp_path / name, FILES[name](EVENTS))
