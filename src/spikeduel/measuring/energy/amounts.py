"""What formulas of energy may name: amounts of each layer, means per image, as arrays over the
layers.
"""

from collections.abc import Mapping, Sequence
from typing import get_type_hints

import numpy as np

from spikeduel.counting.operations import Layer
from spikeduel.system.typed import Frozen

Arrays = Mapping[str, np.ndarray]
"""An array over layers for each name."""


class Amounts(Frozen):
    """A layer's amounts, all of one image. A kind of layer has 0 of what only others have."""

    macs: float
    """Multiplications of numbers with weights; what is the same at every step counts once."""
    macs_per_step: float
    """The same, counted at every step."""
    effective_macs: float
    """Of `macs`, those whose input is not 0."""
    effective_macs_per_step: float
    """Of `macs_per_step`, those whose input is not 0."""
    acs: float
    """Additions that spikes cause: synaptic events."""
    events: float
    """Spikes that the layer receives."""
    whole_per_step: float
    """Synapses times passes: what a layer takes that skips nothing."""
    takes_numbers: float
    """1 where the layer multiplies numbers, else 0."""
    takes_image: float
    """1 where its input is the image itself, else 0."""
    convolution: float
    """1 for a convolution, 0 for a dense layer and all else."""
    quantised: float
    """1 where its activations have few bits, as trained, else 0."""
    activation_bits: float
    """How many, where they are few; else 0."""
    inputs: float
    outputs: float
    weights: float
    biases: float
    bias_additions: float
    """Outputs that get a bias; what is the same at every step counts once."""
    bias_additions_per_step: float
    """The same, counted at every step."""
    neurons: float
    """Neurons with a state."""
    neuron_updates: float
    """Neurons times steps."""
    spikes: float
    """Spikes that the neurons fire."""
    leaks: float
    """Multiplications of a state with its decay."""
    resets: float
    comparisons: float
    """Comparisons with the threshold."""
    membrane_reads: float
    membrane_writes: float


STEPS = "T"
"""Time steps of the spiking network, in the formulas of both."""
NAMES = (*get_type_hints(Amounts), STEPS)
"""All names that a formula may have besides its own constants."""


def of(layer: Layer) -> Amounts:
    """The amounts of a layer. Every name in a formula comes from here."""
    macs, spikes = layer.macs, layer.spikes.total if layer.spikes else 0.0
    numbers = macs.dense.per_step > 0
    few = numbers and layer.input_bits is not None and layer.input != "spikes"
    return Amounts(
        macs=macs.dense.hoisted,
        macs_per_step=macs.dense.per_step,
        effective_macs=macs.effective.hoisted,
        effective_macs_per_step=macs.effective.per_step,
        acs=layer.acs.total,
        events=layer.events.total,
        whole_per_step=layer.macs_a_pass * layer.passes.per_step or macs.dense.per_step,
        takes_numbers=float(numbers),
        takes_image=float(layer.input == "image"),
        convolution=float("Conv" in layer.type),
        quantised=float(few),
        activation_bits=float(layer.input_bits or 0) if few else 0.0,
        inputs=layer.inputs,
        outputs=layer.outputs,
        weights=layer.weights,
        biases=layer.biases,
        bias_additions=layer.bias_additions.hoisted,
        bias_additions_per_step=layer.bias_additions.per_step,
        neurons=layer.neurons or 0.0,
        neuron_updates=layer.integrations / max(layer.state_variables, 1),
        spikes=spikes,
        leaks=layer.leaks,
        resets=layer.resets,
        comparisons=layer.threshold_comparisons,
        membrane_reads=layer.membrane_reads,
        membrane_writes=layer.membrane_writes,
    )


def arrays(layers: Sequence[Layer]) -> dict[str, np.ndarray]:
    """`Amounts` of all layers, an array `[layers]` for each name."""
    amounts = [of(layer) for layer in layers]
    return {
        name: np.array([getattr(each, name) for each in amounts], dtype=np.float64)
        for name in get_type_hints(Amounts)
    }


def mean(of_trials: Sequence[Arrays]) -> dict[str, np.ndarray]:
    """The mean over trials of one network; those of the first where their layers are not the
    same.
    """
    first = of_trials[0]
    same = [
        each for each in of_trials if all(each[name].shape == first[name].shape for name in first)
    ]
    return {name: np.mean([each[name] for each in same], axis=0) for name in first}


def between(start: Arrays, end: Arrays, shares: np.ndarray) -> dict[str, np.ndarray]:
    """What lies each of `shares` `[V, 1]` of the way from `start` to `end`, `[V, layers]`; above 1
    beyond it.
    """
    return {name: start[name] + shares * (end[name] - start[name]) for name in start}
