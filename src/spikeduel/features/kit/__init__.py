"""The kit: files of a run that a paper or the leaderboard needs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "kit_files": ["derived_files", "write_kit"],
        "kit_command": ["commands"],
    },
)
PUBLIC = ("write_kit",)
