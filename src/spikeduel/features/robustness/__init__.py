"""Accuracy on corrupted images."""

from dataclasses import dataclass
from typing import Annotated

import lazy_loader

from spikeduel.experiment.fields import setting

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "corrupted_accuracy": ["measures"],
        "robustness_conclusion": ["Conclusion", "conclude", "conclude_model", "tables"],
        "robustness_section": ["section"],
    },
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the feature."""

    robustness: Annotated[
        bool,
        setting(
            "Test on corrupted images too: seven corruptions at five severities.",
            "Noise, blur, contrast, occlusion, rotation, translation and JPEG. Takes as long as 46 "
            "evaluations of each model.",
            needs=("testing", "images"),
        ),
    ] = False
