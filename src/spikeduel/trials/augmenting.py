"""Augmentations: changes of the training images, on whole batches, the same for every contender."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from spikeduel.data.events.altering import EVENT_AUGMENTATIONS
from spikeduel.data.events.recordings import Recordings
from spikeduel.data.loader import Held
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.system import registry
from spikeduel.system.errors import InputError

SMALLEST_SHIFT = 2
SHIFT_SHARE = 16
"""Images move by at most their side divided by `SHIFT_SHARE`, or by `SMALLEST_SHIFT` pixels if that
is more.
"""
TURN, STRETCH, SHEAR, WAY = math.radians(12), 0.12, 0.1, 0.05
"""Limits of `affine`: radians, the logarithm of a factor, a slope, and a share of the side."""
UNCHANGED = 1 / 4
"""Share of images that `affine` leaves as they are. It blurs fine structure, ridges for example,
and a network that never saw a sharp image answers sharp images badly.
"""
CUT_SHARE = 4
"""Cutout hides a square with a quarter of the image's side."""
MIXUP, AUTO = "mixup", "auto"


def none(images: Tensor, keys: RandomKeys) -> Tensor:
    """the images as they are"""
    return images


def shift(images: Tensor, keys: RandomKeys) -> Tensor:
    """moved by up to 2 pixels, or a sixteenth of the side if that is more, both ways; what enters
    is black (0)
    """
    return _moved(images, keys, "constant")


def translate(images: Tensor, keys: RandomKeys) -> Tensor:
    """moved as by shift; what enters is the image, reflected at its border"""
    return _moved(images, keys, "reflect")


def affine(images: Tensor, keys: RandomKeys, mode: str = "bilinear") -> Tensor:
    """three of four images turned by up to 12°, stretched by up to 12 %, sheared and moved a
    little, as by translate
    """
    turn, size, shape, shear, down, right, chance = _uniform(keys, 7).to(images.device).unbind(1)
    angle, scale, aspect = TURN * turn, torch.exp(STRETCH * size), torch.exp(STRETCH / 2 * shape)
    rows = [
        [angle.cos() * scale * aspect, SHEAR * shear - angle.sin() * scale, 2 * WAY * right],
        [angle.sin() * scale, angle.cos() * scale / aspect, 2 * WAY * down],
    ]
    places = F.affine_grid(
        torch.stack([torch.stack(row, 1) for row in rows], 1), list(images.shape), False
    )
    moved = F.grid_sample(images.float(), places, mode, "reflection", align_corners=False)
    unchanged = (chance < 2 * UNCHANGED - 1)[:, None, None, None]
    return torch.where(unchanged, images, moved.round().to(torch.uint8))


def _uniform(keys: RandomKeys, count: int) -> Tensor:
    """Draw `count` numbers for each image, uniform from −1 to 1: float `[B, count]`."""
    return keys.integers(*[1 << 24] * count) / (1 << 23) - 1


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

    def hidden(side: int, middle: Tensor) -> Tensor:
        first = (middle - size // 2)[:, None]
        places = torch.arange(side, device=images.device)
        return (places >= first) & (places < first + size)

    mask = hidden(height, rows)[:, None, :, None] & hidden(width, columns)[:, None, None, :]
    shown = images.float().mean((1, 2, 3), keepdim=True) * mean
    return torch.where(mask, shown.to(torch.uint8), images)


def _moved(images: Tensor, keys: RandomKeys, border: str) -> Tensor:
    height, width = images.shape[2:]
    down, right = farthest(height), farthest(width)
    if border == "reflect":  # which torch does for no whole numbers
        rows, columns = (
            _reflected(-by, side + by, side) for side, by in ((height, down), (width, right))
        )
        padded = images[:, :, rows][..., columns]
    else:
        padded = F.pad(images, (right, right, down, down))
    # All places where the image may lie are views of one padded copy: a choice copies rows, not
    # pixels.
    places = padded.unfold(2, height, 1).unfold(3, width, 1)
    vertical, horizontal = keys.integers(2 * down + 1, 2 * right + 1).to(images.device).unbind(1)
    return places[torch.arange(len(images), device=images.device), :, vertical, horizontal]


def farthest(side: int) -> int:
    """Return the number of pixels by which an image of this side moves at most."""
    return max(SMALLEST_SHIFT, side // SHIFT_SHARE)


def moved(images: Tensor, down: int, right: int) -> Tensor:
    """Move all `images` `[N, C, H, W]` by these pixels, fewer than their sides; what enters is the
    image, reflected at its border.
    """
    rows, columns = (
        _reflected(-by, side - by, side)
        for side, by in zip(images.shape[2:], (down, right), strict=True)
    )
    return images[:, :, rows][..., columns]


def _reflected(first: int, end: int, side: int) -> Tensor:
    """Return the places of a line of `side` pixels from `first` to before `end`, reflected at its
    ends.
    """
    places = torch.arange(first, end).abs()
    return torch.where(places < side, places, 2 * (side - 1) - places)


AUGMENTATIONS: dict[str, Callable[[Tensor, RandomKeys], Tensor]] = {
    "none": none,
    "shift": shift,
    "translate": translate,
    "affine": affine,
    "flip": flip,
    "cutout": cutout,
}
"""Augmentations by name; hyphens join several, and `mixup`."""


OF_COUNTS = {"affine": partial(affine, mode="nearest"), "cutout": partial(cutout, mean=False)}
"""Augmentations that differ for frames of recordings: events stay whole, and nothing is grey."""


def resolve(name: str, of_recordings: bool = False) -> list[Callable[[Tensor, RandomKeys], Tensor]]:
    """Return the augmentations of images, or of frames of recordings, that `name` joins. Raises
    `InputError`.

    Mixup is left out, and `EVENT_AUGMENTATIONS`, which come before: see `altered`.
    """
    known: dict[str, Any] = {
        **AUGMENTATIONS,
        **EVENT_AUGMENTATIONS,
        **(OF_COUNTS if of_recordings else {}),
    }
    functions = [(part, registry.resolve("augmentation", part, known)) for part in _parts(name)]
    return [function for part, function in functions if part not in EVENT_AUGMENTATIONS]


def of_events(name: str) -> list[str]:
    """Return the `EVENT_AUGMENTATIONS` that `name` joins."""
    return [part for part in _parts(name) if part in EVENT_AUGMENTATIONS]


def _parts(name: str) -> list[str]:
    if name == AUTO:
        return []
    return [name] if ":" in name else [part for part in name.split("-") if part != MIXUP]


def altered(name: str, images: Held, seed: int, epoch: int) -> Held:
    """Return the images of an epoch: recordings are changed by `of_events(name)`."""
    names = of_events(name)
    return (
        images.altered(names, seed, epoch) if names and isinstance(images, Recordings) else images
    )


def augment(name: str, images: Tensor, keys: RandomKeys, of_recordings: bool = False) -> Tensor:
    """Change `images` uint8 `[B, C, H, W]`, or frames of recordings, by the augmentations that
    `name` joins; type and shape stay.

    Augmentations draw independently. Raises `InputError` if a user's augmentation returns something
    else.
    """
    for function in resolve(name, of_recordings):
        changed = function(images, keys)
        if not isinstance(changed, Tensor) or (changed.dtype, changed.shape) != (
            images.dtype,
            images.shape,
        ):
            got = (
                f"{changed.dtype} {list(changed.shape)}"
                if isinstance(changed, Tensor)
                else type(changed).__name__
            )
            raise InputError(
                f"augmentation '{name}' must return images of uint8 {list(images.shape)}, not "
                f"{got}."
            )
        images, keys = changed, keys.another()
    return images


def mixed(images: Tensor, targets: Tensor, keys: RandomKeys) -> tuple[Tensor, Tensor]:
    """Mix every image of `images` uint8 `[B, C, H, W]` with the one before it, and so their
    `targets` float `[B, K]` (mixup).

    The share of the other is uniform from 0 to 1/2. Zhang et al. 2018, "mixup: Beyond Empirical
    Risk Minimization", with alpha = 1.
    """
    share = keys.integers(128)[:, 0].to(images.device) / 256
    other = share[:, None, None, None]
    pixels = images * (1 - other) + images.roll(1, 0) * other
    return pixels.round().to(torch.uint8), targets * (1 - share[:, None]) + targets.roll(
        1, 0
    ) * share[:, None]
