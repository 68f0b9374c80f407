"""Writes made-up files of every format that the data sets read."""

import gzip
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from spikeduel.data import mnist_like
from spikeduel.data.prepared import Prepared

MakePrepared = Callable[..., Prepared]


def idx_bytes(array: np.ndarray) -> bytes:
    """`array` (uint8) in the idx format."""
    return (
        struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        + array.astype(np.uint8).tobytes()
    )


def write_mnist_like(
    folder: Path,
    stems: tuple[str, ...] = mnist_like.MNIST_STEMS,
    gzipped: bool = True,
    num_classes: int = 10,
) -> dict[str, np.ndarray]:
    """Four idx files with 60 training and 20 test images; returns what was written."""
    rng = np.random.default_rng(1)
    arrays = {
        "train images": rng.integers(0, 256, (60, 28, 28), dtype=np.uint8),
        "train labels": np.arange(60, dtype=np.uint8) % num_classes,
        "test images": rng.integers(0, 256, (20, 28, 28), dtype=np.uint8),
        "test labels": np.arange(20, dtype=np.uint8) % num_classes,
    }
    folder.mkdir(parents=True, exist_ok=True)
    for stem, array in zip(stems, arrays.values(), strict=True):
        content = idx_bytes(array)
        path = folder / (f"{stem}.gz" if gzipped else stem)
        path.write_bytes(gzip.compress(content) if gzipped else content)
    return arrays


HANDS_AND_FINGERS = [
    (hand, finger)
    for hand in ("Left", "Right")
    for finger in ("thumb", "index", "middle", "ring", "little")
]


def ridges(seed: int, size: tuple[int, int] = (96, 103)) -> np.ndarray:
    """A made-up print: dark waves on white in a grey frame, `[h, w]`."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    angle, period = rng.uniform(0, np.pi), rng.uniform(5, 9)
    bend = rng.uniform(0.001, 0.01)
    phase = (x * np.cos(angle) + y * np.sin(angle) + bend * (x - 48) ** 2) * 2 * np.pi / period
    picture = np.where(np.sin(phase) > 0, 255, rng.integers(0, 60)).astype(np.uint8)
    picture[:2], picture[:, :2], picture[-4:], picture[:, -4:] = 160, 160, 90, 90
    return picture


def write_real(path: Path, picture: np.ndarray) -> None:
    """A 32-bit BMP whose alpha is 0 in the scanner frame, as the real prints have it (Pillow cannot
    write such).
    """
    height, width = picture.shape
    alpha = np.full(picture.shape, 255, dtype=np.uint8)
    alpha[-4:], alpha[:, -4:] = 0, 0
    pixels = np.stack([picture, picture, picture, alpha], axis=-1)[::-1].tobytes()
    bit_fields = 3
    header = struct.pack(
        "<IiiHHIIiiII", 124, width, height, 1, 32, bit_fields, len(pixels), 0, 0, 0, 0
    )
    header += struct.pack("<IIII", 0x00FF0000, 0x0000FF00, 0x000000FF, 0xFF000000)
    header += bytes(124 - len(header))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<2sIHHI", b"BM", 138 + len(pixels), 0, 0, 138) + header + pixels)


def write_socofing(root: Path, num_subjects: int = 4) -> None:
    """Real and easily altered prints of `num_subjects` made-up people, all ten fingers."""
    for subject in range(1, num_subjects + 1):
        for k, (hand, finger) in enumerate(HANDS_AND_FINGERS):
            name = f"{subject}__{'MF'[subject % 2]}_{hand}_{finger}_finger"
            picture = ridges(100 * subject + k)
            write_real(root / "Real" / f"{name}.BMP", picture)
            altered = picture.copy()
            altered[40:50, 40:50] = 128
            path = root / "Altered" / "Altered-Easy" / f"{name}_CR.BMP"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(altered).save(path)


def write_pictures(
    folder: Path,
    count: int,
    seed: int = 0,
    size: tuple[int, int] = (20, 16),
    mode: str = "L",
    suffix: str = ".png",
) -> list[Path]:
    """`count` pictures of noise in `folder`."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for k in range(count):
        noise = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        path = folder / f"{k:03}{suffix}"
        Image.fromarray(noise).convert(mode).save(path)
        paths.append(path)
    return paths


def png_that_claims(width: int, height: int) -> bytes:
    """The first bytes of a grey PNG of that size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    )


def noisy_png(seed: int, size: tuple[int, int] = (12, 10)) -> bytes:
    """A PNG file of coloured noise."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()


def write_table(folder: Path, split: str, labels: list[int], **more: Any) -> None:
    """A split as the Hugging Face hub keeps most: a Parquet file, with the types of its columns;
    `more` are types.
    """
    import datasets

    pictures = [{"bytes": noisy_png(k), "path": None} for k in range(len(labels))]
    columns: dict[str, Any] = {
        "picture": pictures,
        "kind": labels,
        **{name: [0] * len(labels) for name in more},
    }
    types = {
        "picture": datasets.Image(),
        "kind": datasets.ClassLabel(names=["wren", "owl"]),
        **more,
    }
    folder.mkdir(parents=True, exist_ok=True)
    made = datasets.Dataset.from_dict(columns, features=datasets.Features(types))
    made.to_parquet(folder / f"{split}-00000-of-00001.parquet")
