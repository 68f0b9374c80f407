"""Files that are whole or absent: atomic writes, locks, and the cache."""

import csv
import errno
import glob
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock
import platformdirs

from spikeduel.system.errors import InputError

MAX_BYTES = 1 << 30
"""Largest settings, results or manifest: they are read into memory whole."""
LEFT_BEHIND_SECONDS = 24 * 60 * 60
"""Age from which an unused temporary file is a killed process's."""


def cache_dir() -> Path:
    """Return the folder for prepared data: `SPIKEDUEL_CACHE`, or the user's cache folder."""
    return Path(os.environ.get("SPIKEDUEL_CACHE") or platformdirs.user_cache_dir("spikeduel"))


def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """Make a temporary folder in the cache; a killed process's is removed later."""
    folder = cache_dir()
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        # Maps of its files stay readable; some systems cannot remove a mapped file.
        return tempfile.TemporaryDirectory(
            prefix=".scratch.", suffix=".part", dir=folder, ignore_cleanup_errors=True
        )


@contextmanager
def atomic_path(path: Path, folder: bool = False) -> Iterator[Path]:
    """Yield a temporary file (or `folder`) that replaces `path` on success. Raises `InputError` if
    not writable, or if a file's `path` is a folder.
    """
    path = Path(path)
    with writing_to(path.parent):
        if path.is_dir() and not folder:
            raise InputError(f"{path}: a folder; name the file to write.")
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_left_behind(path.parent, path.name, LEFT_BEHIND_SECONDS)
        temporary = _beside(path)
        temporary.mkdir() if folder else temporary.touch()
        try:
            yield temporary
            for written in (temporary, *temporary.rglob("*")):
                if written.is_file():
                    with written.open("rb") as file:
                        os.fsync(file.fileno())
            if folder and path.exists():
                shutil.rmtree(path)
            temporary.replace(path)
            _names_to_disk(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True) if folder else temporary.unlink(
                missing_ok=True
            )


def _beside(path: Path) -> Path:
    """Return a name for a temporary file or folder (see `left_behind`)."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")


def remove_left_behind(folder: Path, name: str | None = None, seconds: float = 0) -> None:
    """Remove temporary files of `name` (None: any) that killed processes left in `folder`.

    Files written to within `seconds` stay; with 0, hold the lock of all writers.
    """
    for path in left_behind(folder, name, seconds):
        # Another process may remove them, too.
        with suppress(OSError):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def left_behind(
    folder: Path, name: str | None = None, seconds: float = LEFT_BEHIND_SECONDS
) -> Iterator[Path]:
    """Yield the paths that `remove_left_behind` removes."""
    for path in Path(folder).glob(f".{glob.escape(name) if name else '*'}.????????.part"):
        if unused_for(path) >= seconds:
            yield path


def unused_for(path: Path) -> float:
    """Return the seconds since `path`, or a file in it, was written or touched; 0 if gone."""
    with suppress(OSError):
        return time.time() - max(inner.stat().st_mtime for inner in (path, *path.rglob("*")))
    return 0.0


def touch(path: Path) -> None:
    """Note that `path` is used, if it may be changed."""
    with suppress(OSError):
        os.utime(path)


def remove(path: Path) -> None:
    """Remove a file or folder; half of it is never there under its name."""
    # An interruption leaves a temporary file.
    path.replace(going := _beside(path))
    shutil.rmtree(going) if going.is_dir() else going.unlink()


def size(path: Path) -> int:
    """Return the bytes that removal frees, without files `link`ed elsewhere."""
    details = (inner.lstat() for inner in (path, *path.rglob("*")))
    return sum(
        detail.st_size
        for detail in details
        if stat.S_ISREG(detail.st_mode) and detail.st_nlink == 1
    )


def link(source: Path, path: Path) -> None:
    """Put the content of `source` at `path`, atomically; shared on one disk."""
    with atomic_path(path) as temporary:
        temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:  # another disk, or a file system without such links
            shutil.copyfile(source, temporary)


def write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_csv(path: Path, rows: Iterable[Iterable[object]]) -> None:
    with (
        atomic_path(path) as temporary,
        # A file's name may be no Unicode.
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        csv.writer(file, lineterminator="\n").writerows(rows)


def checksum(path: Path) -> str:
    """Return the sha256 of a file, 64 hex digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash64(content: Any) -> int:
    """Return a signed 64-bit hash of bytes, or of an array's."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little", signed=True)


def read_bytes(path: Path, most: int = MAX_BYTES) -> bytes:
    """Return a regular file of at most `most` bytes. Raises `InputError`, also for a pipe or
    device, which might never end.
    """
    try:
        # Without O_NONBLOCK, a pipe without a writer would block.
        descriptor = os.open(
            path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        )
        with os.fdopen(descriptor, "rb") as file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            content = file.read(most + 1) if regular else b""
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})."
        ) from None
    if not regular:
        raise InputError(f"{path}: not a regular file.")
    if len(content) > most:
        raise InputError(f"{path}: larger than {most / 1e6:,.0f} MB, which cannot be right.")
    return content


def is_folder(path: Path | str) -> bool:
    """Return True for a folder; False also for a text that cannot be a path."""
    with suppress(*_NO_PATH):
        return Path(path).expanduser().is_dir()
    return False


def is_file(path: Path | str) -> bool:
    """Return True for a regular file; False also for a text that cannot be a path."""
    with suppress(*_NO_PATH):
        return Path(path).expanduser().is_file()
    return False


def located(text: str) -> Path:
    """Return the absolute path of `text`, `~` and links followed. Raises `InputError`."""
    try:
        return Path(text).expanduser().resolve()
    except _NO_PATH as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"'{text[:80]}{'…' if len(text) > 80 else ''}' is not a path ({reason})."
        ) from None


@contextmanager
def locked(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock file `path`; call `waiting` once before a wait for another process.

    A killed process's lock is released; the file stays. Raises `InputError` if files cannot be
    locked.
    """
    with writing_to(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        # The fallback would outlive a killed process.
        lock = filelock.FileLock(path, fallback_to_soft=False)
        try:
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                if waiting is not None:
                    waiting()
                lock.acquire()
        except (NotImplementedError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
                raise
            raise InputError(
                f"cannot lock files in {path.parent}: its file system (a network drive?) does not "
                f"support it. Choose "
                "a folder on a local disk: --store and --out for trials and runs, SPIKEDUEL_CACHE "
                "for data."
            ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turn the system's refusals (read-only, full, not a folder) into an `InputError`."""
    try:
        yield
    except OSError as error:
        refused = isinstance(error, (PermissionError, NotADirectoryError, FileExistsError))
        if refused or error.errno in _REFUSING:
            raise _cannot_write(folder, error) from error
        raise


def require_writable(folder: Path) -> None:
    """Raise `InputError` unless `folder` is writable, or can be created."""
    folder = Path(folder).absolute()
    nearest = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    try:
        for name in folder.relative_to(nearest).parts:
            with suppress(FileNotFoundError, NotADirectoryError):
                (nearest / name).lstat()  # raises for a name that is too long
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise _cannot_write(folder, error) from error


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSING = {*_FULL, errno.EROFS, errno.ENAMETOOLONG}
_NO_PATH = (OSError, ValueError, RuntimeError)
"""Errors of `Path` for a text that cannot be a path."""
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}


def _cannot_write(folder: Path, error: OSError) -> InputError:
    or_room = ", or make room" if error.errno in _FULL else ""
    return InputError(
        f"cannot write to {folder}: {error.strerror or error}. Choose another folder{or_room}."
    )


def _names_to_disk(folder: Path) -> None:
    """Make a renaming in `folder` survive a power cut."""
    # Windows cannot open folders; some network drives cannot flush them.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
