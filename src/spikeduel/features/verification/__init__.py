"""Verify a run: recompute what follows from its predictions, split, counts and settings."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "verify_command": ["commands"],
        "verifying": ["holds"],
    },
)
