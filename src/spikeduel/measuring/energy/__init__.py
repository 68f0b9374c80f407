"""Energy of one image, estimated from stored counts and a table: compute only, and with memory. No
network runs.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import numpy as np
from msgspec.structs import replace

from spikeduel.counting.operations import (
    FLOWS,
    WAYS,
    Flow,
    Layer,
    Macs,
    Operations,
    OverTime,
    Way,
    Ways,
)
from spikeduel.measuring.energy.tables import NAMES, ChipEnergies, Table, read
from spikeduel.results import costs
from spikeduel.results.costs import Energy, Memory, TableEnergy

HEADLINE = "45nm-fp32"
"""The table that leads where none is asked for."""


def energies(operations: Operations | None, chosen: Iterable[Table] | None = None) -> Energy | None:
    """Estimates by the tables `chosen`, or by all that have a name (`tables.NAMES`); None of what
    was not counted.
    """
    if operations is None:
        return None
    of = map(read, NAMES) if chosen is None else chosen
    return Energy(tables={table.name: estimate(operations.layers, table) for table in of})


def estimate(layers: Sequence[Layer], table: Table) -> TableEnergy:
    """Joules per image of `Operations.layers`, or of a variant of them (`relu_twin`, `scaled`,
    `up_to`).

    Every number that needs a layer the table has no energy for is None.
    """

    def of(memory: Memory, scope: costs.Scope, way: Way) -> costs.Joules:
        return joules(layers, table, memory, scope, way)

    def by_scope(memory: Memory) -> costs.ScopeJoules:
        ways = {scope: {way: of(memory, scope, way) for way in WAYS} for scope in costs.SCOPES}
        return costs.ScopeJoules(
            **{scope: costs.WayJoules(**by_way) for scope, by_way in ways.items()}
        )

    return TableEnergy(
        title=table.title,
        source=table.source,
        **{memory: by_scope(memory) if table.covers(memory) else None for memory in costs.MEMORIES},
        unknown=[layer.name for layer in layers if table.chip and _multiplies(layer)],
    )


def joules(
    layers: Sequence[Layer],
    table: Table,
    memory: Memory = "compute",
    scope: costs.Scope = "synapses",
    way: Way = "hoisted",
) -> costs.Joules:
    """The same, of one memory model, scope and way."""
    by_flow = _by_flow(layers, table, memory, scope, way)
    if by_flow is None:
        return costs.Joules(dense=None, effective=None)
    usual, events = by_flow[:, 0], by_flow[:, 1]
    low, high = by_flow[:, 1:].min(1).sum(), by_flow[:, 1:].max(1).sum()
    bounds = costs.Range(low=float(low), high=float(high))
    return costs.Joules(dense=float(usual.sum()), effective=float(events.sum()), range=bounds)


def over_time(
    operations: Operations, table: Table, memory: Memory = "compute"
) -> list[float] | None:
    """Joules per image up to and including each time step, `[T]`: the low end; None where the table
    does not tell.

    The first layer under direct encoding is hoisted: it is paid for in the first step.
    """
    spent = [
        joules(up_to(operations, t), table, memory).range
        for t in range(1, operations.num_steps + 1)
    ]
    known = [bounds.low for bounds in spent if bounds is not None]
    return known if len(known) == len(spent) else None


def mean_at(values: Sequence[float], exit_steps: Sequence[int]) -> float:
    """The mean of `values` `[T]` over images of which `exit_steps[t]` leave at step t.

    An image that leaves at a step is taken to cost what images do on average up to there. Those
    that leave early may in fact have fired less, or more.
    """
    return sum(value * images for value, images in zip(values, exit_steps, strict=True)) / sum(
        exit_steps
    )


def break_even_rate(
    operations: Operations,
    rival: Sequence[Layer],
    table: Table,
    num_steps: float,
    memory: Memory = "compute",
) -> float | None:
    """Spikes per neuron and step at which `operations`, over `num_steps` steps, take as much energy
    as the `rival`.

    Each layer of both is computed in its cheapest way. 0 or less: even without a spike it takes
    more. Infinite: however many there are, it takes less. None where the table does not tell, or
    where spikes cost nothing.
    """
    measured = operations.totals.spikes_per_neuron_and_step
    target = joules(rival, table, memory).range
    silent, firing = (
        _by_flow(scaled(operations, rate, num_steps), table, memory) for rate in (0.0, 1.0)
    )
    if not measured or silent is None or firing is None or target is None:
        return None
    at_rest, slope = silent[:, 1:], (firing - silent)[:, 1:]
    if not slope.any():
        return None
    # By events a layer's energy is a line over the rate, else the same at any: the least of all is
    # made of straight lines, which meet where another way of computing a layer becomes the
    # cheapest.
    events = slope[:, :1]
    meet = np.divide(
        at_rest[:, 1:] - at_rest[:, :1], events, where=events > 0, out=np.zeros_like(at_rest[:, 1:])
    )
    rates = np.unique([0.0, *meet[meet > 0]])
    rates = np.array([*rates, rates[-1] + 1])
    least = np.array([(at_rest + slope * rate).min(1).sum() for rate in rates])
    after = int(np.clip(np.searchsorted(least, target.low), 1, len(least) - 1))
    before, missing = after - 1, target.low - least[after - 1]
    rise = (least[after] - least[before]) / (rates[after] - rates[before])
    return measured * (
        rates[before] + missing / rise if rise > 0 else math.copysign(math.inf, missing)
    )


def _multiplies(layer: Layer) -> bool:
    return layer.macs.dense.per_step > 0 or layer.multiplications.per_step > 0


def _by_flow(
    layers: Sequence[Layer],
    table: Table,
    memory: Memory,
    scope: costs.Scope = "synapses",
    way: Way = "hoisted",
) -> np.ndarray | None:
    """Joules `[layers, flows]`: by the usual flow, and by each of `FLOWS`; None where the table
    does not tell.
    """
    counted = [
        layer
        for layer in layers
        if scope == "with_neurons" or layer.kind in ("synapses", "declared")
    ]
    if not table.covers(memory) or (table.chip and any(map(_multiplies, counted))):
        return None
    flows: list[Flow] = ["usual", *FLOWS]
    picojoules = [
        [_picojoules(layer, table, memory, scope, way, flow) for flow in flows] for layer in counted
    ]
    return 1e-12 * np.array(picojoules).reshape(-1, len(flows))


def _picojoules(
    layer: Layer, table: Table, memory: Memory, scope: costs.Scope, way: Way, flow: Flow
) -> float:
    if table.chip:
        # The flows of a chip are its own: the low reading of its source, and the high one.
        low = flow in ("usual", "events") or table.chip.high is None
        return _of_chip(layer, table.chip if low else cast(ChipEnergies, table.chip.high), scope)
    arithmetic = _arithmetic(layer, table, scope, way, flow)
    return (
        arithmetic if memory == "compute" else arithmetic + _moving(layer, table, memory, way, flow)
    )


def _of_chip(layer: Layer, chip: ChipEnergies, scope: costs.Scope) -> float:
    energy = chip.synaptic_operation * layer.acs.total
    if scope == "with_neurons":
        spikes = layer.spikes.total if layer.spikes else 0.0
        quiet = layer.integrations / max(layer.state_variables, 1) - spikes
        energy += (
            chip.neuron_that_fires * spikes
            + chip.neuron_that_does_not * quiet
            + chip.spike * spikes
        )
    return energy


def _arithmetic(layer: Layer, table: Table, scope: costs.Scope, way: Way, flow: Flow) -> float:
    one = table.picojoules
    macs, acs = layer.done(way, flow)
    energy = (one.multiply + one.add) * macs + one.add * acs
    if scope == "with_neurons":
        added = layer.integrations + layer.resets
        added += getattr(layer.bias_additions, way) + getattr(layer.additions, way)
        leak = one.multiply if one.leak is None else one.leak
        energy += (
            one.add * added
            + leak * layer.leaks
            + one.multiply * getattr(layer.multiplications, way)
        )
    return energy


def _moving(layer: Layer, table: Table, memory: Memory, way: Way, flow: Flow) -> float:
    words, bits = layer.moved(way, flow), table.bits
    takes_spikes = layer.input == "spikes"
    # What a quantised network was trained for is moved in no more bits than that.
    trained = None if takes_spikes else layer.input_bits
    held = {
        "weights": (layer.weights + layer.biases, bits.weight),
        "activations": (
            max(layer.inputs, layer.outputs),
            min(bits.activation, trained or bits.activation),
        ),
        "addresses": (max(layer.inputs, layer.neurons or 0), bits.address),
        "membranes": (
            max(layer.outputs, (layer.neurons or 0) * layer.state_variables),
            bits.membrane,
        ),
        "bits": (
            max(layer.inputs, layer.neurons or 0),
            (layer.input_bits or 1) if takes_spikes else 1,
        ),
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
    """The layers of the ReLU twin, from the network's shape alone: the same synapses, each once, on
    numbers.

    `density` is the share of its hidden activations that are not zero, which says how many of its
    MACs are effective; that of the first layer is known where it took the image.
    """
    return [_of_twin(layer, density) for layer in operations.layers if layer.kind != "neurons"]


def _of_twin(layer: Layer, density: float) -> Layer:
    if layer.kind != "synapses":
        passes = max(layer.passes.hoisted, 1.0)
        names = ("bias_additions", *_BETWEEN_LAYERS)
        return replace(
            layer, **{name: Ways.same(getattr(layer, name).hoisted / passes) for name in names}
        )
    measured = layer.macs.dense.hoisted
    share = (
        layer.macs.effective.hoisted / measured
        if layer.input == "image" and measured > 0
        else density
    )
    none = OverTime(total=0.0, by_step=[0.0])
    return replace(
        layer,
        input="image" if layer.input_encoded else "real",
        input_bits=None if layer.input == "spikes" else layer.input_bits,
        input_zeros=layer.input_zeros if layer.input == "image" else 1 - share,
        passes=Ways.same(1.0),
        macs=Macs(
            dense=Ways.same(layer.macs_a_pass), effective=Ways.same(layer.macs_a_pass * share)
        ),
        acs=none,
        events=none,
        bias_additions=Ways.same(layer.outputs if layer.biases else 0.0),
    )


def scaled(operations: Operations, rate: float, num_steps: float) -> list[Layer]:
    """The layers as they would be if all neurons fired `rate` times as often a step, over
    `num_steps` steps.

    How often neurons fire relative to each other stays. Spikes that encode the image are as
    frequent a step as they were, and a layer that runs once still does.
    """
    longer = num_steps / operations.num_steps

    def of(layer: Layer) -> Layer:
        factors = [
            1.0 if passes <= 1 else longer
            for passes in (layer.passes.per_step, layer.passes.hoisted)
        ]
        frequency = longer * (1.0 if layer.input_encoded else rate)
        resets = layer.resets * longer * rate
        spiking = lambda amount: OverTime(total=amount.total * frequency, by_step=[])  # noqa: E731
        return _varied(layer, factors, factors, longer, spiking, resets=resets)

    return [of(layer) for layer in operations.layers]


def up_to(operations: Operations, num_steps: int) -> list[Layer]:
    """The layers as they are after the first `num_steps` time steps alone.

    What happens once for all steps stays; what happens at every step is as often as there are
    steps; spikes and what they cause are those of these steps. Raises `ValueError` unless there are
    so many steps.
    """
    whole = operations.num_steps
    if not 1 <= num_steps <= whole:
        raise ValueError(f"num_steps must be from 1 to {whole}, not {num_steps}")
    share = num_steps / whole

    def first(amount: OverTime) -> OverTime:
        by_step = amount.by_step[:num_steps]
        return OverTime(total=sum(by_step), by_step=by_step)

    def of(layer: Layer) -> Layer:
        factors = [
            share if passes >= whole else 1.0
            for passes in (layer.passes.per_step, layer.passes.hoisted)
        ]
        before, rate, fewer = layer.spikes, layer.spikes_per_neuron_and_step, share
        if before:
            fired = first(before).total
            fewer = fired / before.total if before.total else share
            rate = fired / layer.neurons / num_steps if layer.neurons else rate
        resets = layer.resets * fewer
        # Arithmetic between layers has no passes: it is spread over the steps.
        between = (share, share)
        return _varied(
            layer, factors, between, share, first, resets=resets, spikes_per_neuron_and_step=rate
        )

    return [of(layer) for layer in operations.layers]


def _varied(
    layer: Layer,
    passes: Sequence[float],
    between: Sequence[float],
    steps: float,
    by_spikes: Callable[[OverTime], OverTime],
    **others: Any,
) -> Layer:
    """`layer` with other numbers of passes and steps (as factors, those of `Ways` in both ways) and
    of spikes.
    """
    factors = {
        **dict.fromkeys(("passes", "bias_additions"), passes),
        **dict.fromkeys(_BETWEEN_LAYERS, between),
    }
    changed: dict[str, Any] = {
        name: getattr(layer, name).times(*both) for name, both in factors.items()
    }
    changed |= {
        name: by_spikes(each)
        for name in ("acs", "events", "spikes")
        if (each := getattr(layer, name))
    }
    for name in (
        "leaks",
        "integrations",
        "threshold_comparisons",
        "membrane_reads",
        "membrane_writes",
    ):
        changed[name] = getattr(layer, name) * steps
    macs = Macs(
        dense=layer.macs.dense.times(*passes), effective=layer.macs.effective.times(*passes)
    )
    return replace(layer, **changed, macs=macs, **others)
