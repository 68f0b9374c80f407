"""Preprocessing: pictures and recordings as the uint8 arrays that networks take."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Annotated, Any, Literal, get_args

import numpy as np
from msgspec import Meta
from PIL import Image, ImageOps

from spikeduel.system import typed
from spikeduel.system.errors import InputError

TIME_SHIFT, Y_SHIFT, X_SHIFT = 27, 14, 1
"""Bits of a packed event, from the right: 1 polarity, 13 x, 13 y, 36 microseconds (19 hours)."""
MAX_SIZE, MAX_MICROSECONDS = 1 << 13, 1 << 36
"""Most pixels a side, and microseconds, in these bits."""
MAX_FRAMES = 4096
"""Most frames of a recording."""


BACKWARDS, BACKWARDS_US = 0.01, 1000
"""Tolerated fall of time, as a share of the recording's length or in microseconds: some cameras
swap neighbouring events.
"""


@dataclass(frozen=True, eq=False)
class Events:
    """Events of a recording, `[N]` each: pixels from the upper left, microseconds, and 1 for
    brighter; `sensor` is (height, width).
    """

    x: np.ndarray
    y: np.ndarray
    t: np.ndarray
    p: np.ndarray
    sensor: tuple[int, int] | None = None

    def packed(self) -> np.ndarray:
        """Return the events as uint64 `[N]`, sorted by time from 0 on, then by pixel.

        Raises `InputError` without events, for a sensor that is too large, for an event outside
        it, for a polarity other than 0, 1 and −1, and for time that is too long or runs backwards.
        """
        if not len(self.t):
            raise InputError("holds no events")
        x, y, t = (np.asarray(values).astype(np.int64) for values in (self.x, self.y, self.t))
        p = np.asarray(self.p)
        height, width = self.sensor or (MAX_LONG_EDGE, MAX_LONG_EDGE)
        if max(height, width) > MAX_LONG_EDGE:
            raise InputError(
                f"names a sensor of {width:,}×{height:,} pixels; at most {MAX_LONG_EDGE:,} a side "
                f"are possible"
            )
        outside = (x < 0) | (x >= width) | (y < 0) | (y >= height)
        if outside.any():
            row = int(outside.argmax())
            raise InputError(
                f"event {row:,} is at ({x[row]}, {y[row]}), outside the "
                f"{'sensor' if self.sensor else 'largest sensor'}'s {width:,}×{height:,} pixels"
            )
        odd = ~np.isin(p, (0, 1, -1))
        if odd.any():
            row = int(odd.argmax())
            raise InputError(f"event {row:,} has polarity {p[row]}; 1 and 0 (or −1) are known")
        t -= t.min()
        last, falls = int(t.max()), -np.diff(t, prepend=0)
        if (fall := int(falls.max())) > max(BACKWARDS_US, BACKWARDS * last):
            raise InputError(
                f"time runs backwards at event {int(falls.argmax()):,}, by {fall:,} of {last:,} "
                "microseconds. Sort its events by time, if their times are right"
            )
        if last >= MAX_MICROSECONDS:
            raise InputError(
                f"lasts {last / 3.6e9:,.0f} hours; {MAX_MICROSECONDS / 3.6e9:.0f} at most are taken"
            )
        packed = (t << TIME_SHIFT) | (y << Y_SHIFT) | (x << X_SHIFT) | (p > 0)
        return np.sort(packed.astype(np.uint64))


def unpacked(packed: np.ndarray) -> Events:
    words = packed.astype(np.int64)
    most = MAX_SIZE - 1
    return Events(
        (words >> X_SHIFT) & most, (words >> Y_SHIFT) & most, words >> TIME_SHIFT, words & 1
    )


Pixels = Annotated[int, Meta(ge=1, le=8192)]
Change = Literal["none", "collapsed", "reversed", "shuffled", "redrawn", "merged"]
"""Information taken away from recordings (`Binning`)."""
Alter = Callable[
    [np.ndarray, np.ndarray, np.ndarray, np.ndarray, tuple[int, int]],
    tuple[np.ndarray, np.ndarray, np.ndarray],
]
"""Changes events: (packed, begins, ends, last times, sensor) -> (packed, begins, ends)."""
_SHUFFLED = 0x5F0E
"""Separates these random numbers from others for the same recording."""


@dataclass(frozen=True)
class Binning:
    """Division of a recording into `num_frames` T frames of 2 polarities; kept with a model.

    `sensor` is (height, width). Frames last `frame_us` microseconds, or, if None, a T-th of the
    recording. `factor` pixels a side become one, which counts its events (255 at most).

    `change` takes information away: "collapsed": every frame has all events; "reversed" and
    "shuffled": frames in another order; "redrawn": events in random frames; "merged": one polarity.
    """

    num_frames: Annotated[int, Meta(ge=1, le=MAX_FRAMES)]
    sensor: tuple[Pixels, Pixels]
    frame_us: Annotated[int, Meta(ge=1)] | None = None
    factor: Annotated[int, Meta(ge=1)] = 1
    change: Change = "none"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (2·T, height, width) of the frames, darker before brighter."""
        height, width = (-(-edge // self.factor) for edge in self.sensor)
        return 2 * self.num_frames, height, width

    def frames(
        self,
        packed: np.ndarray,
        offsets: np.ndarray,
        rows: np.ndarray,
        alter: Alter | None = None,
    ) -> np.ndarray:
        """Return uint8 `[B, 2·T, H, W]` of the recordings `rows` `[B]`, changed by `alter`.

        Recording i has the events `packed[offsets[i]:offsets[i + 1]]`.
        """
        from spikeduel.inputs.event_kernels import bin_recordings
        from spikeduel.system.parallel import run_chunks

        rows = np.asarray(rows, np.int64)
        begins, ends = offsets[rows], offsets[rows + 1]
        lasts = (packed[ends - 1] >> np.uint64(TIME_SHIFT)).astype(np.int64)
        if alter is not None:
            packed, begins, ends = alter(packed, begins, ends, lasts, self.sensor)
        out = np.zeros((len(rows), *self.shape), np.uint8)
        kernel = partial(
            bin_recordings,
            packed,
            begins,
            ends,
            lasts,
            rows,
            out,
            np.array(self.sensor, np.int64),
            self.frame_us or 0,
            self.factor,
            get_args(Change).index(self.change),
            self._orders(rows),
        )
        run_chunks(kernel, len(rows), work=int((ends - begins).sum()))
        return out

    def received(
        self, packed: np.ndarray, offsets: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return each frame's end, in microseconds, and the events until then, int64 `[B, T]`."""
        ends, counts = np.empty((2, len(rows), self.num_frames), np.int64)
        for recording, row in enumerate(rows):
            times = (packed[offsets[row] : offsets[row + 1]] >> np.uint64(TIME_SHIFT)).astype(
                np.int64
            )
            length = self.frame_us * self.num_frames if self.frame_us else times[-1] + 1
            ends[recording] = -(-np.arange(1, self.num_frames + 1) * length // self.num_frames)
            counts[recording] = np.searchsorted(times, ends[recording])
        return ends, counts

    def _orders(self, rows: np.ndarray) -> np.ndarray:
        """Return the frame that each frame's events go to, int64 `[B, T]`."""
        in_turn = np.arange(self.num_frames)
        if self.change == "reversed":
            return np.tile(in_turn[::-1], (len(rows), 1))
        if self.change == "shuffled":
            drawn = [
                np.random.Generator(np.random.Philox(key=[row, _SHUFFLED])) for row in rows.tolist()
            ]
            return np.array([generator.permutation(in_turn) for generator in drawn]).reshape(
                len(rows), -1
            )
        return np.tile(in_turn, (len(rows), 1))


MAX_PIXELS = 80_000_000
"""Larger pictures are refused: a small file can hold any number of equal pixels."""
MAX_LONG_EDGE = 4096
"""Pixels a side of a prepared image."""
_Pixels = Annotated[int, Meta(ge=0)]


@dataclass(frozen=True)
class Preprocessing:
    """Steps from a picture or recording to an array; stored with every model.

    `crop` is in pixels (left, top, right, bottom). `invert` turns dark-on-light into light-on-dark.
    Black pads pictures to the aspect ratio; larger ones shrink (bilinear, averaging), smaller ones
    grow if `enlarge`, else are padded. A recording's `binning` decides the shape.
    """

    channels: Annotated[int, Meta(ge=1, le=8192)]
    height: Annotated[int, Meta(ge=1, le=MAX_LONG_EDGE)]
    width: Annotated[int, Meta(ge=1, le=MAX_LONG_EDGE)]
    crop: tuple[_Pixels, _Pixels, _Pixels, _Pixels] = (0, 0, 0, 0)
    invert: bool = False
    enlarge: bool = True
    binning: Binning | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.channels, self.height, self.width

    @classmethod
    def of_recordings(cls, binning: Binning) -> "Preprocessing":
        return cls(*binning.shape, binning=binning)

    def described(self) -> dict[str, Any]:
        """Return the fields, for pictures without `binning`."""
        fields = asdict(self)
        if self.binning is None:
            del fields["binning"]
        return fields

    def __call__(self, picture: Image.Image) -> np.ndarray:
        """Return uint8 `[C, H, W]` of any picture. Raises `InputError` for an empty crop."""
        # Before slow decoding; the picture may lie on its side (EXIF).
        _require_room(min(map(self._room_for, (picture.size, picture.size[::-1])), key=math.prod))
        picture = plain(picture).convert("L" if self.channels == 1 else "RGB")
        _require_room(room := self._room_for(picture.size))
        if any(self.crop):
            left, top, right, bottom = self.crop
            if left + right >= picture.width or top + bottom >= picture.height:
                raise InputError(
                    f"has {picture.width}×{picture.height} pixels, and is too small: the crop "
                    f"{self.crop} leaves nothing of it."
                )
            picture = picture.crop((left, top, picture.width - right, picture.height - bottom))
        if self.invert:
            picture = ImageOps.invert(picture)
        picture = _padded(picture, room)
        size = (self.width, self.height)
        if room[0] > self.width or room[1] > self.height or self.enlarge:
            picture = picture.resize(size, Image.Resampling.BILINEAR)
        array = np.asarray(_padded(picture, size), dtype=np.uint8)
        return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))

    def _room_for(self, size: tuple[int, int]) -> tuple[int, int]:
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
            if binning.shape != preprocessing.shape:
                raise InputError(
                    f"the preprocessing's binning makes {list(binning.shape)}, and it says "
                    f"otherwise."
                )
        elif preprocessing.channels not in (1, 3):
            raise InputError(
                f"the preprocessing has {preprocessing.channels} channels: 1 (grey) or 3 (colour) "
                "are possible."
            )
        return preprocessing


def _padded(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    left, top = (size[0] - picture.width) // 2, (size[1] - picture.height) // 2
    return picture.crop((-left, -top, size[0] - left, size[1] - top))


def plain(picture: Image.Image) -> Image.Image:
    """Return `picture` upright (EXIF), with 8 bits a channel, without transparency.

    Transparency is laid on black; an alpha channel of zeros is ignored. 16-bit grey is divided by
    257. Mode `F` is 0 … 1 if all values are, else 0 … 255. Raises `InputError` without a finite
    value.
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
    if math.prod(padded) > MAX_PIXELS:
        raise too_large(MAX_PIXELS, f", padded to {padded[0]:,}×{padded[1]:,}")
