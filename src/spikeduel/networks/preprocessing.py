"""Preprocessing: a picture or a recording as the uint8 array that a network takes."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from PIL import Image, ImageOps

from spikeduel.networks.binning import Binning
from spikeduel.system import typed
from spikeduel.system.errors import InputError

MOST_PIXELS = 80_000_000
"""Larger pictures are refused: a small file can hold any number of equal pixels. (Pillow only
warns, at 89 million.)
"""
LONGEST_SIDE = 4096
"""Pixels a side of a prepared image."""
_Pixels = Annotated[int, Meta(ge=0)]


@dataclass(frozen=True)
class Preprocessing:
    """Steps from a picture, or a recording, to an array; stored with every model.

    `crop` is in pixels (left, top, right, bottom). `invert` turns dark-on-light into light-on-dark.
    A picture of another aspect ratio is padded with black, centred; larger ones shrink (bilinear,
    averaging), smaller ones grow if `enlarge`, else they are padded. A recording of an event camera
    has a `binning`, which decides the shape; all else is for pictures.
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
        """Return the preprocessing of recordings with this binning."""
        return cls(*binning.shape, binning=binning)

    def described(self) -> dict[str, Any]:
        """Return the fields, for pictures without `binning`."""
        fields = asdict(self)
        return (
            fields
            if self.binning
            else {name: value for name, value in fields.items() if name != "binning"}
        )

    def __call__(self, picture: Image.Image) -> np.ndarray:
        """Return uint8 `[C, H, W]` of a picture of any mode and size. Raises `InputError` for an
        empty crop.
        """
        # Before decoding, which may take long; the picture may lie on its side (EXIF).
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
        """Return width and height after the crop of a picture of `size`, padded to the image's
        shape.
        """
        left, top, right, bottom = self.crop
        width, height = size[0] - left - right, size[1] - top - bottom
        return max(width, round(height * self.width / self.height)), max(
            height, round(width * self.height / self.width)
        )

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Preprocessing":
        """Return the preprocessing with these fields, also from JSON. Raises `InputError`."""
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
    """Return `picture` upright (EXIF applied), with 8 bits a channel and without transparency.

    Transparency is laid on black; an alpha channel of zeros is ignored. 16-bit grey (`I;16`, `I`)
    is divided by 257. Mode `F` is 0 … 1 if all values are, else 0 … 255; NaN is 0. Raises
    `InputError` if no value is finite.
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


def too_large(most_pixels: int, padded: str = "") -> InputError:
    return InputError(f"has more than the {most_pixels:,} pixels that are taken{padded}")


def _require_room(padded: tuple[int, int]) -> None:
    if math.prod(padded) > MOST_PIXELS:
        raise too_large(MOST_PIXELS, f", padded to {padded[0]:,}×{padded[1]:,}")
