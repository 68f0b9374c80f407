"""Delete what no run needs from the store and the cache."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"clean_command": ["commands"]}
)
