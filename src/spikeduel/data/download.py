"""Files from the internet, whole and checked, or not there at all; data sets from Kaggle."""

import hashlib
import http.client
import math
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from spikeduel.data.prepared import Track
from spikeduel.system import files
from spikeduel.system.errors import InputError

CHUNK = 1 << 18
TIMEOUT_SECONDS = 30
MOST_BYTES = 4 << 30
"""A mirror that sends more is left: its file could be none of those wanted, and would fill the disk."""


@dataclass(frozen=True)
class Remote:
    """A file on the internet: where it can be had (tried in order), and its md5."""

    urls: tuple[str, ...]
    md5: str


def downloads() -> Path:
    """The folder of downloaded files."""
    return files.cache_dir() / "downloads"


def download(
    remote: Remote,
    target: Path,
    track: Track,
    remedy: str,
) -> Path:
    """`target`, fetched from the first of `remote.urls` that gives the right file, unless it is there.

    Raises `InputError` with each mirror's reason and `remedy`, what the user can do instead.
    """
    if target.exists() and _md5(target) == remote.md5:
        return target
    reasons = []
    for url in remote.urls:
        try:
            _fetch(url, remote.md5, target, track)
            return target
        except (OSError, http.client.HTTPException, _Wrong) as error:
            reasons.append(f"{url}: {_reason(error)}")
    raise InputError(f"{target.name} could not be downloaded ({'; '.join(reasons)}). {remedy}")


class _Wrong(Exception):
    pass


def _fetch(url: str, md5: str, target: Path, track: Track) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "spikeduel"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        length = response.headers.get("Content-Length")
        size = int(length) if length and length.isdigit() else None
        num_chunks = None if size is None else math.ceil(size / CHUNK)
        checksum, received = hashlib.md5(usedforsecurity=False), 0
        with files.atomic_path(target) as temporary:
            with temporary.open("wb") as file:
                for chunk in track(_chunks(response), f"downloading {target.name}", num_chunks):
                    file.write(chunk)
                    checksum.update(chunk)
                    received += len(chunk)
                    if received > MOST_BYTES:
                        raise _Wrong(f"more than {MOST_BYTES / 1e9:.0f} GB, which cannot be right")
            if size is not None and received < size:
                raise _Wrong(f"broke off after {received} of {size} bytes")
            if checksum.hexdigest() != md5:
                raise _Wrong("another file than expected (wrong checksum)")


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while chunk := response.read(CHUNK):
        yield chunk


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    if isinstance(error, urllib.error.URLError):
        error = error.reason if isinstance(error.reason, Exception) else error
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def download_from_kaggle(handle: str, name: str) -> Path:
    """The folder where kagglehub keeps `handle`. Raises `InputError`."""
    import kagglehub

    try:
        return Path(kagglehub.dataset_download(handle))
    # kagglehub raises requests' errors and its own (no token, a damaged kaggle.json), with no common base.
    except Exception as error:
        code = getattr(getattr(error, "response", None), "status_code", None)
        reason = f"HTTP {code}" if code else " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{name}: the download from Kaggle failed ({reason}). Check the network and your token: on kaggle.com, "
            "Settings, create an API token, then set the environment variable KAGGLE_API_TOKEN to it, or save it as "
            "~/.kaggle/access_token (an older kaggle.json works too). Or download "
            f"https://www.kaggle.com/datasets/{handle} by hand and give the zip with --data-dir."
        ) from None
