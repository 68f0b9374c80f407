"""Energy of one image from stored counts: formulas over a layer's amounts, with numbers of a table
(`tables`) or a published accounting (`accounting`).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace

from spikeduel.counting.operations import (
    WAYS,
    Layer,
    Macs,
    Operations,
    OverTime,
    Way,
    Ways,
    by_flow,
)
from spikeduel.measuring.energy.tables import NAMES, Table, read
from spikeduel.results.costs import (
    MEMORIES,
    Energy,
    Joules,
    Memory,
    Range,
    TableEnergy,
    WayJoules,
)

__all__ = ["NAMES", "Table", "read"]
HEADLINE = "45nm-fp32"
"""The table that leads unless another is asked for."""
_BETWEEN_LAYERS = ("additions", "multiplications", "functions")
_BY_STEP = ("leaks", "integrations", "threshold_comparisons", "membrane_reads", "membrane_writes")


def energies(operations: Operations | None, chosen: Iterable[Table] | None = None) -> Energy | None:
    """Return estimates by the `chosen` tables, or all named ones; None without counts."""
    if operations is None:
        return None
    tables = map(read, NAMES) if chosen is None else chosen
    return Energy(tables={table.name: estimate(operations.layers, table) for table in tables})


def estimate(layers: Sequence[Layer], table: Table) -> TableEnergy:
    """Return the joules per image of `layers`.

    Arithmetic alone is that of synapses; memory includes neurons, biases and other arithmetic.
    Numbers without an energy in the table are None.
    """
    by_memory = {
        memory: WayJoules(
            **{way: joules(layers, table, memory, way, memory != "compute") for way in WAYS}
        )
        if table.covers(memory)
        else None
        for memory in MEMORIES
    }
    unknown = [layer.name for layer in layers if table.chip and _multiplies(layer)]
    return TableEnergy(title=table.title, source=table.source, **by_memory, unknown=unknown)


def joules(
    layers: Sequence[Layer],
    table: Table,
    memory: Memory = "compute",
    way: Way = "hoisted",
    neurons: bool = False,
) -> Joules:
    """Return the joules per image by one memory model, from each layer's cheapest flow to the
    dearest; with `neurons`, of all layers.
    """
    flows = _by_flow(layers, table, memory, way, neurons)
    if flows is None:
        return Joules(dense=None, effective=None)
    low, high = flows[:, 1:].min(1).sum(), flows[:, 1:].max(1).sum()
    return Joules(
        dense=float(flows[:, 0].sum()),
        effective=float(flows[:, 1].sum()),
        range=Range(low=float(low), high=float(high)),
    )


def over_time(operations: Operations, table: Table) -> list[float] | None:
    """Return the joules per image up to each time step, `[T]`, the low end; None where the table
    has no number. The first step pays for hoisted work.
    """
    steps = range(1, operations.num_steps + 1)
    spent = [joules(up_to(operations, step), table).range for step in steps]
    known = [bounds.low for bounds in spent if bounds is not None]
    return known if len(known) == len(spent) else None


def mean_at(values: Sequence[float], exit_steps: Sequence[int]) -> float:
    """Return the mean of `values` `[T]` over images, of which `exit_steps[t]` leave at step t."""
    return float(np.average(values, weights=exit_steps))


def break_even_rates(
    operations: Operations,
    rival: Sequence[Layer],
    table: Table,
    steps: Sequence[float],
    memory: Memory = "compute",
) -> list[float] | None:
    """Return the spikes per neuron and step at which `operations` take as much energy as `rival`,
    for each number of time steps.

    Each layer is computed in its cheapest way. Minus infinity: more even without spikes; infinity:
    always less. None without a number in the table, or if spikes cost nothing.
    """
    measured = operations.totals.spikes_per_neuron_and_step
    target = joules(rival, table, memory).range
    # Energy is linear in rate and number of steps: four points tell it all.
    corners = [
        [_by_flow(scaled(operations, rate, num_steps), table, memory) for rate in (0.0, 1.0)]
        for num_steps in (1.0, 2.0)
    ]
    if not measured or target is None or corners[0][0] is None:
        return None
    once, twice = np.array(corners)[..., 1:]
    if not (once[1] - once[0]).any():
        return None
    rates = []
    for num_steps in steps:
        silent, firing = once + (num_steps - 1) * (twice - once)
        slope = firing - silent
        # A layer's energy by events is a line over the rate, else constant: the least of all
        # consists of lines that meet where the cheapest way changes.
        above, events = silent[:, 1:] - silent[:, :1], slope[:, :1]
        meet = np.divide(above, events, where=events > 0, out=np.zeros_like(above))
        corner_rates = np.unique([0.0, *meet[meet > 0]])
        least = [float((silent + slope * rate).min(1).sum()) for rate in corner_rates]
        meets = np.interp(target.low, least, corner_rates, left=-math.inf, right=math.inf)
        rates.append(measured * float(meets))
    return rates


def _multiplies(layer: Layer) -> bool:
    return layer.macs.dense.per_step > 0 or layer.multiplications.per_step > 0


def _by_flow(
    layers: Sequence[Layer],
    table: Table,
    memory: Memory,
    way: Way = "hoisted",
    neurons: bool = False,
) -> np.ndarray | None:
    """Return joules `[layers, flows]`, the usual flow first, then `FLOWS`."""
    counted = [layer for layer in layers if neurons or layer.kind in ("synapses", "declared")]
    if not table.covers(memory) or (table.chip and any(map(_multiplies, counted))):
        return None
    amounts = by_flow(counted, way)
    formula, numbers = table.formula(memory, neurons), table.numbers(counted, memory)
    picojoules = formula.value({**amounts, **numbers})
    return 1e-12 * np.broadcast_to(picojoules, amounts["done_macs"].shape)


def relu_twin(operations: Operations) -> list[Layer]:
    """Return the layers of the ReLU twin: the same synapses, each used once, no hidden activation
    zero.
    """
    return [_of_twin(layer) for layer in operations.layers if layer.kind != "neurons"]


def _of_twin(layer: Layer) -> Layer:
    if layer.kind != "synapses":
        passes = max(layer.passes.hoisted, 1.0)
        names = ("bias_additions", *_BETWEEN_LAYERS)
        return replace(
            layer, **{name: Ways.same(getattr(layer, name).hoisted / passes) for name in names}
        )
    measured, share = layer.macs.dense.hoisted, 1.0
    if layer.input == "image" and measured > 0:
        share = layer.macs.effective.hoisted / measured
    none = OverTime(total=0.0, by_step=[0.0])
    macs = Macs(dense=Ways.same(layer.macs_a_pass), effective=Ways.same(layer.macs_a_pass * share))
    return replace(
        layer,
        input="image" if layer.input_encoded else "real",
        input_bits=None if layer.input == "spikes" else layer.input_bits,
        input_zeros=layer.input_zeros if layer.input == "image" else 1 - share,
        passes=Ways.same(1.0),
        macs=macs,
        acs=none,
        events=none,
        bias_additions=Ways.same(layer.outputs if layer.biases else 0.0),
    )


def scaled(operations: Operations, rate: float, num_steps: float) -> list[Layer]:
    """Return the layers as if neurons fired `rate` times as often, over `num_steps` steps; the
    encoding keeps its rate.
    """
    longer = num_steps / operations.num_steps

    def vary(layer: Layer) -> Layer:
        both = (layer.passes.per_step, layer.passes.hoisted)
        factors = [1.0 if passes <= 1 else longer for passes in both]
        frequency = longer * (1.0 if layer.input_encoded else rate)

        def spiking(amount: OverTime) -> OverTime:
            return OverTime(total=amount.total * frequency, by_step=[])

        resets = layer.resets * longer * rate
        return _varied(layer, factors, factors, longer, spiking, resets=resets)

    return [vary(layer) for layer in operations.layers]


def up_to(operations: Operations, num_steps: int) -> list[Layer]:
    """Return the layers after `num_steps` steps; work that is done once stays."""
    whole = operations.num_steps
    share = num_steps / whole

    def first(amount: OverTime) -> OverTime:
        by_step = amount.by_step[:num_steps]
        return OverTime(total=sum(by_step), by_step=by_step)

    def vary(layer: Layer) -> Layer:
        both = (layer.passes.per_step, layer.passes.hoisted)
        factors = [share if passes >= whole else 1.0 for passes in both]
        fewer = share
        if layer.spikes and layer.spikes.total:
            fewer = first(layer.spikes).total / layer.spikes.total
        # Arithmetic between layers has no passes.
        between = (share, share)
        return _varied(layer, factors, between, share, first, resets=layer.resets * fewer)

    return [vary(layer) for layer in operations.layers]


def _varied(
    layer: Layer,
    passes: Sequence[float],
    between: Sequence[float],
    steps: float,
    by_spikes: Callable[[OverTime], OverTime],
    **others: Any,
) -> Layer:
    """Return `layer` with other passes and steps (factors, for both `Ways`) and other spikes."""
    factors = dict.fromkeys(("passes", "bias_additions"), passes)
    factors |= dict.fromkeys(_BETWEEN_LAYERS, between)
    changed: dict[str, Any] = {
        name: getattr(layer, name).times(*both) for name, both in factors.items()
    }
    spiking = {name: getattr(layer, name) for name in ("acs", "events", "spikes")}
    changed |= {name: by_spikes(amount) for name, amount in spiking.items() if amount}
    changed |= {name: getattr(layer, name) * steps for name in _BY_STEP}
    dense, effective = layer.macs.dense.times(*passes), layer.macs.effective.times(*passes)
    return replace(layer, **changed, macs=Macs(dense=dense, effective=effective), **others)
