"""An encoded image as a moving picture."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from spikeduel.reporting import style
from spikeduel.system import files

LARGEST_BYTES = 300_000
PANEL = 224
GAP, BAND = 16, 30
INKS = 8
SPIKE_MS, LAST_MS = 150, 2000
"""How long a frame stays, and the last one, in ms."""


def encoded_animation(encoded: np.ndarray, image: np.ndarray, path: Path) -> Path:
    """Writes a GIF: the image, the spikes of each step, and their mean so far, which comes ever closer to the image.

    `encoded` is `[T, C, H, W]` of 0 and 1, `image` uint8 `[C, H, W]`. A frame a step; where the file would exceed
    300 KB, fewer shades, then every second step, and so on. The last frame is also written as PNG, beside it.
    """
    for levels, every in ((64, 1), (24, 1), (16, 2), (12, 3), (8, 4), (8, 8)):
        frames = encoded_frames(encoded, image, levels)
        kept = frames[every - 1 :: every] or frames[-1:]
        durations = [SPIKE_MS] * (len(kept) - 1) + [LAST_MS]
        # Pillow's own writing to a file does not say why it failed, such as that the disk is full.
        animation = io.BytesIO()
        kept[0].save(
            animation,
            format="GIF",
            save_all=True,
            append_images=kept[1:],
            duration=durations,
            loop=0,
            disposal=1,
        )
        if animation.tell() <= LARGEST_BYTES:
            break
    with files.atomic_path(path) as temporary:
        temporary.write_bytes(animation.getvalue())
    with files.atomic_path(path.with_suffix(".png")) as temporary:
        frames[-1].save(temporary, format="PNG")
    return path


def encoded_frames(encoded: np.ndarray, image: np.ndarray, levels: int = 64) -> list[Image.Image]:
    """The animation's frames, one a step, in mode P with `levels` shades (a channel, with colour: at most 6)."""
    channels = image.shape[0]
    palette, shades = _palette(channels, levels)
    height, width = image.shape[1:]
    scale = max(1, PANEL // max(height, width))
    size = (width * scale, height * scale)
    font = ImageFont.truetype(style.FONT_FILE, 12)
    spikes = np.asarray(encoded, dtype=np.float64)
    means = spikes.cumsum(0) / np.arange(1, len(spikes) + 1).reshape(-1, 1, 1, 1)
    frames = []
    for step, (spike, mean) in enumerate(zip(spikes, means, strict=True), 1):
        frame = Image.new("P", (3 * max(size[0], 140) + 4 * GAP, size[1] + BAND + GAP), len(palette) // 3 - 1)
        frame.putpalette(palette)
        captions = ("the image", f"spikes at step {step}", f"mean of {step} step{'s' if step > 1 else ''}")
        for column, (values, caption) in enumerate(zip((image / 255, spike, mean), captions, strict=True)):
            left = GAP + column * (max(size[0], 140) + GAP)
            frame.paste(_caption(caption, font, len(palette) // 3 - INKS), (left, 8))
            panel = Image.fromarray(_indices(values, shades)).resize(size, Image.Resampling.NEAREST)
            frame.paste(panel, (left, BAND))
        frames.append(frame)
    return frames


def _palette(channels: int, levels: int) -> tuple[list[int], int]:
    """The palette's bytes, from ink to white at the end, and the number of shades a channel."""
    if channels == 3:
        shades = min(levels, 6)
        grid = np.stack(np.meshgrid(*[np.arange(shades)] * 3, indexing="ij"), -1).reshape(-1, 3)
    else:
        shades = levels
        grid = np.arange(shades).repeat(3).reshape(-1, 3)
    colours = np.round(grid * 255 / (shades - 1)).astype(int)
    inks = np.round(np.linspace([31, 41, 51], [255, 255, 255], INKS)).astype(int)
    return [*colours.ravel().tolist(), *inks.ravel().tolist()], shades


def _caption(text: str, font: ImageFont.FreeTypeFont, darkest: int) -> Image.Image:
    """`text` in the palette's inks, of which the `darkest` comes first and white last."""
    paper = Image.new("L", (140, 18), 255)
    ImageDraw.Draw(paper).text((0, 1), text, fill=0, font=font)
    inks = np.round(np.asarray(paper) / 255 * (INKS - 1)).astype(np.uint8)
    return Image.fromarray((inks + darkest).astype(np.uint8))


def _indices(values: np.ndarray, shades: int) -> np.ndarray:
    """Palette indices uint8 `[H, W]` for `[C, H, W]` in [0, 1]."""
    steps = np.round(values * (shades - 1)).astype(int)
    if values.shape[0] == 3:
        return (steps[0] * shades**2 + steps[1] * shades + steps[2]).astype(np.uint8)
    return np.round(values.mean(0) * (shades - 1)).astype(np.uint8)
