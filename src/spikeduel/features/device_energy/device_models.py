"""Energy models of devices, fitted to logs of power meters.

A file in `devices` has what was measured on one device with one version of its software. `FITTED`
has the models, which `benchmarks/energy/device_fit.py` makes of these files: the picojoules of each
unit of an amount, and the error on a network that the fit had not seen.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from spikeduel.energy.accounting import Amounts, evaluate, mean_amounts, parse
from spikeduel.engine.counting.operations import MEANINGS, STEPS, Operations
from spikeduel.experiment.targets import NO_SPIKING, ONLY_SPIKING
from spikeduel.features.device_energy.targets import FILES, FITTED, NEWEST
from spikeduel.results.cost_results import Kind, Range, Text
from spikeduel.system.errors import unknown
from spikeduel.system.typed import Amount, Frozen, Positive, parse_toml

MAX_OUTSIDE = 2
"""Factor beyond the least and the most measured energy, from which an estimate is extrapolated."""
Extrapolated = Literal["kind", "energy"]
ONCE = "inference"
"""Amount of a network that is 1: its picojoules do not depend on the network."""


class Measured(Frozen, forbid_unknown_fields=True):
    """Measured energy per inference of a network, and its inferences per second.

    `amounts`: what it takes, unless it is one of MLPerf Tiny. Networks of a `group` are alike. One
    that is `only_tested` is not fitted.
    """

    network: Text
    microjoules: Amount
    per_second: Amount | None = None
    group: Text | None = None
    only_tested: bool = False
    amounts: dict[str, Amount] = {}


class Device(Frozen, forbid_unknown_fields=True):
    """Measurements on a device with one version of its software, and their source.

    `published`: picojoules of one unit of an amount that were not fitted here.
    """

    title: Text
    board: Text
    software: Text
    supply: Text
    source: Text
    where: Text
    licence: Text
    date: date
    precision: Text
    measured: tuple[Measured, ...]
    megahertz: Amount | None = None
    flash_kilobytes: Amount | None = None
    ram_kilobytes: Amount | None = None
    max_neurons: Positive | None = None
    published: dict[str, Amount] = {}


class EnergyModel(Frozen, forbid_unknown_fields=True):
    """Picojoules of one unit of each amount, a formula over the amounts of a layer or `ONCE`.

    The estimate divided and multiplied by `factor` is the 80 % interval for a network that the fit
    had not seen. `networks`: how many it had.
    """

    picojoules: dict[str, Amount]
    factor: Annotated[float, Meta(gt=1)]
    networks: Positive


class DeviceEnergy(Frozen):
    """Estimated joules per inference with the 80 % interval, or the `reason` for none.

    `fixed_share`: share that is the same for every network with this number of time steps.
    `extrapolated`: why the estimate is an extrapolation. No network of its "kind" was measured, or
    the "energy" is beyond those measured by more than a factor of `MAX_OUTSIDE`.
    """

    device: str
    joules: Amount | None = None
    interval: Range | None = None
    fixed_share: float = 0.0
    extrapolated: Extrapolated | None = None
    reason: str | None = None


@cache
def devices() -> dict[str, Device]:
    """Return the devices in the package, by name."""
    return {name: parse_toml(file.read_bytes(), Device) for name, file in FILES.items()}


@cache
def models() -> dict[str, dict[Kind, EnergyModel]]:
    """Return the fitted models of each device, for the kinds of network that it runs."""
    return parse_toml(FITTED.read_bytes(), dict[str, dict[Kind, EnergyModel]])


def device_named(name: str) -> str:
    """Return the device of this name, or the newest of the board of this name. Raises
    `InputError`.
    """
    if name not in FILES and name not in NEWEST:
        raise unknown("device", name, [*NEWEST, *FILES])
    return NEWEST.get(name, name)


def terms(model: EnergyModel, trials: Sequence[Operations]) -> dict[str, float]:
    """Return the joules of a network by amount of `model`, means over its trials."""
    layers = mean_amounts([trial.layers for trial in trials])
    return amounts_of_terms(model.picojoules, layers, trials[0].num_steps, 1e-12)


def amounts_of_terms(
    names: Mapping[str, float], layers: Amounts, num_steps: int, unit: float = 1.0
) -> dict[str, float]:
    """Return the weighted amount of each term, in multiples of `unit`."""
    values = {**layers, STEPS: np.array(num_steps)}
    return {
        name: unit * weight * (1.0 if name == ONCE else _sum(name, values))
        for name, weight in names.items()
    }


def _sum(formula: str, values: Amounts) -> float:
    summed = evaluate(parse(formula, frozenset(MEANINGS)), values)
    return float(np.sum(summed))


def estimate(name: str, kind: Kind, trials: Sequence[Operations]) -> DeviceEnergy:
    """Return the energy of a network on a device, the mean over its trials."""
    model = models()[name].get(kind)
    if reason := reason_against(devices()[name], model, kind, trials[0]):
        return DeviceEnergy(device=name, reason=reason)
    assert model
    by_term = terms(model, trials)
    joules = sum(by_term.values())
    fixed = sum(by_term.get(term, 0.0) for term in (ONCE, STEPS))
    return DeviceEnergy(
        device=name,
        joules=joules,
        interval=Range(low=joules / model.factor, high=joules * model.factor),
        fixed_share=fixed / joules if joules else 0.0,
        extrapolated=_extrapolated(name, kind, joules),
    )


def _extrapolated(name: str, kind: Kind, joules: float) -> Extrapolated | None:
    # Where networks without spikes run, they alone were measured.
    if kind == "spiking" and "other" in models()[name]:
        return "kind"
    measured = measured_range(name)
    inside = measured.low / MAX_OUTSIDE <= joules <= measured.high * MAX_OUTSIDE
    return None if inside else "energy"


def measured_range(name: str) -> Range:
    """Return the least and the most joules that were measured on a device."""
    joules = [1e-6 * network.microjoules for network in devices()[name].measured]
    return Range(low=min(joules), high=max(joules))


def reason_against(
    device: Device, model: EnergyModel | None, kind: Kind, operations: Operations
) -> str | None:
    """Return why a network does not run on a device: its kind, or its weights and activations in
    int8 with membranes of 16 bits.
    """
    if model is None:
        return ONLY_SPIKING if kind == "other" else NO_SPIKING
    layers = operations.layers
    weights = sum(layer.weights + layer.biases for layer in layers)
    largest = max((layer.inputs + layer.outputs for layer in layers if layer.weights), default=0.0)
    neurons = sum(layer.neurons or 0.0 for layer in layers)
    if device.max_neurons and neurons > device.max_neurons:
        return f"it has {neurons:,.0f} neurons, and the chip has {device.max_neurons:,}"
    limits = (
        ("weights", weights, "flash", device.flash_kilobytes),
        ("activations", largest + 2 * neurons, "RAM", device.ram_kilobytes),
    )
    for what, needed, memory, kilobytes in limits:
        if kilobytes is not None and needed > 1000 * kilobytes:
            return f"its {what} take {needed / 1000:,.0f} kB, and {memory} has {kilobytes:,.0f}"
    return None
