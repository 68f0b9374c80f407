"""Types of counted operations."""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Annotated, Any, Literal, NamedTuple

from msgspec import Meta

from spikeduel.system.typed import Amount, Count, Frozen, Positive, Share

Way = Literal["per_step", "hoisted"]
"""Work that is equal at all time steps counts at each step, as a plain loop does it, or once."""
WAYS: tuple[Way, ...] = ("per_step", "hoisted")


class Ways(Frozen):
    """An amount `per_step`, as a plain loop computes it, and `hoisted`, with work that is equal at
    all time steps once.
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
"""Flows of layers; the cheapest and the most expensive bound a `Range`."""


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
    of spikes; `weight_bits` that of weights trained in few bits. `inputs`, `outputs` and
    `macs_a_pass` are per pass; `input_zeros` is the share of zeros. A neuron has
    `state_variables` numbers. A convolution is `depthwise` if each output has one input channel of
    several.
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
    weight_bits: Count | None = None
    depthwise: bool = False

    @property
    def takes_numbers(self) -> bool:
        return self.macs.dense.per_step > 0

    @property
    def activation_bits(self) -> int:
        """Bits of an activation if few, else 0."""
        few = self.takes_numbers and self.input != "spikes"
        return (self.input_bits or 0) if few else 0

    @property
    def fired(self) -> float:
        return self.spikes.total if self.spikes else 0.0

    def passes_of(self, way: Way) -> tuple[float, float]:
        """Return the passes with numbers and the passes with spikes."""
        passes, dense = getattr(self.passes, way), getattr(self.macs.dense, way)
        numbers = passes if dense else 0.0
        if self.macs_a_pass and dense:
            numbers = min(dense / self.macs_a_pass, passes)
        return numbers, passes - numbers

    def done(self, way: Way, flow: Flow) -> tuple[float, float]:
        """Return MACs and ACs; whole sums of several spikes are multiplied."""
        macs = getattr(self.macs.effective if flow == "events" else self.macs.dense, way)
        if flow in ("usual", "events"):
            return macs, self.acs.total
        whole = self.macs_a_pass * self.passes_of(way)[1] if self.macs_a_pass else self.acs.total
        return (macs + whole, 0.0) if (self.input_bits or 1) > 1 else (macs, whole)

    def moved(self, way: Way, flow: Flow) -> Traffic:
        """Return the words that move, as `Traffic` explains."""
        numbers, spikes = self.passes_of(way)
        passes = numbers + spikes
        times = {"image": min(passes, 1.0), "usual": numbers, "events": 0.0}.get(flow, passes)
        weights = self.weights * times + self.biases * (times if flow == "image" else passes)
        activations, addresses, bits = self.outputs * numbers, 0.0, 0.0
        membranes = self.membrane_reads + self.membrane_writes
        if way == "hoisted" and self.passes.hoisted < self.passes.per_step:
            activations += self.outputs * self.passes.per_step
        macs, acs = self.done(way, "events")
        if flow == "events":
            read = self.inputs * numbers * (1 - (self.input_zeros or 0.0))
            weights += macs
            activations += read
            addresses += read
            membranes += 2 * macs + self.outputs * numbers
        else:
            activations += self.inputs * numbers
        if flow in ("usual", "events"):
            weights += acs
            addresses += self.events.total + self.fired
            membranes += 2 * acs
        else:
            activations += self.outputs * spikes
            bits = self.inputs * spikes + (self.threshold_comparisons if self.spikes else 0.0)
        return Traffic(weights, activations, addresses, membranes, bits)


class Operations(Frozen):
    """Operations per image: means over `images`."""

    encoding: str | None
    num_steps: Positive
    images: Count
    parameters: Count
    bytes: Count
    layers: Annotated[list[Layer], Meta(min_length=1)]
    totals: Counts


def totals(layers: Sequence[Layer], num_steps: int) -> Counts:
    """Return the sums over `layers`, and the spikes per neuron and step of those that fire."""
    firing = [layer for layer in layers if layer.spikes]
    num_firing = sum(layer.neurons or 0 for layer in firing)
    spikes = _sum([layer.spikes for layer in firing]) if firing else None
    apart = ("neurons", "spikes", "spikes_per_neuron_and_step")
    summed = [name for name in Counts.__struct_fields__ if name not in apart]
    return Counts(
        **{name: _sum([getattr(layer, name) for layer in layers]) for name in summed},
        neurons=sum(layer.neurons or 0 for layer in layers),
        spikes=spikes,
        spikes_per_neuron_and_step=spikes.total / num_firing / num_steps
        if spikes and num_firing
        else None,
    )


def _sum(values: Sequence[Any]) -> Any:
    """Add numbers, lists or structs, field by field."""
    first = values[0]
    if isinstance(first, Frozen):
        fields = first.__struct_fields__
        return type(first)(
            **{name: _sum([getattr(value, name) for value in values]) for name in fields}
        )
    if isinstance(first, list):
        return [sum(entries) for entries in zip(*values, strict=False)]
    return sum(values)


AMOUNTS: dict[str, tuple[Callable[[Layer], float | None], str]] = {
    "macs": (
        attrgetter("macs.dense.hoisted"),
        "multiplications with weights; what is the same at every step counts once",
    ),
    "macs_per_step": (attrgetter("macs.dense.per_step"), "macs, counted at every step"),
    "effective_macs": (attrgetter("macs.effective.hoisted"), "macs whose input is not 0"),
    "effective_macs_per_step": (
        attrgetter("macs.effective.per_step"),
        "macs_per_step whose input is not 0",
    ),
    "acs": (attrgetter("acs.total"), "additions that spikes cause"),
    "events": (attrgetter("events.total"), "spikes that come in"),
    "whole_per_step": (
        lambda at: at.macs_a_pass * at.passes.per_step or at.macs.dense.per_step,
        "synapses times passes, nothing skipped",
    ),
    "takes_numbers": (attrgetter("takes_numbers"), "1 where the layer multiplies numbers, else 0"),
    "takes_image": (lambda at: at.input == "image", "1 where the input is the image, else 0"),
    "convolution": (lambda at: "Conv" in at.type, "1 for a convolution, else 0"),
    "depthwise": (
        attrgetter("depthwise"),
        "1 for a convolution of each channel by itself, else 0",
    ),
    "quantised": (lambda at: at.activation_bits > 0, "1 where activations have few bits, else 0"),
    "activation_bits": (
        attrgetter("activation_bits"),
        "bits of an activation, where these are few",
    ),
    "inputs": (attrgetter("inputs"), "numbers that come in, in one pass"),
    "outputs": (attrgetter("outputs"), "numbers that go out, in one pass"),
    "weights": (attrgetter("weights"), "numbers that inputs are multiplied with"),
    "trained_bits": (attrgetter("weight_bits"), "bits of a weight that was trained in few, else 0"),
    "biases": (attrgetter("biases"), "numbers that are added to outputs"),
    "bias_additions": (
        attrgetter("bias_additions.hoisted"),
        "outputs that get a bias; what is the same at every step counts once",
    ),
    "bias_additions_per_step": (
        attrgetter("bias_additions.per_step"),
        "bias_additions, counted at every step",
    ),
    "neurons": (attrgetter("neurons"), "neurons with a state"),
    "neuron_updates": (
        lambda at: at.integrations / max(at.state_variables, 1),
        "neurons times steps",
    ),
    "spikes": (attrgetter("fired"), "spikes that the neurons fire"),
    "leaks": (attrgetter("leaks"), "multiplications of a state with its decay"),
    "resets": (attrgetter("resets"), "resets of a state"),
    "comparisons": (attrgetter("threshold_comparisons"), "comparisons with the threshold"),
    "membrane_reads": (attrgetter("membrane_reads"), "states read"),
    "membrane_writes": (attrgetter("membrane_writes"), "states written"),
}
"""Amounts of one layer and image for formulas: how to read them of a `Layer` (None is 0), and
meanings.
"""
STEPS = "T"
"""Time steps of the spiking network, in both networks' formulas."""
MEANINGS = {name: meaning for name, (_, meaning) in AMOUNTS.items()} | {
    STEPS: "time steps of the spiking network"
}
"""Meanings of all names in formulas but its constants."""
