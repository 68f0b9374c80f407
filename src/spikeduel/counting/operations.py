"""Types of a count: the operations of a network, layer by layer."""

from typing import Literal

from msgspec.structs import force_setattr

from spikeduel.system.typed import Amount, Count, Frozen, Positive, Share

Way = Literal["per_step", "hoisted"]
"""Work that is equal at all time steps counts at each step, as a plain loop does it, or once."""
WAYS: tuple[Way, ...] = ("per_step", "hoisted")


class Ways(Frozen):
    """An amount counted `per_step`, as a plain loop computes it, and `hoisted`.

    Hoisted work is equal at all time steps and counts once: the first layer under direct encoding.
    """

    per_step: Amount
    hoisted: Amount

    @classmethod
    def same(cls, amount: float) -> "Ways":
        """Return an amount that is equal in both ways."""
        return cls(per_step=amount, hoisted=amount)

    def times(self, per_step: float, hoisted: float) -> "Ways":
        """Return the amounts multiplied by a factor each."""
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


class Traffic(Frozen):
    """Words per image that move between memory and arithmetic, by one `Flow`.

    By events: an input that is not zero is read, a number with its address, a spike as its address
    alone, written by the neuron that fired. Per synapse, a weight is read, and the sum of the
    neuron behind it is read and written; a sum of numbers is read once more when it is complete,
    and written as an output.

    By steps, or by image: weights are read once a pass, or once; inputs are read (a spike in
    `bits`) and outputs written once a pass; partial sums stay in the array.

    Biases are weights. Hoisted outputs are read again at every step. The state of a neuron is read
    and written at every step.
    """

    weights: Amount = 0.0
    activations: Amount = 0.0
    addresses: Amount = 0.0
    membranes: Amount = 0.0
    bits: Amount = 0.0


class TrafficWays(Frozen):
    """`Traffic` by the usual `Flow`, in both `Ways`."""

    per_step: Traffic = Traffic()
    hoisted: Traffic = Traffic()


class Counts(Frozen):
    """Means per image, of a layer or of the network.

    `functions` are exponentials and the like; `bias_additions` are not part of `additions`. A reset
    is an addition; `integrations` add the input to the membrane.
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


class Totals(Counts):
    """Sums over all layers."""

    traffic: TrafficWays


class Layer(Counts):
    """Synapses, neurons or other arithmetic of one layer.

    `input` is "image", "real", "spikes" or "mixed"; `input_encoded` is True for the network's
    input. `input_bits` is the trained width of the input, or that of sums of spikes (after average
    pooling). `inputs`, `outputs` and `macs_a_pass` are those of one pass; `input_zeros` is the
    share of zeros. A neuron has `state_variables` numbers. `traffic` is computed from the other
    counts.
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
    traffic: TrafficWays = TrafficWays()

    def __post_init__(self) -> None:
        force_setattr(
            self, "traffic", TrafficWays(**{way: self.moved(way, "usual") for way in WAYS})
        )

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
        """Return MACs and ACs by this flow. Sums of several spikes, computed whole, are
        multiplied.
        """
        macs = getattr(self.macs.effective if flow == "events" else self.macs.dense, way)
        if flow in ("usual", "events"):
            return macs, self.acs.total
        whole = self.macs_a_pass * self.passes_of(way)[1] if self.macs_a_pass else self.acs.total
        return (macs + whole, 0.0) if (self.input_bits or 1) > 1 else (macs, whole)

    def moved(self, way: Way, flow: Flow) -> Traffic:
        """Return the words moved by this flow."""
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
    totals: Totals
