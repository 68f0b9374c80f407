"""Trials on disk: a folder for each, named by its key, written whole and checked when read."""

import json
import os
import re
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from spikeduel.data import Prepared
from spikeduel.data.cache import digest_of
from spikeduel.results.trials import Epoch
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError, naming
from spikeduel.system.typed import Amount, Count

T = TypeVar("T")
RECORD = "trial.json"
"""File of a trial that is written last: the store finds a trial by it."""


class TrialRecord(typed.Frozen):
    """A trained contender: its `settings`, hashed into `key`, and the course of training.

    `stopped` is "limit", "early" or "nan"; `error` is the reason of a failure;
    `after_epochs` has what features measured after each epoch.
    """

    key: str
    settings: dict[str, Any]
    parameters: Count
    status: Literal["done", "failed"]
    error: str | None
    best_epoch: Count | None
    stopped: str | None
    epoch_seconds: list[Amount]
    history: list[Epoch]
    environment: dict[str, Any]
    model_digest: str | None = None
    after_epochs: dict[str, list[Any]] = {}  # noqa: RUF012 (msgspec copies it)

    @property
    def best(self) -> Epoch | None:
        """Epoch whose weights were kept."""
        return None if self.best_epoch is None else self.history[self.best_epoch]

    @property
    def fold(self) -> int | None:
        """Fold that the trial was tested on."""
        return self.settings.get("data", {}).get("fold")


class Store:
    """Folder of trials, safe for several processes: a trial in training is locked."""

    def __init__(self, root: Path | str | None = None) -> None:
        """Open `root`, by default the environment's `SPIKEDUEL_STORE`, then `runs/store`."""
        self.root = Path(root or os.environ.get("SPIKEDUEL_STORE") or "runs/store")
        self._used = False

    def folder(self, key: str) -> Path:
        return self.root / key

    def model_path(self, key: str) -> Path:
        return self.folder(key) / "model.safetensors"

    def checkpoint_path(self, key: str) -> Path:
        """Return the file of the state after the last finished epoch."""
        return self.folder(key) / "checkpoint.pt"

    def measure_path(self, key: str, name: str) -> Path:
        return self.folder(key) / "measures" / f"{name.replace(':', '.')}.json"

    @contextmanager
    def locked(self, key: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold the lock of trial `key`; other processes call `waiting` and wait."""
        self._use()
        with files.locked(self.root / f"{key}.lock", waiting):
            for folder in (self.folder(key), self.folder(key) / "measures"):
                files.remove_left_behind(folder)
            yield

    def _use(self) -> None:
        """Lock a file of users while this object lives, so that nobody removes trials."""
        if self._used:
            return
        user, locks = self.root / "users" / f"{uuid.uuid4().hex}.lock", ExitStack()
        with files.locked(self.root / "users.lock"):
            locks.enter_context(files.locked(user))
        self._used = True
        weakref.finalize(self, _no_longer_used, locks, user)

    def trials(self) -> list[str]:
        """Return the keys of all trials, finished or not."""
        return sorted(
            path.name for path in self.root.glob("*") if re.fullmatch(r"[0-9a-f]{16}", path.name)
        )

    def record(self, key: str) -> TrialRecord | None:
        """Return the finished trial `key`; None if absent, failed or damaged."""
        with suppress(InputError):
            return self.read(key)
        return None

    def read(self, key: str) -> TrialRecord | None:
        """Return the finished trial `key`; None if absent or failed. Raises `InputError` if it is
        damaged.
        """
        path, model = self.folder(key) / RECORD, self.model_path(key)
        if not path.exists():
            return None
        content = _read(path)
        with naming(f"{path}: not the record of a trial"):
            record = typed.converted(content, TrialRecord)
        if record.status == "failed":
            return None
        if not model.is_file():
            raise InputError(f"{model}: no such file.")
        if files.checksum(model) != record.model_digest:
            raise InputError(f"{model}: damaged (its checksum is wrong).")
        return record

    def save(self, record: TrialRecord) -> None:
        """Write the record, which makes the trial found."""
        _write(self.folder(record.key) / RECORD, record)

    def measure(self, key: str, name: str, kind: type[T]) -> T | None:
        """Return measure `name` as `kind`; None if missing or damaged."""
        with suppress(InputError):
            return typed.converted(_read(self.measure_path(key, name)), kind)
        return None

    def save_measure(self, key: str, name: str, value: Any) -> None:
        _write(self.measure_path(key, name), value)

    def failed_measures(self, key: str) -> dict[str, str]:
        with suppress(InputError):
            return _read(self.folder(key) / "failed-measures.json")
        return {}

    def save_failed_measures(self, key: str, reasons: dict[str, str]) -> None:
        """Write the reasons of failed measures, in place of earlier ones."""
        path = self.folder(key) / "failed-measures.json"
        if reasons:
            _write(path, reasons)
        else:
            path.unlink(missing_ok=True)

    def note_test_use(
        self, images: str, trial: str | None = None, every_epoch: bool = False
    ) -> None:
        """Note in the ledger that a model saw test images (`images_digest`). A `trial` counts once,
        and once more after `every_epoch`.
        """
        with files.locked(self.root / "ledger.lock"), files.writing_to(self.root):
            use = {"images": images, "trial": trial, "every_epoch": every_epoch}
            if trial is not None and use in self._uses():
                return
            line = json.dumps({**use, "at": datetime.now(UTC).isoformat(timespec="seconds")})
            with (self.root / "ledger.jsonl").open("ab") as file:
                # A full disk may have cut the last line short.
                file.write(f"\n{line}".encode())
                file.flush()
                os.fsync(file.fileno())

    def test_uses(self, images: str, trials: Iterable[str] = ()) -> int:
        """Return the number of models that saw these images, `trials` included."""
        models = [use["trial"] for use in self._uses() if use["images"] == images]
        return len({*trials, *models} - {None}) + models.count(None)

    def tested_every_epoch(self, images: str) -> int:
        """Return the number of trainings tested after every epoch."""
        uses = [use for use in self._uses() if use["images"] == images]
        return len({use["trial"] for use in uses if use["every_epoch"]})

    def uses_by(self, trial: str) -> list[tuple[str, bool]]:
        """Return the test images that a trial saw, and True if after every epoch."""
        return [
            (use["images"], use["every_epoch"]) for use in self._uses() if use["trial"] == trial
        ]

    def _uses(self) -> list[dict[str, Any]]:
        path = self.root / "ledger.jsonl"
        uses = []
        for line in path.read_bytes().splitlines() if path.exists() else ():
            # A line cut short by a full disk says nothing; the others do.
            with suppress(ValueError, KeyError, TypeError):
                use = json.loads(line)
                uses.append({name: use[name] for name in ("images", "trial", "every_epoch")})
        return uses


Place = Store | Path | str | None
"""A store, or its folder (None: as in `Store`)."""


def opened(store: Place) -> Store:
    return store if isinstance(store, Store) else Store(store)


def _no_longer_used(locks: ExitStack, user: Path) -> None:
    locks.close()
    # Another process may have the file open to see the store's users.
    with suppress(OSError):
        user.unlink()


def _write(path: Path, value: Any) -> None:
    as_read = typed.plain(value)
    typed.write_json(path, {**as_read, "digest": typed.digest(as_read)})


def _read(path: Path) -> dict[str, Any]:
    """Read what `_write` wrote. Raises `InputError` if it is damaged."""
    value = typed.read_json(path, dict)
    if value.pop("digest", None) != typed.digest(value):
        raise InputError(f"{path}: damaged (its checksum is wrong).")
    return value


def images_digest(prepared: Prepared, test: np.ndarray) -> str:
    """Return a hash of the test images `[N]` by their files or records, in any order and
    preparation.
    """
    return digest_of(np.sort(prepared.content_of(test)))
