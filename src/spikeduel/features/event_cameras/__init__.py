"""Files of event cameras, and known sets of recordings."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"camera_files": ["READERS"], "recording_sets": ["DATASETS"]}
)
