"""Look inside trained networks: for one image, or on a page on which visitors draw.

The page of `play` is served on 127.0.0.1 alone. Pages of other sites can send requests: the Host
must name this machine, the Origin be the page, and an image come as `application/octet-stream`, for
which browsers ask across origins. Nothing is kept, and no path of a request is opened. A request is
limited to 16 MB, 20 million pixels and `MAX_STEPS`, and one is computed at a time.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "inside_page": ["inspect", "section"],
        "inspection_commands": ["commands"],
        "playing": ["play"],
    },
)
PUBLIC = ("inspect", "play")
