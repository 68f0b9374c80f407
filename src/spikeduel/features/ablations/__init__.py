"""Ablations: what spikes, time and the order of events add to a contender's accuracy."""

from dataclasses import dataclass
from typing import Annotated

import lazy_loader

from spikeduel.experiment.fields import setting

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "ablation_variants": ["ABLATIONS", "variants"],
        "ablation_conclusion": ["Conclusion", "conclude"],
        "ablation_sentences": ["summary", "tables"],
        "ablation_section": ["section"],
    },
)
PUBLIC = ("ABLATIONS",)
RECIPE_SETTINGS = {"events": {"controls": True}}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the feature."""

    controls: Annotated[
        bool,
        setting(
            "Add controls that show what spiking adds, or what time adds on recordings.",
            "Images: the ReLU twin, a quantised twin, one time step, spikes shuffled in time, a "
            "nearest neighbour; three more trainings for each spiking contender. Recordings: "
            "without time, shuffled, reversed; two more trainings for each contender.",
            needs=("comparing", "time"),
        ),
    ] = False


def later_trainings(experiment: object) -> dict[str, None]:
    """Return what trains after the contenders: ablations, for an unknown time."""
    is_asked = isinstance(experiment, Settings) and experiment.controls
    return {"ablations": None} if is_asked else {}
