"""Types of counted operations: of a network and of each layer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from spikeduel.system.typed import Amount, Count, Frozen, Positive, Share

Way = Literal["per_step", "hoisted"]
"""Work that is equal at all time steps counts at each step, as a plain loop does it, or once."""
WAYS: tuple[Way, ...] = ("per_step", "hoisted")


class Ways(Frozen):
    """An amount `per_step`, as a plain loop computes it, and `hoisted`, where work that is equal at
    all time steps counts once.
    """

    per_step: Amount
    hoisted: Amount

    @classmethod
    def same(cls, amount: float) -> "Ways":
        return cls(per_step=amount, hoisted=amount)

    def times(self, per_step: float, hoisted: float) -> "Ways":
        return Ways(per_step=self.per_step * per_step, hoisted=self.hoisted * hoisted)


class OverTime(Frozen):
    """An amount in total, and at each of the T time steps."""

    total: Amount
    by_step: list[Amount]


class Macs(Frozen):
    """Multiplications with additions: all, and those whose input is not 0."""

    dense: Ways
    effective: Ways


Flow = Literal["usual", "events", "steps", "image"]
"""Order in which a layer is computed, which decides what is done and moved.

`events`: input by input, zeros skipped. `steps`: whole at every pass, zeros too. `image`: likewise,
with weights kept in the arithmetic for all time steps of an image. `usual`: spikes by `events`,
numbers by `steps`, as most papers count.
"""
FLOWS: tuple[Flow, ...] = ("events", "steps", "image")
"""Flows of layers of spikes and of numbers; the cheapest and the dearest bound a `Range`."""


class Traffic(NamedTuple):
    """Words per image moved between memory and arithmetic, by one `Flow`.

    `events`: an input that is not zero is read, a number with its address, a spike as its address
    alone, written by the neuron that fired. Per synapse, a weight is read, and the sum behind it
    read and written; a sum of numbers is read once more when complete, and written as an output.

    `steps`, or `image`: weights are read once a pass, or once; inputs are read (a spike in `bits`)
    and outputs written once a pass.

    Biases are weights. Hoisted outputs are read again at every step, and a neuron's state read and
    written.
    """

    weights: float = 0.0
    activations: float = 0.0
    addresses: float = 0.0
    membranes: float = 0.0
    bits: float = 0.0


class Counts(Frozen):
    """Means per image, of a layer or of the network.

    `functions` are exponentials and the like; `bias_additions` are apart from `additions`.
    """

    macs: Macs
    acs: OverTime
    events: OverTime
    additions: Ways
    multiplications: Ways
    functions: Ways
    bias_additions: Ways
    neurons: Amount | None
    spikes: OverTime | None
    spikes_per_neuron_and_step: Amount | None
    leaks: Amount
    integrations: Amount
    resets: Amount
    threshold_comparisons: Amount
    membrane_reads: Amount
    membrane_writes: Amount


class Layer(Counts):
    """Synapses, neurons or other arithmetic of one layer.

    `input` is "image", "real", "spikes" or "mixed"; `input_bits` its trained width, or that of sums
    of spikes. `inputs`, `outputs` and `macs_a_pass` are per pass; `input_zeros` is the share of
    zeros. A neuron has `state_variables` numbers.
    """

    name: str
    type: str
    kind: Literal["synapses", "neurons", "arithmetic", "declared"]
    input: str | None
    input_bits: Count | None
    input_encoded: bool
    input_zeros: Share | None
    passes: Ways
    inputs: Amount
    outputs: Amount
    weights: Count
    biases: Count
    macs_a_pass: Amount
    state_variables: Count
    folded_into: str | None
    note: str | None

    def passes_of(self, way: Way) -> tuple[float, float]:
        """Return the passes with numbers and the passes with spikes."""
        passes, dense = getattr(self.passes, way), getattr(self.macs.dense, way)
        numbers = (
            min(dense / self.macs_a_pass, passes)
            if self.macs_a_pass and dense
            else passes * (dense > 0)
        )
        return numbers, passes - numbers

    def done(self, way: Way, flow: Flow) -> tuple[float, float]:
        """Return MACs and ACs by this flow; whole sums of several spikes are multiplied."""
        macs = getattr(self.macs.effective if flow == "events" else self.macs.dense, way)
        if flow in ("usual", "events"):
            return macs, self.acs.total
        whole = self.macs_a_pass * self.passes_of(way)[1] if self.macs_a_pass else self.acs.total
        return (macs + whole, 0.0) if (self.input_bits or 1) > 1 else (macs, whole)

    def moved(self, way: Way, flow: Flow) -> Traffic:
        numbers, spikes = self.passes_of(way)
        fired = self.spikes.total if self.spikes else 0.0
        times = {"image": min(numbers + spikes, 1.0), "usual": numbers, "events": 0.0}.get(
            flow, numbers + spikes
        )
        moved = {
            "weights": self.weights * times
            + self.biases * (times if flow == "image" else numbers + spikes),
            "activations": self.outputs * numbers,
            "addresses": 0.0,
            "membranes": self.membrane_reads + self.membrane_writes,
            "bits": 0.0,
        }
        if way == "hoisted" and self.passes.hoisted < self.passes.per_step:
            moved["activations"] += self.outputs * self.passes.per_step
        macs, acs = self.done(way, "events")
        if flow == "events":
            read = self.inputs * numbers * (1 - (self.input_zeros or 0.0))
            moved["weights"] += macs
            moved["activations"] += read
            moved["addresses"] += read
            moved["membranes"] += 2 * macs + self.outputs * numbers
        else:
            moved["activations"] += self.inputs * numbers
        if flow in ("usual", "events"):
            moved["weights"] += acs
            moved["addresses"] += self.events.total + fired
            moved["membranes"] += 2 * acs
        else:
            moved["activations"] += self.outputs * spikes
            moved["bits"] += self.inputs * spikes + (
                self.threshold_comparisons if self.spikes else 0.0
            )
        return Traffic(**moved)


class Operations(Frozen):
    """Operations per image: means over `images`, by layer and in total."""

    encoding: str | None
    num_steps: Positive
    images: Count
    parameters: Count
    bytes: Count
    layers: list[Layer]
    totals: Counts


Arrays = Mapping[str, np.ndarray]
"""Arrays over layers by name."""


class LayerAmount(NamedTuple):
    """An amount for formulas: a plain `meaning`, and a function of a layer."""

    meaning: str
    of: Callable[[Layer], float]


def _takes_numbers(layer: Layer) -> bool:
    return layer.macs.dense.per_step > 0


def _few_bits(layer: Layer) -> int:
    few = _takes_numbers(layer) and layer.input != "spikes"
    return (layer.input_bits or 0) if few else 0


def _spikes(layer: Layer) -> float:
    return layer.spikes.total if layer.spikes else 0.0


def _neuron_updates(layer: Layer) -> float:
    return layer.integrations / max(layer.state_variables, 1)


AMOUNTS: dict[str, LayerAmount] = {
    "macs": LayerAmount(
        "multiplications with weights; what is the same at every step counts once",
        lambda layer: layer.macs.dense.hoisted,
    ),
    "macs_per_step": LayerAmount(
        "macs, counted at every step", lambda layer: layer.macs.dense.per_step
    ),
    "effective_macs": LayerAmount(
        "macs whose input is not 0", lambda layer: layer.macs.effective.hoisted
    ),
    "effective_macs_per_step": LayerAmount(
        "macs_per_step whose input is not 0", lambda layer: layer.macs.effective.per_step
    ),
    "acs": LayerAmount("additions that spikes cause", lambda layer: layer.acs.total),
    "events": LayerAmount("spikes that come in", lambda layer: layer.events.total),
    "whole_per_step": LayerAmount(
        "synapses times passes, nothing skipped",
        lambda layer: layer.macs_a_pass * layer.passes.per_step or layer.macs.dense.per_step,
    ),
    "takes_numbers": LayerAmount("1 where the layer multiplies numbers, else 0", _takes_numbers),
    "takes_image": LayerAmount(
        "1 where the input is the image, else 0", lambda layer: layer.input == "image"
    ),
    "convolution": LayerAmount("1 for a convolution, else 0", lambda layer: "Conv" in layer.type),
    "quantised": LayerAmount(
        "1 where activations have few bits, else 0",
        lambda layer: _few_bits(layer) > 0,
    ),
    "activation_bits": LayerAmount("bits of an activation, where these are few", _few_bits),
    "inputs": LayerAmount("numbers that come in, in one pass", lambda layer: layer.inputs),
    "outputs": LayerAmount("numbers that go out, in one pass", lambda layer: layer.outputs),
    "weights": LayerAmount("numbers that inputs are multiplied with", lambda layer: layer.weights),
    "biases": LayerAmount("numbers that are added to outputs", lambda layer: layer.biases),
    "bias_additions": LayerAmount(
        "outputs that get a bias; what is the same at every step counts once",
        lambda layer: layer.bias_additions.hoisted,
    ),
    "bias_additions_per_step": LayerAmount(
        "bias_additions, counted at every step", lambda layer: layer.bias_additions.per_step
    ),
    "neurons": LayerAmount("neurons with a state", lambda layer: layer.neurons or 0.0),
    "neuron_updates": LayerAmount("neurons times steps", _neuron_updates),
    "spikes": LayerAmount("spikes that the neurons fire", _spikes),
    "leaks": LayerAmount("multiplications of a state with its decay", lambda layer: layer.leaks),
    "resets": LayerAmount("resets of a state", lambda layer: layer.resets),
    "comparisons": LayerAmount(
        "comparisons with the threshold", lambda layer: layer.threshold_comparisons
    ),
    "membrane_reads": LayerAmount("states read", lambda layer: layer.membrane_reads),
    "membrane_writes": LayerAmount("states written", lambda layer: layer.membrane_writes),
}
"""The amounts of one layer and image; amounts that a kind of layer lacks are 0."""
STEPS = "T"
"""Time steps of the spiking network, in the formulas of both networks."""
MEANINGS = {name: amount.meaning for name, amount in AMOUNTS.items()} | {
    STEPS: "time steps of the spiking network"
}
"""Meanings of all names that a formula may use besides its own constants."""
_BY_WAY = ("bias_additions", "additions", "multiplications")
_ANY_FLOW = ("acs", "resets", "leaks", "spikes", "neuron_updates")


def by_flow(layers: Sequence[Layer], way: Way) -> dict[str, np.ndarray]:
    """Return the amounts by flow, `[layers, 1 + FLOWS]`, the usual flow first; others are `[layers,
    1]`.
    """
    flows: tuple[Flow, ...] = ("usual", *FLOWS)
    done = np.array([[layer.done(way, flow) for flow in flows] for layer in layers])
    done = done.reshape(len(layers), len(flows), 2)
    moved = [[layer.moved(way, flow) for flow in flows] for layer in layers]
    words = np.array(moved).reshape(len(layers), len(flows), len(Traffic._fields))
    amounts = {"done_macs": done[..., 0], "done_acs": done[..., 1]}
    amounts |= {f"moved_{name}": words[..., i] for i, name in enumerate(Traffic._fields)}
    columns = {name: [getattr(getattr(layer, name), way) for layer in layers] for name in _BY_WAY}
    columns["integrations"] = [layer.integrations for layer in layers]
    columns |= {name: [AMOUNTS[name].of(layer) for layer in layers] for name in _ANY_FLOW}
    return amounts | {name: np.array(column).reshape(-1, 1) for name, column in columns.items()}


def arrays(layers: Sequence[Layer]) -> dict[str, np.ndarray]:
    return {
        name: np.array([amount.of(layer) for layer in layers], dtype=np.float64)
        for name, amount in AMOUNTS.items()
    }


def mean(of_trials: Sequence[Arrays]) -> dict[str, np.ndarray]:
    """Return the mean over a network's trials, without layers that differ from the first's."""
    first = of_trials[0]
    same = [
        trial
        for trial in of_trials
        if all(trial[name].shape == first[name].shape for name in first)
    ]
    return {name: np.mean([trial[name] for trial in same], axis=0) for name in first}


def between(start: Arrays, end: Arrays, shares: np.ndarray) -> dict[str, np.ndarray]:
    """Return the amounts `[V, layers]` at `shares` `[V, 1]` of the way from `start` to `end`."""
    return {name: start[name] + shares * (end[name] - start[name]) for name in start}
