"""Pictures: files opened with care, several at a time, and made arrays, in a way that is kept with
every model.
"""

import hashlib
import importlib
import io
import math
import sys
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import numpy as np
from msgspec import Meta
from PIL import Image, ImageOps

from spikeduel.data.events import formats as formats_of_recordings
from spikeduel.data.events.binning import Binning
from spikeduel.data.workers import Track, over_files, reason
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError

FORMATS = (
    "AVIF",
    "BMP",
    "DDS",
    "DIB",
    "GIF",
    "HEIF",
    "JPEG",
    "JPEG2000",
    "PCX",
    "PNG",
    "PPM",
    "PSD",
    "QOI",
    "SGI",
    "SUN",
    "TGA",
    "TIFF",
    "WEBP",
)
"""What is decoded where Pillow can: it knows more formats, but hands some to other programs (EPS to
Ghostscript, whatever the file is called), only names some (HDF5), knows some by next to nothing
(SPIDER), and does not say before it decodes how large an icon is (ICO).
"""
_PLUGINS = {"pillow_heif": "register_heif_opener", "pillow_avif": None}
"""Packages that teach Pillow HEIC and, before its version 11.3, AVIF; and what must be called for
it.
"""
MOST_FILE_BYTES = 1 << 30
"""Larger picture files are refused."""
MOST_MEMBER_BYTES = 16 << 20
"""Larger pictures in zips, or in bytes, are refused: they lie in memory whole."""
MOST_PIXELS = 80_000_000
"""Larger pictures are refused: a small file can hold any number of equal pixels. (Pillow only warns
at 89 million.)
"""
DEFAULT_SIZE = 64
"""Of what has no size of its own: the side of pictures, the longest of recordings."""
LONGEST_SIDE = 4096
"""Of a prepared image."""
LARGE = MOST_PIXELS // 8
"""Pictures of more pixels are decoded one at a time."""
_ONE_LARGE_AT_A_TIME = threading.Lock()
_Pixels = Annotated[int, Meta(ge=0)]

Result = TypeVar("Result")


class Packed(Protocol):
    """A picture's file that lies in another one; as text, what its user calls it."""

    def read_bytes(self) -> bytes:
        """All of the file."""


@dataclass(frozen=True)
class Preprocessing:
    """How a picture or a recording becomes an array: crop, grey or colour, polarity, padding, size;
    or its binning. Stored with every model.

    `crop` is in pixels (left, top, right, bottom). `invert` turns dark-on-light into light-on-dark.
    A picture of another aspect ratio is padded with black, centred; it is shrunk if larger, and
    enlarged only if `enlarge` (else padded, centred). Shrinking averages (bilinear with a support
    that grows with the factor). A recording of an event camera has a `binning`, which gives
    channels, height and width; the rest is for pictures.
    """

    channels: Annotated[int, Meta(ge=1, le=8192)]
    height: Annotated[int, Meta(ge=1, le=LONGEST_SIDE)]
    width: Annotated[int, Meta(ge=1, le=LONGEST_SIDE)]
    crop: tuple[_Pixels, _Pixels, _Pixels, _Pixels] = (0, 0, 0, 0)
    invert: bool = False
    enlarge: bool = True
    binning: Binning | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)"""
        return self.channels, self.height, self.width

    @classmethod
    def of_recordings(cls, binning: Binning) -> "Preprocessing":
        """That of recordings that are binned so."""
        return cls(*binning.shape, binning=binning)

    def described(self) -> dict[str, Any]:
        """Its fields, without a binning where it has none: as it was before there were
        recordings.
        """
        fields = asdict(self)
        return (
            fields
            if self.binning
            else {name: value for name, value in fields.items() if name != "binning"}
        )

    def __call__(self, picture: Image.Image) -> np.ndarray:
        """uint8 `[C, H, W]` from a picture of any mode and size. Raises `InputError` if crop leaves
        nothing.
        """
        # Before it is decoded, which may take long; it may lie on its side (EXIF).
        _require_room(min(map(self._room_for, (picture.size, picture.size[::-1])), key=math.prod))
        picture = plain(picture).convert("L" if self.channels == 1 else "RGB")
        width, height = self._room_for(picture.size)
        _require_room((width, height))
        if any(self.crop):
            left, top, right, bottom = self.crop
            if left + right >= picture.width or top + bottom >= picture.height:
                size = f"{picture.width}×{picture.height}"
                raise InputError(
                    f"has {size} pixels, and is too small: the crop {self.crop} leaves nothing of "
                    f"it."
                )
            picture = picture.crop((left, top, picture.width - right, picture.height - bottom))
        if self.invert:
            picture = ImageOps.invert(picture)
        picture = _padded(picture, (width, height))
        if width > self.width or height > self.height or self.enlarge:
            picture = picture.resize((self.width, self.height), Image.Resampling.BILINEAR)
        array = np.asarray(_padded(picture, (self.width, self.height)), dtype=np.uint8)
        return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))

    def _room_for(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height of what is left by the crop of a picture of `size`, padded to the shape
        of the image.
        """
        left, top, right, bottom = self.crop
        width, height = size[0] - left - right, size[1] - top - bottom
        return max(width, round(height * self.width / self.height)), max(
            height, round(width * self.height / self.width)
        )

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Preprocessing":
        """A preprocessing of the fields in `content`, also after a trip through JSON. Raises
        `InputError`.
        """
        try:
            preprocessing = typed.converted(content, cls)
        except InputError as error:
            raise InputError(f"the preprocessing {content!r} cannot be read: {error}") from None
        if (binning := preprocessing.binning) is not None:
            if binning.shape != (preprocessing.channels, preprocessing.height, preprocessing.width):
                raise InputError(
                    f"the preprocessing's binning makes {list(binning.shape)}, and it says "
                    f"otherwise."
                )
        elif preprocessing.channels not in (1, 3):
            channels = preprocessing.channels
            raise InputError(
                f"the preprocessing has {channels} channels: 1 (grey) or 3 (colour) are possible."
            )
        return preprocessing


def _padded(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    if picture.size == size:
        return picture
    canvas = Image.new(picture.mode, size)
    canvas.paste(picture, ((size[0] - picture.width) // 2, (size[1] - picture.height) // 2))
    return canvas


def plain(picture: Image.Image) -> Image.Image:
    """`picture` upright (EXIF orientation applied), 8 bits a channel, without transparency.

    Transparency is laid on black; an alpha channel that is 0 everywhere says nothing and is
    ignored. 16-bit grey (`I;16`, `I`) is scaled down by 257. `F` is taken as 0 … 1 where all its
    values lie there, else as
    0 … 255; NaN is 0. Raises `InputError` where no value is finite.
    """
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):
        values = np.asarray(picture).astype(np.int32).clip(0, 65535)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if picture.mode == "F":
        floats = np.asarray(picture, dtype=np.float64)
        if not np.isfinite(floats).any():
            raise InputError("has no value that is a finite number")
        floats = np.nan_to_num(floats)
        if floats.size and floats.min() >= 0 and floats.max() <= 1:
            floats = floats * 255
        return Image.fromarray(np.rint(floats.clip(0, 255)).astype(np.uint8))
    if (
        picture.mode not in ("LA", "PA", "RGBA", "La", "RGBa")
        and "transparency" not in picture.info
    ):
        return picture if picture.mode in ("1", "L", "RGB") else picture.convert("RGB")
    picture = picture.convert("RGBA")
    if picture.getchannel("A").getextrema() in ((0, 0), (255, 255)):
        return picture.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", picture.size, (0, 0, 0, 255)), picture).convert(
        "RGB"
    )


@cache
def formats() -> tuple[str, ...]:
    """Those of `FORMATS` that Pillow can decode here, plugins for HEIC and AVIF included where
    installed.
    """
    Image.init()
    for package, register in _PLUGINS.items():
        with suppress(ImportError):
            plugin = importlib.import_module(package)
            if register:
                getattr(plugin, register)()
    # A plugin of Pillow's that lacks its library is there all the same.
    return tuple(
        name
        for name in FORMATS
        if name in Image.OPEN
        and getattr(sys.modules[Image.OPEN[name][0].__module__], "SUPPORTED", True)
    )


@cache
def endings() -> frozenset[str]:
    """The endings of the picture files that are read: ".jpg" and all others of `formats`, in small
    letters.
    """
    known = (*formats(), "MPO")  # JPEG files with several pictures
    return frozenset(
        ending for ending, name in Image.registered_extensions().items() if name in known
    )


def _too_large(most_pixels: int, padded: str = "") -> InputError:
    return InputError(f"has more than the {most_pixels:,} pixels that are taken{padded}")


def _require_room(padded: tuple[int, int]) -> None:
    if math.prod(padded) > MOST_PIXELS:
        raise _too_large(MOST_PIXELS, f", padded to {padded[0]:,}×{padded[1]:,}")


@contextmanager
def opened(
    source: "Path | zipfile.Path | Packed | bytes",
    only: tuple[str, ...] | None = None,
    most_pixels: int = MOST_PIXELS,
) -> Iterator[Image.Image]:
    """The picture in a file, or in a file's bytes, of which only the header is read yet; of several
    frames, the first.

    Its format is one of `only`, by default of `formats()`.

    Raises `InputError` for what is no regular file (a pipe would be waited for) and for more than
    `most_pixels`, and whatever Pillow raises for what is no picture of these formats. Large ones
    wait for one another: each needs much memory.
    """
    most = MOST_FILE_BYTES if isinstance(source, Path) else MOST_MEMBER_BYTES
    if isinstance(source, zipfile.Path):
        size = source.root.getinfo(source.at).file_size
    elif isinstance(source, Path):
        if not files.is_file(source):
            raise InputError("is not a regular file")
        size = source.stat().st_size
    else:
        source = source if isinstance(source, bytes) else source.read_bytes()
        size = len(source)
    if size > most:
        raise InputError(f"is larger than {most / 1e6:,.0f} MB")
    try:
        # A member of a zip is read whole: only then its checksum is looked at.
        content = source.read_bytes() if isinstance(source, zipfile.Path) else source
        file = io.BytesIO(content) if isinstance(content, bytes) else content
        picture = Image.open(file, formats=only or formats())
    except Image.DecompressionBombError:
        raise _too_large(most_pixels) from None
    with picture:
        num_pixels = picture.width * picture.height
        if num_pixels > most_pixels:
            raise _too_large(most_pixels)
        with _ONE_LARGE_AT_A_TIME if num_pixels > LARGE else nullcontext():
            yield picture


def over_pictures(
    look: Callable[[int, Image.Image], Result],
    sources: Sequence[Path | zipfile.Path],
    track: Track,
    description: str,
    only: tuple[str, ...] | None = None,
) -> list[Result]:
    """What `look` makes of each picture's number and the picture, in order.

    In a few threads, for Pillow decodes outside Python's global lock. Raises `UnreadableFiles` with
    all pictures that cannot be opened or for which `look` fails.
    """

    def open_and_look(row: int) -> Result:
        with opened(sources[row], only) as picture:
            return look(row, picture)

    return over_files(open_and_look, sources, track, description)


def content_of(source: Path | zipfile.Path | Packed) -> int:
    """A hash of a file's bytes, a signed number of 64 bits: what `RawDataset.content` holds of its
    image.
    """
    digest = hashlib.blake2b(source.read_bytes(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def open_picture(path: Path | str) -> Image.Image:
    """The picture in a file, decoded. Raises `InputError` naming the file where it cannot be
    read.
    """
    with _named(path) as picture:
        picture.load()
        return picture


def prepared_picture(path: Path | str, preprocessing: Preprocessing) -> np.ndarray:
    """The picture, or the recording, in a file as a model gets it: uint8 `[C, H, W]`. Raises
    `InputError` naming the file.
    """
    if (binning := preprocessing.binning) is not None:
        packed = events_in(Path(path))
        return binning.frames(packed, np.array([0, len(packed)]), np.array([0]))[0]
    with _named(path) as picture:
        return preprocessing(picture)


def prepared_content(
    content: bytes, preprocessing: Preprocessing, most_pixels: int = MOST_PIXELS
) -> np.ndarray:
    """The picture in a file's bytes as a model gets it: uint8 `[C, H, W]`. Raises `InputError`."""
    with _named(content, most_pixels) as picture:
        return preprocessing(picture)


def events_in(path: Path) -> np.ndarray:
    """The events of the recording in a file (`Events.packed`). Raises `InputError` naming the
    file.
    """
    if path.suffix.lower() not in formats_of_recordings.READERS:
        known = ", ".join(formats_of_recordings.READERS)
        raise InputError(f"{path}: the model takes recordings of an event camera ({known}).")
    try:
        return formats_of_recordings.read(path).packed()
    except (InputError, OSError) as error:
        raise InputError(f"{path}: {reason(error, 'a recording')}. Remove or replace it.") from None


@contextmanager
def _named(path: Path | str | bytes, most_pixels: int = MOST_PIXELS) -> Iterator[Image.Image]:
    """`opened`, where errors, also of the block, name the file."""
    if not isinstance(path, bytes) and files.is_folder(path):
        raise InputError(f"{path}: a folder; name an image file in it.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with opened(
                path if isinstance(path, bytes) else Path(path), most_pixels=most_pixels
            ) as picture:
                yield picture
    # Pillow's decoders raise whatever a broken file makes them stumble on.
    except Exception as error:
        if isinstance(path, bytes):
            raise InputError(f"This file {reason(error)}. Choose another one.") from None
        raise InputError(f"{path}: {reason(error)}. Remove or replace it.") from None
