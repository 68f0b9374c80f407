"""Ablations: what spikes, time and the order of events add to a contender's accuracy."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"ablation_variants": ["ABLATIONS", "variants"]}
)
PUBLIC = ("ABLATIONS",)
