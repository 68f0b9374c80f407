"""A page on this machine on which several models answer one image side by side.

The server listens on 127.0.0.1 alone. Pages of other sites can send requests: the Host must name
this machine, the Origin be the page, and an image come as `application/octet-stream`, for which
browsers ask across origins. Nothing is kept, and no path of a request is opened. A request is
limited to 16 MB, 20 million pixels and `MOST_STEPS`; one is computed at a time, and too many are
refused.
"""

from collections.abc import Callable, Sequence
from typing import Any

from spikeduel.engine.networks.models import Model
from spikeduel.features.play.table import lay
from spikeduel.system.errors import needing_extra
from spikeduel.system.progress import Progress


def play(
    models: Sequence[Model],
    port: int = 0,
    ready: Callable[[str], Any] = print,
    browser: bool = False,
    progress: Progress | None = None,
) -> None:
    """Serve the page of `models` on 127.0.0.1 until Ctrl-C; call `ready` with the address.

    `port` 0 is any free one. Raises `InputError`, also for a port in use and without the extra
    `play`.
    """
    with needing_extra(("anyio", "starlette", "uvicorn"), "play"):
        from spikeduel.features.play.serving import serve
    serve(lay(models, progress), port, ready, browser)
