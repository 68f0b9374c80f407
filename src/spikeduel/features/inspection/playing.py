"""Serve the page of models until Ctrl-C."""

from collections.abc import Callable, Sequence
from typing import Any

from spikeduel.engine.networks.models import Model
from spikeduel.features.inspection.table import lay
from spikeduel.system.errors import needing_extra
from spikeduel.system.progress import Progress


def play(
    models: Sequence[Model],
    port: int = 0,
    ready: Callable[[str], Any] = print,
    browser: bool = False,
    progress: Progress | None = None,
) -> None:
    """Serve a page on which you draw, and models predict, until Ctrl-C.

    Parameters
    ----------
    models : sequence of Model
        Models that take the same images.
    port : int
        Port on 127.0.0.1. 0 is any free one.
    ready : callable
        Function that is called with the address.
    browser : bool
        Whether to open the page in a browser.
    progress : Progress, optional
        Where to show progress.

    Returns
    -------
    None

    Raises
    ------
    InputError
        If the port is in use, the models differ, or the extra `play` is not installed.

    Examples
    --------
    >>> import spikeduel as sd
    >>> sd.play([sd.load_model("mnist-vgg-lif")])  # doctest: +SKIP
    """
    with needing_extra(("anyio", "starlette", "uvicorn"), "play"):
        from spikeduel.features.inspection.serving import serve
    serve(lay(models, progress), port, ready, browser)
