"""Energy of one image from stored counts, by tables: picojoules of one operation and one byte.

A table is an accounting (`accounting`) whose amounts are the picojoules of a layer by each flow.
"""

import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta
from msgspec.structs import replace

from spikeduel.energy.accounting import (
    AmountsOfLayer,
    energy_of,
    mean_amounts,
    named_or_file,
)
from spikeduel.energy.rescaling import up_to
from spikeduel.engine.counting.operations import FLOWS, WAYS, Flow, Layer, Operations, Way
from spikeduel.results import cost_results as costs
from spikeduel.results.cost_results import MEMORIES, Energy, Joules, Range, TableEnergy, WayJoules
from spikeduel.system.errors import visible
from spikeduel.system.typed import Frozen, parse_toml

NAMES = ("45nm-fp32", "45nm-fp16", "45nm-int8", "45nm-int8-sums8")
"""Tables in the package, each in a file of this name."""
HEADLINE = "45nm-fp32"
"""The table that leads by default."""
CHEAPEST, COSTLIEST = "min(events, min(steps, image))", "max(events, max(steps, image))"
"""Formulas over the amounts of a table: each layer in its cheapest or most expensive flow."""

Picojoules = Annotated[float, Meta(ge=0, le=1e6)]
Kilobytes = Annotated[float, Meta(gt=0, le=1e9)]
Width = Annotated[int, Meta(ge=1, le=64)]


class Bits(Frozen, forbid_unknown_fields=True):
    """Widths of moved words, in bits."""

    weight: Width
    activation: Width
    membrane: Width
    address: Width


class Arithmetic(Frozen, forbid_unknown_fields=True):
    """Picojoules of one operation; a MAC is multiply and add, an AC is `add`.

    `leak` multiplies a membrane; None: as `multiply`.
    """

    multiply: Picojoules
    add: Picojoules
    leak: Picojoules | None = None


class Memory(Frozen, forbid_unknown_fields=True):
    """On-chip memories of some sizes with their energy a byte, and memory off the chip.

    Numbers lie in the smallest memory that holds them, or in several of the largest.
    """

    kilobytes: tuple[Kilobytes, ...] = ()
    picojoules_per_byte: tuple[Picojoules, ...] = ()
    off_chip_picojoules_per_byte: Picojoules | None = None

    def __post_init__(self) -> None:
        sizes, energies = self.kilobytes, self.picojoules_per_byte
        if len(sizes) != len(energies):
            raise ValueError(
                f"{len(sizes)} kilobytes, {len(energies)} picojoules_per_byte; give one for each"
            )
        if list(sizes) != sorted(set(sizes)):
            raise ValueError("kilobytes must go up from size to size")

    def byte_on_chip(self, num_bytes: Sequence[float]) -> np.ndarray:
        """Return the picojoules to move a byte of on-chip memories of `num_bytes`."""
        # Linear between logarithms: energy is a power of the size, about its root.
        energies = np.log(np.maximum(self.picojoules_per_byte, sys.float_info.min))
        kilobytes = np.maximum(np.divide(num_bytes, 1024), self.kilobytes[0])
        return np.exp(np.interp(np.log(kilobytes), np.log(self.kilobytes), energies))


class Table(Frozen, forbid_unknown_fields=True):
    """Energies in picojoules, widths in bits."""

    title: str
    source: str
    bits: Bits
    picojoules: Arithmetic
    memory: Memory = Memory()
    name: str = ""

    def covers(self, memory: costs.Memory) -> bool:
        """Return True if the table has this memory's numbers."""
        has_off_chip = self.memory.off_chip_picojoules_per_byte is not None
        return memory == "compute" or (
            bool(self.memory.kilobytes) and (memory == "on_chip" or has_off_chip)
        )

    @property
    def leading_memory(self) -> costs.Memory:
        """The memory model of pages and charts: on the chip, if the table has its numbers."""
        return "on_chip" if self.covers("on_chip") else "compute"

    def amounts(self, memory: costs.Memory, way: Way = "hoisted") -> AmountsOfLayer:
        """Return the function from a layer to its picojoules by `Flow`.

        Arithmetic alone is that of synapses; with memory, neurons and biases are included.
        """
        return partial(self._by_flow, memory=memory, way=way)

    def accounting(self, flow: str = CHEAPEST) -> costs.Accounting:
        """Return the accounting over `amounts` with each layer computed by `flow`."""
        return costs.Accounting(
            name=self.name,
            group="memory",
            label=self.title,
            title=self.title,
            source=self.source,
            where=self.source,
            read="source",
            unit="pJ",
            leaves_out="nothing",
            spiking=flow,
        )

    def _by_flow(self, layer: Layer, memory: costs.Memory, way: Way) -> dict[Flow, float]:
        multiply, add = self.picojoules.multiply, self.picojoules.add
        leak = multiply if self.picojoules.leak is None else self.picojoules.leak
        beside, words = 0.0, None
        if memory == "compute":
            if layer.kind not in ("synapses", "declared"):
                return dict.fromkeys(("usual", *FLOWS), 0.0)
        else:
            added = getattr(layer.bias_additions, way) + getattr(layer.additions, way)
            beside += add * (layer.integrations + layer.resets + added)
            beside += leak * layer.leaks + multiply * getattr(layer.multiplications, way)
            words = self._word_prices(layer, memory)
        picojoules = dict[Flow, float]()
        for flow in ("usual", *FLOWS):
            macs, acs = layer.done(way, flow)
            moved = 0.0 if words is None else np.dot(layer.moved(way, flow), words)
            picojoules[flow] = float(macs * (multiply + add) + acs * add + beside + moved)
        return picojoules

    def _word_prices(self, layer: Layer, memory: costs.Memory) -> np.ndarray:
        """Return the picojoules to move a word of each kind of `Traffic`."""
        bits, takes_spikes, neurons = self.bits, layer.input == "spikes", layer.neurons or 0
        # A quantised network has at most the bits of its training.
        trained = (None if takes_spikes else layer.input_bits) or bits.activation
        weight_bits = min(bits.weight, layer.weight_bits or bits.weight)
        words, widths = zip(
            (layer.weights + layer.biases, weight_bits),
            (max(layer.inputs, layer.outputs), min(bits.activation, trained)),
            (max(layer.inputs, neurons), bits.address),
            (max(layer.outputs, neurons * layer.state_variables), bits.membrane),
            (max(layer.inputs, neurons), (layer.input_bits or 1) if takes_spikes else 1),
            strict=True,
        )
        num_bytes = np.divide(widths, 8)
        prices = num_bytes * self.memory.byte_on_chip(words * num_bytes)
        if memory == "off_chip":
            prices[0] = num_bytes[0] * (self.memory.off_chip_picojoules_per_byte or 0.0)
        return prices


class Prices(Frozen):
    """Tables and accountings of a user, which lead in a page."""

    tables: tuple[Table, ...] = ()
    accountings: tuple[costs.Accounting, ...] = ()


def read(name: str | Path) -> Table:
    """Return a table of `NAMES` or a TOML file. Raises `InputError`."""
    return named_or_file(name, NAMES, ".", "energy table", "docs/counting.md", _table)


def _table(name: str, content: bytes) -> Table:
    table = parse_toml(content, Table)
    return replace(table, name=name, title=visible(table.title), source=visible(table.source))


def energies(operations: Operations | None, tables: Iterable[Table]) -> Energy | None:
    """Return estimates by `tables`; None without counts."""
    if operations is None:
        return None
    return Energy(tables={table.name: estimate(operations.layers, table) for table in tables})


def estimate(layers: Sequence[Layer], table: Table) -> TableEnergy:
    """Return the joules per image of `layers`, None for memory that the table lacks."""
    by_memory = {
        memory: WayJoules(**{way: joules(layers, table, memory, way) for way in WAYS})
        if table.covers(memory)
        else None
        for memory in MEMORIES
    }
    return TableEnergy(title=table.title, source=table.source, **by_memory)


def joules(
    layers: Sequence[Layer],
    table: Table,
    memory: costs.Memory = "compute",
    way: Way = "hoisted",
) -> Joules:
    """Return the joules per image by a memory model that the table covers, from each layer's
    cheapest flow to the most expensive.
    """
    amounts = mean_amounts([layers], table.amounts(memory, way))
    dense, low, high = (
        float(energy_of(table.accounting(flow), "spiking", amounts)[0, 0])
        for flow in ("usual", CHEAPEST, COSTLIEST)
    )
    return Joules(dense=dense, range=Range(low=low, high=high))


def over_time(operations: Operations, table: Table) -> list[Range]:
    """Return the joules per image up to each time step, `[T]`, by the table's leading memory model.
    The first step pays for hoisted work.
    """
    memory = table.leading_memory
    steps = [up_to(operations, step).layers for step in range(1, operations.num_steps + 1)]
    spent = [joules(layers, table, memory) for layers in steps]
    return [step.range for step in spent if step.range]
