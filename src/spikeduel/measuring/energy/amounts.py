"""Amounts of each layer that energy formulas name: means per image, as arrays over the layers."""

from collections.abc import Mapping, Sequence
from typing import get_type_hints

import numpy as np

from spikeduel.counting.operations import FLOWS, Flow, Layer, Way
from spikeduel.system.typed import Frozen

Arrays = Mapping[str, np.ndarray]
"""Arrays over layers by name."""


class Amounts(Frozen):
    """A layer's amounts, all per image. Amounts that a kind of layer lacks are 0."""

    macs: float
    """Multiplications of numbers with weights; what is the same at every step counts once."""
    macs_per_step: float
    """`macs`, counted at every step."""
    effective_macs: float
    """`macs` whose input is not 0."""
    effective_macs_per_step: float
    """`macs_per_step` whose input is not 0."""
    acs: float
    """Additions that spikes cause: synaptic events."""
    events: float
    """Spikes that the layer receives."""
    whole_per_step: float
    """Synapses times passes: the work of a layer that skips nothing."""
    takes_numbers: float
    """1 where the layer multiplies numbers, else 0."""
    takes_image: float
    """1 where its input is the image itself, else 0."""
    convolution: float
    """1 for a convolution, 0 for a dense layer and all else."""
    quantised: float
    """1 where its activations have few bits, as trained, else 0."""
    activation_bits: float
    """Bits of an activation, where they are few; else 0."""
    inputs: float
    outputs: float
    weights: float
    biases: float
    bias_additions: float
    """Outputs that get a bias; what is the same at every step counts once."""
    bias_additions_per_step: float
    """`bias_additions`, counted at every step."""
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
"""Time steps of the spiking network, in the formulas of both networks."""
NAMES = (*get_type_hints(Amounts), STEPS)
"""Names that a formula may use besides its own constants."""


def of(layer: Layer) -> Amounts:
    """Return the amounts of a layer."""
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


_MOVED = ("weights", "activations", "addresses", "membranes", "bits")
_BY_WAY = ("bias_additions", "additions", "multiplications")
_OF_NEURONS = ("integrations", "resets", "leaks")


def by_flow(layers: Sequence[Layer], way: Way) -> dict[str, np.ndarray]:
    """Return the amounts that depend on a layer's flow, `[layers, 1 + FLOWS]`, the usual flow first.

    `done_macs` and `done_acs` are computed, `moved_weights`, `moved_activations`,
    `moved_addresses`, `moved_membranes` and `moved_bits` are words moved; the others do not depend
    on the flow, `[layers, 1]`.
    """
    flows: tuple[Flow, ...] = ("usual", *FLOWS)
    done = np.array([[layer.done(way, flow) for flow in flows] for layer in layers])
    done = done.reshape(len(layers), len(flows), 2)
    moved = [[layer.moved(way, flow) for flow in flows] for layer in layers]
    amounts = {"done_macs": done[..., 0], "done_acs": done[..., 1]}
    for name in _MOVED:
        words = [[getattr(traffic, name) for traffic in of_layer] for of_layer in moved]
        amounts[f"moved_{name}"] = np.array(words).reshape(len(layers), len(flows))
    columns = {name: [getattr(getattr(layer, name), way) for layer in layers] for name in _BY_WAY}
    columns |= {name: [getattr(layer, name) for layer in layers] for name in _OF_NEURONS}
    columns["spikes"] = [layer.spikes.total if layer.spikes else 0.0 for layer in layers]
    columns["neuron_updates"] = [
        layer.integrations / max(layer.state_variables, 1) for layer in layers
    ]
    columns["acs"] = [layer.acs.total for layer in layers]
    return amounts | {name: np.array(column).reshape(-1, 1) for name, column in columns.items()}


def arrays(layers: Sequence[Layer]) -> dict[str, np.ndarray]:
    """Return the `Amounts` of all layers, an array `[layers]` for each name."""
    amounts = [of(layer) for layer in layers]
    return {
        name: np.array([getattr(amount, name) for amount in amounts], dtype=np.float64)
        for name in get_type_hints(Amounts)
    }


def mean(of_trials: Sequence[Arrays]) -> dict[str, np.ndarray]:
    """Return the mean over trials of one network, without trials whose layers differ from the first
    one's.
    """
    first = of_trials[0]
    same = [
        trial
        for trial in of_trials
        if all(trial[name].shape == first[name].shape for name in first)
    ]
    return {name: np.mean([trial[name] for trial in same], axis=0) for name in first}


def between(start: Arrays, end: Arrays, shares: np.ndarray) -> dict[str, np.ndarray]:
    """Return the amounts at each of `shares` `[V, 1]` of the way from `start` to `end`, `[V,
    layers]`; above 1 beyond `end`.
    """
    return {name: start[name] + shares * (end[name] - start[name]) for name in start}
