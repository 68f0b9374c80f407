"""Early exits of spiking networks, and their accuracy and cost after each time step."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={"early_exit_section": ["section"]},
)
