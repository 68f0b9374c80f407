"""Networks of other libraries as they are: which of their layers spike, how they are called, their state reset."""

from spikeduel.networks.foreign.calling import Calling, Foreign, Steps, called
from spikeduel.networks.foreign.neurons import family_of, is_own, reset, spiking_layers
from spikeduel.networks.foreign.probing import calling_of, run

__all__ = [
    "Calling",
    "Foreign",
    "Steps",
    "called",
    "calling_of",
    "family_of",
    "is_own",
    "reset",
    "run",
    "spiking_layers",
]
