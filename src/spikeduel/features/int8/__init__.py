"""Trained networks in int8, compared at equal precision."""

from dataclasses import dataclass
from typing import Annotated

import lazy_loader

from spikeduel.experiment.fields import setting

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "int8_variants": ["variants"],
        "int8_conclusion": ["Conclusion", "conclude", "tables"],
        "int8_section": ["section"],
    },
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the feature."""

    int8: Annotated[
        bool,
        setting(
            "Compare the trained networks in int8 too, as a microcontroller has them.",
            "Weights of 8 bits, sums of 32, ReLUs of 8, membranes of 16, as export --to c writes "
            "them; ranges are measured on training images. Says accuracy, bytes and operations.",
            needs=("comparing",),
            recipes=("int8",),
        ),
    ] = False
