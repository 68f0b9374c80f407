"""A page on this machine on which several models answer one image side by side.

A Starlette application behind uvicorn, a page of the project's own, and the viewer of `inspect`.
Gradio would be a large download, and keeps uploads in a folder that it serves.

- The server listens on 127.0.0.1 alone. Pages of other sites in the same browser can still send
  requests, so the Host header must name this machine, the Origin must be the page itself, and an
  image must come as `application/octet-stream`, for which browsers ask across origins.
- Nothing is kept: no upload, no cookie, no session. Two visitors cannot see each other's images.
- No path of a request is opened. Page, script and style are in memory, a sample is a number, and an
  encoding is one of a list, since a name could import code.
- Models are shared and never changed: other settings build a network anew, with the same weights.
- A request is limited to 16 MB, 20 million pixels (looked up before decoding) and `MOST_STEPS`.
- One answer is computed at a time, in a thread, in the order of arrival. A page has one request
  under way, so that visitors take turns; too many waiting requests are refused and ask again.
"""

from collections.abc import Callable, Sequence
from typing import Any

from spikeduel.networks.models import Model
from spikeduel.playing.table import lay
from spikeduel.system.errors import MissingExtra
from spikeduel.system.progress import Progress


def play(
    models: Sequence[Model],
    port: int = 0,
    ready: Callable[[str], Any] = print,
    browser: bool = False,
    progress: Progress | None = None,
) -> None:
    """Serve the page of `models` on 127.0.0.1 until Ctrl-C; call `ready` with the address.

    Port 0 is any free port; `browser` opens the page. Raises `InputError`, also for a port in use
    and without the extra `play`.
    """
    try:
        from spikeduel.playing.serving import serve
    except ImportError as error:
        raise MissingExtra(str(error.name), "play") from None
    serve(lay(models, progress), port, ready, browser)
