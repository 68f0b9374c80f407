"""The idx format of MNIST-like sets: a magic number, the dimensions, the values; often gzipped."""

import gzip
import math
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from spikeduel.system.errors import InputError

_KINDS = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"
_CHUNK = 1 << 20
MAX_BYTES = 2 << 30
"""Larger arrays are refused: a header can claim anything, and a small gzip file can expand to any size."""


def read(path: Path, num_dimensions: int | None = None) -> np.ndarray:
    """The array in an idx file, gzipped or not, of `num_dimensions`. Raises `InputError` naming the file."""
    try:
        with Path(path).open("rb") as file:
            return parse(file, str(path), num_dimensions)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None


def parse(file: BinaryIO, name: str, num_dimensions: int | None = None) -> np.ndarray:
    """As `read`, from an open file; `name` is what errors call it."""
    gzipped = file.read(2) == _GZIP
    file.seek(0)
    try:
        if gzipped:
            with gzip.GzipFile(fileobj=file) as stream:
                return _parse(stream, name, num_dimensions)
        return _parse(file, name, num_dimensions)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{name}: its gzip data is damaged or cut off ({error}). Download it again.") from None


def _parse(stream: BinaryIO | gzip.GzipFile, name: str, num_dimensions: int | None) -> np.ndarray:
    magic = _take(stream, 4, name)
    kind = _KINDS.get(magic[2])
    if magic[:2] != b"\0\0" or kind is None or magic[3] == 0:
        raise InputError(f"{name}: not an idx file (magic number 0x{magic.hex()}). Download it again.")
    if num_dimensions is not None and magic[3] != num_dimensions:
        raise InputError(
            f"{name}: has {magic[3]} dimensions, {num_dimensions} expected. Are images and labels mixed up?"
        )
    shape = tuple(int(n) for n in np.frombuffer(_take(stream, 4 * magic[3], name), dtype=">u4"))
    dtype = np.dtype(kind)
    size = math.prod(shape) * dtype.itemsize
    if size > MAX_BYTES or len(shape) > 32:
        # With 255 dimensions, the number of bytes is beyond what a float can say.
        claims = f"{size:.3g} bytes" if len(shape) <= 32 else f"{len(shape)} dimensions"
        raise InputError(f"{name}: its header claims {claims}, which cannot be right. Download it again.")
    content = _take(stream, size, name)
    if stream.read(1):
        raise InputError(f"{name}: is longer than its header says ({shape}). Download it again.")
    array = np.frombuffer(content, dtype=dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _take(stream: BinaryIO | gzip.GzipFile, size: int, name: str) -> bytearray:
    """Reads exactly `size` bytes, piece by piece: memory grows with what is really there."""
    content = bytearray()
    while len(content) < size:
        piece = stream.read(min(_CHUNK, size - len(content)))
        if not piece:
            raise InputError(f"{name}: cut off after {len(content)} of {size} bytes. Download it again.")
        content += piece
    return content
