"""Energy of one image, estimated from counts and a table; compute only, and with memory."""

from collections.abc import Iterable
from typing import Any

from spikeduel.measuring.energy import tables
from spikeduel.measuring.energy.tables import Table
from spikeduel.measuring.energy.traffic import traffic

MEMORIES = ("compute", "on_chip", "off_chip")
"""Arithmetic alone | with memory, everything on the chip | with memory, weights outside."""
SCOPES = ("synapses", "with_neurons")
"""Linear operations alone, as most papers count | all else too: neurons, biases, other arithmetic."""
COUNTINGS = ("as_written", "cached")
"""The first layer under direct encoding at every step | once, since its input never changes."""
MACS = ("dense", "effective")
"""Every multiplication | those whose input is not zero."""
HEADLINE = ("45nm-fp32", "compute")

_PICO = 1e-12


def energies(operations: dict[str, Any], chosen: Iterable[Table] | None = None) -> dict[str, Any]:
    """results.json's `energy`: `tables` maps each table's name (all of `tables.NAMES`) to what `estimate` gives."""
    of = [tables.read(name) for name in tables.NAMES] if chosen is None else list(chosen)
    return {"estimate": True, "unit": "joules per image", "tables": {t.name: estimate(operations, t) for t in of}}


def estimate(operations: dict[str, Any], table: Table, latency_seconds: float | None = None) -> dict[str, Any]:
    """Joules per image: `[memory][scope][counting][macs]`, each key one of `MEMORIES`, `SCOPES`, `COUNTINGS`, `MACS`.

    A memory model that the table cannot tell is null, and so is every number that needs a layer the table has no energy
    for; `unknown` names these. `static` is static power times `latency_seconds`, null where one of them is not known.
    """
    layers = operations["layers"]
    found: dict[str, Any] = {"title": table.title, "source": table.source}
    for memory in MEMORIES:
        found[memory] = None
        if _can_tell(table, memory):
            found[memory] = {
                scope: {
                    counting: {macs: _total(layers, table, memory, scope, counting, macs) for macs in MACS}
                    for counting in COUNTINGS
                }
                for scope in SCOPES
            }
    known = table.static_milliwatts is not None and latency_seconds is not None
    found["static"] = table.static_milliwatts * 1e-3 * latency_seconds if known else None  # type: ignore[operator]
    found["unknown"] = [layer["name"] for layer in layers if table.chip and _multiplies(layer)]
    return found


def joules(
    entry: dict[str, Any],
    memory: str = "compute",
    scope: str = "synapses",
    counting: str = "cached",
    macs: str = "dense",
) -> float | None:
    """One number of what `estimate` gave."""
    return entry[memory] and entry[memory][scope][counting][macs]


def _can_tell(table: Table, memory: str) -> bool:
    if table.chip:
        # Its numbers are measured with its memory.
        return memory == "on_chip"
    if memory == "compute":
        return True
    return bool(table.kilobytes) and (memory == "on_chip" or table.off_chip_picojoules_per_byte is not None)


def _multiplies(layer: dict[str, Any]) -> bool:
    return layer["macs"]["dense"]["as_written"] > 0 or layer["multiplications"]["as_written"] > 0


def _total(
    layers: list[dict[str, Any]], table: Table, memory: str, scope: str, counting: str, macs: str
) -> float | None:
    total = 0.0
    for layer in layers:
        if scope == "synapses" and layer["kind"] not in ("synapses", "declared"):
            continue
        if table.chip:
            if _multiplies(layer):
                return None
            total += _on_chip(layer, table, scope)
            continue
        total += _arithmetic(layer, table, scope, counting, macs)
        if memory != "compute":
            total += _moving(layer, table, memory, counting)
    return _PICO * total


def _on_chip(layer: dict[str, Any], table: Table, scope: str) -> float:
    chip = table.chip
    assert chip is not None
    energy = chip.synaptic_operation * layer["acs"]["total"]
    if scope == "with_neurons":
        spikes = layer["spikes"]["total"] if layer["spikes"] else 0.0
        quiet = layer["integrations"] / max(layer["state_variables"], 1) - spikes
        energy += chip.neuron_that_fires * spikes + chip.neuron_that_does_not * quiet + chip.spike * spikes
    return energy


def _arithmetic(layer: dict[str, Any], table: Table, scope: str, counting: str, macs: str) -> float:
    energy = (table.multiply + table.add) * layer["macs"][macs][counting] + table.add * layer["acs"]["total"]
    if scope == "with_neurons":
        added = layer["integrations"] + layer["resets"]
        added += layer["bias_additions"][counting] + layer["additions"][counting]
        energy += table.add * added + table.multiply * (layer["leaks"] + layer["multiplications"][counting])
    return energy


def _moving(layer: dict[str, Any], table: Table, memory: str, counting: str) -> float:
    words, bits = traffic(layer, counting), table.bits
    # What a quantised network was trained for is moved in no more bits than that.
    activation_bits = min(bits["activation"], layer["input_bits"] or bits["activation"])
    held = {
        "weights": (layer["weights"] + layer["biases"], bits["weight"]),
        "activations": (max(layer["inputs"], layer["outputs"]), activation_bits),
        "addresses": (max(layer["inputs"], layer["neurons"] or 0), bits["address"]),
        "membranes": (max(layer["outputs"], (layer["neurons"] or 0) * layer["state_variables"]), bits["membrane"]),
    }
    energy = 0.0
    for name, (number, width) in held.items():
        a_byte = table.byte_on_chip(number * width / 8)
        if name == "weights" and memory == "off_chip":
            a_byte = table.off_chip_picojoules_per_byte
        energy += words[name] * width / 8 * (a_byte or 0.0)
    return energy
