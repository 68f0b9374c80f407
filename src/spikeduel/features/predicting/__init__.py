"""Trained models on data: measured, or asked to label files."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"predict_commands": ["commands"]}
)
