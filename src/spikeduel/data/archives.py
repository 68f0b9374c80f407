"""A folder and the archives that lie in it, as one tree of files: zips are read in place, tars
unpacked meanwhile.
"""

import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Self

from spikeduel.data.layout import walk
from spikeduel.data.workers import Track
from spikeduel.system import files
from spikeduel.system.errors import InputError

ENDINGS = frozenset({".zip", ".tar", ".gz", ".tgz"})


class Whole(tarfile.TarInfo):
    """Reads the headers of a tar. One that is cut off or damaged between two files is refused, and
    so is one that another follows in the same file: by itself tarfile ends there, as if no more
    files came.
    """

    @classmethod
    def fromtarfile(cls, opened: tarfile.TarFile) -> Self:
        """The next header. Raises `tarfile.ReadError` where there is neither one nor the zeros that
        end a tar, or where something follows these.
        """
        try:
            return super().fromtarfile(opened)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            rest = iter(lambda: opened.fileobj.read(1 << 16), b"")
            if any(part.strip(b"\0") for part in rest):
                raise tarfile.ReadError(
                    "another tar follows its end; put each into a file of its own"
                ) from None
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(
                f"cut off or damaged at byte {opened.offset:,}: {error}"
            ) from None


class Found(NamedTuple):
    """A file, or a member of an archive, and what its user calls it."""

    file: Path | zipfile.Path
    name: str


def tree(
    place: Path, endings: frozenset[str], archives: Collection[str], stack: ExitStack, track: Track
) -> dict[str, Found]:
    """The files with one of the `endings` in a folder and below, or in an archive, by paths
    relative to `place`.

    Archives in it that are called like one of `archives` (in small letters) are opened, too: their
    members come last, by the archive's path and their own. All stay open as long as `stack` does.
    Raises `InputError`.
    """
    if files.is_folder(place):
        walked = walk(place, endings | ENDINGS)
        found = {path.relative_to(place).as_posix(): Found(path, str(path)) for path in walked}
    elif files.is_file(place):
        found = _opened(Found(place, str(place)), stack, track)
    else:
        raise InputError(f"data_dir {place}: no such folder or archive.")
    pending = list(found)
    for path in pending:
        if PurePosixPath(path).name.lower() in archives:
            members = {
                f"{path}/{member}": each
                for member, each in _opened(found[path], stack, track).items()
            }
            found |= members
            pending += members  # archives within archives
    return {
        path: each for path, each in found.items() if PurePosixPath(path).suffix.lower() in endings
    }


def _opened(archive: Found, stack: ExitStack, track: Track) -> dict[str, Found]:
    """The members of an archive by their paths in it; hidden ones and those of the system are left
    out.
    """
    room = files.cache_dir()
    try:
        with files.writing_to(room):
            room.mkdir(parents=True, exist_ok=True)
            unpacked = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=room)))
            if isinstance(archive.file, Path) and tarfile.is_tarfile(archive.file):
                members = _unpacked(archive, unpacked, track)
            else:
                members = _in_zip(archive.file, unpacked, stack)
    except InputError:
        raise
    # zipfile and tarfile stumble on what is damaged in many ways.
    except Exception as error:
        raise InputError(
            f"{archive.name}: cannot be read as an archive ({error}). Download it again."
        ) from None
    return {
        path: Found(file, f"{archive.name}/{path}")
        for path, file in members.items()
        if not any(part.startswith((".", "__")) for part in PurePosixPath(path).parts)
    }


def _in_zip(
    file: Path | zipfile.Path, unpacked: Path, stack: ExitStack
) -> dict[str, Path | zipfile.Path]:
    if isinstance(file, zipfile.Path):
        # A zip within a zip: going back in what is packed would mean to unpack it anew.
        with file.open("rb") as packed, (unpacked / "inner.zip").open("wb") as copy:
            shutil.copyfileobj(packed, copy)
        file = unpacked / "inner.zip"
    opened = stack.enter_context(zipfile.ZipFile(file))
    return {
        path: zipfile.Path(opened, path) for path in opened.namelist() if not path.endswith("/")
    }


def _unpacked(archive: Found, folder: Path, track: Track) -> dict[str, Path | zipfile.Path]:
    """The members of a tar, unpacked into `folder` under numbers: what they are called cannot lead
    out of it.
    """
    members: dict[str, Path | zipfile.Path] = {}
    with tarfile.open(str(archive.file), tarinfo=Whole) as opened:
        for member in track(opened, f"unpacking {PurePosixPath(archive.name).name}", None):
            if member.isfile() and (packed := opened.extractfile(member)) is not None:
                target = folder / f"{len(members)}{PurePosixPath(member.name).suffix}"
                with packed, target.open("wb") as file:
                    shutil.copyfileobj(packed, file)
                members[member.name] = target
    return members
