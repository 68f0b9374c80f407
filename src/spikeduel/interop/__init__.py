"""Networks of other libraries as they are: which of their layers spike, how they are called, their state reset."""

from spikeduel.interop.calling import OUTPUTS, WAYS, Calling, Foreign, called
from spikeduel.interop.layers import family_of, is_own, reset, spiking_layers
from spikeduel.interop.probing import calling_of, run

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
