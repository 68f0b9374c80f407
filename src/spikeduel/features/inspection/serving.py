"""Serve the page."""

import socket
import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import msgspec
import uvicorn
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from spikeduel.features.inspection.inside_measurement import look_inside
from spikeduel.features.inspection.table import Table
from spikeduel.system.errors import InputError

ADDRESS = "127.0.0.1"
MAX_BYTES = 16 << 20
"""Larger bodies are refused."""
POINTS = 8
"""Integration steps of the attribution; few, because it dominates the answer's time."""
BODY = "application/octet-stream"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_FILES = {
    "/": ("play.html", "text/html"),
    "/play.js": ("play.js", "text/javascript"),
    "/play.css": ("play.css", "text/css"),
    "/inside.js": ("inside.js", "text/javascript"),
    "/inside.css": ("inside.css", "text/css"),
}
"""File in this folder, and media type, of each address."""


def serve(table: Table, port: int, ready: Callable[[str], Any], browser: bool) -> None:
    """Serve the page of `table`; see `playing.play`."""
    try:
        listening = socket.create_server((ADDRESS, port))
    except OSError as error:
        raise InputError(
            f"port {port} of {ADDRESS} cannot be used ({error.strerror}): choose another with "
            f"--port, or any free one by --port 0."
        ) from None
    with listening:
        address = f"http://{ADDRESS}:{listening.getsockname()[1]}/"
        ready(address)
        if browser:
            # A browser in the terminal would not return.
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        with suppress(KeyboardInterrupt):
            server(table).run(sockets=[listening])


def server(table: Table) -> uvicorn.Server:
    """Return the server of the page of `table`, with `HEADERS` in all that the page answers."""
    # Proxies' headers are ignored, and requests are not logged.
    config = uvicorn.Config(
        application(table),
        log_level="error",
        access_log=False,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        server_header=False,
        headers=list(HEADERS.items()),
        limit_concurrency=64,
        timeout_graceful_shutdown=2,
    )
    return uvicorn.Server(config)


def application(table: Table) -> Starlette:
    """Return the page of `table` as an ASGI application; `server` adds `HEADERS`."""
    pages = {
        path: Response(Path(__file__).with_name(name).read_bytes(), media_type=kind)
        for path, (name, kind) in _FILES.items()
    }
    pages["/about"] = Response(msgspec.json.encode(table.about()), media_type="application/json")

    async def page(request: Request) -> Response:
        return pages[request.url.path]

    return Starlette(
        routes=[
            *(Route(path, page) for path in pages),
            Route(
                "/answer", partial(_prediction, table, anyio.CapacityLimiter(1)), methods=["POST"]
            ),
        ],
        middleware=[
            Middleware(
                TrustedHostMiddleware, allowed_hosts=[ADDRESS, "localhost"], www_redirect=False
            )
        ],
        exception_handlers={HTTPException: _refused, InputError: _refused},
    )


async def _prediction(table: Table, turn: anyio.CapacityLimiter, request: Request) -> Response:
    _require_own(request)
    settings, content = table.settings(dict(request.query_params)), await _body(request)
    try:
        prediction = await run_sync(_predicted, table, content, settings, limiter=turn)
    except InputError:
        raise
    # Networks may be user code, which can raise anything.
    except Exception as error:
        kind = type(error).__name__
        raise HTTPException(
            500, f"The models could not answer ({kind}): choose another setting or image."
        ) from error
    return Response(prediction, media_type="application/json")


async def _refused(request: Request, error: Any) -> Response:
    """Answer an `InputError` or an `HTTPException` with its text."""
    status, text = (
        (422, str(error)) if isinstance(error, InputError) else (error.status_code, error.detail)
    )
    # The rest of the body is not read: this connection has to close.
    body = msgspec.json.encode({"error": text})
    return Response(body, status, {"Connection": "close"}, "application/json")


def _predicted(table: Table, content: bytes, settings: dict[str, Any]) -> bytes:
    sample = settings.get("sample")
    truth = None if content or sample is None else table.card.classes[table.labels[sample]]
    image = table.image(content, settings)
    return msgspec.json.encode(look_inside(table.players(settings), image, truth, points=POINTS))


def _require_own(request: Request) -> None:
    """Raise `HTTPException` for requests that another site's page can make a browser send."""
    origin = f"http://{request.headers.get('host')}"
    site = request.headers.get("sec-fetch-site", "none")
    if request.headers.get("origin", origin) != origin or site not in ("same-origin", "none"):
        raise HTTPException(403, "Only the page itself may ask.")
    if request.headers.get("content-type") != BODY:
        raise HTTPException(415, f"Send an image as {BODY}.")


async def _body(request: Request) -> bytes:
    """Return the body. Raises `HTTPException` if it has more than `MAX_BYTES`."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MAX_BYTES:
            raise HTTPException(
                413, f"The file is larger than {MAX_BYTES >> 20} MB: choose a smaller one."
            )
    return bytes(content)
