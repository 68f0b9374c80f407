"""Energy of one image from stored counts, by tables: picojoules of one operation and one byte.

Published ways of counting, with formulas of their own, are accountings (`accounting`).
"""

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from msgspec import Meta
from msgspec.structs import replace

from spikeduel.counting.operations import (
    FLOWS,
    WAYS,
    Layer,
    Macs,
    Operations,
    OverTime,
    Way,
    Ways,
)
from spikeduel.results import costs
from spikeduel.results.costs import MEMORIES, Energy, Joules, Range, TableEnergy, WayJoules
from spikeduel.system import files
from spikeduel.system.errors import InputError, unknown, visible
from spikeduel.system.typed import Frozen, parse_toml

NAMES = ("45nm-fp32", "45nm-fp16", "45nm-int8", "45nm-int8-sums8")
"""Tables in the package, each in a file of this name."""
HEADLINE = "45nm-fp32"
"""The table that leads by default."""
LARGEST_FILE = 1_000_000
"""Limit of a file in bytes."""
_BETWEEN_LAYERS = ("additions", "multiplications", "functions")
_BY_STEP = ("leaks", "integrations", "threshold_comparisons", "membrane_reads", "membrane_writes")

Parsed = TypeVar("Parsed")
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

    def byte_on_chip(self, num_bytes: float) -> float:
        """Return the picojoules to move a byte of an on-chip memory of `num_bytes`."""
        # Linear between logarithms: energy is a power of the size, about its root.
        energies = np.log(np.maximum(self.picojoules_per_byte, sys.float_info.min))
        held = math.log(max(num_bytes / 1024, self.kilobytes[0]))
        return math.exp(np.interp(held, np.log(self.kilobytes), energies))


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

    def word_prices(self, layer: Layer, memory: costs.Memory) -> list[float]:
        """Return the picojoules to move a word of each kind of `Traffic`."""
        bits, takes_spikes, neurons = self.bits, layer.input == "spikes", layer.neurons or 0
        # A quantised network has at most the bits of its training.
        trained = (None if takes_spikes else layer.input_bits) or bits.activation
        weight_bits = min(bits.weight, layer.weight_bits or bits.weight)
        held = (
            (layer.weights + layer.biases, weight_bits),
            (max(layer.inputs, layer.outputs), min(bits.activation, trained)),
            (max(layer.inputs, neurons), bits.address),
            (max(layer.outputs, neurons * layer.state_variables), bits.membrane),
            (max(layer.inputs, neurons), (layer.input_bits or 1) if takes_spikes else 1),
        )
        prices = [
            width / 8 * self.memory.byte_on_chip(number * width / 8) for number, width in held
        ]
        if memory == "off_chip":
            prices[0] = weight_bits / 8 * (self.memory.off_chip_picojoules_per_byte or 0.0)
        return prices


class Prices(Frozen):
    """Tables and accountings of a user, which lead in a page."""

    tables: tuple[Table, ...] = ()
    accountings: tuple[costs.Accounting, ...] = ()


def read(name: str | Path) -> Table:
    """Return a table of `NAMES` or a TOML file. Raises `InputError`."""
    return named_or_file(name, NAMES, ".", "energy table", "docs/energy-tables.md", _table)


def _table(name: str, content: bytes) -> Table:
    table = parse_toml(content, Table)
    return replace(table, name=name, title=visible(table.title), source=visible(table.source))


def named_or_file(
    name: str | Path,
    names: Sequence[str],
    folder: str,
    what: str,
    form: str,
    parsed: Callable[[str, bytes], Parsed],
) -> Parsed:
    """Return the parsed TOML file of this name in `folder` of the package, or a user's.

    Errors name `what` it is and the place that describes its `form`. Raises `InputError`.
    """
    text = str(name)
    if text in names:
        file = resources.files("spikeduel.energy").joinpath(folder, f"{text}.toml")
        return parsed(text, file.read_bytes())
    path = Path(name)
    if not text.endswith(".toml") and not path.is_file():
        raise unknown(what, text, names, "Or give a TOML file.")
    content = files.read_bytes(path, LARGEST_FILE)
    try:
        return parsed(path.stem, content)
    except InputError as error:
        raise InputError(f"{path}: not an {what}: {error} (Its form: {form}.)") from None


def energies(operations: Operations | None, tables: Iterable[Table]) -> Energy | None:
    """Return estimates by `tables`; None without counts."""
    if operations is None:
        return None
    return Energy(tables={table.name: estimate(operations.layers, table) for table in tables})


def estimate(layers: Sequence[Layer], table: Table) -> TableEnergy:
    """Return the joules per image of `layers`, None for memory that the table lacks.

    Arithmetic alone is that of synapses; memory includes neurons, biases and other arithmetic.
    """
    by_memory = {
        memory: WayJoules(
            **{way: joules(layers, table, memory, way, memory != "compute") for way in WAYS}
        )
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
    neurons: bool = False,
) -> Joules:
    """Return the joules per image by a memory model that the table covers, from each layer's
    cheapest flow to the dearest; with `neurons`, of all layers.
    """
    flows = _by_flow(layers, table, memory, way, neurons)
    return Joules(dense=float(flows[:, 0].sum()), range=_range(flows))


def _range(flows: np.ndarray) -> Range:
    """Return the range of joules `[layers, flows]` as those of `_by_flow`."""
    low, high = flows[:, 1:].min(1).sum(), flows[:, 1:].max(1).sum()
    return Range(low=float(low), high=float(high))


def _by_flow(
    layers: Sequence[Layer],
    table: Table,
    memory: costs.Memory,
    way: Way = "hoisted",
    neurons: bool = False,
) -> np.ndarray:
    """Return joules `[layers, flows]`, the usual flow first, then `FLOWS`."""
    multiply, add = table.picojoules.multiply, table.picojoules.add
    leak = multiply if table.picojoules.leak is None else table.picojoules.leak
    rows = []
    for layer in layers:
        if not neurons and layer.kind not in ("synapses", "declared"):
            continue
        done = [layer.done(way, flow) for flow in ("usual", *FLOWS)]
        picojoules = np.array(done, float) @ [multiply + add, add]
        if neurons:
            added = getattr(layer.bias_additions, way) + getattr(layer.additions, way)
            picojoules += add * (layer.integrations + layer.resets + added)
            picojoules += leak * layer.leaks + multiply * getattr(layer.multiplications, way)
        if memory != "compute":
            moved = [layer.moved(way, flow) for flow in ("usual", *FLOWS)]
            picojoules += np.array(moved) @ table.word_prices(layer, memory)
        rows.append(1e-12 * picojoules)
    return np.array(rows).reshape(-1, 1 + len(FLOWS))


def over_time(operations: Operations, table: Table) -> list[Range]:
    """Return the joules per image up to each time step, `[T]`, by the table's leading memory model.
    The first step pays for hoisted work.
    """
    memory = table.leading_memory
    steps = [up_to(operations, step) for step in range(1, operations.num_steps + 1)]
    return [
        _range(_by_flow(layers, table, memory, neurons=memory != "compute")) for layers in steps
    ]


def mean_range_at(ranges: Sequence[Range], exit_steps: Sequence[int]) -> Range:
    """Return the mean of `ranges` `[T]` over images, as `mean_at`."""
    low, high = (
        mean_at([getattr(bounds, end) for bounds in ranges], exit_steps) for end in ("low", "high")
    )
    return Range(low=low, high=high)


def mean_at(values: Sequence[float], exit_steps: Sequence[int]) -> float:
    """Return the mean of `values` `[T]` over images; `exit_steps[t]` leave at step t."""
    return float(np.average(values, weights=exit_steps))


def break_even_rates(
    operations: Operations,
    rival: Sequence[Layer],
    table: Table,
    steps: Sequence[float],
    memory: costs.Memory = "compute",
) -> list[float] | None:
    """Return the spikes per neuron and step at which `operations` take as much energy as `rival`,
    for each number of time steps.

    Each layer is computed in its cheapest way. Minus infinity: more even without spikes; infinity:
    always less. None without spikes, or if they cost nothing.
    """
    measured = operations.totals.spikes_per_neuron_and_step
    target = _by_flow(rival, table, memory)[:, 1:].min(1).sum()
    # Energy is linear in the rate and, beyond one step, where work is hoisted, in their number.
    corners = [
        [_by_flow(scaled(operations, rate, num_steps), table, memory) for rate in (0.0, 1.0)]
        for num_steps in (1.0, 2.0, 3.0)
    ]
    once, twice, thrice = np.array(corners)[..., 1:]
    if not measured or not (once[1] - once[0]).any():
        return None
    rates = []
    for num_steps in steps:
        silent, firing = once if num_steps == 1 else twice + (num_steps - 2) * (thrice - twice)
        slope = firing - silent
        # A layer's energy by events is a line over the rate, else constant: the least of all
        # consists of lines that meet where the cheapest way changes.
        above, events = silent[:, 1:] - silent[:, :1], slope[:, :1]
        meet = np.divide(above, events, where=events > 0, out=np.zeros_like(above))
        corner_rates = np.unique([0.0, *meet[meet > 0]])
        least = [float((silent + slope * rate).min(1).sum()) for rate in corner_rates]
        meets = np.interp(target, least, corner_rates, left=-math.inf, right=math.inf)
        rates.append(measured * float(meets))
    return rates


def relu_twin(operations: Operations) -> list[Layer]:
    """Return the layers of the ReLU twin: the same synapses, each used once, no hidden activation
    zero.
    """
    return [_of_twin(layer) for layer in operations.layers if layer.kind != "neurons"]


def _of_twin(layer: Layer) -> Layer:
    """Return a layer of the twin: once, with real values, and on the image itself where the spiking
    network encodes it.
    """
    if layer.kind != "synapses":
        passes = max(layer.passes.hoisted, 1.0)
        names = ("bias_additions", *_BETWEEN_LAYERS)
        return replace(
            layer, **{name: Ways.same(getattr(layer, name).hoisted / passes) for name in names}
        )
    measured, nonzero_share = layer.macs.dense.hoisted, 1.0
    if layer.input == "image" and measured > 0:
        nonzero_share = layer.macs.effective.hoisted / measured
    none = OverTime(total=0.0, by_step=[0.0])
    macs = Macs(
        dense=Ways.same(layer.macs_a_pass), effective=Ways.same(layer.macs_a_pass * nonzero_share)
    )
    return replace(
        layer,
        input="image" if layer.input_encoded else "real",
        input_bits=None if layer.input == "spikes" else layer.input_bits,
        input_zeros=layer.input_zeros if layer.input == "image" else 1 - nonzero_share,
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

    def spiking(layer: Layer, amount: OverTime) -> OverTime:
        frequency = longer * (1.0 if layer.input_encoded else rate)
        return OverTime(total=amount.total * frequency, by_step=[])

    return [_varied(layer, longer, spiking) for layer in operations.layers]


def up_to(operations: Operations, num_steps: int) -> list[Layer]:
    """Return the layers after `num_steps` steps; work done once stays."""

    def first(_: Layer, amount: OverTime) -> OverTime:
        by_step = amount.by_step[:num_steps]
        return OverTime(total=sum(by_step), by_step=by_step)

    share = num_steps / operations.num_steps
    return [_varied(layer, share, first) for layer in operations.layers]


def _varied(layer: Layer, longer: float, spiking: Callable[[Layer, OverTime], OverTime]) -> Layer:
    """Return `layer` over `longer` times as many steps, with `spiking` amounts; work done once
    stays.
    """
    changed: dict[str, Any] = {
        name: spiking(layer, amount)
        for name in ("acs", "events", "spikes")
        if (amount := getattr(layer, name))
    }
    changed |= {name: getattr(layer, name) * longer for name in _BY_STEP}
    changed |= {name: getattr(layer, name).times(longer, longer) for name in _BETWEEN_LAYERS}
    passes = [
        1.0 if number <= 1 else longer for number in (layer.passes.per_step, layer.passes.hoisted)
    ]
    changed |= {name: getattr(layer, name).times(*passes) for name in ("passes", "bias_additions")}
    fired = layer.spikes.total if layer.spikes else 0.0
    dense, effective = layer.macs.dense.times(*passes), layer.macs.effective.times(*passes)
    return replace(
        layer,
        **changed,
        macs=Macs(dense=dense, effective=effective),
        resets=layer.resets * (changed["spikes"].total / fired if fired else longer),
    )
