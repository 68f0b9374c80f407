"""Files on the internet, fetched whole from the first mirror that gives the right one, or not at
all.
"""

import hashlib
import http.client
import math
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from typing import NamedTuple

from spikeduel.data.workers import Track
from spikeduel.system import files
from spikeduel.system.errors import InputError

CHUNK = 1 << 18
TIMEOUT_SECONDS = 30
MOST_BYTES = 4 << 30
"""Larger files are left: they could be none of those wanted, and would fill the disk."""


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
        except urllib.error.HTTPError as error:
            reasons.append(f"{url}: HTTP {error.code}")
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or str(error) or type(error).__name__
            reasons.append(f"{url}: {reason}")
    raise InputError(f"{target.name} could not be downloaded ({'; '.join(reasons)}). {remedy}")


def _fetch(url: str, md5: str, target: Path, track: Track) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "spikeduel"})
    with (
        urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response,
        files.atomic_path(target) as temporary,
    ):
        length = response.headers.get("Content-Length", "")
        size = int(length) if length.isdigit() else 0
        chunks = track(
            iter(partial(response.read, CHUNK), b""),
            f"downloading {target.name}",
            math.ceil(size / CHUNK) or None,
        )
        with temporary.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
                if file.tell() > MOST_BYTES:
                    raise OSError(f"more than {MOST_BYTES / 1e9:.0f} GB, which cannot be right")
        if (received := temporary.stat().st_size) < size:
            raise OSError(f"broke off after {received} of {size} bytes")
        if _md5(temporary) != md5:
            raise OSError("another file than expected (wrong checksum)")


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
