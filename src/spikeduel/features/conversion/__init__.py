"""Trained ReLU networks as spiking contenders, with the same weights."""

from dataclasses import dataclass
from typing import Annotated

import lazy_loader

from spikeduel.experiment.fields import Steps, setting
from spikeduel.system.registry import Family

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "conversion": ["check", "further_trials"],
        "conversion_conclusion": ["Conclusion"],
    },
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the feature."""

    convert: Annotated[
        Steps | None,
        setting(
            "Convert each trained ReLU contender to a spiking network of T time steps, without "
            "training.",
            "32 is usual; more steps come nearer to the source. The weights stay, and "
            "integrate-and-fire neurons replace ReLU.",
            metavar="T",
            needs=("comparing", "images"),
        ),
    ] = None


def adds(experiment: object) -> dict[Family, int]:
    """Return the time steps of the converted networks, by kind."""
    num_steps = experiment.convert if isinstance(experiment, Settings) else None
    return {} if num_steps is None else {"snn": num_steps}
