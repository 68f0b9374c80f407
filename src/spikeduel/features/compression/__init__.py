"""Families of cheaper networks, compared at equal accuracy."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"compression_variants": ["variants"]}
)
