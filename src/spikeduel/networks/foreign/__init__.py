"""Networks of other libraries as they are: which of their layers spike, how they are called, their state reset."""

from spikeduel.networks.foreign.calling import OUTPUTS, WAYS, Calling, Foreign, called
from spikeduel.networks.foreign.layers import family_of, is_own, reset, spiking_layers
from spikeduel.networks.foreign.probing import calling_of, run

__all__ = [
    "OUTPUTS",
    "WAYS",
    "Calling",
    "Foreign",
    "called",
    "calling_of",
    "family_of",
    "is_own",
    "reset",
    "run",
    "spiking_layers",
]
