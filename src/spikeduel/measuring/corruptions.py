"""Seven ways to spoil an image, each at five severities, alike for every contender.

What is drawn comes from `RandomKeys`, by image index, and is the same at every severity: the noise, direction or
place stays, its strength grows. Sizes are shares of the image's side, so that images of any size are corrupted alike;
the blocks
of JPEG alone are always 8×8 pixels. Nothing depends on how images are batched: sums are exact, and every image is
worked on alone. The kinds follow Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations" (2019); the severities are this module's own.
"""

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from spikeduel.spiking.random_keys import RandomKeys

SEVERITIES = (1, 2, 3, 4, 5)

NOISE = (0.06, 0.12, 0.18, 0.26, 0.36)
BLUR = (0.018, 0.024, 0.031, 0.04, 0.05)
CONTRAST = (0.7, 0.5, 0.35, 0.22, 0.12)
OCCLUSION = (0.15, 0.25, 0.35, 0.45, 0.55)
ROTATION = (8.0, 16.0, 24.0, 32.0, 40.0)
TRANSLATION = (0.04, 0.08, 0.12, 0.17, 0.22)
JPEG_QUALITY = (30, 18, 12, 8, 5)
OCCLUDER = 128
"""Grey: seen on dark images and on bright ones."""

_UNIT = 1 << 16


def noise(images: Tensor, severity: int, draw: RandomKeys) -> Tensor:
    """Gaussian noise on every pixel and channel; its standard deviation is 6 to 36 % of white."""
    # 255 equally likely values of a normal distribution, scaled to a variance of 1.
    values = np.array([NormalDist().inv_cdf((level + 0.5) / 255) for level in range(255)])
    strengths = torch.from_numpy(values / values.std() * (255 * NOISE[severity - 1]))
    return _as_bytes(images + strengths[draw.levels(1, images)[0].long()])


def blur(images: Tensor, severity: int, draw: RandomKeys) -> Tensor:
    """Gaussian blur; its standard deviation is 1.8 to 5 % of the smaller side."""
    from scipy.ndimage import gaussian_filter

    sigma = BLUR[severity - 1] * min(images.shape[2:])
    # Edges are continued: a dark margin would be a second corruption. Of floats, as integers would be cut off twice.
    blurred = gaussian_filter(images.numpy(), (0, 0, sigma, sigma), output=np.float64, mode="nearest", truncate=3)
    return _as_bytes(torch.from_numpy(blurred))


def contrast(images: Tensor, severity: int, draw: RandomKeys) -> Tensor:
    """Every pixel drawn towards the image's mean: 70 to 12 % of its distance stay."""
    mean = images.sum((1, 2, 3), keepdim=True, dtype=torch.int64).double() / images[0].numel()
    return _as_bytes(mean + (images - mean) * CONTRAST[severity - 1])


def occlusion(images: Tensor, severity: int, draw: RandomKeys) -> Tensor:
    """A grey rectangle somewhere in the image, 15 to 55 % of each side."""
    down, right = draw.integers(_UNIT, _UNIT).unbind(1)
    height, width = images.shape[2:]
    share = OCCLUSION[severity - 1]
    covered = _covered(down, height, share)[:, None, :, None] & _covered(right, width, share)[:, None, None, :]
    return torch.where(covered, OCCLUDER, images)


def _covered(place: Tensor, length: int, share: float) -> Tensor:
    """bool `[B, length]`: a run of `share` of it, from the start (`place` 0) to the end (`place` near `_UNIT`)."""
    side = max(1, round(share * length))
    start = (place * (length - side + 1) // _UNIT)[:, None]
    along = torch.arange(length)
    return (along >= start) & (along < start + side)


def rotation(images: Tensor, severity: int, draw: RandomKeys) -> Tensor:
    """Turned by 8 to 40 degrees, left or right; the corners get the border's median."""
    angle = math.radians(ROTATION[severity - 1])
    turn = 2 * draw.integers(2).double()[:, :, None] - 1
    cosine, sine = math.cos(angle), turn * math.sin(angle)
    x, y = _places(images)
    return _sampled(images, cosine * x + sine * y, cosine * y - sine * x)


def translation(images: Tensor, severity: int, draw: RandomKeys) -> Tensor:
    """Moved by 4 to 22 % of the side in some direction, by whole pixels and at least one; what enters is the border's
    median.
    """
    height, width = images.shape[2:]
    share = TRANSLATION[severity - 1]
    directions = [math.radians(degree) for degree in draw.integers(360)[:, 0].tolist()]
    # Whole pixels, since moving by parts of one would blur as well.
    right = torch.tensor([round(max(1.0, share * width) * math.cos(direction)) for direction in directions])
    down = torch.tensor([round(max(1.0, share * height) * math.sin(direction)) for direction in directions])
    x, y = _places(images)
    return _sampled(images, x - right[:, None, None], y - down[:, None, None])


def jpeg(images: Tensor, severity: int, draw: RandomKeys) -> Tensor:
    """Saved as JPEG with quality 30 to 5 and read again, by torchvision."""
    from torchvision.transforms.v2 import functional

    return functional.jpeg(images, JPEG_QUALITY[severity - 1])


CORRUPTIONS: dict[str, Callable[[Tensor, int, RandomKeys], Tensor]] = {
    "noise": noise,
    "blur": blur,
    "contrast": contrast,
    "occlusion": occlusion,
    "rotation": rotation,
    "translation": translation,
    "jpeg": jpeg,
}
"""Functions `(images, severity 1 … 5, draw) -> images` on uint8 `[B, C, H, W]` on the CPU."""


def corrupt(name: str, images: Tensor, severity: int, indices: np.ndarray) -> Tensor:
    """`images` uint8 `[B, C, H, W]` with the indices `[B]` in their data set, corrupted: always in the same way."""
    return CORRUPTIONS[name](images.cpu(), severity, RandomKeys.for_corruption(name, indices)).to(images.device)


def _places(images: Tensor) -> tuple[Tensor, Tensor]:
    """Where the pixels lie, in pixels from the centre: x `[1, 1, W]` and y `[1, H, 1]`."""
    height, width = images.shape[2:]
    x, y = (torch.arange(side, dtype=torch.float64) - (side - 1) / 2 for side in (width, height))
    return x[None, None, :], y[None, :, None]


def _sampled(images: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The images' values at `x` and `y` (see `_places`; they broadcast to `[B, H, W]`), interpolated bilinearly."""
    height, width = images.shape[2:]
    border = torch.cat((images[:, :, 0], images[:, :, -1], images[:, :, :, 0], images[:, :, :, -1]), 2)
    # Not always black: on a white background, black wedges would be more than a rotation.
    background = border.median(2).values[:, :, None, None].double()
    x, y = torch.broadcast_tensors(x, y)
    grid = torch.stack((2 * x / width, 2 * y / height), -1)
    moved = F.grid_sample(images - background, grid, padding_mode="zeros", align_corners=False)
    return _as_bytes(moved + background)


def _as_bytes(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).to(torch.uint8)
