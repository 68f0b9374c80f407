"""One picture, of any mode and size, to one array: kept with every model, to see new pictures alike."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from PIL import Image, ImageOps

from spikeduel.system import typed
from spikeduel.system.errors import InputError

MOST_PIXELS = 80_000_000
"""Larger pictures are refused: a small file can hold any number of equal pixels. (Pillow only warns at 89 million.)"""
LONGEST_SIDE = 4096
"""Of a prepared image."""
_Pixels = Annotated[int, Meta(ge=0)]


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes an array: crop, grey or colour, polarity, padding, size. Stored with every model.

    `crop` is in pixels (left, top, right, bottom). `invert` turns dark-on-light into light-on-dark. A
    picture of another aspect ratio is padded with black, centred; it is shrunk if larger, and enlarged only
    if `enlarge` (else padded, centred). Shrinking averages (bilinear with a support that grows with the
    factor).
    """

    channels: Annotated[int, Meta(ge=1, le=3)]
    height: Annotated[int, Meta(ge=1, le=LONGEST_SIDE)]
    width: Annotated[int, Meta(ge=1, le=LONGEST_SIDE)]
    crop: tuple[_Pixels, _Pixels, _Pixels, _Pixels] = (0, 0, 0, 0)
    invert: bool = False
    enlarge: bool = True

    def __call__(self, picture: Image.Image) -> np.ndarray:
        """uint8 `[C, H, W]` from a picture of any mode and size. Raises `InputError` if crop leaves nothing."""
        picture = self._cropped(plain(picture).convert("L" if self.channels == 1 else "RGB"))
        if self.invert:
            picture = ImageOps.invert(picture)
        array = np.asarray(self._fitted(picture), dtype=np.uint8)
        return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))

    def _cropped(self, picture: Image.Image) -> Image.Image:
        if not any(self.crop):
            return picture
        left, top, right, bottom = self.crop
        width, height = picture.width - left - right, picture.height - top - bottom
        if width < 1 or height < 1:
            raise InputError(
                f"a picture of {picture.width}×{picture.height} pixels is too small: "
                f"the crop {self.crop} leaves nothing of it."
            )
        return picture.crop((left, top, left + width, top + height))

    def _fitted(self, picture: Image.Image) -> Image.Image:
        target = (self.width, self.height)
        width = max(picture.width, round(picture.height * self.width / self.height))
        height = max(picture.height, round(picture.width * self.height / self.width))
        if width * height > MOST_PIXELS:
            raise too_large(picture.size, f", padded to {width:,}×{height:,}")
        picture = _padded(picture, (width, height))
        if width > self.width or height > self.height or self.enlarge:
            return picture.resize(target, Image.Resampling.BILINEAR)
        return _padded(picture, target)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-like form, for `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Preprocessing":
        """What `to_dict` gave, also after a trip through JSON. Raises `InputError`."""
        try:
            preprocessing = typed.converted(content, cls)
        except InputError as error:
            raise InputError(f"the preprocessing {content!r} cannot be read: {error}") from None
        if preprocessing.channels == 2:
            raise InputError("the preprocessing has 2 channels: 1 (grey) or 3 (colour) are possible.")
        return preprocessing


def too_large(size: tuple[int, int] | None = None, padded: str = "") -> InputError:
    """The error for a picture of more than `MOST_PIXELS`."""
    it_has = "it has" if size is None else f"it is {size[0]:,}×{size[1]:,} pixels{padded},"
    return InputError(f"{it_has} more than the {MOST_PIXELS:,} pixels that are taken")


def _padded(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    if picture.size == size:
        return picture
    canvas = Image.new(picture.mode, size)
    canvas.paste(picture, ((size[0] - picture.width) // 2, (size[1] - picture.height) // 2))
    return canvas


def plain(picture: Image.Image) -> Image.Image:
    """`picture` upright (EXIF orientation applied), 8 bits a channel, without transparency.

    Transparency is laid on black; an alpha channel that is 0 everywhere says nothing and is ignored. 16-bit
    grey (`I;16`, `I`) is scaled down by 257. `F` is taken as 0 … 1 where all its values lie there, else as
    0 … 255.
    """
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):
        values = np.asarray(picture).astype(np.int32).clip(0, 65535)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if picture.mode == "F":
        floats = np.nan_to_num(np.asarray(picture, dtype=np.float64))
        if floats.size and floats.min() >= 0 and floats.max() <= 1:
            floats = floats * 255
        return Image.fromarray(np.rint(floats.clip(0, 255)).astype(np.uint8))
    if picture.mode in ("1", "L", "RGB"):
        return picture if "transparency" not in picture.info else _on_black(picture)
    if picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info:
        return _on_black(picture)
    return picture.convert("RGB")


def _on_black(picture: Image.Image) -> Image.Image:
    picture = picture.convert("RGBA")
    alpha = picture.getchannel("A")
    if alpha.getextrema() in ((0, 0), (255, 255)):
        return picture.convert("RGB")
    black = Image.new("RGBA", picture.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, picture).convert("RGB")
