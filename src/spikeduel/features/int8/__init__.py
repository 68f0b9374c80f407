"""Trained networks in int8, compared at equal precision."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"int8_variants": ["variants"]}
)
