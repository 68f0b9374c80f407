"""Cheaper variants of every contender, compared at equal accuracy."""

from dataclasses import dataclass
from typing import Annotated

import lazy_loader

from spikeduel.experiment.fields import setting

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "compression_section": ["section"],
        "compression_variants": ["variants"],
        "frontier_analysis": ["conclude"],
        "frontier_results": ["Conclusion"],
        "frontier_sentences": ["tables"],
    },
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the feature."""

    frontier: Annotated[
        bool,
        setting(
            "Make every contender cheaper in steps, and compare the costs at equal accuracy.",
            "Trains sixteen variants of each contender, each from the weights of a more expensive "
            "one: both kinds with fewer channels and weights of 8, 4 and 2 bits, spiking ones also "
            "with fewer spikes and time steps, others with activations of fewer bits. Both exit "
            "early. This takes several times as long as the contenders alone. With --seeds 4 "
            "the result holds beyond these trainings.",
            needs=("comparing", "both kinds"),
            listed=True,
        ),
    ] = False
