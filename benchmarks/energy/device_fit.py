"""Energy models of devices: fitted to logs of power meters, and tested on networks left out.

    python -m benchmarks.energy.device_fit [--write]

The logs are in `src/spikeduel/features/device_energy/devices`. To test a model, each network (or
group of networks that are alike) is left out, the model is fitted to the others, and the energy of
the one left out is estimated with an 80 % interval, whose width comes from leaving out each of the
others in turn.

Microcontrollers and the NDP9120 ran the networks of MLPerf Tiny, which spikeduel counts. All devices
of a family share what a multiplication of a depthwise convolution and a byte of weights cost in
multiplications of other layers; each has its own picojoules of one. The fit minimises squared errors
of logarithms, with a prior of one multiplication for each, within a factor of e.

Spiking chips have terms of their own, fitted by relative errors. What their files call `published`
is taken from there. With one network, the interval is `ONE_NETWORK` wide, and never narrower than
`MIN_FACTOR`: SpiNNaker's boards are mostly idle, and other software changes that.

Spiking networks were not measured on microcontrollers. Their energy is the product of instructions
as C (`instructions`), cycles of an instruction, and the power of a board for
each of its cycles, which hardly differs between networks. Cycles of an instruction on a Cortex-M4
are those that Skymizer measured with CMSIS-NN, by instructions of the same code in QEMU; on other
cores, that times the cycles which ST's software takes there, in those it takes on the Cortex-M4.

The results go to benchmarks/results/device-fit.json; `--write` makes `fitted.toml`, the models that
spikeduel has, and docs/features/device_energy.md.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy import optimize, stats

from benchmarks import shared
from benchmarks.energy import instructions as written, mlperf_tiny
from benchmarks.tables import TEMPLATES
from spikeduel.energy.accounting import Amounts, mean_amounts
from spikeduel.evaluation.costing import counted_network
from spikeduel.features.device_energy.device_models import (
    ONCE,
    EnergyModel,
    Measured,
    amounts_of_terms,
    devices,
    models,
)
from spikeduel.features.device_energy.targets import FITTED, NEWEST
from spikeduel.results.cost_results import Kind
from spikeduel.sentences.cost_sentences import energy_in_words
from spikeduel.system.sentences import listed
from spikeduel.system.typed import parse_toml

PAGE = shared.DOCS / "features" / "device_energy.md"
NEWEST_SOFTWARE = "boards with a model, by the newest software"
"""Test of `device_logs` of other software than a model's."""
RESULT, LOGS, INSTRUCTIONS = "device-fit.json", "device-logs.json", "instructions.json"
DENSE = ("macs", "macs * depthwise", "weights")
PRIOR, LOG_SD, NOISE = 1.0, 1.0, 0.15
"""Prior of the other terms in multiplications, its standard deviation in logarithms, and that of a
measurement about the model.
"""
PROBABILITY, ONE_NETWORK, MIN_FACTOR = 0.8, 3.0, 1.25
FAMILIES = {"Cortex-M": "nucleo-", "NDP9120": "ndp9120-"}
"""Beginnings of the names of devices that share the costs of terms in multiplications."""
CHIPS = {
    "loihi-nxsdk-0.7": (ONCE, "neuron_updates"),
    "loihi-nxsdk-0.9": (ONCE, "neuron_updates"),
    "loihi-2-lava": ("T",),
    "speck-2024": (ONCE, "spikes"),
    "spinnaker-spinn3": ("T", "neuron_updates", "spikes", "acs"),
    "spinnaker-spinn5": ("T", "neuron_updates", "spikes", "acs"),
}
"""Fitted terms of spiking chips."""
FAMILY_TITLES = {
    "nucleo-": "four boards with a Cortex-M, 13 versions of software",
    "ndp9120-": "Syntiant NDP9120, two supplies",
    "speck-2024": "Speck",
    "spinnaker-spinn3": "SpiNNaker (4 chips)",
    "spinnaker-spinn5": "SpiNNaker (48 chips)",
}
OLDER_LOIHI, LOADED_IDLE_MILLIWATTS = "loihi-nxsdk-0.7", 96.269
"""Older measurements of Loihi, and the idle power that they include (claims/loihi-keyword-spotter)."""
WITH_CMSIS = ("nucleo-l4r5-onnc-mbed", "nucleo-l4r5-onnc-zephyr")
ON_CORTEX_M4 = {
    "nucleo-l4r5-x-cube-ai-10.2": "nucleo-l4r5-x-cube-ai-10.2",
    "nucleo-h7a3-x-cube-ai-9.0": "nucleo-l4r5-x-cube-ai-9.0",
    "nucleo-u575-x-cube-ai-10.2": "nucleo-l4r5-x-cube-ai-10.2",
    "nucleo-u385-x-cube-ai-10.2": "nucleo-l4r5-x-cube-ai-10.2",
}
"""The newest of each board, and the Cortex-M4 with the same software."""


MEANINGS_OF_TERMS = {
    ONCE: "an inference, whatever the network",
    "T": "a time step",
    "macs": "a multiplication",
    "macs * depthwise": "a multiplication of a depthwise convolution, in addition",
    "weights": "a weight",
    "acs": "a synaptic operation (an addition that a spike causes)",
    "spikes": "a spike",
    "neuron_updates": "a neuron and step",
    **dict(
        zip(
            written.TERMS,
            (
                "an addition in a convolution, or a multiplication of its input that is not 0",
                "the same in a dense layer",
                "a neuron and step",
                "an output of a layer and step",
            ),
            strict=True,
        )
    ),
}
"""What a unit of each term is."""


@dataclass(frozen=True)
class Log:
    """Picojoules of an inference, those of them that are `published` prices, and the amount of each
    fitted term. Networks of a `group` are left out together; if some are `only_tested`, only these.
    """

    device: str
    network: str
    group: str
    picojoules: float
    published: float
    counted: tuple[float, ...]
    only_tested: bool


Fit = Callable[[Sequence[Log]], dict[str, np.ndarray]]
"""Returns the picojoules of a unit of each term, by device."""


@cache
def amounts(network: str) -> Amounts:
    """Return the amounts of a network of MLPerf Tiny by layer."""
    return mean_amounts([counted_network(*mlperf_tiny.network(network)).layers])


def multiplications(network: str) -> float:
    """Return the multiplications of a network of MLPerf Tiny, those with zeros of borders too."""
    module, images = mlperf_tiny.network(network)
    return counted_network(mlperf_tiny.padded(module), images).totals.macs.dense.hoisted


def counted(measured: Measured, terms: Sequence[str]) -> tuple[float, ...]:
    if measured.amounts:
        given = {ONCE: 1.0, **measured.amounts}
        return tuple(given.get(term, 0.0) for term in terms)
    once = amounts_of_terms(dict.fromkeys(terms, 1.0), amounts(measured.network), 1)
    return tuple(once.values())


def logs_of(names: Sequence[str], terms: Sequence[str]) -> list[Log]:
    return [
        Log(
            device=name,
            network=measured.network,
            group=measured.group or measured.network,
            picojoules=measured.microjoules * 1e6,
            published=sum(
                price * measured.amounts.get(term, 0.0)
                for term, price in devices()[name].published.items()
            ),
            counted=counted(measured, terms),
            only_tested=measured.only_tested,
        )
        for name in names
        for measured in devices()[name].measured
    ]


def fitted_together(logs: Sequence[Log]) -> dict[str, np.ndarray]:
    """Fit a family: relative costs are shared, and scales are each device's own."""
    names = sorted({log.device for log in logs})
    amounts = np.array([log.counted for log in logs])
    measured = np.log([log.picojoules for log in logs])
    of_device = np.array([[log.device == name for name in names] for log in logs])

    def weighted(relative: np.ndarray) -> np.ndarray:
        summed: np.ndarray = np.log(amounts @ np.append(1.0, np.exp(relative)))
        return summed

    def scales(relative: np.ndarray) -> np.ndarray:
        means: np.ndarray = (measured - weighted(relative)) @ of_device / of_device.sum(0)
        return means

    def errors(relative: np.ndarray) -> np.ndarray:
        estimated = weighted(relative) + of_device @ scales(relative)
        return np.append((measured - estimated) / NOISE, (relative - math.log(PRIOR)) / LOG_SD)

    start = np.full(amounts.shape[1] - 1, math.log(PRIOR))
    relative = optimize.least_squares(errors, start).x if len(start) else start
    weights = np.append(1.0, np.exp(relative))
    return {
        name: weights * math.exp(scale) for name, scale in zip(names, scales(relative), strict=True)
    }


def fitted_alone(logs: Sequence[Log]) -> dict[str, np.ndarray]:
    """Fit one device, by relative errors."""
    total = np.array([log.picojoules for log in logs])
    left = np.array([log.picojoules - log.published for log in logs])
    amounts = np.array([log.counted for log in logs])
    weights, _ = optimize.nnls(amounts / total[:, None], left / total)
    return {logs[0].device: weights}


def left_out(logs: Sequence[Log], fit: Fit) -> dict[Log, float]:
    """Return the picojoules of each log as estimated by a fit to the other groups. A group with a
    term that no other has is not estimated.
    """
    estimated: dict[Log, float] = {}
    is_only_tested = any(log.only_tested for log in logs)
    for group in {log.group: None for log in logs if log.only_tested == is_only_tested}:
        others = [log for log in logs if log.group != group and not log.only_tested]
        weights = fit(others) if others else {}
        estimated |= {
            log: log.published + float(weights[log.device] @ log.counted)
            for log in logs
            if log.group == group and log.device in weights
        }
    return estimated


def factor(logs: Sequence[Log], fit: Fit) -> float:
    """Return the factor of the 80 % interval: Student's, for as many errors as groups, since those
    of a group are alike.
    """
    squared: dict[str, list[float]] = {}
    for log, picojoules in left_out(logs, fit).items():
        squared.setdefault(log.group, []).append(math.log(picojoules / log.picojoules) ** 2)
    if len(squared) < 2:
        return ONE_NETWORK
    sd_of_error = math.sqrt(statistics.fmean(map(statistics.fmean, squared.values())))
    return math.exp(stats.t.ppf((1 + PROBABILITY) / 2, len(squared) - 1) * sd_of_error)


def tested(logs: Sequence[Log], fit: Fit, shipped: float) -> list[dict[str, Any]]:
    """Return each log beside its estimate without its group, and the interval without it.

    `shipped`: factor of the interval in the package, which has the errors of all groups.
    """
    factors = {
        group: factor([log for log in logs if log.group != group], fit)
        for group in {log.group: None for log in logs}
    }
    return [
        {
            "device": log.device,
            "network": log.network,
            "left out": log.group,
            "measured, µJ": round(log.picojoules * 1e-6, 2),
            "estimated, µJ": round(picojoules * 1e-6, 2),
            "80 % from": round(picojoules / factors[log.group] * 1e-6, 2),
            "to": round(picojoules * factors[log.group] * 1e-6, 2),
            "error": round(picojoules / log.picojoules - 1, 3),
            "inside the interval in use": abs(math.log(picojoules / log.picojoules))
            <= math.log(shipped),
        }
        for log, picojoules in left_out(logs, fit).items()
    ]


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    inside = [row["80 % from"] <= row["measured, µJ"] <= row["to"] for row in rows]
    return {
        "estimates": len(rows),
        "median error": round(statistics.median(abs(row["error"]) for row in rows), 3),
        "inside the interval": round(statistics.fmean(inside), 3),
        "inside the interval in use": round(
            statistics.fmean(row["inside the interval in use"] for row in rows), 3
        ),
    }


def above_idle(name: str, rows: Sequence[Mapping[str, Any]]) -> float:
    """Return the median error of a board's networks without what it takes idle."""
    idle = models()[name]["spiking"].picojoules["T"] * 1e-6
    steps = {one.network: one.amounts["T"] for one in devices()[name].measured}
    errors = []
    for row in rows:
        if row["device"] == name:
            without = row["measured, µJ"] - idle * steps[row["network"]]
            errors.append(abs((row["estimated, µJ"] - row["measured, µJ"]) / without))
    return round(statistics.median(errors), 3)


def multiplications_alone(names: Sequence[str]) -> dict[str, Any]:
    """Return the test of a model of a family that knows nothing but multiplications."""
    logs = logs_of(names, DENSE[:1])
    return summary(tested(logs, fitted_together, factor(logs, fitted_together)))


def between_versions() -> dict[str, list[float]]:
    """Return by how much the newer model of Loihi misses the measurements of the older software:
    the least and the largest ratio of measured and estimated, with the power of the idle chip and
    without it.
    """
    newer = models()[NEWEST["loihi"]]["spiking"].picojoules
    ratios: dict[str, list[float]] = {"with the idle chip": [], "above the idle chip": []}
    for one in devices()[OLDER_LOIHI].measured:
        assert one.per_second
        estimated = 1e-6 * (newer[ONCE] + newer["neuron_updates"] * one.amounts["neuron_updates"])
        idle = 1000 * LOADED_IDLE_MILLIWATTS / one.per_second
        ratios["with the idle chip"].append(one.microjoules / estimated)
        ratios["above the idle chip"].append((one.microjoules - idle) / estimated)
    return {what: [round(min(of), 2), round(max(of), 2)] for what, of in ratios.items()}


def modelled(logs: Sequence[Log], terms: Sequence[str], fit: Fit) -> dict[str, EnergyModel]:
    """Return the model of each device of `logs`."""
    width = max(MIN_FACTOR, factor(logs, fit))
    num_groups = len({log.group for log in logs})
    made = {}
    for name, weights in fit([log for log in logs if not log.only_tested]).items():
        picojoules = dict(zip(terms, weights.tolist(), strict=True))
        for term, price in devices()[name].published.items():
            picojoules[term] = picojoules.get(term, 0.0) + price
        made[name] = EnergyModel(picojoules=picojoules, factor=width, networks=num_groups)
    return made


def cycles(device: str) -> dict[str, float]:
    """Return the cycles of an inference by network."""
    found = devices()[device]
    assert found.megahertz
    return {
        measured.network: found.megahertz * 1e6 / measured.per_second
        for measured in found.measured
        if measured.per_second
    }


def picojoules_of_cycle(device: str) -> float:
    """Return the energy of a cycle, the mean over networks."""
    found, taken = devices()[device], cycles(device)
    return statistics.fmean(
        measured.microjoules * 1e6 / taken[measured.network] for measured in found.measured
    )


def cycles_of_instruction() -> dict[str, float]:
    """Return the cycles of an instruction on a Cortex-M4 by network, means over its two systems."""
    instructions = shared.read(INSTRUCTIONS)["CMSIS-NN"]
    return {
        network: statistics.geometric_mean(
            cycles(device)[network] / counted for device in WITH_CMSIS
        )
        for network, counted in instructions.items()
    }


def relative_cycles(device: str, reference: str) -> float:
    """Return the cycles of a device in those of a Cortex-M4, with the same software."""
    taken, there = cycles(device), cycles(reference)
    return statistics.geometric_mean(taken[network] / there[network] for network in taken)


def of_spiking_networks() -> dict[str, EnergyModel]:
    """Return the models of spiking networks on microcontrollers."""
    found, by_network = shared.read(INSTRUCTIONS), cycles_of_instruction()
    logs = np.log([*by_network.values()])
    error = math.hypot(np.std(logs, ddof=1), found["root mean square error"])
    width = math.exp(stats.t.ppf((1 + PROBABILITY) / 2, len(logs) - 1) * error)
    made = {}
    for device, reference in ON_CORTEX_M4.items():
        one = picojoules_of_cycle(device) * relative_cycles(device, reference)
        picojoules = {
            term: one * math.exp(logs.mean()) * number
            for term, number in found["instructions"].items()
            if number
        }
        made[device] = EnergyModel(picojoules=picojoules, factor=width, networks=len(logs))
    return made


def as_toml(models: Mapping[str, EnergyModel], kind: Kind) -> str:
    """Return the models of one kind of network as TOML."""
    lines = []
    for name, model in models.items():
        lines += [
            f'\n["{name}".{kind}]',
            f"factor = {model.factor:.3g}",
            f"networks = {model.networks}",
            f'["{name}".{kind}.picojoules]',
            *(f'"{term}" = {one:.4g}' for term, one in model.picojoules.items()),
        ]
    return "\n".join([*lines, ""])


def main() -> None:
    parser = shared.parser(__doc__, write=False)
    options = parser.parse_args()
    families: list[tuple[Kind, list[str], tuple[str, ...], Fit]] = [
        *(
            (
                "other",
                [name for name in devices() if name.startswith(start)],
                DENSE,
                fitted_together,
            )
            for start in FAMILIES.values()
        ),
        *(("spiking", [name], terms, fitted_alone) for name, terms in CHIPS.items()),
    ]
    rows: list[dict[str, Any]] = []
    text = "# Made by `python -m benchmarks.energy.device_fit --write`: picojoules of a unit.\n"
    for kind, names, terms, fit in families:
        logs = logs_of(names, terms)
        made = modelled(logs, terms, fit)
        rows += tested(logs, fit, made[names[0]].factor)
        text += as_toml(made, kind)
    text += as_toml(of_spiking_networks(), "spiking")
    by_family = {
        start: summary(of_family)
        for start in (*FAMILIES.values(), *CHIPS)
        if (of_family := [row for row in rows if row["device"].startswith(start)])
    }
    shared.write(
        RESULT,
        {
            "macs": {name: multiplications(name) for name in mlperf_tiny.NETWORKS},
            "all": summary(rows),
            "by family": by_family,
            "multiplications alone": multiplications_alone(families[0][1]),
            "by network": {
                network: summary(
                    [
                        row
                        for row in rows
                        if row["network"] == network and row["device"] in families[0][1]
                    ]
                )
                for network in mlperf_tiny.NETWORKS
            },
            "median error above idle": {
                name: above_idle(name, rows) for name, terms in CHIPS.items() if "acs" in terms
            },
            "Loihi, measured by estimated with the other software": between_versions(),
            "cycles of an instruction": {
                network: round(number, 3) for network, number in cycles_of_instruction().items()
            },
            "picojoules of a cycle": {
                device: round(picojoules_of_cycle(device), 1) for device in ON_CORTEX_M4
            },
            "cycles, of those of a Cortex-M4": {
                device: round(relative_cycles(device, reference), 3)
                for device, reference in ON_CORTEX_M4.items()
            },
            "left out": rows,
        },
    )
    if options.write:
        FITTED.write_text(text)
        PAGE.write_text(page())


def page() -> str:
    """Return docs/features/device_energy.md."""
    document, found = shared.read(RESULT), devices()
    by_software = [
        measured.microjoules / 1000
        for device in found.values()
        for measured in device.measured
        if device.board == "nucleo-l4r5" and measured.network == "ic"
    ]
    prices = document["picojoules of a cycle"].values()
    relative = sorted(set(document["cycles, of those of a Cortex-M4"].values()) - {1.0})
    return TEMPLATES.get_template("energy/device_energy.md.j2").render(
        num_measured=sum(len(device.measured) for device in found.values()),
        num_devices=len(found),
        all=document["all"],
        families={FAMILY_TITLES[name]: row for name, row in document["by family"].items()},
        rows=document["left out"],
        alone=document["multiplications alone"],
        networks=document["by network"],
        above_idle=[
            f"{100 * error:.0f} %" for error in document["median error above idle"].values()
        ],
        loihi=document["Loihi, measured by estimated with the other software"],
        unseen=shared.read(LOGS)["summary"],
        newest=NEWEST_SOFTWARE,
        models=parse_toml(FITTED.read_bytes(), dict[str, dict[Kind, EnergyModel]]),
        devices=found,
        shown=[*NEWEST.values(), "loihi-nxsdk-0.7"],
        one_network=f"{ONE_NETWORK:g}",
        macs=listed([f"{number / 1e6:.3g}" for number in document["macs"].values()]),
        software_low=f"{min(by_software):.1f}",
        software_high=f"{max(by_software):.1f}",
        cycles=" to ".join(
            f"{end(document['cycles of an instruction'].values()):.2f}" for end in (min, max)
        ),
        relative=" to ".join(f"{end(relative):.2f}" for end in (min, max)),
        cycle_low=f"{min(prices):.0f}",
        cycle_high=f"{max(prices):.0f}",
        meaning=lambda term: MEANINGS_OF_TERMS[term],
        energy=lambda picojoules: energy_in_words(picojoules * 1e-12),
        number=lambda value: f"{value:,.0f}" if value >= 100 else f"{value:.3g}",
        per_cent=lambda share: f"{100 * share:.0f} %",
        signed=lambda share: f"{100 * share:+.0f} %".replace("-", "−"),
    )


if __name__ == "__main__":
    main()
