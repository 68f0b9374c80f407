"""How an image becomes something that has a time axis."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from spikeduel.spiking import ConstantInput, kernels
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.system import registry
from spikeduel.system.errors import InputError


@dataclass(frozen=True)
class Encoder:
    """A function that encodes images, and what is known of its codes.

    `function(images, num_steps, keys)` takes uint8 `[B, C, H, W]` and gives floats `[T, B, C, H,
    W]` or a `ConstantInput`. `spikes`: it gives spikes (0 or 1), not numbers. `stepwise`: step t
    depends on neither the number of steps nor the other steps, so that some of them can be made
    alone. `random`: it draws from `keys`. `help` is one line for people.
    """

    function: Callable[[Tensor, int, RandomKeys], Tensor | ConstantInput]
    spikes: bool = False
    stepwise: bool = False
    random: bool = False
    help: str = ""

    def __call__(
        self, images: Tensor, num_steps: int, keys: RandomKeys, window: range | None = None
    ) -> Tensor | ConstantInput:
        """`images` uint8 `[B, C, H, W]` over `num_steps` steps, `[T, B, C, H, W]`, or only the
        steps of `window`.
        """
        if window is None:
            return self.function(images, num_steps, keys)
        if self.stepwise:
            return self.function(images, len(window), keys.starting_at(window.start))
        encoded = self.function(images, num_steps, keys)
        if isinstance(encoded, ConstantInput):
            return ConstantInput(encoded.value, len(window))
        return encoded[window.start : window.stop]


def analogue(images: Tensor) -> Tensor:
    """uint8 `[B, C, H, W]` as float32 in [0, 1]: what a network that does not spike sees."""
    return images / 255


def direct(images: Tensor, num_steps: int, keys: RandomKeys) -> ConstantInput:
    """The analogue image at every step."""
    return ConstantInput(analogue(images), num_steps)


def rate(images: Tensor, num_steps: int, keys: RandomKeys) -> Tensor:
    """Bernoulli spikes: at every step a pixel of value p fires with probability p/255."""
    return kernels.rate_spikes(
        images, keys.values, num_steps, _computed_in(images), keys.first_step
    )


def latency(images: Tensor, num_steps: int, keys: RandomKeys) -> Tensor:
    """One spike a pixel, the earlier the brighter: at step round((1 − p/255)·(T−1)); black pixels
    stay silent.
    """
    # In whole numbers (rounding half up), so that every machine rounds alike.
    step = ((255 - images.int()) * (num_steps - 1) * 2 + 255) // 510
    step = torch.where(images == 0, num_steps, step)
    steps = torch.arange(num_steps, device=images.device).view(-1, *[1] * images.ndim)
    return (step == steps).float()


def events(images: Tensor, num_steps: int, keys: RandomKeys) -> Tensor:
    """A recording's frames, uint8 `[B, 2·T, H, W]`, in turn: the number of events of each pixel and
    polarity.
    """
    # Up to 255, which bfloat16 holds exactly.
    frames = images.unflatten(1, (num_steps, -1)).transpose(0, 1)
    return frames.to(_computed_in(images), memory_format=torch.contiguous_format)


def _computed_in(images: Tensor) -> torch.dtype:
    """The type in which torch computes now, where `images` are."""
    device = images.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32


ENCODERS: dict[str, Encoder] = {
    "direct": Encoder(direct, stepwise=True, help="the analogue image at every step"),
    "rate": Encoder(
        rate,
        spikes=True,
        stepwise=True,
        random=True,
        help="at every step a pixel of value p fires with chance p/255",
    ),
    "latency": Encoder(latency, spikes=True, help="one spike a pixel, the earlier the brighter"),
}


EVENTS, OF_RECORDINGS = "events", Encoder(events, spikes=True)
"""How recordings of an event camera are seen, which is no choice."""


def encoder_of(name: str) -> Encoder:
    """The encoder of a name, or of `module:attribute`: an `Encoder`, or a function that gives
    numbers without drawing.

    Raises `InputError`.
    """
    named = registry.resolve("encoding", name, ENCODERS)
    if isinstance(named, Encoder):
        return named
    if not callable(named):
        raise InputError(
            f"encoding '{name}' must be an Encoder or a function, not {type(named).__name__}."
        )
    return Encoder(named)
