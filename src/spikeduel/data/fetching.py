"""Download files from mirrors; read archives as folders, zips in place, tars unpacked."""

import hashlib
import http.client
import shutil
import tarfile
import urllib.request
import zipfile
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Self

from spikeduel.data.inventory import files_below
from spikeduel.system import files
from spikeduel.system.errors import InputError, refusing
from spikeduel.system.progress import Track

ENDINGS = frozenset({".zip", ".tar", ".gz", ".tgz"})


class Whole(tarfile.TarInfo):
    """Headers of a whole tar: tarfile accepts a truncated one."""

    @classmethod
    def fromtarfile(cls, opened: tarfile.TarFile) -> Self:
        """Return the next header. Raises `tarfile.ReadError` unless the tar ends with zeros."""
        try:
            return super().fromtarfile(opened)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            blocks = iter(lambda: opened.fileobj.read(1 << 16), b"")
            if any(block.strip(b"\0") for block in blocks):
                raise tarfile.ReadError(
                    "another tar follows its end; put each into a file of its own"
                ) from None
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(
                f"cut off or damaged at byte {opened.offset:,}: {error}"
            ) from None


class Entry(NamedTuple):
    """A file, or a member of an archive, and its name for the user."""

    file: Path | zipfile.Path
    name: str


def tree(
    place: Path, endings: frozenset[str], archives: Collection[str], stack: ExitStack, track: Track
) -> dict[str, Entry]:
    """Return the files with one of the `endings` in a folder or archive, by path relative to
    `place`.

    Inner archives named in `archives` are opened too, their members last. All stay open as long as
    `stack`. Raises `InputError`.
    """
    if files.is_folder(place):
        paths = files_below(place, endings | ENDINGS)
        entries = {path.relative_to(place).as_posix(): Entry(path, str(path)) for path in paths}
    elif files.is_file(place):
        entries = _opened(Entry(place, str(place)), stack, track)
    else:
        raise InputError(f"data_dir {place}: no such folder or archive.")
    pending = list(entries)
    for path in pending:
        if PurePosixPath(path).name.lower() in archives:
            unpacked = _opened(entries[path], stack, track)
            entries |= {f"{path}/{archived}": entry for archived, entry in unpacked.items()}
            pending += [f"{path}/{archived}" for archived in unpacked]
    return {
        path: entry
        for path, entry in entries.items()
        if PurePosixPath(path).suffix.lower() in endings
    }


def _opened(archive: Entry, stack: ExitStack, track: Track) -> dict[str, Entry]:
    file, folder = archive.file, Path(stack.enter_context(files.scratch_folder()))
    unpacked: dict[str, Path | zipfile.Path] = {}
    # zipfile and tarfile raise many errors for damaged files.
    damaged = refusing(
        lambda error: InputError(
            f"{archive.name}: cannot be read as an archive ({error}). Download it again."
        )
    )
    with damaged, files.writing_to(folder):
        if isinstance(file, Path) and tarfile.is_tarfile(file):
            unpacked |= _unpacked(archive, folder, track)
        else:
            if isinstance(file, zipfile.Path):
                # Going back within a packed zip would unpack it anew each time.
                (folder / "inner.zip").write_bytes(file.read_bytes())
                file = folder / "inner.zip"
            opened = stack.enter_context(zipfile.ZipFile(file))
            names = [name for name in opened.namelist() if not name.endswith("/")]
            unpacked |= {name: zipfile.Path(opened, name) for name in names}
    return {
        path: Entry(file, f"{archive.name}/{path}")
        for path, file in unpacked.items()
        if not any(part.startswith((".", "__")) for part in PurePosixPath(path).parts)
    }


def _unpacked(archive: Entry, folder: Path, track: Track) -> dict[str, Path]:
    """Unpack a tar's members under numbers: names could lead out of `folder`."""
    unpacked: dict[str, Path] = {}
    with tarfile.open(str(archive.file), tarinfo=Whole) as opened:
        for archived in track(opened, f"unpacking {PurePosixPath(archive.name).name}", None):
            if archived.isfile() and (packed := opened.extractfile(archived)) is not None:
                target = folder / f"{len(unpacked)}{PurePosixPath(archived.name).suffix}"
                with packed, target.open("wb") as file:
                    shutil.copyfileobj(packed, file)
                unpacked[archived.name] = target
    return unpacked


CHUNK = 1 << 18
TIMEOUT_SECONDS = 30


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
