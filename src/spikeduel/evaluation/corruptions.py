"""Seven corruptions of images at five severities.

Draws come from `RandomKeys`, by image index, the same at every severity. After Hendrycks and
Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations" (2019).
"""

import io
import math
from collections.abc import Callable, Iterable, Iterator
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from spikeduel.engine.random_keys import RandomKeys

OCCLUDER = 128
"""Grey level that shows on dark images and on bright ones."""

_UNIT = 1 << 16


def noise(images: Tensor, share: float, draw: RandomKeys) -> Tensor:
    """Add Gaussian noise to every pixel and channel, its standard deviation this share of white."""
    # 255 equally likely values of a normal distribution of variance 1.
    values = np.array([NormalDist().inv_cdf((level + 0.5) / 255) for level in range(255)])
    strengths = torch.from_numpy(values / values.std() * (255 * share))
    return _as_bytes(images + strengths[draw.levels(1, images)[0].long()])


def blur(images: Tensor, share: float, draw: RandomKeys) -> Tensor:
    """Blur with a Gaussian whose standard deviation is this share of the smaller side."""
    from scipy.ndimage import gaussian_filter

    sigma = share * min(images.shape[2:])
    # Continued edges: a dark margin would be a second corruption. Integers would be cut off twice.
    blurred = gaussian_filter(
        images.numpy(), (0, 0, sigma, sigma), output=np.float64, mode="nearest", truncate=3
    )
    return _as_bytes(torch.from_numpy(blurred))


def contrast(images: Tensor, share: float, draw: RandomKeys) -> Tensor:
    """Draw every pixel towards the image's mean; this share of its distance stays."""
    mean = images.sum((1, 2, 3), keepdim=True, dtype=torch.int64).double() / images[0].numel()
    return _as_bytes(mean + (images - mean) * share)


def occlusion(images: Tensor, share: float, draw: RandomKeys) -> Tensor:
    """Cover a grey rectangle somewhere, this share of each side."""
    down, right = draw.integers(_UNIT, _UNIT).unbind(1)
    height, width = images.shape[2:]
    rows, columns = _covered(down, height, share), _covered(right, width, share)
    return torch.where(rows[:, None, :, None] & columns[:, None, None, :], OCCLUDER, images)


def _covered(position: Tensor, length: int, share: float) -> Tensor:
    edge = max(1, round(share * length))
    start = (position * (length - edge + 1) // _UNIT)[:, None]
    along = torch.arange(length)
    return (along >= start) & (along < start + edge)


def rotation(images: Tensor, degrees: float, draw: RandomKeys) -> Tensor:
    """Turn by so many degrees, left or right; the corners get the border's median."""
    angle = math.radians(degrees)
    turn = 2 * draw.integers(2).double()[:, :, None] - 1
    cosine, sine = math.cos(angle), turn * math.sin(angle)
    x, y = _places(images)
    return _sampled(images, cosine * x + sine * y, cosine * y - sine * x)


def translation(images: Tensor, share: float, draw: RandomKeys) -> Tensor:
    """Move by this share of the side in some direction, by whole pixels; new pixels are the
    border's median.
    """
    height, width = images.shape[2:]
    directions = [math.radians(degree) for degree in draw.integers(360)[:, 0].tolist()]
    # Moving by parts of a pixel would blur as well.
    right, down = (
        torch.tensor([round(max(1.0, share * edge) * part(way)) for way in directions])
        for edge, part in ((width, math.cos), (height, math.sin))
    )
    x, y = _places(images)
    return _sampled(images, x - right[:, None, None], y - down[:, None, None])


def jpeg(images: Tensor, quality: int, draw: RandomKeys) -> Tensor:
    """Save as JPEG of this quality and read again; images are of one channel or of three."""
    pixels = images.movedim(1, -1).numpy()
    saved = np.empty_like(pixels)
    for image, decoded in zip(pixels, saved, strict=True):
        file = io.BytesIO()
        Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(
            file, "jpeg", quality=quality
        )
        decoded[:] = np.asarray(Image.open(file, formats=["jpeg"])).reshape(decoded.shape)
    return torch.from_numpy(saved).movedim(-1, 1)


def _places(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pixels' places from the centre: x `[1, 1, W]` and y `[1, H, 1]`."""
    height, width = images.shape[2:]
    x, y = (torch.arange(edge, dtype=torch.float64) - (edge - 1) / 2 for edge in (width, height))
    return x[None, None, :], y[None, :, None]


def _sampled(images: Tensor, x: Tensor, y: Tensor) -> Tensor:
    height, width = images.shape[2:]
    edges = (images[:, :, 0], images[:, :, -1], images[:, :, :, 0], images[:, :, :, -1])
    border = torch.cat(edges, 2)
    # Black wedges on a white background would be more than a rotation.
    background = border.median(2).values[:, :, None, None].double()
    x, y = torch.broadcast_tensors(x, y)
    grid = torch.stack((2 * x / width, 2 * y / height), -1)
    moved = F.grid_sample(images - background, grid, padding_mode="zeros", align_corners=False)
    return _as_bytes(moved + background)


def _as_bytes(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).to(torch.uint8)


class Corruption(NamedTuple):
    """A function `apply(images, strength, keys) -> images` on uint8 `[B, C, H, W]` on the CPU, and
    its `strengths` by severity.
    """

    apply: Callable[[Tensor, Any, RandomKeys], Tensor]
    strengths: tuple[float, ...]


SEVERITIES = (1, 2, 3, 4, 5)
CORRUPTIONS: dict[str, Corruption] = {
    "noise": Corruption(noise, (0.06, 0.12, 0.18, 0.26, 0.36)),
    "blur": Corruption(blur, (0.018, 0.024, 0.031, 0.04, 0.05)),
    "contrast": Corruption(contrast, (0.7, 0.5, 0.35, 0.22, 0.12)),
    "occlusion": Corruption(occlusion, (0.15, 0.25, 0.35, 0.45, 0.55)),
    "rotation": Corruption(rotation, (8.0, 16.0, 24.0, 32.0, 40.0)),
    "translation": Corruption(translation, (0.04, 0.08, 0.12, 0.17, 0.22)),
    "jpeg": Corruption(jpeg, (30, 18, 12, 8, 5)),
}


def corrupt(name: str, images: Tensor, severity: int, indices: np.ndarray) -> Tensor:
    """Corrupt `images` uint8 `[B, C, H, W]` of data set `indices` `[B]`, always in the same way."""
    corruption, keys = CORRUPTIONS[name], RandomKeys.for_corruption(name, indices)
    return corruption.apply(images.cpu(), corruption.strengths[severity - 1], keys).to(
        images.device
    )


def corrupted(batches: Iterable[Any], name: str, severity: int) -> Iterator[Any]:
    """Yield `batches` with every image corrupted."""
    for images, labels, indices in batches:
        yield corrupt(name, images, severity, indices), labels, indices
