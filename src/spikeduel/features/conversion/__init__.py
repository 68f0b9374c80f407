"""Trained ReLU networks as spiking contenders, with the same weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import lazy_loader

from spikeduel.experiment.fields import Steps, setting
from spikeduel.system.registry import NetworkKind

if TYPE_CHECKING:
    from spikeduel.training.contenders import Contender

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "conversion": ["further_trials"],
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


def adds(experiment: object, contenders: "Sequence[Contender]" = ()) -> dict[NetworkKind, int]:
    """Return the time steps of the converted networks, by kind. Raises `InputError` if none of
    `contenders` can be converted.
    """
    num_steps = experiment.convert if isinstance(experiment, Settings) else None
    if num_steps is None:
        return {}
    if contenders:
        from spikeduel.features.conversion.conversion import refusals

        refusals(contenders)
    return {"snn": num_steps}
