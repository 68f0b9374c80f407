"""Operations of a network, layer by layer: the types that `Counter` returns."""

from typing import Literal

from msgspec.structs import force_setattr

from spikeduel.system.typed import Amount, Count, Frozen, Positive, Share

Way = Literal["per_step", "hoisted"]
"""How often work counts that is the same at every time step: at each step, as a plain loop does it
| once.
"""
WAYS: tuple[Way, ...] = ("per_step", "hoisted")


class Ways(Frozen):
    """An amount, counted in both ways.

    `per_step`: at every time step, as a plain loop computes it. `hoisted`: what is the same at
    every step counts once, taken out of the loop. They differ where a layer's input never changes:
    the first layer under direct encoding.
    """

    per_step: Amount
    hoisted: Amount

    @classmethod
    def same(cls, amount: float) -> "Ways":
        """An amount that is the same in both ways."""
        return cls(per_step=amount, hoisted=amount)

    def times(self, per_step: float, hoisted: float) -> "Ways":
        """Each way's amount, times its factor."""
        return Ways(per_step=self.per_step * per_step, hoisted=self.hoisted * hoisted)


class OverTime(Frozen):
    """An amount in all, and at each of the T time steps."""

    total: Amount
    by_step: list[Amount]


class Macs(Frozen):
    """Multiplications with additions: all, and those whose input is not 0."""

    dense: Ways
    effective: Ways


Flow = Literal["usual", "events", "steps", "image"]
"""How a layer is computed, which says what it does and what it moves.

`events`: input by input, where it is not zero; zeros are skipped. `steps`: whole, at every pass,
zeros too. `image`: the same, with weights that stay in the arithmetic for all time steps of an
image. `usual`: as most papers count, spikes by `events` and numbers by `steps`.
"""
FLOWS: tuple[Flow, ...] = ("events", "steps", "image")
"""Those that a layer of spikes and a layer of numbers can both have: the cheapest and the dearest
bound a `Range`.
"""


class Traffic(Frozen):
    """Words per image that move between memory and arithmetic, by one `Flow`.

    **By events**: each input that is not zero is read, a number with its address, a spike as its address alone,
    which the neuron that fired has written. It reads one weight for each of its synapses, and reads
    and writes the sum of each neuron behind them; a sum of numbers is read once more when it is
    whole, and written as an output.

    **By steps, or the image**: every weight is read once a pass, or once; every input is read once a pass (a spike in
    `bits`) and every output written once; partial sums stay in the array.

    Biases are weights. What is hoisted is read again at every step. **Neurons**, a step at a time:
    the state of each is read and written.
    """

    weights: Amount = 0.0
    activations: Amount = 0.0
    addresses: Amount = 0.0
    membranes: Amount = 0.0
    bits: Amount = 0.0


class TrafficWays(Frozen):
    """`Traffic` by the usual `Flow`, counted in the two ways of `Ways`."""

    per_step: Traffic = Traffic()
    hoisted: Traffic = Traffic()


class Counts(Frozen):
    """What both a layer and the whole network have: means per image.

    `functions` are exponentials and the like; `bias_additions` are not part of `additions`. A
    spike's reset is an addition; `integrations` add the input to the membrane.
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
    """The sums over all layers."""

    traffic: TrafficWays


class Layer(Counts):
    """One layer's synapses, neurons or other arithmetic.

    `input` is "image", "real", "spikes" or "mixed"; `input_encoded` whether it is the input of the
    network; `input_bits` how many bits an input has, where that was trained or where it is a sum of
    spikes (after average pooling). `inputs`, `outputs` and `macs_a_pass` are those of one pass;
    `input_zeros` is the share of zeros in its input. Neurons have `state_variables` each. `traffic`
    follows from the other counts, whatever it is given as.
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
        """Passes that take numbers, and passes that take spikes."""
        passes, dense = getattr(self.passes, way), getattr(self.macs.dense, way)
        numbers = (
            min(dense / self.macs_a_pass, passes)
            if self.macs_a_pass and dense
            else passes * (dense > 0)
        )
        return numbers, passes - numbers

    def done(self, way: Way, flow: Flow) -> tuple[float, float]:
        """MACs and ACs by this flow. Computed whole, sums of several spikes are multiplied."""
        macs = getattr(self.macs.effective if flow == "events" else self.macs.dense, way)
        if flow in ("usual", "events"):
            return macs, self.acs.total
        whole = self.macs_a_pass * self.passes_of(way)[1] if self.macs_a_pass else self.acs.total
        return (macs + whole, 0.0) if (self.input_bits or 1) > 1 else (macs, whole)

    def moved(self, way: Way, flow: Flow) -> Traffic:
        """What moves by this flow."""
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
            found = self.inputs * numbers * (1 - (self.input_zeros or 0.0))
            moved["weights"] += macs
            moved["activations"] += found
            moved["addresses"] += found
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
    """What a network computes for an image: means over `images` of them, layer by layer and in
    total.
    """

    encoding: str | None
    num_steps: Positive
    images: Count
    parameters: Count
    bytes: Count
    layers: list[Layer]
    totals: Totals
