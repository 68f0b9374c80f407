"""Many comparisons over data sets and settings, with one verdict."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "study_command": ["commands"],
        "study_files": ["Study", "read_study"],
        "study_results": ["derived_from_runs"],
        "studying": ["study"],
    },
)
PUBLIC = ("Study", "read_study", "study")
