"""Calibration of the probabilities of trained models."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "calibration_error": ["measures"],
        "calibration_conclusion": ["Conclusion", "conclude", "conclude_model"],
        "calibration_section": ["section"],
    },
)
