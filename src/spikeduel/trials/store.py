"""Trials on disk: a folder for each, named by its key, whole or absent."""

import hashlib
import json
import os
import re
import shutil
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from spikeduel.data import Prepared
from spikeduel.results.trials import Epoch
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError, naming
from spikeduel.system.typed import Amount, Count

T = TypeVar("T")


class TrialRecord(typed.Frozen):
    """A trained contender: its `settings`, hashed into `key`, and how training went.

    `epoch_seconds` are of training only. `stopped` is "limit", "early" or "nan"; `error` says why a
    trial failed. `model_digest` is the checksum of the model's file.
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
    environment: dict[str, Any] = {}  # noqa: RUF012 (msgspec copies it)
    model_digest: str | None = None

    @property
    def curve(self) -> list[dict[str, float]]:
        """Epochs in the form that `Progress.curve` takes."""
        both = zip(self.history, self.epoch_seconds, strict=False)
        return [{**typed.plain(epoch), "epoch_seconds": seconds} for epoch, seconds in both]

    @property
    def best(self) -> Epoch | None:
        """Epoch whose weights were kept."""
        return None if self.best_epoch is None else self.history[self.best_epoch]

    @property
    def fold(self) -> int | None:
        """Fold whose images the trial was tested on, None without folds."""
        return self.settings.get("data", {}).get("fold")


class SealedEpoch(typed.Frozen):
    """Number of the `n` test images that are `right` after one epoch."""

    right: Count
    n: Count


@dataclass(frozen=True)
class AskedImages:
    """The images of a test set. `images`, a hash of their files or records, is the same however
    they are prepared and wherever they lie. Ledgers of earlier versions have `data`, the
    fingerprint, and `test`, the indices.
    """

    images: str
    data: str
    test: str

    @classmethod
    def of(cls, prepared: Prepared, test: np.ndarray) -> "AskedImages":
        """Return the images of the indices `test` `[N]`."""
        return cls(
            images_digest(prepared.content_of(test)), prepared.fingerprint, test_digest(test)
        )

    def are_in(self, entry: dict[str, Any]) -> bool:
        """Return True if an entry of the ledger is about these images."""
        if "images" in entry:
            return bool(entry["images"] == self.images)
        return (entry.get("data"), entry.get("test")) == (self.data, self.test)


class Store:
    """The folder of trials. Safe for several processes: a trial is locked while it is trained."""

    def __init__(self, root: Path | str | None = None) -> None:
        """`root` defaults to the environment's `SPIKEDUEL_STORE`, then `runs/store`."""
        self.root = Path(root or os.environ.get("SPIKEDUEL_STORE") or "runs/store")
        self._used = False

    def folder(self, key: str) -> Path:
        """Return the folder of a trial."""
        return self.root / key

    def model_path(self, key: str) -> Path:
        """Return the file of the trained model."""
        return self.folder(key) / "model.safetensors"

    def checkpoint_path(self, key: str) -> Path:
        """Return the file of the state after the last finished epoch."""
        return self.folder(key) / "checkpoint.pt"

    def split_path(self, key: str) -> Path:
        """Return the file of image indices: train, val and test."""
        return self.folder(key) / "split.npz"

    def budget_path(self, key: str) -> Path:
        """Return the file of a budget, see `auto_settings`."""
        return self.root / "budgets" / f"{key}.json"

    @contextmanager
    def locked(self, key: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold the lock of trial `key`: other processes call `waiting`, wait, and find it done."""
        self._use()
        with files.locked(self.root / f"{key}.lock", waiting):
            for folder in (
                self.folder(key),
                self.folder(key) / "measures",
                self.folder(key) / "sealed",
            ):
                files.remove_left_behind(folder)
            yield

    def _use(self) -> None:
        """Keep others from removing trials (see `alone`) as long as this object lives."""
        if self._used:
            return
        own, held = self.root / "users" / f"{uuid.uuid4().hex}.lock", ExitStack()
        with files.locked(self.root / "users.lock"):
            held.enter_context(files.locked(own))
        self._used = True
        weakref.finalize(self, _no_longer_used, held, own)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep others from using the store. Raises `InputError` if another process uses it."""

        def refuse() -> None:
            raise InputError(
                f"{self.root}: another process is using this store. Try again when it is done."
            )

        with files.locked(self.root / "users.lock", refuse):
            for user in (self.root / "users").glob("*.lock"):
                with files.locked(user, refuse):
                    pass
                with suppress(OSError):
                    user.unlink()  # that of a process that was killed
            yield

    def trials(self) -> list[str]:
        """Return the keys of all trials in the store, finished or not."""
        return sorted(
            path.name for path in self.root.glob("*") if re.fullmatch(r"[0-9a-f]{16}", path.name)
        )

    def remove(self, key: str) -> None:
        """Remove a trial. The caller holds `alone()`."""
        files.remove(self.folder(key))
        (self.root / f"{key}.lock").unlink(missing_ok=True)

    def record(self, key: str) -> TrialRecord | None:
        """Return the finished trial `key`, or None. A failed or damaged trial counts as absent, so
        that it is trained again.
        """
        with suppress(InputError):
            record = self._record(key)
            return record if record is not None and record.status == "done" else None
        return None

    def damage(self, key: str) -> str | None:
        """Return what is damaged of trial `key`; None if it is whole or absent."""
        try:
            self._record(key)
        except InputError as error:
            return str(error).rstrip(".")
        return None

    def save(self, record: TrialRecord) -> None:
        """Write the record; from then on the trial is found again."""
        _write(self.folder(record.key) / "trial.json", record)

    def save_split(self, key: str, **indices: np.ndarray) -> None:
        """Write the split of trial `key`: arrays of image indices by the name of the side."""
        with files.atomic_path(self.split_path(key)) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **indices)

    def measure(self, key: str, name: str, kind: type[T]) -> T | None:
        """Return measure `name` of trial `key` as `kind`; None if it is missing or damaged."""
        with suppress(InputError):
            return typed.converted(_read(self.measure_path(key, name)), kind)
        return None

    def save_measure(self, key: str, name: str, value: Any) -> None:
        """Write measure `name` of trial `key`; an old trial can gain a new measure."""
        _write(self.measure_path(key, name), value)

    def measure_path(self, key: str, name: str) -> Path:
        """Return the file of measure `name`."""
        return self.folder(key) / "measures" / f"{name.replace(':', '.')}.json"

    def forget_measures(self, key: str) -> None:
        """Remove all measures of trial `key`, whose model has changed."""
        with files.writing_to(self.folder(key)):
            shutil.rmtree(self.folder(key) / "measures", ignore_errors=True)

    def seal(self, key: str, epoch: int, tested: SealedEpoch) -> None:
        """Write the test score after `epoch`, for `unsealed` to read once all is chosen."""
        _write(self.folder(key) / "sealed" / f"epoch-{epoch}.json", tested)

    def unsealed(self, key: str, num_epochs: int) -> list[SealedEpoch] | None:
        """Return the sealed scores of the first `num_epochs` epochs; None if one is missing or
        damaged.
        """
        folder = self.folder(key) / "sealed"
        with suppress(InputError):
            read = (_read(folder / f"epoch-{epoch}.json") for epoch in range(num_epochs))
            return [typed.converted(score, SealedEpoch) for score in read]
        return None

    def failed_measures(self, key: str) -> dict[str, str]:
        """Return the reasons why measures of trial `key` failed last time, by name."""
        with suppress(InputError):
            return _read(self.folder(key) / "failed-measures.json")
        return {}

    def save_failed_measures(self, key: str, reasons: dict[str, str]) -> None:
        """Write the reasons why measures failed, in place of earlier ones. The measures are tried
        again next time.
        """
        path = self.folder(key) / "failed-measures.json"
        if reasons:
            _write(path, reasons)
        else:
            path.unlink(missing_ok=True)

    def note_test_use(
        self, asked: AskedImages, trial: str | None = None, every_epoch: bool = False
    ) -> None:
        """Note in the ledger that a model was asked about these test images: the trial of this key,
        which counts once, and once more if asked after `every_epoch` of its training.
        """
        with files.locked(self.root / "ledger.lock"), files.writing_to(self.root):
            noted = {(use.get("trial"), bool(use.get("every_epoch"))) for use in self._uses(asked)}
            if trial is not None and (trial, every_epoch) in noted:
                return
            use = asdict(asked) | {"trial": trial} | ({"every_epoch": True} if every_epoch else {})
            line = json.dumps({**use, "at": datetime.now(UTC).isoformat(timespec="seconds")})
            path = self.root / "ledger.jsonl"
            # On a line of its own even after one that a full disk cut short.
            start = "" if not path.exists() or path.read_bytes()[-1:] in (b"", b"\n") else "\n"
            with path.open("ab") as file:
                file.write(f"{start}{line}\n".encode())
                file.flush()
                os.fsync(file.fileno())

    def test_uses(self, asked: AskedImages, trials: Iterable[str] = ()) -> int:
        """Return the number of models that were asked about these test images, with `trials`, noted
        or not.
        """
        models = [use.get("trial") for use in self._uses(asked)]
        return len({*trials, *models} - {None}) + models.count(None)

    def tested_every_epoch(self, asked: AskedImages) -> int:
        """Return the number of trainings that were asked about these images after every epoch."""
        return len({use.get("trial") for use in self._uses(asked) if use.get("every_epoch")})

    def uses_by(self, trial: str) -> list[tuple[AskedImages, bool]]:
        """Return the test images that a trial was asked about, and True if after every epoch."""
        entries = [use for use in self._ledger() if use.get("trial") == trial and "images" in use]
        asked = [AskedImages(use["images"], use["data"], use["test"]) for use in entries]
        return [
            (images, bool(use.get("every_epoch")))
            for images, use in zip(asked, entries, strict=True)
        ]

    def _uses(self, asked: AskedImages) -> list[dict[str, Any]]:
        return [entry for entry in self._ledger() if asked.are_in(entry)]

    def _ledger(self) -> list[dict[str, Any]]:
        path = self.root / "ledger.jsonl"
        entries = []
        for line in (
            path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ()
        ):
            # A line that a full disk cut short says nothing; the others still do.
            with suppress(json.JSONDecodeError):
                entries.append(json.loads(line))
        return [entry for entry in entries if isinstance(entry, dict)]

    def _record(self, key: str) -> TrialRecord | None:
        """Return trial `key`, done or failed; None if absent. Raises `InputError` if damaged."""
        path = self.folder(key) / "trial.json"
        if not path.exists():
            return None
        # An older version wrote no checksum; what it trained is kept.
        content = _read(path, with_checksum=False)
        with naming(f"{path}: not the record of a trial"):
            record = typed.converted(content, TrialRecord)
        if record.best_epoch is not None and record.best_epoch >= len(record.history):
            raise InputError(f"{path}: its best epoch is not among its epochs.")
        if record.status == "done":
            model = self.model_path(key)
            if not model.is_file():
                raise InputError(f"{model}: no such file.")
            if record.model_digest is not None and files.checksum(model) != record.model_digest:
                raise InputError(f"{model}: damaged (its checksum is wrong).")
        return record


def _no_longer_used(held: ExitStack, own: Path) -> None:
    held.close()
    # Another process may have the file open, to see who uses the store.
    with suppress(OSError):
        own.unlink()


def _write(path: Path, value: Any) -> None:
    as_read = json.loads(json.dumps(typed.plain(value), allow_nan=False))
    typed.write_json(path, {**as_read, "digest": typed.digest(as_read)})


def _read(path: Path, with_checksum: bool = True) -> dict[str, Any]:
    """Read what `_write` wrote. Raises `InputError` if it is damaged, or lacks a checksum that it
    must have.
    """
    value = files.read_json(path)
    if not isinstance(value, dict):
        raise InputError(f"{path}: damaged (not what was written here).")
    written = value.pop("digest", None)
    if written != typed.digest(value) and (with_checksum or written is not None):
        raise InputError(f"{path}: damaged (its checksum is wrong).")
    return value


def images_digest(content: np.ndarray) -> str:
    """Return a hash of images by their `Prepared.content` `[N]`, whatever their order."""
    return hashlib.sha256(np.sort(content).astype("<i8").tobytes()).hexdigest()


def test_digest(test: np.ndarray) -> str:
    """Return a hash of the indices of a test set, whatever their order."""
    return hashlib.sha256(np.sort(np.asarray(test, np.int64)).tobytes()).hexdigest()
