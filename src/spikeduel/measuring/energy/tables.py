"""Energy tables: joules of one operation, with sources, for the standard formula."""

import math
import re
import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
from msgspec import Meta
from msgspec.structs import replace

from spikeduel.counting.operations import FLOWS, Layer
from spikeduel.measuring.energy.formulas import Expression, parse
from spikeduel.results import costs
from spikeduel.system import files
from spikeduel.system.errors import InputError, unknown, visible
from spikeduel.system.typed import Frozen, converted, parse_toml

NAMES = ("45nm-fp32", "45nm-fp16", "45nm-int8", "45nm-int8-sums8", "loihi")
LARGEST_FILE = 1_000_000
"""Limit of a file in bytes. A table is a screenful of numbers."""
SYNAPSES = "(multiply + add) * done_macs + add * done_acs"
NEURONS = (
    "(add * ((integrations + resets) + (bias_additions + additions)) + leak * leaks"
    " + multiply * multiplications)"
)
CHIP_SYNAPSES = "synaptic_operation * acs"
CHIP_NEURONS = (
    "(neuron_that_fires * spikes + neuron_that_does_not * (neuron_updates - spikes)"
    " + spike * spikes)"
)
"""The standard formulas, in picojoules of a layer: arithmetic, and a whole chip's."""
MOVED = ("weights", "activations", "addresses", "membranes", "bits")
"""Words that memory moves: each kind costs its bytes times the price of a byte."""

Parsed = TypeVar("Parsed")
Picojoules = Annotated[float, Meta(ge=0, le=1e6)]
Kilobytes = Annotated[float, Meta(gt=0, le=1e9)]
Width = Annotated[int, Meta(ge=1, le=64)]
"""A number of bits."""


@cache
def standard(chip: bool, memory: bool, neurons: bool) -> Expression:
    """Return the standard formula: of a chip or of arithmetic, with memory, with neurons."""
    parts = [CHIP_SYNAPSES if chip else SYNAPSES]
    if neurons:
        parts.append(CHIP_NEURONS if chip else NEURONS)
    if memory and not chip:
        moved = [f"moved_{words} * {words}_bits / 8 * {words}_byte" for words in MOVED]
        parts.append(f"({' + '.join(moved)})")
    text = " + ".join(parts)
    return parse(text, set(re.findall(r"[a-z]\w*", text)))


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

    def byte_on_chip(self, num_bytes: float) -> float:
        """Return the picojoules that move a byte of an on-chip memory of `num_bytes`."""
        # Linear between logarithms: energy is a power of the size, about its root.
        energies = np.log(np.maximum(self.picojoules_per_byte, sys.float_info.min))
        held = math.log(max(num_bytes / 1024, self.kilobytes[0]))
        return math.exp(np.interp(held, np.log(self.kilobytes), energies))


class ChipEnergies(Frozen, forbid_unknown_fields=True):
    """Energies of a whole chip in picojoules: it adds for spikes and multiplies nothing."""

    synaptic_operation: Picojoules
    neuron_that_fires: Picojoules
    neuron_that_does_not: Picojoules
    spike: Picojoules


class Chip(ChipEnergies, forbid_unknown_fields=True):
    """A chip's energies, and the dearer reading of its source where there are two."""

    high: ChipEnergies | None = None


class Table(Frozen, forbid_unknown_fields=True):
    """Energies in picojoules, widths in bits. A `chip` has none of the others."""

    title: str
    source: str
    bits: Bits = Bits(weight=1, activation=1, membrane=1, address=1)
    picojoules: Arithmetic = Arithmetic(multiply=0, add=0)
    memory: Memory = Memory()
    chip: Chip | None = None
    name: str = ""

    def covers(self, memory: costs.Memory) -> bool:
        """Return True if the table has this memory model's numbers; a chip's is on the chip."""
        if self.chip:
            return memory == "on_chip"
        if memory == "off_chip" and self.memory.off_chip_picojoules_per_byte is None:
            return False
        return memory == "compute" or bool(self.memory.kilobytes)

    def formula(self, memory: costs.Memory, neurons: bool) -> Expression:
        """Return the formula of a layer's picojoules."""
        return standard(self.chip is not None, memory != "compute", neurons)

    def numbers(self, layers: Sequence[Layer], memory: costs.Memory) -> dict[str, np.ndarray]:
        """Return the formula's numbers by name, arrays that broadcast to `[layers, 1 + FLOWS]`."""
        if self.chip:
            # Flows of a chip are the readings of its source: usual and events low, others high.
            low, high = self.chip, self.chip.high or self.chip
            readings = [low, low] + [high] * (len(FLOWS) - 1)
            return {
                name: np.array([[getattr(reading, name) for reading in readings]])
                for name in ChipEnergies.__struct_fields__
            }
        one = self.picojoules
        leak = one.multiply if one.leak is None else one.leak
        prices = {"multiply": one.multiply, "add": one.add, "leak": leak}
        arrays = {name: np.array([[value]]) for name, value in prices.items()}
        if memory == "compute":
            return arrays
        held = np.array([_held(layer, self.bits) for layer in layers]).reshape(-1, len(MOVED), 2)
        for place, words in enumerate(MOVED):
            bits = held[:, place, 1:]
            prices_of_layers = [
                [self.memory.byte_on_chip(num_bytes)]
                for num_bytes in (held[:, place, 0] * bits[:, 0] / 8).tolist()
            ]
            if words == "weights" and memory == "off_chip":
                prices_of_layers = [[self.memory.off_chip_picojoules_per_byte or 0.0]] * len(held)
            arrays[f"{words}_bits"] = bits
            arrays[f"{words}_byte"] = np.array(prices_of_layers).reshape(-1, 1)
        return arrays


def _held(layer: Layer, bits: Bits) -> list[tuple[float, int]]:
    takes_spikes, neurons = layer.input == "spikes", layer.neurons or 0
    # A quantised network has at most the bits of its training.
    trained = None if takes_spikes else layer.input_bits
    return [
        (layer.weights + layer.biases, bits.weight),
        (max(layer.inputs, layer.outputs), min(bits.activation, trained or bits.activation)),
        (max(layer.inputs, neurons), bits.address),
        (max(layer.outputs, neurons * layer.state_variables), bits.membrane),
        (max(layer.inputs, neurons), (layer.input_bits or 1) if takes_spikes else 1),
    ]


def read(name: str | Path) -> Table:
    """Return the table `name` (of `NAMES`, or a TOML file). Raises `InputError`."""
    return named_or_file(name, NAMES, ".", "energy table", "docs/energy-tables.md", _table)


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
        file = resources.files("spikeduel.measuring.energy").joinpath(folder, f"{text}.toml")
        return parsed(text, file.read_bytes())
    path = Path(name)
    if not text.endswith(".toml") and not path.is_file():
        raise unknown(what, text, names, "Or give a TOML file.")
    content = files.read_bytes(path, LARGEST_FILE)
    try:
        return parsed(path.stem, content)
    except InputError as error:
        raise InputError(f"{path}: not an {what}: {error} (Its form: {form}.)") from None


def _table(name: str, content: bytes) -> Table:
    document = parse_toml(content, dict)
    table = converted(document, Table)
    parts = {"bits", "picojoules", "memory"}
    forbidden = parts & document.keys() if table.chip else {"bits", "picojoules"} - document.keys()
    if forbidden:
        raise InputError(
            f"a table has either [chip], or [bits], [picojoules] and maybe [memory]; see "
            f"[{min(forbidden)}]."
        )
    sizes, energies = table.memory.kilobytes, table.memory.picojoules_per_byte
    if len(sizes) != len(energies):
        raise InputError(
            f"memory: {len(sizes)} kilobytes, {len(energies)} picojoules_per_byte; give one for "
            f"each."
        )
    if list(sizes) != sorted(set(sizes)):
        raise InputError("memory.kilobytes must go up from size to size.")
    return replace(table, name=name, title=visible(table.title), source=visible(table.source))
