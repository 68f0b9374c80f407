"""Types of a look inside networks that answer one image (`measuring/inside.py`)."""

import math
from typing import Literal

import numpy as np

from spikeduel.system.typed import Frozen


class Pictures(Frozen):
    """N pictures of C channels, `shape` [N, C, H, W]: low + (high − low)·byte/255; with 1 `bits`,
    packed.
    """

    shape: tuple[int, int, int, int]
    low: float
    high: float
    bits: Literal[1, 8]
    data: bytes

    @property
    def values(self) -> np.ndarray:
        """Return float32 `[N, C, H, W]`."""
        content = np.frombuffer(self.data, np.uint8)
        shares = (
            np.unpackbits(content, count=math.prod(self.shape)) if self.bits == 1 else content / 255
        )
        return (self.low + (self.high - self.low) * shares.reshape(self.shape)).astype(np.float32)


class Membrane(Frozen):
    """A neuron's potential after each of T steps, and its `threshold`."""

    neuron: int
    potential: list[float]
    threshold: list[float] | None


class SpikingLayer(Frozen):
    """A layer of spiking neurons, of `shape`.

    `spikes`: at each of T steps. `shown`: places of neurons, from busy to still, or those of the
    classes (`of_classes`); `raster`: their bits `[N, T]`, packed.
    """

    name: str
    shape: list[int]
    spikes: list[int]
    shown: list[int]
    of_classes: bool
    raster: bytes
    membranes: list[Membrane]

    @property
    def fired(self) -> np.ndarray:
        """Return the spikes of `shown`, bool `[N, T]`."""
        shape = len(self.shown), len(self.spikes)
        bits = np.unpackbits(np.frombuffer(self.raster, np.uint8), count=shape[0] * shape[1])
        return bits.reshape(shape).astype(bool)


class Activations(Frozen):
    """The strongest of a layer's `channels`, `[N, C, H, W]`, N = 1 or the time steps. Without
    places, a map row by row.
    """

    channels: int
    maps: Pictures


class Seen(Frozen):
    """The image inside one model.

    `probabilities` `[S, K]`: of `Inside.classes` after each step; `decided`: step from which the
    answer stays. `spikes`, `joules`: at each step, and so far. `foreign`: without visible neurons.
    """

    name: str
    spiking: bool
    foreign: bool
    encoding: str | None
    input: Pictures
    probabilities: list[list[float]]
    answer: int
    decided: int | None
    layers: list[SpikingLayer]
    activations: list[Activations]
    attribution: Pictures | None
    spikes: list[float] | None
    joules: list[float] | None


class Inside(Frozen):
    """An image in several models; `classes`: the most probable; `truth`: a place in them; `energy`:
    the table of joules.
    """

    noun: Literal["image", "recording"]
    picture: Pictures
    classes: list[str]
    truth: int | None
    energy: str
    models: list[Seen]

    @property
    def num_steps(self) -> int:
        """Return the most time steps of a model."""
        return max(max(len(model.probabilities), model.input.shape[0]) for model in self.models)
