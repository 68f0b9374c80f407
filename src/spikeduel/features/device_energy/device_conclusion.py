"""Estimate what an inference of each contender takes on each device."""

from functools import partial
from typing import Any, NamedTuple

from spikeduel.features.device_energy.device_models import (
    DeviceEnergy,
    device_named,
    devices,
    estimate,
)
from spikeduel.features.device_energy.targets import NEWEST, TARGETS
from spikeduel.results.cost_results import Kind, Range
from spikeduel.results.means import counted_trials
from spikeduel.results.predictions import PredictionsFile
from spikeduel.results.run import Results
from spikeduel.sentences.columns import Column
from spikeduel.sentences.cost_sentences import energy_in_words, range_in_words
from spikeduel.system.grouped import grouped
from spikeduel.system.typed import Frozen


class OnDevice(Frozen):
    """Energy per inference of a contender on a device."""

    contender: str
    energy: DeviceEnergy


class Conclusion(Frozen):
    """Energy per inference of all contenders on the newest software of each board."""

    rows: list[OnDevice]


def conclude(results: Results, predictions: PredictionsFile) -> Conclusion | None:
    """Return the energy of every counted contender; None without any."""
    rows = []
    for contender, trials in counted_trials(results).items():
        kind = _kind_of(contender, results)
        for device in NEWEST.values():
            rows.append(OnDevice(contender=contender, energy=estimate(device, kind, trials)))
    return Conclusion(rows=rows) if rows else None


def energies_on(target: str, results: Results) -> dict[str, Range] | None:
    """Return the 80 % interval of each contender's joules on the device `target`."""
    if target not in TARGETS:
        return None
    name, found = device_named(target), {}
    for contender, trials in counted_trials(results).items():
        if interval := estimate(name, _kind_of(contender, results), trials).interval:
            found[contender] = interval
    return found


def _kind_of(contender: str, results: Results) -> Kind:
    return "spiking" if results.of(contender, tested=False)[0].spiking else "other"


class DeviceRow(NamedTuple):
    """Energies on a device by contender."""

    device: str
    energies: dict[str, DeviceEnergy]


def by_device(conclusion: Conclusion) -> list[DeviceRow]:
    """Return a row for each device, in the order of `NEWEST`."""
    energies = grouped((row.energy.device, (row.contender, row.energy)) for row in conclusion.rows)
    return [DeviceRow(device, dict(of_device)) for device, of_device in energies.items()]


def columns(conclusion: Conclusion) -> list[Column[DeviceRow]]:
    """Return the device, and its energy per inference for each contender."""
    contenders = dict.fromkeys(row.contender for row in conclusion.rows)
    return [
        Column("device", lambda row: devices()[row.device].title, is_text=True),
        *(
            Column(name, partial(_in_words, contender=name), definition=MEANING, is_text=True)
            for name in contenders
        ),
    ]


def _in_words(row: DeviceRow, contender: str) -> str:
    energy = row.energies[contender]
    star = " *" if energy.extrapolated else ""
    estimate = f"{energy_in_words(energy.joules)}{star} ({range_in_words(energy.interval)})"
    return energy.reason or estimate


def tables(conclusion: Conclusion) -> dict[str, Any]:
    """Return the table of devices, by title."""
    return {"Energy per inference, by device": (columns(conclusion), by_device(conclusion))}


MEANING = (
    "Energy per inference, estimated by a model that was fitted to measurements with a power "
    "meter. In brackets: the 80 % interval for a network that was not measured. A star marks an "
    "extrapolation: no network of this kind was measured on the device, or none of half to twice "
    "this energy."
)
