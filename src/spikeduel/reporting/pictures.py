"""Pictures of a page: images with a few words each, in rows that break as the page is wide."""

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
from spikeduel.system.errors import visible

MOST_SAMPLES = 10
MOST_PICTURED = 12
"""Pairs of equal images, or doubtful labels, in pictures."""
LARGEST_SIDE = 160
"""Pixels of a picture at most, in the file."""
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
    """Return `[H, W]` or `[H, W, 3]` of `[C, H, W]`, `[H, W]` or `[H, W, 3]`; of a recording's
    frames, all events over one another.
    """
    if image.ndim == 2 or (image.shape[-1] == 3 and image.shape[0] not in (1, 3)):
        return image
    if image.shape[0] == 3:
        return np.moveaxis(image, 0, -1)
    return image[0] if image.shape[0] == 1 else picture_of(image.sum(0))


def data_uri(content: bytes, kind: str) -> str:
    """Return a picture file as an address that contains it."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def source(image: np.ndarray, side: int = LARGEST_SIDE) -> str:
    """Return a uint8 image as a data URI, at most `side` pixels wide and high."""
    picture, content = Image.fromarray(as_picture(image)), io.BytesIO()
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    picture.save(content, "PNG")
    return data_uri(content.getvalue(), "png")


def samples(prepared: Prepared) -> Gallery:
    """Return one image of each class as prepared, beside the original where that is at hand."""
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


def corruptions(image: np.ndarray, index: int) -> dict[str, list[str]]:
    """Return the sources of a test image uint8 `[C, H, W]` under each corruption: clean, then at
    each severity, as the measure drew them.
    """
    batch, number = torch.from_numpy(np.array(image))[None], np.array([index])
    clean = source(image)
    return {
        name: [
            clean,
            *(source(corrupt(name, batch, severity, number)[0].numpy()) for severity in SEVERITIES),
        ]
        for name in CORRUPTIONS
    }
