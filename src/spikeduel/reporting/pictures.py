"""Pictures of a page: images with a few words each, rate encoding as a moving picture."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from spikeduel.data.events.recordings import picture_of
from spikeduel.data.prepared import Prepared
from spikeduel.measuring.robustness import CORRUPTIONS, SEVERITIES, corrupt
from spikeduel.results.audit import AuditedImage, Pair, SuspectLabel
from spikeduel.spiking.encoders import rate
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.system.errors import visible

MOST_SAMPLES = 10
MOST_PICTURED = 12
"""Pairs of equal images, or doubtful labels, in pictures."""
LARGEST_SIDE, ENCODED_SIDE = 160, 64
"""Pixels of a picture at most, in the file; of an image that is shown encoded."""
ENCODED_STEPS, SPIKE_MS, LAST_MS = 40, 150, 2000
"""Time steps of a moving picture, and milliseconds of a frame and of the last one."""
GAP = 4
_SIDES = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Picture:
    """A title, in red if it `warns`, and images: a data URI each, and the words below it."""

    title: str
    images: tuple[tuple[str, str], ...]
    warns: bool = False


class Gallery(list[Picture]):
    """Pictures that a notebook shows."""

    def _repr_html_(self) -> str:
        shown = [
            f'<figure style="display:inline-block;margin:6px">{escape(visible(picture.title))}<br>'
            f'<img src="{address}" width="88"><br><small>{escape(visible(words))}</small></figure>'
            for picture in self
            for address, words in picture.images
        ]
        return "".join(shown)


def as_picture(image: np.ndarray) -> np.ndarray:
    """Return `[H, W]` or `[H, W, 3]` of an image, or of all events of a recording."""
    if image.ndim == 2 or (image.shape[-1] == 3 and image.shape[0] not in (1, 3)):
        return image
    if image.shape[0] == 3:
        return np.moveaxis(image, 0, -1)
    return image[0] if image.shape[0] == 1 else picture_of(image.sum(0))


def small(image: np.ndarray, side: int) -> Image.Image:
    """Return a uint8 image as a picture, at most `side` pixels wide and high."""
    picture = Image.fromarray(as_picture(image))
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture


def data_uri(content: bytes, kind: str) -> str:
    """Return a picture file as a data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def source(picture: Image.Image | np.ndarray, side: int = LARGEST_SIDE) -> str:
    """Return a picture, or a uint8 image made `small`, as a data URI."""
    content = io.BytesIO()
    shown = small(picture, side) if isinstance(picture, np.ndarray) else picture
    shown.save(content, "PNG")
    return data_uri(content.getvalue(), "png")


def samples(prepared: Prepared) -> Gallery:
    """Return a prepared image of each class, beside the original where that is at hand."""
    originals = dict(prepared.samples[:MOST_SAMPLES])
    firsts = np.unique(np.asarray(prepared.labels), return_index=True)[1].tolist()
    _, height, width = prepared.image_shape
    shown = Gallery()
    for index in list(originals) or firsts[:MOST_SAMPLES]:
        images = [(source(np.asarray(prepared.pictures[index])), f"prepared, {width}×{height}")]
        if index in originals:
            high, wide = originals[index].shape[:2]
            images.insert(0, (source(originals[index]), f"original, {wide}×{high}"))
        shown.append(Picture(prepared.classes[int(prepared.labels[index])], tuple(images)))
    return shown


def pairs(listed: Sequence[Pair], prepared: Prepared) -> list[Picture]:
    """Return both images of each pair; different labels are red."""
    shown = []
    for pair in listed[:MOST_PICTURED]:
        both = (pair.a, pair.b)
        words = [f"{_SIDES[image.side]}, {_called(image)}" for image in both]
        sources = [source(np.asarray(prepared.pictures[image.index])) for image in both]
        title = " / ".join(dict.fromkeys(image.label for image in both))
        images = tuple(zip(sources, words, strict=True))
        shown.append(Picture(title, images, pair.a.label != pair.b.label))
    return shown


def labels(listed: Sequence[SuspectLabel], prepared: Prepared) -> list[Picture]:
    """Return images whose label looks wrong: the label, the suggested one and its probability."""
    shown = []
    for suspect in listed[:MOST_PICTURED]:
        image = source(np.asarray(prepared.pictures[suspect.image.index]))
        words = f"{suspect.suggested_probability:.0%}, {_called(suspect.image)}"
        title = f"{suspect.image.label} → {suspect.suggested}"
        shown.append(Picture(title, ((image, words),)))
    return shown


def _called(image: AuditedImage) -> str:
    return Path(image.file).name if image.file else f"image {image.index}"


def telling_image(prepared: Prepared, test: np.ndarray) -> int:
    """Return the greyest of the first 64 test images: black and white pixels spike never and
    always.
    """
    brightness = np.asarray(prepared.images[test[:64]]) / 255
    return int(test[(brightness * (1 - brightness)).mean((1, 2, 3)).argmax()])


def corruptions(image: np.ndarray, index: int) -> dict[str, list[str]]:
    """Return the sources of a test image uint8 `[C, H, W]` under each corruption: clean, then each
    severity.
    """
    batch, number = torch.from_numpy(np.array(image))[None], np.array([index])
    return {
        name: [
            source(image),
            *(source(corrupt(name, batch, severity, number)[0].numpy()) for severity in SEVERITIES),
        ]
        for name in CORRUPTIONS
    }


def gif(frames: Sequence[Image.Image], step_ms: int) -> bytes:
    """Return a GIF that shows the last frame longest and goes on for ever."""
    content, durations = io.BytesIO(), [step_ms] * (len(frames) - 1) + [LAST_MS]
    first, *others = frames
    first.save(content, "GIF", save_all=True, append_images=others, duration=durations, loop=0)
    return content.getvalue()


def encoded_animation(encoded: np.ndarray, image: np.ndarray, scale: int = 1) -> bytes:
    """Return a GIF with a frame a step: the image, the step's spikes, and their mean so far.

    `encoded` is `[T, C, H, W]` of 0 and 1, `image` uint8 `[C, H, W]`; a pixel is `scale` wide.
    """
    return gif(_encoded_frames(encoded, image, scale), SPIKE_MS)


def _encoded_frames(encoded: np.ndarray, image: np.ndarray, scale: int) -> list[Image.Image]:
    gap = np.full((*image.shape[:2], GAP), 255)
    means = np.cumsum(encoded, 0) / np.arange(1, len(encoded) + 1).reshape(-1, 1, 1, 1)
    rows = [
        np.concatenate([image, gap, 255 * spikes, gap, 255 * mean], axis=2)
        for spikes, mean in zip(encoded, means, strict=True)
    ]
    wide = [np.rint(row).astype(np.uint8).repeat(scale, 1).repeat(scale, 2) for row in rows]
    return [Image.fromarray(as_picture(row)) for row in wide]


def rate_encoding(image: np.ndarray) -> tuple[str, str]:
    """Return the animation of a uint8 image `[C, H, W]` and its last frame, as data URIs."""
    shown = np.asarray(small(image, ENCODED_SIDE))
    batch = torch.from_numpy(shown.reshape(*shown.shape[:2], -1).copy()).permute(2, 0, 1)[None]
    encoded = rate(batch, ENCODED_STEPS, RandomKeys.for_content(batch))[:, 0].float().numpy()
    frames = _encoded_frames(encoded, batch[0].numpy(), 1)
    return data_uri(gif(frames, SPIKE_MS), "gif"), source(frames[-1])
