import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spikeduel.data import mnist_like
from spikeduel.system.errors import InputError
from synthetic_files import idx_bytes

ARRAY = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_reads_plain_and_gzipped(tmp_path: Path, pack: type) -> None:
    path = tmp_path / "images"
    path.write_bytes(pack(idx_bytes(ARRAY)))
    array = mnist_like.read(path, 3)
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, ARRAY)


@pytest.mark.parametrize(("code", "kind"), [(0x09, "i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")])
def test_reads_every_kind_of_number(tmp_path: Path, code: int, kind: str) -> None:
    path = tmp_path / "numbers"
    path.write_bytes(struct.pack(">BBBBI", 0, 0, code, 1, 3) + np.array([1, -2, 3], dtype=kind).tobytes())
    np.testing.assert_array_equal(mnist_like.read(path), [1, -2, 3])


GOOD = idx_bytes(ARRAY)
LIE = struct.pack(">BBBBIII", 0, 0, 8, 3, 2**31, 2**31, 2**31)
BIG_LIE = struct.pack(">BBBBI", 0, 0, 8, 1, 2**30)
BROKEN = {
    "empty": (b"", "cut off"),
    "text": (b"<html>not found</html>", "magic number"),
    "wrong magic": (b"\0\0\x07\x03" + GOOD[4:], "magic number"),
    "no dimensions": (b"\0\0\x08\x00", "magic number"),
    "truncated": (GOOD[:-1], "cut off after 23 of 24"),
    "header cut off": (GOOD[:9], "cut off"),
    "too long": (GOOD + b"x", "longer than"),
    "other dimensions": (idx_bytes(np.zeros(5)), "1 dimensions, 3 expected"),
    "lying header": (LIE, "claims"),
    "truncated gzip": (gzip.compress(GOOD)[:-12], "damaged or cut off"),
    "damaged gzip": (gzip.compress(GOOD)[:15] + b"\xff\xff\xff" + gzip.compress(GOOD)[18:], "damaged or cut off"),
    "gzip of text": (gzip.compress(b"hello there"), "magic number"),
    "gzip in name only": (b"\x1f\x8bnothing of the kind", "damaged or cut off"),
}


@pytest.mark.parametrize("content", BROKEN)
def test_broken_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(BROKEN[content][0])
    with pytest.raises(InputError, match=BROKEN[content][1]) as caught:
        mnist_like.read(path, 3)
    assert str(path) in str(caught.value)


def test_a_lying_header_takes_no_memory(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "labels"
    path.write_bytes(BIG_LIE + b"abc")
    tracemalloc.start()
    with pytest.raises(InputError, match="cut off after 3"):
        mnist_like.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent: cannot be read"):
        mnist_like.read(tmp_path / "absent")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.binary(max_size=60), st.binary(max_size=40).map(lambda tail: b"\0\0\x08" + tail)))
def test_random_bytes_give_an_array_or_an_input_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "random"
    for written in (content, gzip.compress(content)):
        path.write_bytes(written)
        try:
            outcome = str(path) if mnist_like.read(path) is not None else ""
        except InputError as error:
            outcome = str(error)
        assert str(path) in outcome


def test_a_gzip_bomb_is_left_where_its_header_ends(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(GOOD + bytes(200 << 20), 1))
    assert path.stat().st_size < 2 << 20
    tracemalloc.start()
    with pytest.raises(InputError, match="is longer than its header says"):
        mnist_like.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_a_header_of_255_dimensions_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "images"
    path.write_bytes(struct.pack(">BBBB", 0, 0, 8, 255) + b"\xff" * 4 * 255)
    with pytest.raises(InputError, match="its header claims 255 dimensions"):
        mnist_like.read(path)


def test_a_header_that_promises_a_terabyte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "images"
    path.write_bytes(struct.pack(">BBBBIII", 0, 0, 8, 3, 2**30, 2**5, 2**5) + b"short")
    with pytest.raises(InputError, match=r"its header claims 1\.1e\+12 bytes"):
        mnist_like.read(path)
