"""What a run of a network is, so that runs of different programs can be compared."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spikeduel.networks.models import Model
from spikeduel.spiking.constant_input import ConstantInput
from spikeduel.spiking.neurons import Neuron, QuantisedReLU, ReLU


@dataclass(frozen=True)
class Run:
    """What came out for some images: `scores` `[B, K]`, and the spikes of each layer of neurons `[T, B, …]`."""

    scores: np.ndarray
    spikes: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """Prepared `images` uint8 `[B, C, H, W]`, and `encoded`: what the network takes for them."""

    images: Tensor
    encoded: Tensor | ConstantInput

    @property
    def frames(self) -> Tensor:
        """What the network sees at each step: `[T, B, C, H, W]`."""
        return self.encoded.expand() if isinstance(self.encoded, ConstantInput) else self.encoded


Runner = Callable[[Batch], Run]
"""A program that has read a written file, ready to run it."""


@contextmanager
def spikes_of(module: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Within, a dict that gets what each layer of neurons in `module` gives when it runs: `[T, B, …]` by its name."""
    found: dict[str, Tensor] = {}

    def keep(name: str, neuron: nn.Module, inputs: Any, output: tuple[Tensor, Tensor]) -> None:
        found[name] = output[0]

    hooks = [
        neuron.register_forward_hook(partial(keep, name))
        for name, neuron in module.named_modules()
        if isinstance(neuron, Neuron)
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


@torch.inference_mode()
def reference_run(model: Model, batch: Batch) -> Run:
    """The run that every other is measured by: the model's own."""
    with spikes_of(model.module) as spikes:
        scores = model.readout.scores(model.run(batch.encoded))
    return Run(scores.numpy(), {name: spk.float().numpy() for name, spk in spikes.items()})


def flip_sizes(module: nn.Module) -> dict[str, float]:
    """By layer of neurons, the difference above which its output has flipped: half a spike, or half a level.

    A ReLU has nothing that flips.
    """
    sizes = {}
    for name, neuron in module.named_modules():
        if isinstance(neuron, QuantisedReLU):
            sizes[name] = float(neuron.level_step.detach().abs()) / 2
        elif isinstance(neuron, Neuron) and not isinstance(neuron, ReLU):
            sizes[name] = 0.5
    return sizes


def frames_of(model: Model) -> str:
    """What a network sees at one time step, in words."""
    return {
        "direct": "at every step the same: prepared pixels / 255",
        "rate": "fresh at every step: 1 with probability prepared pixel / 255, else 0",
        "latency": "1 once for each pixel above 0, at step round((1 − pixel / 255) · (T − 1)), else 0",
    }.get(model.card.encoding or "", f"what the encoding {model.card.encoding} gives at this step")
