"""Pictures of a page: images with words below them."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from spikeduel.auditing.audit_results import AuditedImage, Pair, SuspectLabel
from spikeduel.data.events.recordings import picture_of
from spikeduel.data.prepared import Prepared

MAX_SAMPLES = 10
MAX_PICTURED = 12
"""Pairs of equal images, or doubtful labels, in pictures."""
MAX_SIZE = 160
"""Largest side of a picture in pixels."""
_SPLITS = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Picture:
    """Images with a title, red if it `warns`: a data URI each, and the words below it."""

    title: str
    images: tuple[tuple[str, str], ...]
    warns: bool = False


def as_picture(image: np.ndarray) -> np.ndarray:
    """Return `[H, W]` or `[H, W, 3]` of an image, or of all events of a recording."""
    if image.ndim == 2 or (image.shape[-1] == 3 and image.shape[0] not in (1, 3)):
        return image
    if image.shape[0] == 3:
        return np.moveaxis(image, 0, -1)
    return image[0] if image.shape[0] == 1 else picture_of(image.sum(0))


def small(image: np.ndarray, edge: int) -> Image.Image:
    """Return a uint8 image as a picture, at most `edge` pixels wide and high."""
    picture = Image.fromarray(as_picture(image))
    picture.thumbnail((edge, edge), Image.Resampling.LANCZOS)
    return picture


def data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def source(picture: Image.Image | np.ndarray, edge: int = MAX_SIZE) -> str:
    """Return a picture, or a uint8 image made `small`, as a data URI."""
    content = io.BytesIO()
    image = small(picture, edge) if isinstance(picture, np.ndarray) else picture
    image.save(content, "PNG")
    return data_uri(content.getvalue(), "png")


def samples(prepared: Prepared) -> list[Picture]:
    """Return a prepared image of each class, beside the original if at hand."""
    originals = dict(prepared.samples[:MAX_SAMPLES])
    firsts = np.unique(np.asarray(prepared.labels), return_index=True)[1].tolist()
    _, height, width = prepared.image_shape
    gallery = []
    for index in list(originals) or firsts[:MAX_SAMPLES]:
        images = [(source(np.asarray(prepared.pictures[index])), f"prepared, {width}×{height}")]
        if index in originals:
            high, wide = originals[index].shape[:2]
            images.insert(0, (source(originals[index]), f"original, {wide}×{high}"))
        gallery.append(Picture(prepared.classes[int(prepared.labels[index])], tuple(images)))
    return gallery


def pairs(listed: Sequence[Pair], prepared: Prepared) -> list[Picture]:
    """Return both images of each pair; different labels are red."""
    gallery = []
    for pair in listed[:MAX_PICTURED]:
        both = (pair.a, pair.b)
        images = tuple(_named(image, _SPLITS[image.split], prepared) for image in both)
        title = " / ".join(dict.fromkeys(image.label for image in both))
        kind = pair.kind.removesuffix(" in two splits")
        gallery.append(Picture(f"{title}: {kind}", images, pair.a.label != pair.b.label))
    return gallery


def labels(listed: Sequence[SuspectLabel], prepared: Prepared) -> list[Picture]:
    """Return images whose label looks wrong: the label, the suggested one and its probability."""
    return [
        Picture(
            f"{suspect.image.label} → {suspect.suggested}",
            (_named(suspect.image, f"{suspect.suggested_probability:.0%}", prepared),),
        )
        for suspect in listed[:MAX_PICTURED]
    ]


def _named(image: AuditedImage, words: str, prepared: Prepared) -> tuple[str, str]:
    """Return an image's source, and words with its name."""
    name = Path(image.file).name if image.file else f"image {image.index}"
    return source(np.asarray(prepared.pictures[image.index])), f"{words}, {name}"
