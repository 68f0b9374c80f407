"""Gain that choosing the epoch by test accuracy would have added to each contender."""

from dataclasses import dataclass
from typing import Annotated

import lazy_loader

from spikeduel.experiment.fields import setting

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "accuracy_by_epoch": ["after_epoch"],
        "optimism_conclusion": ["Conclusion", "conclude", "tables"],
        "optimism_section": ["section"],
    },
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the feature."""

    optimism: Annotated[
        bool,
        setting(
            "Also report the best test accuracy over all epochs, as many papers do.",
            "Evaluates the test images after every epoch. No choice depends on these scores. "
            "Trials that were trained without are trained again, to the same numbers.",
        ),
    ] = False
