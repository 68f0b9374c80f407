"""Serve the page of models until Ctrl-C."""

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
