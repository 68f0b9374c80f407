"""Devices as accountings: a spiking network there against another network.

A device that runs spiking networks only is compared with `RIVAL`, which runs the other network.
"""

import math
from collections.abc import Mapping

from spikeduel.features.device_energy.device_models import (
    ONCE,
    EnergyModel,
    devices,
    models,
)
from spikeduel.features.device_energy.targets import NEWEST
from spikeduel.results.cost_results import Accounting, Constant

RIVAL = "nucleo-u385"
"""Board that takes the least of the microcontrollers."""
LEAVES_OUT = "networks that do not fit into the memory of the device"


def accountings() -> list[Accounting]:
    """Return an accounting for each board that runs spiking networks, with its newest software."""
    return [
        _accounting(board, name) for board, name in NEWEST.items() if "spiking" in models()[name]
    ]


def _accounting(board: str, name: str) -> Accounting:
    rival = name if "other" in models()[name] else NEWEST[RIVAL]
    spiking, other = models()[name]["spiking"], models()[rival]["other"]
    where = [devices()[one] for one in dict.fromkeys((name, rival))]
    against = "" if rival == name else f" against {where[-1].title}"
    return Accounting(
        name=board,
        label=f"{board}{' or u385' if against else ''}",
        group="device",
        title=f"{where[0].title}{against}, by models fitted to a power meter",
        source="; ".join(f"{device.source}, {device.software}" for device in where),
        where="; ".join(device.where for device in where),
        read="source",
        unit="pJ",
        leaves_out=LEAVES_OUT,
        spiking=_formula(spiking, "spiking"),
        other=_formula(other, "other"),
        constants={
            **_prices(spiking, "spiking"),
            **_prices(other, "other"),
            **_errors({"spiking": spiking.factor, "other": other.factor}),
        },
    )


def _formula(model: EnergyModel, kind: str) -> str:
    """Return the formula of a layer. Once a network is once in the layer that takes the image."""
    per_layer = {ONCE: "takes_image", "T": "takes_image * T"}
    terms = [
        f"{kind}_price_{number} * ({per_layer.get(term, term)})"
        for number, term in enumerate(model.picojoules)
    ]
    return f"{kind}_error * ({' + '.join(terms)})"


def _prices(model: EnergyModel, kind: str) -> dict[str, Constant]:
    return {
        f"{kind}_price_{number}": Constant(value=price, unit="pJ", where=f"fitted: {term}")
        for number, (term, price) in enumerate(model.picojoules.items())
    }


def _errors(factors: Mapping[str, float]) -> dict[str, Constant]:
    """Return the errors of both networks: multiplied, they are those of the ratio, whose interval
    is narrower than that of both at their ends.
    """
    widths = {kind: math.log(factor) for kind, factor in factors.items()}
    both = math.hypot(*widths.values())
    ends = {kind: math.exp(width**2 / both) for kind, width in widths.items()}
    return {
        f"{kind}_error": Constant(
            value=(1 / end, end), where="so much of the error that the ratio has its 80 % interval"
        )
        for kind, end in ends.items()
    }
