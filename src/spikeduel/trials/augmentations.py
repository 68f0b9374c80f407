"""What training does to images, so that a network meets more of them: on whole batches, alike for every contender."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.system import registry
from spikeduel.system.errors import InputError

SMALLEST_SHIFT = 2
SHIFT_SHARE = 16
"""An image is moved by up to a sixteenth of its side, or by `SMALLEST_SHIFT` pixels where that is more."""


def none(images: Tensor, keys: RandomKeys) -> Tensor:
    """the images as they are"""
    return images


def shift(images: Tensor, keys: RandomKeys) -> Tensor:
    """moved by up to 2 pixels, or a sixteenth of the side if that is more, both ways; what enters is black (0)"""
    height, width = images.shape[2:]
    down, right = (max(SMALLEST_SHIFT, side // SHIFT_SHARE) for side in (height, width))
    # Every place where the image may lie, as views of one padded copy: picking one of them copies rows, not pixels.
    places = F.pad(images, (right, right, down, down)).unfold(2, height, 1).unfold(3, width, 1)
    vertical, horizontal = keys.integers(2 * down + 1, 2 * right + 1).to(images.device).unbind(1)
    return places[torch.arange(len(images), device=images.device), :, vertical, horizontal]


def flip(images: Tensor, keys: RandomKeys) -> Tensor:
    """left and right exchanged, for every second image"""
    flipped = keys.integers(2).bool().to(images.device)
    return torch.where(flipped[:, :, None, None], images.flip(3), images)


def shift_flip(images: Tensor, keys: RandomKeys) -> Tensor:
    """both, drawn independently"""
    return flip(shift(images, keys), keys.another())


AUGMENTATIONS: dict[str, Callable[[Tensor, RandomKeys], Tensor]] = {
    "none": none,
    "shift": shift,
    "flip": flip,
    "shift-flip": shift_flip,
}


def augment(name: str, images: Tensor, keys: RandomKeys) -> Tensor:
    """`images` uint8 `[B, C, H, W]` changed by the augmentation `name`; type and shape stay.

    Raises `InputError` where an augmentation of one's own returns something else.
    """
    changed = registry.resolve("augmentation", name, AUGMENTATIONS)(images, keys)
    if not isinstance(changed, Tensor) or (changed.dtype, changed.shape) != (images.dtype, images.shape):
        got = f"{changed.dtype} {list(changed.shape)}" if isinstance(changed, Tensor) else type(changed).__name__
        raise InputError(f"augmentation '{name}' must return images of uint8 {list(images.shape)} again, not {got}.")
    return changed
