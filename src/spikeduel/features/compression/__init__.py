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
            "Fifteen variants of each contender, with weights of 8 bits or fewer. "
            "Spiking ones have fewer spikes, time steps, channels and bits; others have fewer "
            "channels and bits; both exit early. Ten are trained, each from the weights of a "
            "dearer one: all takes three to four times as long as the contenders alone. With "
            "--seeds 4 the result holds beyond these trainings.",
            needs=("comparing", "both kinds"),
            listed=True,
        ),
    ] = False
