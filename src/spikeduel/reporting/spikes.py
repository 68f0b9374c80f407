"""What encoded images look like: as a moving picture, and their diagonal as a raster."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from spikeduel.reporting import style
from spikeduel.system import files
from spikeduel.system.sentences import counted

LARGEST_BYTES = 300_000
PANEL, NARROWEST = 224, 140
"""Pixels of a picture in the animation, and of its column at least."""
GAP, BAND = 16, 30
INKS = 8
SPIKE_MS, LAST_MS = 150, 2000
"""How long a frame stays, and the last one, in ms."""


def encoded_animation(encoded: np.ndarray, image: np.ndarray, path: Path) -> Path:
    """Writes a GIF: the image, the spikes of each step, and their mean so far, which comes ever
    closer to the image.

    `encoded` is `[T, C, H, W]` of 0 and 1, `image` uint8 `[C, H, W]`. A frame a step; where the
    file would exceed
    300 KB, fewer shades, then every second step, and so on. The last frame is also written as PNG, beside it.
    """
    with files.atomic_path(path) as temporary:
        temporary.write_bytes(animation(lambda levels: encoded_frames(encoded, image, levels)))
    with files.atomic_path(path.with_suffix(".png")) as temporary:
        encoded_frames(encoded, image)[-1].save(temporary, format="PNG")
    return path


def animation(
    drawn: Callable[[int], list[Image.Image]],
    step_ms: int = SPIKE_MS,
    most_bytes: int = LARGEST_BYTES,
) -> bytes:
    """The frames that `drawn` makes with so many shades, as a GIF of at most so many bytes."""
    for levels, every in ((64, 1), (24, 1), (16, 2), (12, 3), (8, 4), (8, 8)):
        frames = drawn(levels)
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
    """The animation's frames, one a step, in mode P with `levels` shades (a channel, with colour:
    at most 6).
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
    font = ImageFont.truetype(style.FONT_FILE, 12)
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
    """`text` in the palette's inks, of which the `darkest` comes first and white last."""
    paper = Image.new("L", (NARROWEST, 18), 255)
    ImageDraw.Draw(paper).text((0, 1), text, fill=0, font=font)
    inks = np.round(np.asarray(paper) / 255 * (INKS - 1)).astype(np.uint8)
    return Image.fromarray((inks + darkest).astype(np.uint8))


def _indices(values: np.ndarray, shades: int) -> np.ndarray:
    """Palette indices uint8 `[H, W]` for `[C, H, W]` in [0, 1]."""
    if values.shape[0] == 3:
        steps = np.round(values * (shades - 1)).astype(int)
        return (steps[0] * shades**2 + steps[1] * shades + steps[2]).astype(np.uint8)
    return np.round(values.mean(0) * (shades - 1)).astype(np.uint8)


def raster_of_diagonal(encoded: np.ndarray, image: np.ndarray) -> Figure:
    """Spikes of the pixels on an image's diagonal, a row each, over time.

    `encoded` is `[T, C, H, W]` of 0 and 1, `image` uint8 `[C, H, W]`. Beside the raster: the image
    with its diagonal marked, and how often each pixel fired against its brightness.
    """
    num_steps, channels, height, width = encoded.shape
    rows, columns = diagonal(height, width)
    spikes = np.asarray(encoded)[:, :, rows, columns]
    figure = style.new_figure(3.6)
    left, middle, right = figure.subplots(1, 3, width_ratios=[1.25, 3, 0.75])
    style.show_image(left, image, "image and diagonal")
    left.plot(columns[[0, -1]], rows[[0, -1]], color=style.SPIKING_COLOURS[0], linewidth=1.2)
    style.quiet(middle, f"spikes over {num_steps} steps", x="time step", y="diagonal pixel")
    style.quiet(right, "spike rate", x="share of steps")
    colours = style.CHANNEL_COLOURS if channels == 3 else (style.INK,) * channels
    for channel, colour in enumerate(colours):
        # Channels of one pixel lie beside one another within its row.
        places = np.arange(len(rows)) + (channel - (channels - 1) / 2) / channels * 0.9
        marks(middle, spikes[:, channel], places, colour, height=0.72 / channels)
        rates = spikes[:, channel].mean(0)
        right.barh(places, rates, height=0.9 / channels, color=colour, alpha=0.35, linewidth=0)
        right.plot(image[channel, rows, columns] / 255, places, color=colour, linewidth=1.0)
    for axes in (middle, right):
        axes.set_ylim(len(rows) - 0.5, -0.5)
    middle.set_xlim(-1, num_steps)
    right.set_xlim(0, 1.02)
    right.set_yticks([])
    style.per_cent_axis(right.xaxis)
    right.set_xticks([0, 1])
    return figure


def marks(
    axes: Axes,
    spikes: np.ndarray,
    positions: np.ndarray,
    colour: str,
    width: float = 1.0,
    height: float = 0.72,
) -> None:
    """A mark for each spike of `spikes` `[T, N]`, at its step, in the rows `positions` `[N]`."""
    steps, neurons = np.nonzero(spikes)
    rows = positions[neurons]
    axes.vlines(steps, rows - height / 2, rows + height / 2, color=colour, linewidth=width)


def diagonal(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels from the top left to the bottom right corner."""
    rows, columns = (
        np.round(np.linspace(0, side - 1, max(height, width))).astype(int)
        for side in (height, width)
    )
    return rows, columns
