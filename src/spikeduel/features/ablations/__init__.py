"""Ablations: what spikes, time and the order of events add to a contender's accuracy."""

from dataclasses import dataclass
from typing import Annotated

import lazy_loader

from spikeduel.experiment.fields import setting

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "ablation_variants": ["ABLATIONS", "variants"],
        "ablation_conclusion": ["conclude"],
        "ablation_results": ["Conclusion"],
        "ablation_sentences": ["tables"],
        "ablation_section": ["section"],
    },
)
PUBLIC = ("ABLATIONS",)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the feature."""

    ablations: Annotated[
        bool,
        setting(
            "Add ablations that show what spiking adds, or what time adds on recordings.",
            "Images: the ReLU twin, a quantised twin, one time step, shuffled spikes; three "
            "more trainings for each spiking contender. Recordings: without time, shuffled, "
            "reversed; two more trainings for each contender.",
            needs=("comparing", "time"),
            recipes=("events",),
        ),
    ] = False
