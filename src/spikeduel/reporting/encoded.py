"""Rate encoding, shown: an image as spikes in a moving picture, and its diagonal as a raster."""

import io
from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from spikeduel.data.prepared import Prepared
from spikeduel.networks.models import Model
from spikeduel.reporting import charts, pictures
from spikeduel.results.words.numbers import counted
from spikeduel.spiking.encoders import rate
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.system import files

RASTER_STEPS, ANIMATION_STEPS = 100, 40
MOST_SEARCHED = 2048
"""Test images among which one is looked for on which models differ."""
LARGEST_BYTES = 300_000
PANEL, NARROWEST = 224, 140
"""Pixels of a picture in the animation, and of its column at least."""
GAP, BAND, INKS = 16, 30, 8
SPIKE_MS, LAST_MS = 150, 2000
"""Milliseconds of a frame, and of the last one."""
FONT_FILE = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
_RATES = 120
"""Pixels of the part of a raster that shows rates."""


def rate_encoding(image: np.ndarray) -> tuple[str, str, str]:
    """Return the animation, its last frame and the raster of an image, as data URIs.

    `image` is uint8 `[C, H, W]`, encoded over 100 steps.
    """
    batch = torch.from_numpy(image.copy()).unsqueeze(0)
    encoded = rate(batch, RASTER_STEPS, RandomKeys.for_content(batch))[:, 0].float().numpy()
    moving = encoded[:ANIMATION_STEPS]
    gif = animation(lambda levels: encoded_frames(moving, image, levels))
    still = encoded_frames(moving, image)[-1], raster_of_diagonal(encoded, image)
    return (
        pictures.data_uri(gif, "gif"),
        *(pictures.data_uri(_png(picture), "png") for picture in still),  # type: ignore[return-value]
    )


def _png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


def encoded_animation(encoded: np.ndarray, image: np.ndarray, path: Path) -> Path:
    """Write a GIF: the image, the spikes of each step, and their mean so far; return `path`.

    `encoded` is `[T, C, H, W]` of 0 and 1, `image` uint8 `[C, H, W]`. A frame is a step; a file
    over 300 KB gets fewer shades, then fewer steps. The last frame is also written as PNG.
    """
    with files.atomic_path(path) as temporary:
        temporary.write_bytes(animation(lambda levels: encoded_frames(encoded, image, levels)))
    with files.atomic_path(path.with_suffix(".png")) as temporary:
        temporary.write_bytes(_png(encoded_frames(encoded, image)[-1]))
    return path


def animation(
    draw: Callable[[int], list[Image.Image]],
    step_ms: int = SPIKE_MS,
    most_bytes: int = LARGEST_BYTES,
) -> bytes:
    """Return a GIF of at most `most_bytes`, of the frames that `draw` makes of so many shades."""
    for levels, every in ((64, 1), (24, 1), (16, 2), (12, 3), (8, 4), (8, 8)):
        frames = draw(levels)
        first, *others = frames[every - 1 :: every] or frames[-1:]
        durations = [step_ms] * len(others) + [LAST_MS]
        # Pillow's own writing to a file does not say why it failed, such as that the disk is full.
        written = io.BytesIO()
        first.save(
            written,
            format="GIF",
            save_all=True,
            append_images=others,
            duration=durations,
            loop=0,
            disposal=1,
        )
        if written.tell() <= most_bytes:
            break
    return written.getvalue()


def encoded_frames(encoded: np.ndarray, image: np.ndarray, levels: int = 64) -> list[Image.Image]:
    """Return the animation's frames, one a step, in mode P with `levels` shades (at most 6 a
    channel of a colour image).
    """
    channels, height, width = image.shape
    shades = min(levels, 6) if channels == 3 else levels
    # Every mixture of three channels' shades, or greys.
    grid = (
        np.indices([shades] * 3).reshape(3, -1).T
        if channels == 3
        else np.arange(shades)[:, None].repeat(3, 1)
    )
    colours = np.round(grid * 255 / (shades - 1)).astype(int)
    # Captions have inks of their own, white the last.
    inks = np.round(np.linspace([31, 41, 51], [255, 255, 255], INKS)).astype(int)
    palette = np.concatenate([colours, inks])
    scale = max(1, PANEL // max(height, width))
    size = (width * scale, height * scale)
    column_width = max(size[0], NARROWEST)
    font = ImageFont.truetype(FONT_FILE, 12)
    spikes = np.asarray(encoded, dtype=np.float64)
    means = spikes.cumsum(0) / np.arange(1, len(spikes) + 1).reshape(-1, 1, 1, 1)
    frames = []
    for step, (spike, mean) in enumerate(zip(spikes, means, strict=True), 1):
        frame = Image.new("P", (3 * column_width + 4 * GAP, size[1] + BAND + GAP), len(palette) - 1)
        frame.putpalette(palette.ravel().tolist())
        captions = ("the image", f"spikes at step {step}", f"mean of {counted(step, 'step')}")
        for column, (values, caption) in enumerate(
            zip((image / 255, spike, mean), captions, strict=True)
        ):
            left = GAP + column * (column_width + GAP)
            frame.paste(_caption(caption, font, len(colours)), (left, 8))
            picture = Image.fromarray(_indices(values, shades)).resize(
                size, Image.Resampling.NEAREST
            )
            frame.paste(picture, (left, BAND))
        frames.append(frame)
    return frames


def _caption(text: str, font: ImageFont.FreeTypeFont, darkest: int) -> Image.Image:
    """Return `text` in the palette's inks, which begin at `darkest` and end with white."""
    paper = Image.new("L", (NARROWEST, 18), 255)
    ImageDraw.Draw(paper).text((0, 1), text, fill=0, font=font)
    inks = np.round(np.asarray(paper) / 255 * (INKS - 1)).astype(np.uint8)
    return Image.fromarray((inks + darkest).astype(np.uint8))


def _indices(values: np.ndarray, shades: int) -> np.ndarray:
    """Return palette indices uint8 `[H, W]` of `[C, H, W]` in [0, 1]."""
    if values.shape[0] == 3:
        steps = np.round(values * (shades - 1)).astype(int)
        return (steps[0] * shades**2 + steps[1] * shades + steps[2]).astype(np.uint8)
    return np.round(values.mean(0) * (shades - 1)).astype(np.uint8)


def raster_of_diagonal(encoded: np.ndarray, image: np.ndarray) -> Image.Image:
    """Return spikes of the pixels on an image's diagonal, a row each, over time from the left.

    `encoded` is `[T, C, H, W]` of 0 and 1, `image` uint8 `[C, H, W]`. At the right of each row: the
    share of steps with a spike as a bar, and the pixel's brightness as a stroke.
    """
    num_steps, channels, height, width = encoded.shape
    rows, columns = diagonal(height, width)
    inks = charts.CHANNEL_COLOURS if channels == 3 else (charts.INK,) * channels
    colours = np.array([[int(ink[k : k + 2], 16) for k in (1, 3, 5)] for ink in inks])
    # Channels of one pixel lie beside one another within its row.
    spikes = np.asarray(encoded)[:, :, rows, columns].transpose(2, 1, 0).reshape(-1, num_steps)
    colour = np.tile(colours, (len(rows), 1))[:, None]
    raster = np.where(spikes[..., None] > 0, colour, 255)
    reached = np.arange(_RATES) / _RATES
    bars = np.where(
        (reached < spikes.mean(1, keepdims=True))[..., None], 255 - (255 - colour) // 3, 255
    )
    bright = np.round(image[:, rows, columns].T.reshape(-1) / 255 * (_RATES - 2)).astype(int)
    bars[np.arange(len(bright)), bright] = colour[:, 0]
    bars[np.arange(len(bright)), bright + 1] = colour[:, 0]
    scale = max(2, PANEL // len(spikes))
    gap = np.full((len(spikes) * scale, GAP, 3), 255)
    parts = (raster.repeat(4, 1).repeat(scale, 0), gap, bars.repeat(scale, 0))
    return Image.fromarray(np.concatenate(parts, 1).astype(np.uint8))


def diagonal(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of the pixels from the top left to the bottom right corner."""
    rows, columns = (
        np.round(np.linspace(0, side - 1, max(height, width))).astype(int)
        for side in (height, width)
    )
    return rows, columns


# ---- images that show something


def differing_image(
    models: Mapping[str, Model], prepared: Prepared, tests: Mapping[str, np.ndarray]
) -> int | None:
    """Return the first image on whose class `models` disagree, one of them being right; else the
    first on which they disagree, else the first. None where no image is a test image of all models,
    by the indices in `tests`.

    Searches 2,048 images at most. Random encodings draw as in evaluation.
    """
    first, *others = (tests[name] for name in models)
    common = first[np.isin(first, reduce(np.intersect1d, others, first))][:MOST_SEARCHED]
    disputed = None
    for part in _parts(common):
        images, keys = np.asarray(prepared.images[part]), RandomKeys.for_evaluation(part)
        predicted = np.stack([model.predict(images, keys)[0] for model in models.values()])
        differ = (predicted != predicted[0]).any(0)
        telling = differ & (predicted == np.asarray(prepared.labels)[part]).any(0)
        if telling.any():
            return int(part[telling.argmax()])
        if disputed is None and differ.any():
            disputed = int(part[differ.argmax()])
    return disputed if disputed is not None or not len(common) else int(common[0])


def _parts(indices: np.ndarray, first: int = 64) -> Iterator[np.ndarray]:
    """Yield `indices` in parts that double in size, so that a common case is found soon."""
    start, size = 0, first
    while start < len(indices):
        yield indices[start : start + size]
        start, size = start + size, min(2 * size, 512)


def telling_image(prepared: Prepared, test: np.ndarray) -> int:
    """Return the index, among the first 64 test images, of that with the most grey on its diagonal.

    Black and white pixels spike never and always; grey ones show what rate encoding does.
    """
    candidates = test[:64]
    rows, columns = diagonal(*prepared.image_shape[1:])
    brightness = np.asarray(prepared.images[candidates])[:, :, rows, columns] / 255
    return int(candidates[(brightness * (1 - brightness)).mean((1, 2)).argmax()])
