"""Amounts of each layer that energy formulas name: means per image, as arrays over the layers."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from spikeduel.counting.operations import FLOWS, Flow, Layer, Way

Arrays = Mapping[str, np.ndarray]
"""Arrays over layers by name."""


class Amount(NamedTuple):
    """An amount that formulas may name: a plain `meaning`, and a function of a layer."""

    meaning: str
    of: Callable[[Layer], float]


def _takes_numbers(layer: Layer) -> bool:
    return layer.macs.dense.per_step > 0


def _few_bits(layer: Layer) -> int:
    """Return the bits of an activation where these are few, as trained; else 0."""
    few = _takes_numbers(layer) and layer.input != "spikes"
    return (layer.input_bits or 0) if few else 0


def _spikes(layer: Layer) -> float:
    return layer.spikes.total if layer.spikes else 0.0


def _neuron_updates(layer: Layer) -> float:
    return layer.integrations / max(layer.state_variables, 1)


AMOUNTS: dict[str, Amount] = {
    "macs": Amount(
        "multiplications with weights; what is the same at every step counts once",
        lambda layer: layer.macs.dense.hoisted,
    ),
    "macs_per_step": Amount("macs, counted at every step", lambda layer: layer.macs.dense.per_step),
    "effective_macs": Amount(
        "macs whose input is not 0", lambda layer: layer.macs.effective.hoisted
    ),
    "effective_macs_per_step": Amount(
        "macs_per_step whose input is not 0", lambda layer: layer.macs.effective.per_step
    ),
    "acs": Amount("additions that spikes cause", lambda layer: layer.acs.total),
    "events": Amount("spikes that come in", lambda layer: layer.events.total),
    "whole_per_step": Amount(
        "synapses times passes, nothing skipped",
        lambda layer: layer.macs_a_pass * layer.passes.per_step or layer.macs.dense.per_step,
    ),
    "takes_numbers": Amount("1 where the layer multiplies numbers, else 0", _takes_numbers),
    "takes_image": Amount(
        "1 where the input is the image, else 0", lambda layer: layer.input == "image"
    ),
    "convolution": Amount("1 for a convolution, else 0", lambda layer: "Conv" in layer.type),
    "quantised": Amount(
        "1 where activations have few bits, else 0",
        lambda layer: _few_bits(layer) > 0,
    ),
    "activation_bits": Amount("bits of an activation, where these are few", _few_bits),
    "inputs": Amount("numbers that come in, in one pass", lambda layer: layer.inputs),
    "outputs": Amount("numbers that go out, in one pass", lambda layer: layer.outputs),
    "weights": Amount("numbers that inputs are multiplied with", lambda layer: layer.weights),
    "biases": Amount("numbers that are added to outputs", lambda layer: layer.biases),
    "bias_additions": Amount(
        "outputs that get a bias; what is the same at every step counts once",
        lambda layer: layer.bias_additions.hoisted,
    ),
    "bias_additions_per_step": Amount(
        "bias_additions, counted at every step", lambda layer: layer.bias_additions.per_step
    ),
    "neurons": Amount("neurons with a state", lambda layer: layer.neurons or 0.0),
    "neuron_updates": Amount("neurons times steps", _neuron_updates),
    "spikes": Amount("spikes that the neurons fire", _spikes),
    "leaks": Amount("multiplications of a state with its decay", lambda layer: layer.leaks),
    "resets": Amount("resets of a state", lambda layer: layer.resets),
    "comparisons": Amount(
        "comparisons with the threshold", lambda layer: layer.threshold_comparisons
    ),
    "membrane_reads": Amount("states read", lambda layer: layer.membrane_reads),
    "membrane_writes": Amount("states written", lambda layer: layer.membrane_writes),
}
"""The amounts of one layer and image; amounts that a kind of layer lacks are 0."""
STEPS = "T"
"""Time steps of the spiking network, in the formulas of both networks."""
MEANINGS = {name: amount.meaning for name, amount in AMOUNTS.items()} | {
    STEPS: "time steps of the spiking network"
}
"""Meanings of all names that a formula may use besides its own constants."""
_MOVED = ("weights", "activations", "addresses", "membranes", "bits")
_BY_WAY = ("bias_additions", "additions", "multiplications")
_ANY_FLOW = ("acs", "resets", "leaks", "spikes", "neuron_updates")


def by_flow(layers: Sequence[Layer], way: Way) -> dict[str, np.ndarray]:
    """Return the amounts that depend on a layer's flow, `[layers, 1 + FLOWS]`, the usual flow
    first.

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
    columns["integrations"] = [layer.integrations for layer in layers]
    columns |= {name: [AMOUNTS[name].of(layer) for layer in layers] for name in _ANY_FLOW}
    return amounts | {name: np.array(column).reshape(-1, 1) for name, column in columns.items()}


def arrays(layers: Sequence[Layer]) -> dict[str, np.ndarray]:
    """Return the `AMOUNTS` of all layers, an array `[layers]` for each name."""
    return {
        name: np.array([amount.of(layer) for layer in layers], dtype=np.float64)
        for name, amount in AMOUNTS.items()
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
