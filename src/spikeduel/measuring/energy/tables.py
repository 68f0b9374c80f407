"""What an operation and a byte cost: named tables with their sources, or one's own TOML file."""

import math
import tomllib
from bisect import bisect_left
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from spikeduel.system.errors import InputError, unknown
from spikeduel.system.shapes import Maybe, is_number, require
from spikeduel.system.visible import visible

NAMES = ("45nm-fp32", "45nm-fp16", "45nm-int8", "loihi")
LARGEST_FILE = 100_000
"""Bytes. A table is a screenful of numbers."""


@dataclass(frozen=True)
class Chip:
    """A whole chip's energies in picojoules, memory included: it adds for spikes and multiplies nothing."""

    synaptic_operation: float
    neuron_that_fires: float
    neuron_that_does_not: float
    spike: float


@dataclass(frozen=True)
class Table:
    """Energies in picojoules, widths in bits.

    `multiply` and `add` are one operation's; a MAC is both, an AC is `add`. On-chip memory is known at some
    sizes (`kilobytes`), each with its energy a byte; a layer's numbers lie in one that just holds them. What is smaller
    than all takes the smallest, what is larger lies in several of the largest. `static_milliwatts` is what is drawn all
    the time. A `chip` has none of these.
    """

    name: str
    title: str
    source: str
    bits: dict[str, int]
    multiply: float = 0.0
    add: float = 0.0
    kilobytes: tuple[float, ...] = ()
    picojoules_per_byte: tuple[float, ...] = ()
    off_chip_picojoules_per_byte: float | None = None
    static_milliwatts: float | None = None
    chip: Chip | None = None

    def byte_on_chip(self, num_bytes: float) -> float | None:
        """Picojoules to move a byte to or from an on-chip memory that holds `num_bytes`; None where there is none."""
        sizes, energies = self.kilobytes, self.picojoules_per_byte
        if not sizes:
            return None
        held = num_bytes / 1024
        above = bisect_left(sizes, held)
        if above in (0, len(sizes)) or min(energies) == 0:
            return energies[min(above, len(sizes) - 1)]
        # A straight line between the logarithms: energy goes by a power of the size, about its root.
        share = math.log(held / sizes[above - 1]) / math.log(sizes[above] / sizes[above - 1])
        return energies[above - 1] * (energies[above] / energies[above - 1]) ** share


def read(name: str | Path) -> Table:
    """The table of this name (one of `NAMES`), or that in a TOML file. Raises `InputError`."""
    text = str(name)
    if text in NAMES:
        packaged = resources.files("spikeduel.measuring.energy").joinpath(f"{text}.toml")
        return _table(text, packaged.read_text(encoding="utf-8"))
    path = Path(name)
    if not text.endswith(".toml") and not path.is_file():
        raise unknown("energy table", text, NAMES, "Or give a TOML file.")
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None
    if len(content) > LARGEST_FILE:
        raise InputError(f"{path}: larger than {LARGEST_FILE:,} bytes, which no energy table is.")
    try:
        return _table(path.stem, content.decode("utf-8"))
    except (UnicodeDecodeError, InputError) as error:
        raise InputError(
            f"{path}: not an energy table: {_one_line(error)} (Its form: docs/energy-tables.md.)"
        ) from None


def picojoules(value: Any) -> bool:
    """picojoules, from 0 to 1,000,000"""
    return is_number(value) and 0 <= value <= 1e6


def size(value: Any) -> bool:
    """kilobytes, more than 0 and at most 1,000,000,000"""
    return is_number(value) and 0 < value <= 1e9


def width(value: Any) -> bool:
    """a number of bits, from 1 to 64"""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 64


_WIDTHS = ("weight", "activation", "membrane", "address")
_COMPUTE = {
    "title": str,
    "source": str,
    "bits": dict.fromkeys(_WIDTHS, width),
    "picojoules": {"multiply": picojoules, "add": picojoules},
    "memory?": {
        "kilobytes": [size],
        "picojoules_per_byte": [picojoules],
        "off_chip_picojoules_per_byte?": Maybe(picojoules),
    },
    "static_milliwatts?": Maybe(picojoules),
}
_CHIP = {
    "title": str,
    "source": str,
    "chip": dict.fromkeys(("synaptic_operation", "neuron_that_fires", "neuron_that_does_not", "spike"), picojoules),
    "static_milliwatts?": Maybe(picojoules),
}


def _table(name: str, text: str) -> Table:
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise InputError(f"not TOML ({_one_line(error)}).") from None
    shape = _CHIP if "chip" in content else _COMPUTE
    require(content, shape)
    _require_known(content, shape, "")
    common: dict[str, Any] = {"name": name, "title": visible(content["title"]), "source": visible(content["source"])}
    static = content.get("static_milliwatts")
    if "chip" in content:
        return Table(**common, bits={}, static_milliwatts=static, chip=Chip(**content["chip"]))
    memory = content.get("memory", {})
    sizes, energies = memory.get("kilobytes", []), memory.get("picojoules_per_byte", [])
    if len(sizes) != len(energies):
        raise InputError(f"memory: {len(sizes)} kilobytes and {len(energies)} picojoules_per_byte; give one for each.")
    if list(sizes) != sorted(set(sizes)):
        raise InputError("memory.kilobytes must go up from size to size.")
    return Table(
        **common,
        bits=content["bits"],
        **content["picojoules"],
        kilobytes=tuple(sizes),
        picojoules_per_byte=tuple(energies),
        off_chip_picojoules_per_byte=memory.get("off_chip_picojoules_per_byte"),
        static_milliwatts=static,
    )


def _require_known(content: dict[str, Any], shape: dict[str, Any], where: str) -> None:
    """Raises `InputError` for a key that means nothing: most likely a misspelt one."""
    known = {key.removesuffix("?"): inner for key, inner in shape.items()}
    for key, value in content.items():
        if key not in known:
            raise unknown("key", f"{where}{key}", [f"{where}{name}" for name in known])
        if isinstance(known[key], dict):
            _require_known(value, known[key], f"{where}{key}.")


def _one_line(error: Exception) -> str:
    return visible(" ".join(str(error).split()))[:200]
