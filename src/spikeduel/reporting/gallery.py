"""Which images to show, and how one is encoded."""

from collections.abc import Iterator, Mapping
from functools import reduce
from pathlib import Path

import numpy as np
import torch

from spikeduel.data.prepared import Prepared
from spikeduel.networks.models import Model
from spikeduel.reporting import spikes, style
from spikeduel.spiking.encoders import rate
from spikeduel.spiking.random_keys import RandomKeys

RASTER_STEPS = 100
ANIMATION_STEPS = 40
MOST_SEARCHED = 2048


def of_rate_encoding(image: np.ndarray, folder: Path) -> list[Path]:
    """Writes the animation and the raster of `image` uint8 `[C, H, W]`, rate-encoded over 100
    steps.
    """
    batch = torch.from_numpy(image.copy()).unsqueeze(0)
    encoded = rate(batch, RASTER_STEPS, RandomKeys.for_content(batch))[:, 0].float().numpy()
    return [
        spikes.encoded_animation(encoded[:ANIMATION_STEPS], image, folder / "encoded.gif"),
        style.save(spikes.raster_of_diagonal(encoded, image), folder / "diagonal.png"),
    ]


def differing_image(
    models: Mapping[str, Model], prepared: Prepared, tests: Mapping[str, np.ndarray]
) -> int | None:
    """The first image on whose class `models` disagree, one of them being right; else the first on
    which they disagree, else the first. None where no image is a test image of all, as `tests` says
    by name.

    Looks at 2048 images at most. Random encodings draw as in evaluation.
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
    """`indices` in parts that double in size, so that a common case is found soon."""
    start, size = 0, first
    while start < len(indices):
        yield indices[start : start + size]
        start, size = start + size, min(2 * size, 512)


def telling_image(prepared: Prepared, test: np.ndarray) -> int:
    """Of the first 64 test images, the one with the most grey on its diagonal.

    Black and white pixels spike never and always: on grey ones a raster shows what rate encoding
    does.
    """
    candidates = test[:64]
    rows, columns = spikes.diagonal(*prepared.image_shape[1:])
    brightness = np.asarray(prepared.images[candidates])[:, :, rows, columns] / 255
    return int(candidates[(brightness * (1 - brightness)).mean((1, 2)).argmax()])
