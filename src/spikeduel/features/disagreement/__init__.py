"""Images that one contender alone classifies correctly, and those behind each number."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"disagreement_section": ["section"]}
)
