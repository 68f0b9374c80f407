"""What an answer costs: operations counted, energy estimated from them, times measured."""

from typing import Annotated, Literal

from msgspec import Meta
from msgspec.structs import force_setattr

from spikeduel.system.typed import Frozen

Amount = Annotated[float, Meta(ge=0)]
"""A number of at least 0."""
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""A whole number of at least 0."""
Positive = Annotated[int, Meta(gt=0, le=2**63 - 1)]
"""A whole number above 0."""
Share = Annotated[float, Meta(ge=0, le=1)]
"""A number from 0 to 1."""


Way = Literal["per_step", "hoisted"]
"""How often work counts that is the same at every time step: at each step, as a plain loop does it | once."""
WAYS: tuple[Way, ...] = ("per_step", "hoisted")


class Ways(Frozen):
    """An amount, counted in both ways.

    `per_step`: at every time step, as a plain loop computes it. `hoisted`: what is the same at every step counts once,
    taken out of the loop. They differ where a layer's input never changes: the first layer under direct encoding.
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


class Traffic(Frozen):
    """Words per image that move between memory and arithmetic, by one dataflow.

    **Real inputs**, a pass at a time: every weight is read once, every input read once and every output written once;
    partial sums stay in the array (weight-stationary, with as much reuse as there can be). Biases are weights.

    **Spikes**, an event at a time: its address is written once by the neuron that fires and read once by the layer that
    receives it; it then reads one weight for each of its synapses, and reads and writes the sum of each neuron behind
    them.

    **Neurons**, a step at a time: the state of each is read and written.
    """

    weights: Amount = 0.0
    activations: Amount = 0.0
    addresses: Amount = 0.0
    membranes: Amount = 0.0


class TrafficWays(Frozen):
    """`Traffic`, counted in the two ways of `Ways`."""

    per_step: Traffic = Traffic()
    hoisted: Traffic = Traffic()


class Counts(Frozen):
    """What both a layer and the whole network have: means per image.

    `functions` are exponentials and the like; `bias_additions` are not part of `additions`. A spike's reset is an
    addition; `integrations` add the input to the membrane.
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

    `input` is "image", "real", "spikes" or "mixed"; `input_encoded` whether it is the input of the network. `inputs`,
    `outputs` and `macs_a_pass` are those of one pass; `input_zeros` is the share of zeros in its input. Neurons have
    `state_variables` each. `traffic` follows from the other counts, whatever it is given as.
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
        force_setattr(self, "traffic", TrafficWays(**{way: self._moved(way) for way in WAYS}))

    def _moved(self, way: Way) -> Traffic:
        passes = getattr(self.passes, way)
        with_numbers = passes if getattr(self.macs.dense, way) else 0.0
        acs = self.acs.total
        return Traffic(
            weights=self.weights * with_numbers + self.biases * passes + acs,
            activations=(self.inputs + self.outputs) * with_numbers,
            addresses=self.events.total + (self.spikes.total if self.spikes else 0.0),
            membranes=2 * acs + self.membrane_reads + self.membrane_writes,
        )


class Operations(Frozen):
    """What a network computes for an image: means over `images` of them, layer by layer and in total."""

    encoding: str | None
    num_steps: Positive
    images: Count
    parameters: Count
    bytes: Count
    layers: list[Layer]
    totals: Totals


class Counted(Frozen):
    """What was counted of a network, or the `reason` why nothing was: it has something in it that is not known."""

    operations: Operations | None
    reason: str | None = None


Memory = Literal["compute", "on_chip", "off_chip"]
"""Arithmetic alone | with memory, everything on the chip | with memory, weights off the chip."""
Scope = Literal["synapses", "with_neurons"]
"""Linear operations alone, as most papers count | all else too: neurons, biases, other arithmetic."""
Multiplications = Literal["dense", "effective"]
"""Every multiplication | those whose input is not zero."""
MEMORIES: tuple[Memory, ...] = ("compute", "on_chip", "off_chip")
SCOPES: tuple[Scope, ...] = ("synapses", "with_neurons")
MULTIPLICATIONS: tuple[Multiplications, ...] = ("dense", "effective")


class MacJoules(Frozen):
    """Joules per image with all multiplications, and with only those whose input is not 0; None: not known."""

    dense: float | None
    effective: float | None


class WayJoules(Frozen):
    """Joules per image in the two ways of `Ways`."""

    per_step: MacJoules
    hoisted: MacJoules


class ScopeJoules(Frozen):
    """Joules per image of linear operations alone, and with neurons, biases and other arithmetic."""

    synapses: WayJoules
    with_neurons: WayJoules


class TableEnergy(Frozen):
    """Energy by one table, for each memory model; None where the table does not cover that.

    `unknown` names the layers that the table has no energy for: every number that needs one of them is None.
    """

    title: str
    source: str
    compute: ScopeJoules | None
    on_chip: ScopeJoules | None
    off_chip: ScopeJoules | None
    unknown: list[str]

    def joules(
        self,
        memory: Memory = "compute",
        scope: Scope = "synapses",
        way: Way = "hoisted",
        multiplications: Multiplications = "dense",
    ) -> float | None:
        """Joules per image, counted as the arguments say."""
        of_memory = getattr(self, memory)
        return of_memory and getattr(getattr(getattr(of_memory, scope), way), multiplications)


class Energy(Frozen):
    """Estimated energy of one image by several tables, by name; the first leads."""

    tables: Annotated[dict[str, TableEnergy], Meta(min_length=1)]
    estimate: bool = True
    unit: str = "joules per image"

    @property
    def leading(self) -> TableEnergy:
        """That of the first table."""
        return next(iter(self.tables.values()))


class Times(Frozen):
    """Milliseconds of `n` answers; `p95_ms` is None of few."""

    median_ms: Amount
    p95_ms: Amount | None
    min_ms: Amount
    n: Count


class Throughput(Times):
    """The same for batches of `batch_size`."""

    batch_size: Positive
    images_per_second: Amount


class StartUp(Frozen):
    """Seconds of a fresh process until its first answer."""

    import_seconds: Amount
    load_seconds: Amount
    first_answer_seconds: Amount
    total_seconds: Amount


class PeakMemory(Frozen):
    """Bytes that the process held at most: after its first answer, after the largest batches, on the GPU."""

    first_answer: Count | None = None
    batch_256: Count | None = None
    gpu: Count | None = None


BUSY = 0.25
"""Of the cores, how many others may use while something is timed."""


def is_busy(load: float | None, cores: int, own_threads: int = 0) -> bool:
    """Whether the `load` average says that more than `own_threads` and a few of the cores were in use."""
    return load is not None and load - own_threads > BUSY * cores


class Machine(Frozen):
    """Where times were taken, and how busy that was: `load_average` over the last minute."""

    cpu: str
    cores: int | None
    threads: int
    device: str
    gpu: str | None
    torch: str
    python: str
    platform: str
    load_average: float | None

    @property
    def busy(self) -> bool:
        """Whether more than its own threads and a few of the cores were in use."""
        return is_busy(self.load_average, self.cores or 1, self.threads)


class Latency(Frozen):
    """What a model takes to start and to answer on this machine; `reasons` says why something is None.

    `throughput` is by batch size ("1", "32", "256"); `stream_ms` `[T]` are milliseconds until there are scores after
    each step of one image's stream.
    """

    machine: Machine
    precision: str | None = None
    one_image: Times | None = None
    throughput: dict[str, Throughput] | None = None
    joules_per_image: Amount | None = None
    joules_source: str | None = None
    stream_ms: list[Amount] | None = None
    start_up: StartUp | None = None
    peak_memory_bytes: PeakMemory | None = None
    reasons: dict[str, str] = {}
