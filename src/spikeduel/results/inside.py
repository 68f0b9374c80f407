"""Types of a look inside networks while they answer one image (`measuring/inside.py`), and the
sentences around it.
"""

import math
from typing import Literal

import numpy as np

from spikeduel.system.sentences import listed
from spikeduel.system.typed import Frozen


class Pictures(Frozen):
    """N pictures of C channels, `shape` [N, C, H, W]: low + (high − low)·byte/255; with 1 `bits`,
    low or high, packed with the highest bit first. Each pixel is the mean of `shrunk`×`shrunk`.
    """

    shape: tuple[int, int, int, int]
    low: float
    high: float
    bits: Literal[1, 8]
    shrunk: int
    data: bytes

    @property
    def values(self) -> np.ndarray:
        """float32 `[N, C, H, W]`."""
        content = np.frombuffer(self.data, np.uint8)
        shares = (
            np.unpackbits(content, count=math.prod(self.shape)) if self.bits == 1 else content / 255
        )
        return (self.low + (self.high - self.low) * shares.reshape(self.shape)).astype(np.float32)


class Membrane(Frozen):
    """A neuron's potential after each of T steps, and the `threshold` that it has to pass; None
    where it has none.
    """

    neuron: int
    potential: list[float]
    threshold: list[float] | None


class SpikingLayer(Frozen):
    """A layer of spiking neurons, by its `name` in the network, and the `shape` of its neurons.

    `spikes` has the number of spikes at each of T steps. `shown` are places of neurons in the flat
    layer, from busy to still, or of those that stand for the classes (`of_classes`), in their
    order; `raster` has a bit for each of them and each step, `[N, T]`, packed with the highest bit
    first.
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
        """bool `[N, T]`: whether each neuron of `shown` spiked."""
        shape = len(self.shown), len(self.spikes)
        bits = np.unpackbits(np.frombuffer(self.raster, np.uint8), count=shape[0] * shape[1])
        return bits.reshape(shape).astype(bool)


class Activations(Frozen):
    """Outputs of a layer for the next convolution or linear layer: the strongest of its `channels`.

    `maps` is `[N, C, H, W]`, with N = 1 or the number of time steps. Of a layer without places
    there is one map, which has its `channels` numbers row by row, and zeros after them.
    """

    channels: int
    maps: Pictures


class Seen(Frozen):
    """The image inside one model.

    `input` is what the model gets, one picture for each time step or one for all. `probabilities`
    `[S, K]` are those of `Inside.classes` after each of S = T steps, or S = 1 where there is only
    one answer; `decided` is the step (from 1) from which on the answer stays, None where there is
    only one. `spikes` and `joules` are what it took at each step, and so far; None where that is
    not known. `foreign`: it is of another library, and its neurons cannot be looked at.
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
    """An image, and what several models make of it. `classes` are the most probable ones,
    and the `truth`, which is a place in them. `energy` names the table that joules are estimated
    by.
    """

    noun: Literal["image", "recording"]
    picture: Pictures
    classes: list[str]
    truth: int | None
    energy: str
    models: list[Seen]

    @property
    def num_steps(self) -> int:
        """The most time steps that one of them takes."""
        return max(max(len(model.probabilities), model.input.shape[0]) for model in self.models)


# ---- sentences


def title(inside: Inside) -> str:
    """Return the heading of a page."""
    return f"Inside {listed([model.name for model in inside.models])}"


def answers(inside: Inside) -> str:
    """Return the models' answers, and the true class."""
    answered = [f"{model.name} answers {inside.classes[model.answer]}" for model in inside.models]
    truth = "" if inside.truth is None else f" The true class is {inside.classes[inside.truth]}."
    return f"{'; '.join(answered)}.{truth}"


def introduction(inside: Inside) -> str:
    """Return the introduction above the pictures."""
    spiking = any(model.spiking for model in inside.models)
    steps = (
        " A spiking network works in time steps: move the slider, or press play." if spiking else ""
    )
    return (
        f"One {inside.noun}, and what goes on in each network that sees it. "
        f"{answers(inside)}{steps}"
    )


def how_found(inside: Inside) -> str:
    """Return how attribution and energies are computed."""
    surrogate = (
        " The gradient of a spike is that of its surrogate."
        if any(model.spiking for model in inside.models)
        else ""
    )
    return (
        "Attribution: integrated gradients (Sundararajan et al. 2017), from an empty input to this "
        "one, for the "
        f"network's own answer.{surrogate} Energy: an estimate from counted operations "
        f"({inside.energy}), without "
        "memory, the low end. Of a layer, at most 40 neurons and 6 channels are shown."
    )
