"""A page on this machine on which several models answer one image side by side.

The server listens on 127.0.0.1 alone. Pages of other sites can send requests: the Host must name
this machine, the Origin be the page, and an image come as `application/octet-stream`, for which
browsers ask across origins. Nothing is kept, and no path of a request is opened. A request is
limited to 16 MB, 20 million pixels and `MOST_STEPS`; one is computed at a time, and too many are
refused.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"playing": ["play"], "play_command": ["commands"]}
)
PUBLIC = ("play",)
