"""How an image becomes something that has a time axis."""

from collections.abc import Callable

import torch
from torch import Tensor

from spikeduel.spiking import kernels
from spikeduel.spiking.constant_input import ConstantInput
from spikeduel.spiking.random_keys import RandomKeys


def analogue(images: Tensor) -> Tensor:
    """uint8 `[B, C, H, W]` as float32 in [0, 1]: what a CNN sees."""
    return images / 255


def direct(images: Tensor, num_steps: int, draw: RandomKeys) -> ConstantInput:
    """the analogue image at every step"""
    return ConstantInput(analogue(images), num_steps)


def rate(images: Tensor, num_steps: int, draw: RandomKeys) -> Tensor:
    """at every step a pixel of value p fires with probability p/255"""
    device = images.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32
    return kernels.rate_spikes(images, draw.keys, num_steps, dtype, draw.first_step)


def latency(images: Tensor, num_steps: int, draw: RandomKeys) -> Tensor:
    """one spike a pixel, the earlier the brighter: at step round((1 − p/255)·(T−1)); black pixels stay silent"""
    # In whole numbers (rounding half up), so that every machine rounds alike.
    step = ((255 - images.int()) * (num_steps - 1) * 2 + 255) // 510
    step = torch.where(images == 0, num_steps, step)
    steps = torch.arange(num_steps, device=images.device).view(-1, *[1] * images.ndim)
    return (step == steps).float()


ENCODERS: dict[str, Callable[[Tensor, int, RandomKeys], Tensor | ConstantInput]] = {
    "direct": direct,
    "rate": rate,
    "latency": latency,
}

SPIKING = ("rate", "latency")
"""Those that give spikes; the others give numbers."""

STEPWISE = ("direct", "rate")
"""Those whose step t depends on neither the number of steps nor the other ones: a window of time is made directly."""
