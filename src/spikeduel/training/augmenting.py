"""Augmentations of whole batches of training images, equal for all contenders."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from spikeduel.data.events.recordings import EVENT_AUGMENTATIONS, Recordings
from spikeduel.data.loader import ImageArrays
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.system import registry
from spikeduel.system.errors import InputError

Augmentation = Callable[[Tensor, RandomKeys], Tensor]
MIN_SHIFT, SHIFT_SHARE = 2, 16
"""Images move by up to their side / `SHIFT_SHARE`, at least by `SMALLEST_SHIFT` pixels."""
TURN, STRETCH, SHEAR, WAY = math.radians(12), 0.12, 0.1, 0.05
"""Limits of `affine`: radians, log of a factor, slope, share of the side."""
UNCHANGED = 1 / 4
"""Share of images that `affine` leaves sharp: it blurs fine structure such as ridges."""
CUT_SHARE = 4
"""Cutout hides a square with a quarter of the image's side."""
AUTO = "auto"


def none(images: Tensor, keys: RandomKeys) -> Tensor:
    """the images as they are"""
    return images


def translate(images: Tensor, keys: RandomKeys) -> Tensor:
    """moved by up to 2 pixels, or a sixteenth of the side if that is more, both ways; what enters
    is the image, reflected at its border
    """
    height, width = images.shape[2:]
    down, right = farthest(height), farthest(width)
    rows, columns = (
        _reflected(-by, edge + by, edge) for edge, by in ((height, down), (width, right))
    )
    # Views of one padded copy are all places of the image: a choice copies rows, not pixels.
    places = images[:, :, rows][..., columns].unfold(2, height, 1).unfold(3, width, 1)
    vertical, horizontal = keys.integers(2 * down + 1, 2 * right + 1).to(images.device).unbind(1)
    return places[torch.arange(len(images), device=images.device), :, vertical, horizontal]


def affine(images: Tensor, keys: RandomKeys, mode: str = "bilinear") -> Tensor:
    """three of four images turned by up to 12°, stretched by up to 12 %, sheared and moved a
    little, as by translate
    """
    # Seven numbers for each image, uniform from −1 to 1.
    drawn = keys.integers(*[1 << 24] * 7) / (1 << 23) - 1
    turn, size, shape, shear, down, right, draw = drawn.to(images.device).unbind(1)
    angle, scale, aspect = TURN * turn, torch.exp(STRETCH * size), torch.exp(STRETCH / 2 * shape)
    rows = [
        [angle.cos() * scale * aspect, SHEAR * shear - angle.sin() * scale, 2 * WAY * right],
        [angle.sin() * scale, angle.cos() * scale / aspect, 2 * WAY * down],
    ]
    matrix = torch.stack([torch.stack(row, 1) for row in rows], 1)
    places = F.affine_grid(matrix, list(images.shape), False)
    moved = F.grid_sample(images.float(), places, mode, "reflection", align_corners=False)
    unchanged = (draw < 2 * UNCHANGED - 1)[:, None, None, None]
    return torch.where(unchanged, images, moved.round().to(torch.uint8))


def flip(images: Tensor, keys: RandomKeys) -> Tensor:
    """left and right exchanged, for every second image; in the next epoch for the others"""
    flipped = keys.alternating().to(images.device)
    return torch.where(flipped[:, None, None, None], images.flip(3), images)


def cutout(images: Tensor, keys: RandomKeys, mean: bool = True) -> Tensor:
    """a square with a quarter of the side hidden under the image's mean; a part of it may lie
    outside
    """
    height, width = images.shape[2:]
    rows, columns = keys.integers(height, width).to(images.device).unbind(1)
    size = max(1, min(height, width) // CUT_SHARE)

    def hidden(edge: int, middle: Tensor) -> Tensor:
        first = (middle - size // 2)[:, None]
        places = torch.arange(edge, device=images.device)
        return (places >= first) & (places < first + size)

    mask = hidden(height, rows)[:, None, :, None] & hidden(width, columns)[:, None, None, :]
    grey = images.float().mean((1, 2, 3), keepdim=True) * mean
    return torch.where(mask, grey.to(torch.uint8), images)


def farthest(edge: int) -> int:
    """Return the most pixels by which an image moves, less than its side."""
    return min(edge - 1, max(MIN_SHIFT, edge // SHIFT_SHARE))


def moved(images: Tensor, down: int, right: int) -> Tensor:
    """Move all `images` `[N, C, H, W]` by less than their sides, reflected at the borders."""
    height, width = images.shape[2:]
    rows = _reflected(-down, height - down, height)
    columns = _reflected(-right, width - right, width)
    return images[:, :, rows][..., columns]


def _reflected(first: int, end: int, edge: int) -> Tensor:
    """Return the places from `first` to before `end`, reflected at a line's ends."""
    places = torch.arange(first, end).abs()
    return torch.where(places < edge, places, 2 * (edge - 1) - places)


AUGMENTATIONS: dict[str, Augmentation] = {
    "none": none,
    "translate": translate,
    "affine": affine,
    "flip": flip,
    "cutout": cutout,
}
"""Augmentations by name; hyphens join several."""
OF_COUNTS = {"affine": partial(affine, mode="nearest"), "cutout": partial(cutout, mean=False)}
"""Augmentations that differ for frames of recordings: events stay whole."""


@dataclass(frozen=True)
class Augmenter:
    """The augmentations that a name joins: `functions` of batches, and names of `events`, which
    change recordings before they are binned.
    """

    name: str
    functions: tuple[Augmentation, ...]
    events: tuple[str, ...]

    def altered(self, images: ImageArrays, seed: int, epoch: int) -> ImageArrays:
        """Return an epoch's images: those of recordings with changed events."""
        if isinstance(images, Recordings) and self.events:
            return images.altered(self.events, seed, epoch)
        return images

    def __call__(self, images: Tensor, keys: RandomKeys) -> Tensor:
        """Augment `images` or frames, uint8 `[B, C, H, W]`. Raises `InputError` if a user's
        augmentation changes type or shape.
        """
        for function in self.functions:
            changed = function(images, keys)
            shape = (getattr(changed, "dtype", type(changed)), getattr(changed, "shape", None))
            if shape != (images.dtype, images.shape):
                raise InputError(
                    f"augmentation '{self.name}' must return images of uint8 "
                    f"{list(images.shape)}, not {shape[0]} {list(shape[1] or [])}."
                )
            images, keys = changed, keys.another()
        return images


def augmenter_of(name: str, of_recordings: bool = False) -> Augmenter:
    """Return the augmentations that `name` joins by hyphens. Raises `InputError`."""
    by_name: dict[str, Any] = {**AUGMENTATIONS, **(OF_COUNTS if of_recordings else {})}
    parts = [] if name == AUTO else [name] if ":" in name else name.split("-")
    functions = {
        part: registry.resolve("augmentation", part, {**by_name, **EVENT_AUGMENTATIONS})
        for part in parts
    }
    return Augmenter(
        name,
        tuple(functions[part] for part in parts if part not in EVENT_AUGMENTATIONS),
        tuple(part for part in parts if part in EVENT_AUGMENTATIONS),
    )
