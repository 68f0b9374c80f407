"""Download files from mirrors, and read zip files as folders."""

import hashlib
import http.client
import urllib.request
import zipfile
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from spikeduel.data.inventory import files_below
from spikeduel.system import files
from spikeduel.system.errors import InputError, refusing
from spikeduel.system.progress import Track

File = Path | zipfile.Path
"""A file, or a member of a zip file; as text, it is named for the user."""
CHUNK = 1 << 18
"""Bytes that are downloaded at a time."""
TIMEOUT_SECONDS = 30


def tree(
    place: Path, endings: frozenset[str], stack: ExitStack, archives: Collection[str] = ()
) -> dict[str, File]:
    """Return the files with one of the `endings` in a folder or zip file, by path relative to
    `place`.

    Zip files of the folder that `archives` names are opened too, their members last. Zip files
    stay open as long as `stack`. Raises `InputError`.
    """
    if files.is_folder(place):
        paths = {path.relative_to(place).as_posix(): path for path in files_below(place, endings)}
        inside: dict[str, File] = dict(paths)
        for archive in files_below(place, (".zip",)):
            if archive.name.lower() in archives:
                name = archive.relative_to(place).as_posix()
                packed = _packed_files(archive, stack)
                inside |= {f"{name}/{path}": file for path, file in packed.items()}
    elif files.is_file(place):
        inside = _packed_files(place, stack)
    else:
        raise InputError(f"data_dir {place}: no such folder or zip file.")
    return {
        path: file for path, file in inside.items() if PurePosixPath(path).suffix.lower() in endings
    }


def _packed_files(archive: Path, stack: ExitStack) -> dict[str, File]:
    """Return the files in a zip file by path, without hidden ones and those of the system."""

    def damaged(error: BaseException) -> InputError:
        return InputError(
            f"{archive}: cannot be read as a zip file ({error}). Unpack another kind of archive, "
            f"and download a damaged one again."
        )

    # zipfile raises many errors for damaged files.
    with refusing(damaged):
        opened = stack.enter_context(zipfile.ZipFile(archive))
        return {
            name: zipfile.Path(opened, name)
            for name in opened.namelist()
            if not name.endswith("/")
            and not any(part.startswith((".", "__")) for part in PurePosixPath(name).parts)
        }


class Remote(NamedTuple):
    """A file on the internet: its addresses, tried in order, and md5."""

    urls: tuple[str, ...]
    md5: str


def download(remote: Remote, target: Path, track: Track, remedy: str) -> Path:
    """Fetch `target`, unless present, from the first good mirror.

    Raises `InputError` with each mirror's reason and `remedy`.
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


def download_all(name: str, remotes: Mapping[str, Remote], track: Track, remedy: str) -> Path:
    """Fetch a data set's files; return their folder. Raises `InputError`."""
    folder = files.cache_dir() / "downloads" / name
    for file, remote in remotes.items():
        download(remote, folder / file, track, remedy)
    return folder


def _fetch(url: str, md5: str, target: Path, track: Track) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "spikeduel"})
    with (
        urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response,
        files.atomic_path(target) as temporary,
    ):
        total = -(-int(response.headers.get("Content-Length", 0)) // CHUNK) or None
        chunks = iter(partial(response.read, CHUNK), b"")
        with temporary.open("wb") as file:
            file.writelines(track(chunks, f"downloading {target.name}", total))
        if _md5(temporary) != md5:
            size = temporary.stat().st_size
            raise OSError(f"another file than expected, or a part of it ({size:,} bytes)")


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
