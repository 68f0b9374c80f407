"""What operations would cost on hardware: estimates from stored counts and a table, without running a network."""

from spikeduel.measuring.energy.break_even import break_even_rate, relu_twin, scaled
from spikeduel.measuring.energy.estimating import (
    COUNTINGS,
    HEADLINE,
    MACS,
    MEMORIES,
    SCOPES,
    energies,
    estimate,
    joules,
)
from spikeduel.measuring.energy.over_time import mean_at, over_time
from spikeduel.measuring.energy.steps import up_to
from spikeduel.measuring.energy.tables import NAMES, Table, read
from spikeduel.measuring.energy.traffic import traffic

__all__ = [
    "COUNTINGS",
    "HEADLINE",
    "MACS",
    "MEMORIES",
    "NAMES",
    "SCOPES",
    "Table",
    "break_even_rate",
    "energies",
    "estimate",
    "joules",
    "mean_at",
    "over_time",
    "read",
    "relu_twin",
    "scaled",
    "traffic",
    "up_to",
]
