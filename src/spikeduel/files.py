"""Files that are either whole or not there: atomic writes, locks, and where the cache lives."""

import json
import math
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import platformdirs

from spikeduel.errors import InputError

MOST_BYTES = 1 << 30
"""Larger settings, results and manifests are refused: they would be read into memory whole."""


def cache_dir() -> Path:
    """The folder for prepared data and downloads: `SPIKEDUEL_CACHE`, or the user's cache folder."""
    return Path(os.environ.get("SPIKEDUEL_CACHE") or platformdirs.user_cache_dir("spikeduel"))


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; renames it to `path` if the block succeeds, else removes it."""
    path = Path(path)
    with writing_to(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(descriptor)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `path`; puts it in `path`'s place if the block succeeds, else removes it."""
    path = Path(path)
    with writing_to(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
        try:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            if path.exists():
                shutil.rmtree(path)
            temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Writes `text` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as readable JSON, atomically. NaN and infinity are refused: JSON has no word for them."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """The content of a regular file of at most `most` bytes.

    Raises `InputError` naming the file, also for a pipe or device, which could make one wait for ever.
    """
    try:
        # A pipe that nobody writes to would block here without O_NONBLOCK.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise InputError(f"{path}: not a regular file.")
            content = file.read(most + 1)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}).") from None
    if len(content) > most:
        raise InputError(f"{path}: larger than {most / 1e6:,.0f} MB, which cannot be right.")
    return content


def read_json(path: Path) -> Any:
    """The content of a JSON file; `InputError` where it is missing or broken. See `read_bytes` and `parse_json`."""
    content = read_bytes(path)
    try:
        return parse_json(content)
    except ValueError as error:
        raise InputError(f"{path}: not a JSON file ({error}).") from None


def parse_json(content: str | bytes) -> Any:
    """What JSON says. Raises `ValueError`, also for NaN, infinity and numbers or nesting beyond all reason."""

    def number(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"the number {text[:40]} is not possible")
        return value

    try:
        return json.loads(content, parse_float=number, parse_constant=number)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def is_folder(path: Path | str) -> bool:
    """Whether there is a folder called so; what cannot be a path is none."""
    try:
        return Path(path).expanduser().is_dir()
    except (OSError, ValueError, RuntimeError):
        return False


def is_file(path: Path | str) -> bool:
    """Whether there is a regular file called so; a pipe or a device is none, nor is what cannot be a path."""
    try:
        return Path(path).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):
        return False


def located(text: str) -> Path:
    """The absolute path that a user's `text` means, `~` and links followed. Raises `InputError`."""
    try:
        return Path(text).expanduser().resolve()
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"'{text[:80]}{'…' if len(text) > 80 else ''}' is no path ({reason}).") from None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds `path` (a `.lock` file, made if missing) for this process; others wait."""
    with writing_to(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turns the operating system's refusals (read-only, full, not a folder) into an `InputError` naming `folder`."""
    try:
        yield
    except OSError as error:
        if (
            isinstance(error, (PermissionError, NotADirectoryError, FileExistsError))
            or error.errno in _FULL_OR_READ_ONLY
        ):
            raise _cannot_write(folder, error) from error
        raise


def require_writable(folder: Path) -> None:
    """Raises `InputError` unless files can be made in `folder`, or it in the nearest folder above; leaves no trace."""
    folder = Path(folder).absolute()
    nearest = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise _cannot_write(folder, error) from error


_FULL_OR_READ_ONLY = {28, 30, 122}  # ENOSPC, EROFS, EDQUOT


def _cannot_write(folder: Path, error: OSError) -> InputError:
    return InputError(f"cannot write to {folder}: {error.strerror or error}. Choose another folder, or make room.")


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
