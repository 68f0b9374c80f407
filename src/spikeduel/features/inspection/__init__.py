"""Look inside trained networks, for one image."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "inside_page": ["inspect", "section"],
        "inspect_command": ["commands"],
    },
)
PUBLIC = ("inspect",)
