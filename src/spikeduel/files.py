"""Files that are either whole or not there: atomic writes, locks, and where the cache lives."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import platformdirs

from spikeduel.errors import InputError


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


def read_json(path: Path) -> Any:
    """The content of a JSON file; `InputError` where it is missing or broken."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a JSON file ({error}).") from None


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
