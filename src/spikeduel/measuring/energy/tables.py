"""What an operation and a byte cost: named tables with their sources, or a TOML file of the
user's.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, TypeVar

from msgspec import Meta
from msgspec.structs import replace

from spikeduel.results import costs
from spikeduel.system import files
from spikeduel.system.errors import InputError, unknown, visible
from spikeduel.system.typed import Frozen, converted, parse_toml

NAMES = ("45nm-fp32", "45nm-fp16", "45nm-int8", "45nm-int8-sums8", "loihi")
LARGEST_FILE = 1_000_000
"""Bytes. A table is a screenful of numbers."""

Parsed = TypeVar("Parsed")
Picojoules = Annotated[float, Meta(ge=0, le=1e6)]
Kilobytes = Annotated[float, Meta(gt=0, le=1e9)]
Width = Annotated[int, Meta(ge=1, le=64)]
"""A number of bits."""


class Bits(Frozen, forbid_unknown_fields=True):
    """Widths of what is moved, in bits."""

    weight: Width
    activation: Width
    membrane: Width
    address: Width


class Arithmetic(Frozen, forbid_unknown_fields=True):
    """Picojoules of one operation; a MAC is multiply and add, an AC is `add`.

    `leak` multiplies a membrane, which may be wider than a weight; None: as `multiply`.
    """

    multiply: Picojoules
    add: Picojoules
    leak: Picojoules | None = None


class Memory(Frozen, forbid_unknown_fields=True):
    """On-chip memories of some sizes, each with its energy a byte, and memory off the chip.

    A layer's numbers lie in one that just holds them. What is smaller than all takes the smallest,
    what is larger lies in several of the largest.
    """

    kilobytes: tuple[Kilobytes, ...] = ()
    picojoules_per_byte: tuple[Picojoules, ...] = ()
    off_chip_picojoules_per_byte: Picojoules | None = None

    def byte_on_chip(self, num_bytes: float) -> float | None:
        """Picojoules to move a byte to or from an on-chip memory that holds `num_bytes`; None where
        there is none.
        """
        sizes, energies = self.kilobytes, self.picojoules_per_byte
        if not sizes:
            return None
        held = num_bytes / 1024
        above = bisect_left(sizes, held)
        if above in (0, len(sizes)) or min(energies) == 0:
            return energies[min(above, len(sizes) - 1)]
        # A straight line between the logarithms: energy goes by a power of the size, about its
        # root.
        share = math.log(held / sizes[above - 1]) / math.log(sizes[above] / sizes[above - 1])
        return energies[above - 1] * (energies[above] / energies[above - 1]) ** share


class ChipEnergies(Frozen, forbid_unknown_fields=True):
    """A whole chip's energies in picojoules: it adds for spikes and multiplies nothing."""

    synaptic_operation: Picojoules
    neuron_that_fires: Picojoules
    neuron_that_does_not: Picojoules
    spike: Picojoules


class Chip(ChipEnergies, forbid_unknown_fields=True):
    """The same, and the dearer reading of its source where there are two."""

    high: ChipEnergies | None = None


class Table(Frozen, forbid_unknown_fields=True):
    """Energies in picojoules, widths in bits. A whole `chip` has none of the others."""

    title: str
    source: str
    bits: Bits = Bits(weight=1, activation=1, membrane=1, address=1)
    picojoules: Arithmetic = Arithmetic(multiply=0, add=0)
    memory: Memory = Memory()
    chip: Chip | None = None
    name: str = ""

    def covers(self, memory: costs.Memory) -> bool:
        """Whether it has what this kind of memory takes; a chip's energies stand where memory is on
        the chip.
        """
        if self.chip:
            return memory == "on_chip"
        on_chip, off_chip = (
            bool(self.memory.kilobytes),
            self.memory.off_chip_picojoules_per_byte is not None,
        )
        return {"compute": True, "on_chip": on_chip, "off_chip": on_chip and off_chip}[memory]


def read(name: str | Path) -> Table:
    """The table of this name (one of `NAMES`), or that in a TOML file. Raises `InputError`."""
    return named_or_file(name, NAMES, ".", "energy table", "docs/energy-tables.md", _table)


def named_or_file(
    name: str | Path,
    names: Sequence[str],
    folder: str,
    what: str,
    form: str,
    parsed: Callable[[str, bytes], Parsed],
) -> Parsed:
    """What comes with spikeduel as a TOML file of this name in `folder`, or what is in a TOML file
    of the user's.

    `what` it is and where its `form` is told stand in errors. Raises `InputError`.
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
    if wrong := sorted(
        parts & document.keys() if table.chip else {"bits", "picojoules"} - document.keys()
    ):
        raise InputError(
            f"a table has either [chip], or [bits], [picojoules] and maybe [memory]; see "
            f"[{wrong[0]}]."
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
