"""A page on this machine where one image is answered by several models side by side, and settings
can be moved.

A small Starlette application behind uvicorn, and a page of our own: two small packages that are
quick to import, a security policy that we write, and the viewer of `inspect` and the report. Gradio
would be a large download with a look of its own, and keeps uploads in a folder that it serves.

Why it is made as it is:

- It listens on 127.0.0.1 alone. A page elsewhere in the same browser can still send requests there. So the Host header
  must be this machine's name (else a stranger's name could be made to lead here), the Origin must
  be the page's own, and an image must come as `application/octet-stream`, for which browsers ask
  before they send it across origins.
- Nothing is kept. An image and its settings come in, the inside view goes out: two people cannot see each other's
  images, and there is nothing to clean up. There are no cookies and no sessions.
- No path from a request is ever opened. There is no static folder; page, script and style are read into memory at
  start, and a sample is known by its number. An encoding is chosen from a list, since a name could
  else import code.
- Models are shared and never changed: other settings build a network anew from its card, with the same weights.
- What a request costs is limited: 16 MB of body, 20 million pixels (looked up before decoding), so many time steps.
- One answer is computed at a time, in a thread beside the loop, in the order of arrival. A visitor's page has one
  request under way, so that visitors take turns. Too many waiting requests are refused, and the
  page asks again.
"""

from collections.abc import Callable, Sequence
from typing import Any

from spikeduel.networks.models import Model
from spikeduel.playing.table import laid
from spikeduel.system.errors import MissingExtra
from spikeduel.system.progress import Progress


def play(
    models: Sequence[Model],
    port: int = 0,
    ready: Callable[[str], Any] = print,
    browser: bool = False,
    progress: Progress | None = None,
) -> None:
    """Serves the page of `models` on 127.0.0.1 until Ctrl-C; `ready` is told its address, once it
    can be asked for.

    Port 0: any that is free. With `browser`, the page is opened. Raises `InputError`, also for a
    port in use and without the extra `play`.
    """
    try:
        from spikeduel.playing.serving import serve
    except ImportError as error:
        raise MissingExtra(str(error.name), "play") from None
    serve(laid(models, progress), port, ready, browser)
