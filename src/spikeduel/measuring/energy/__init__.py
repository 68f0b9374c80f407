"""What operations would cost on hardware: estimates from stored counts and a table, without running a network."""

from spikeduel.measuring.energy.estimating import (
    HEADLINE,
    break_even_rate,
    energies,
    estimate,
    mean_at,
    over_time,
    relu_twin,
    scaled,
    up_to,
)
from spikeduel.measuring.energy.tables import NAMES, Table, read

__all__ = [
    "HEADLINE",
    "NAMES",
    "Table",
    "break_even_rate",
    "energies",
    "estimate",
    "mean_at",
    "over_time",
    "read",
    "relu_twin",
    "scaled",
    "up_to",
]
