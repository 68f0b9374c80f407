"""Energy per inference on devices that people can buy, by models fitted to power meters."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "device_conclusion": ["Conclusion", "conclude", "energies_on", "tables"],
        "device_accountings": ["accountings"],
        "targets": ["TARGETS"],
        "device_energy_section": ["section"],
        "estimating": ["energy_of"],
    },
)
PUBLIC = ("energy_of",)
