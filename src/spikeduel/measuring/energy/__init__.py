"""Estimate the energy of one image from stored counts. No network runs.

An accounting is a formula over the amounts of a layer (`amounts`), with numbers. A published one
brings both (`accountings`); an energy table brings numbers for the standard formulas (`tables`).
`comparing` sets a spiking network against another by all accountings.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from spikeduel.counting.operations import WAYS, Layer, Operations, Way, by_flow
from spikeduel.measuring.energy.tables import NAMES, Table, read
from spikeduel.measuring.energy.variants import relu_twin, scaled, up_to
from spikeduel.results.costs import (
    MEMORIES,
    Energy,
    Joules,
    Memory,
    Range,
    TableEnergy,
    WayJoules,
)

__all__ = ["NAMES", "Table", "read", "relu_twin", "scaled", "up_to"]
HEADLINE = "45nm-fp32"
"""The table that leads unless another is asked for."""


def energies(operations: Operations | None, chosen: Iterable[Table] | None = None) -> Energy | None:
    """Return estimates by the tables `chosen`, or by all named ones; None without counts."""
    if operations is None:
        return None
    tables = map(read, NAMES) if chosen is None else chosen
    return Energy(tables={table.name: estimate(operations.layers, table) for table in tables})


def estimate(layers: Sequence[Layer], table: Table) -> TableEnergy:
    """Return the joules per image of `layers`: of `Operations.layers`, or of a variant of them.

    Arithmetic alone is that of the synapses, as most papers count; with memory, neurons, biases and
    other arithmetic are included. Numbers that need a layer for which the table has no energy are
    None.
    """

    def of_memory(memory: Memory) -> WayJoules | None:
        if not table.covers(memory):
            return None
        neurons = memory != "compute"
        return WayJoules(**{way: joules(layers, table, memory, way, neurons) for way in WAYS})

    return TableEnergy(
        title=table.title,
        source=table.source,
        **{memory: of_memory(memory) for memory in MEMORIES},
        unknown=[layer.name for layer in layers if table.chip and _multiplies(layer)],
    )


def joules(
    layers: Sequence[Layer],
    table: Table,
    memory: Memory = "compute",
    way: Way = "hoisted",
    neurons: bool = False,
) -> Joules:
    """Return the joules per image by one memory model; with `neurons`, of all layers.

    The range goes from the cheapest flow of each layer to the dearest one.
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


def over_time(
    operations: Operations, table: Table, memory: Memory = "compute"
) -> list[float] | None:
    """Return the joules per image up to and including each time step, `[T]`: the low end.

    The first layer under direct encoding is hoisted: it is paid for in the first step. None where
    the table has no number.
    """
    steps = range(1, operations.num_steps + 1)
    spent = [joules(up_to(operations, step), table, memory).range for step in steps]
    known = [bounds.low for bounds in spent if bounds is not None]
    return known if len(known) == len(spent) else None


def mean_at(values: Sequence[float], exit_steps: Sequence[int]) -> float:
    """Return the mean of `values` `[T]` over images of which `exit_steps[t]` leave at step t.

    An image that leaves at a step is taken to cost the mean of all images up to that step. Images
    that leave early may in fact have fired less, or more.
    """
    spent = sum(value * images for value, images in zip(values, exit_steps, strict=True))
    return spent / sum(exit_steps)


def break_even_rate(
    operations: Operations,
    rival: Sequence[Layer],
    table: Table,
    num_steps: float,
    memory: Memory = "compute",
) -> float | None:
    """Return the spikes per neuron and step at which `operations` take as much energy as `rival`.

    `operations` run over `num_steps` steps; each layer of both is computed in its cheapest way. 0
    or less: it takes more even without a spike. Infinite: it takes less at any rate. None where the
    table has no number, or spikes cost nothing.
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
    # By events a layer's energy is a line over the rate, else constant: the least of all is made of
    # straight lines, which meet where another way of computing a layer becomes the cheapest.
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
    further = missing / rise if rise > 0 else math.copysign(math.inf, missing)
    return measured * (rates[before] + further)


def _multiplies(layer: Layer) -> bool:
    return layer.macs.dense.per_step > 0 or layer.multiplications.per_step > 0


def _by_flow(
    layers: Sequence[Layer],
    table: Table,
    memory: Memory,
    way: Way = "hoisted",
    neurons: bool = False,
) -> np.ndarray | None:
    """Return joules `[layers, flows]`, the usual flow first, then `FLOWS`; None without a
    number.
    """
    counted = [layer for layer in layers if neurons or layer.kind in ("synapses", "declared")]
    if not table.covers(memory) or (table.chip and any(map(_multiplies, counted))):
        return None
    amounts = by_flow(counted, way)
    formula, numbers = table.formula(memory, neurons), table.numbers(counted, memory)
    picojoules = formula.value({**amounts, **numbers})
    return 1e-12 * np.broadcast_to(picojoules, amounts["done_macs"].shape)
