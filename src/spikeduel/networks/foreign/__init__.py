"""Networks of other libraries: which layers spike, how they are called, how they are reset."""

from spikeduel.networks.foreign.calling import Foreign, called, calling_of
from spikeduel.networks.foreign.neurons import family_of, is_own, reset

__all__ = ["Foreign", "called", "calling_of", "family_of", "is_own", "reset"]
