"""Files on the internet, fetched whole from the first mirror that gives the right one, or not at
all.
"""

import hashlib
import http.client
import urllib.request
from functools import partial
from pathlib import Path
from typing import NamedTuple

from spikeduel.data.workers import Track
from spikeduel.system import files
from spikeduel.system.errors import InputError

CHUNK = 1 << 18
TIMEOUT_SECONDS = 30


class Remote(NamedTuple):
    """A file on the internet: its addresses, tried in order, and its md5."""

    urls: tuple[str, ...]
    md5: str


def download(remote: Remote, target: Path, track: Track, remedy: str) -> Path:
    """Fetch `target` from the first of `remote.urls` that gives the right file, unless it is there.

    Raises `InputError` with each mirror's reason and `remedy`, what the user can do instead.
    """
    if target.exists() and _md5(target) == remote.md5:
        return target
    reasons = []
    for url in remote.urls:
        try:
            _fetch(url, remote.md5, target, track)
            return target
        except (OSError, http.client.HTTPException) as error:
            reasons.append(f"{url}: {error or type(error).__name__}")
    raise InputError(f"{target.name} could not be downloaded ({'; '.join(reasons)}). {remedy}")


def _fetch(url: str, md5: str, target: Path, track: Track) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "spikeduel"})
    with (
        urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response,
        files.atomic_path(target) as temporary,
    ):
        total = -(-int(response.headers.get("Content-Length", 0)) // CHUNK) or None
        chunks = iter(partial(response.read, CHUNK), b"")
        with temporary.open("wb") as file:
            for chunk in track(chunks, f"downloading {target.name}", total):
                file.write(chunk)
        if _md5(temporary) != md5:
            size = temporary.stat().st_size
            raise OSError(f"another file than expected, or a part of it ({size:,} bytes)")


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
