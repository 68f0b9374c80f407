"""Encoders: images as sequences over time."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from spikeduel.engine import ConstantInput, kernels
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.system import registry


@dataclass(frozen=True)
class Encoder:
    """An encoding of images over time.

    Parameters
    ----------
    function : callable
        `function(images, num_steps, keys)`, from uint8 `[B, C, H, W]` and `RandomKeys` to floats
        `[T, B, C, H, W]` or a `ConstantInput`.
    spikes : bool
        Whether all values are 0 or 1.
    random : bool
        Whether the function draws random numbers, from `keys`.
    help : str
        Description for the command line.

    Examples
    --------
    >>> images = torch.full((8, 1, 28, 28), 255, dtype=torch.uint8)
    >>> keys = RandomKeys.for_content(images)
    >>> ENCODERS["rate"](images, 25, keys).mean()
    tensor(1.)
    """

    function: Callable[[Tensor, int, RandomKeys], Tensor | ConstantInput]
    spikes: bool = False
    random: bool = False
    help: str = ""

    def __call__(self, images: Tensor, num_steps: int, keys: RandomKeys) -> Tensor | ConstantInput:
        return self.function(images, num_steps, keys)


def analogue(images: Tensor) -> Tensor:
    """Return uint8 `[B, C, H, W]` as float32 in [0, 1]."""
    return images / 255


def direct(images: Tensor, num_steps: int, keys: RandomKeys) -> ConstantInput:
    """Return the analogue image at every step."""
    return ConstantInput(analogue(images), num_steps)


def rate(images: Tensor, num_steps: int, keys: RandomKeys) -> Tensor:
    """Return Bernoulli spikes: a pixel of value p fires at every step with probability p/255."""
    return kernels.rate_spikes(images, keys.values, num_steps, _computed_in(images))


def latency(images: Tensor, num_steps: int, keys: RandomKeys) -> Tensor:
    """Return one spike a pixel, at step round((1 − p/255)·(T−1)); black pixels stay silent."""
    # Whole numbers (rounding half up) are rounded alike on every machine.
    step = ((255 - images.int()) * (num_steps - 1) * 2 + 255) // 510
    step = torch.where(images == 0, num_steps, step)
    steps = torch.arange(num_steps, device=images.device).view(-1, *[1] * images.ndim)
    return (step == steps).float()


def events(images: Tensor, num_steps: int, keys: RandomKeys) -> Tensor:
    """Return the frames of recordings uint8 `[B, 2·T, H, W]`: events per pixel and polarity."""
    # bfloat16 holds integers up to 255 exactly.
    frames = images.unflatten(1, (num_steps, -1)).transpose(0, 1)
    return frames.to(_computed_in(images), memory_format=torch.contiguous_format)


def _computed_in(images: Tensor) -> torch.dtype:
    device = images.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32


ENCODERS: dict[str, Encoder] = {
    "direct": Encoder(direct, help="the analogue image at every step"),
    "rate": Encoder(
        rate,
        spikes=True,
        random=True,
        help="at every step a pixel of value p fires with chance p/255",
    ),
    "latency": Encoder(latency, spikes=True, help="one spike a pixel, the earlier the brighter"),
}


EVENTS, OF_RECORDINGS = "events", Encoder(events, spikes=True)
"""The only encoder of recordings."""


def encoder_of(name: str) -> Encoder:
    """Return the encoder `name`, or `module:attribute`; a plain function gives numbers and draws
    nothing. Raises `InputError`.
    """
    return registry.resolve_as(Encoder, "encoding", name, ENCODERS, "an Encoder or a function")
