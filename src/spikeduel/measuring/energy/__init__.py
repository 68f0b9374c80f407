"""Energy of one image, estimated from stored counts and a table: compute only, and with memory. No network runs."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from spikeduel.measuring.energy.tables import NAMES, Chip, Table, read
from spikeduel.results import costs
from spikeduel.results.costs import Energy, Layer, Macs, Memory, Operations, OverTime, TableEnergy, Ways

HEADLINE = "45nm-fp32"
"""The table that leads where none is asked for."""


def energies(operations: Operations | None, chosen: Iterable[Table] | None = None) -> Energy | None:
    """Estimates by the tables `chosen`, or by all that have a name (`tables.NAMES`); None of what was not counted."""
    if operations is None:
        return None
    of = map(read, NAMES) if chosen is None else chosen
    return Energy(tables={table.name: estimate(operations.layers, table) for table in of})


def estimate(layers: Sequence[Layer], table: Table) -> TableEnergy:
    """Joules per image of `Operations.layers`, or of a variant of them (`relu_twin`, `scaled`, `up_to`).

    Every number that needs a layer the table has no energy for is None.
    """

    def of(memory: Memory, scope: costs.Scope, way: costs.Way) -> costs.MacJoules:
        joules = {macs: _joules(layers, table, memory, scope, way, macs) for macs in costs.MULTIPLICATIONS}
        return costs.MacJoules(**joules)

    def by_scope(memory: Memory) -> costs.ScopeJoules:
        ways = {scope: {way: of(memory, scope, way) for way in costs.WAYS} for scope in costs.SCOPES}
        return costs.ScopeJoules(**{scope: costs.WayJoules(**by_way) for scope, by_way in ways.items()})

    return TableEnergy(
        title=table.title,
        source=table.source,
        **{memory: by_scope(memory) if table.covers(memory) else None for memory in costs.MEMORIES},
        unknown=[layer.name for layer in layers if table.chip and _multiplies(layer)],
    )


def over_time(operations: Operations, table: Table, memory: Memory = "compute") -> list[float] | None:
    """Joules per image up to and including each time step, `[T]`; None where the table does not tell.

    The first layer under direct encoding is hoisted: it is paid for in the first step.
    """
    steps = range(1, operations.num_steps + 1)
    spent = [estimate(up_to(operations, t), table).joules(memory) for t in steps]
    known = [joules for joules in spent if joules is not None]
    return known if len(known) == len(spent) else None


def mean_at(values: Sequence[float], exit_steps: Sequence[int]) -> float:
    """The mean of `values` `[T]` over images of which `exit_steps[t]` leave at step t.

    An image that leaves at a step is taken to cost what images do on average up to there. Those that leave early may in
    fact have fired less, or more.
    """
    return sum(value * images for value, images in zip(values, exit_steps, strict=True)) / sum(exit_steps)


def break_even_rate(
    operations: Operations, rival: Sequence[Layer], table: Table, num_steps: float, memory: Memory = "compute"
) -> float | None:
    """Spikes per neuron and step at which `operations`, over `num_steps` steps, take as much energy as the `rival`.

    Energy is linear in the rate, so that two points tell it. 0 or less: even without a spike it takes more. None where
    the table does not tell, or where spikes cost nothing.
    """
    measured = operations.totals.spikes_per_neuron_and_step
    silent, firing, target = (
        estimate(layers, table).joules(memory)
        for layers in (scaled(operations, 0.0, num_steps), scaled(operations, 1.0, num_steps), rival)
    )
    if not measured or silent is None or firing is None or target is None or firing <= silent:
        return None
    return measured * (target - silent) / (firing - silent)


def _multiplies(layer: Layer) -> bool:
    return layer.macs.dense.per_step > 0 or layer.multiplications.per_step > 0


def _joules(layers: Sequence[Layer], table: Table, memory: Memory, scope: str, way: str, macs: str) -> float | None:
    picojoules = 0.0
    for layer in layers:
        if scope == "synapses" and layer.kind not in ("synapses", "declared"):
            continue
        if table.chip:
            if _multiplies(layer):
                return None
            picojoules += _on_chip(layer, table.chip, scope)
            continue
        picojoules += _arithmetic(layer, table, scope, way, macs)
        if memory != "compute":
            picojoules += _moving(layer, table, memory, way)
    return 1e-12 * picojoules


def _on_chip(layer: Layer, chip: Chip, scope: str) -> float:
    energy = chip.synaptic_operation * layer.acs.total
    if scope == "with_neurons":
        spikes = layer.spikes.total if layer.spikes else 0.0
        quiet = layer.integrations / max(layer.state_variables, 1) - spikes
        energy += chip.neuron_that_fires * spikes + chip.neuron_that_does_not * quiet + chip.spike * spikes
    return energy


def _arithmetic(layer: Layer, table: Table, scope: str, way: str, macs: str) -> float:
    one = table.picojoules
    energy = (one.multiply + one.add) * getattr(getattr(layer.macs, macs), way) + one.add * layer.acs.total
    if scope == "with_neurons":
        added = layer.integrations + layer.resets
        added += getattr(layer.bias_additions, way) + getattr(layer.additions, way)
        energy += one.add * added + one.multiply * (layer.leaks + getattr(layer.multiplications, way))
    return energy


def _moving(layer: Layer, table: Table, memory: Memory, way: str) -> float:
    words, bits = getattr(layer.traffic, way), table.bits
    # What a quantised network was trained for is moved in no more bits than that.
    activation_bits = min(bits.activation, layer.input_bits or bits.activation)
    held = {
        "weights": (layer.weights + layer.biases, bits.weight),
        "activations": (max(layer.inputs, layer.outputs), activation_bits),
        "addresses": (max(layer.inputs, layer.neurons or 0), bits.address),
        "membranes": (max(layer.outputs, (layer.neurons or 0) * layer.state_variables), bits.membrane),
    }
    energy = 0.0
    for name, (number, width) in held.items():
        a_byte = table.memory.byte_on_chip(number * width / 8)
        if name == "weights" and memory == "off_chip":
            a_byte = table.memory.off_chip_picojoules_per_byte
        energy += getattr(words, name) * width / 8 * (a_byte or 0.0)
    return energy


_BETWEEN_LAYERS = ("additions", "multiplications", "functions")


def relu_twin(operations: Operations, density: float = 1.0) -> list[Layer]:
    """The layers of the ReLU twin, from the network's shape alone: the same synapses, each once, on numbers.

    `density` is the share of its hidden activations that are not zero, which says how many of its MACs are effective;
    that of the first layer is known where it took the image.
    """
    return [_of_twin(layer, density) for layer in operations.layers if layer.kind != "neurons"]


def _of_twin(layer: Layer, density: float) -> Layer:
    if layer.kind != "synapses":
        passes = max(layer.passes.hoisted, 1.0)
        names = ("bias_additions", *_BETWEEN_LAYERS)
        return replace(layer, **{name: Ways.same(getattr(layer, name).hoisted / passes) for name in names})
    measured = layer.macs.dense.hoisted
    share = layer.macs.effective.hoisted / measured if layer.input == "image" and measured > 0 else density
    none = OverTime(total=0.0, by_step=[0.0])
    return replace(
        layer,
        input="image" if layer.input_encoded else "real",
        passes=Ways.same(1.0),
        macs=Macs(dense=Ways.same(layer.macs_a_pass), effective=Ways.same(layer.macs_a_pass * share)),
        acs=none,
        events=none,
        bias_additions=Ways.same(layer.outputs if layer.biases else 0.0),
    )


def scaled(operations: Operations, rate: float, num_steps: float) -> list[Layer]:
    """The layers as they would be if all neurons fired `rate` times as often a step, over `num_steps` steps.

    How often neurons fire relative to each other stays. Spikes that encode the image are as frequent a step as they
    were, and a layer that runs once still does.
    """
    longer = num_steps / operations.num_steps

    def of(layer: Layer) -> Layer:
        factors = [1.0 if passes <= 1 else longer for passes in (layer.passes.per_step, layer.passes.hoisted)]
        frequency = longer * (1.0 if layer.input_encoded else rate)
        resets = layer.resets * longer * rate
        spiking = lambda amount: OverTime(total=amount.total * frequency, by_step=[])  # noqa: E731
        return _varied(layer, factors, factors, longer, spiking, resets=resets)

    return [of(layer) for layer in operations.layers]


def up_to(operations: Operations, num_steps: int) -> list[Layer]:
    """The layers as they are after the first `num_steps` time steps alone.

    What happens once for all steps stays; what happens at every step is as often as there are steps; spikes and what
    they cause are those of these steps. Raises `ValueError` unless there are so many steps.
    """
    whole = operations.num_steps
    if not 1 <= num_steps <= whole:
        raise ValueError(f"num_steps must be from 1 to {whole}, not {num_steps}")
    share = num_steps / whole

    def first(amount: OverTime) -> OverTime:
        by_step = amount.by_step[:num_steps]
        return OverTime(total=sum(by_step), by_step=by_step)

    def of(layer: Layer) -> Layer:
        factors = [share if passes >= whole else 1.0 for passes in (layer.passes.per_step, layer.passes.hoisted)]
        before, rate, fewer = layer.spikes, layer.spikes_per_neuron_and_step, share
        if before:
            fired = first(before).total
            fewer = fired / before.total if before.total else share
            rate = fired / layer.neurons / num_steps if layer.neurons else rate
        resets = layer.resets * fewer
        # Arithmetic between layers has no passes: it is spread over the steps.
        between = (share, share)
        return _varied(layer, factors, between, share, first, resets=resets, spikes_per_neuron_and_step=rate)

    return [of(layer) for layer in operations.layers]


def _varied(
    layer: Layer,
    passes: Sequence[float],
    between: Sequence[float],
    steps: float,
    by_spikes: Callable[[OverTime], OverTime],
    **others: Any,
) -> Layer:
    """`layer` with other numbers of passes and steps (as factors, those of `Ways` in both ways) and of spikes."""
    factors = {**dict.fromkeys(("passes", "bias_additions"), passes), **dict.fromkeys(_BETWEEN_LAYERS, between)}
    changed: dict[str, Any] = {name: getattr(layer, name).times(*both) for name, both in factors.items()}
    changed |= {name: by_spikes(each) for name in ("acs", "events", "spikes") if (each := getattr(layer, name))}
    for name in ("leaks", "integrations", "threshold_comparisons", "membrane_reads", "membrane_writes"):
        changed[name] = getattr(layer, name) * steps
    macs = Macs(dense=layer.macs.dense.times(*passes), effective=layer.macs.effective.times(*passes))
    return replace(layer, **changed, macs=macs, **others)
