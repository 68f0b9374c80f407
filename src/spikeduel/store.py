"""Trials on disk: each in a folder named by its key, found again by it, whole or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spikeduel import files
from spikeduel.errors import InputError


@dataclass(frozen=True)
class TrialRecord:
    """One trained contender: what was asked for (`settings`, hashed into `key`) and how training went.

    `history` has a dict an epoch: train_loss, train_accuracy, val_loss, val_accuracy; `epoch_seconds` is training
    only. `stopped` is "limit", "early" or "nan"; `status` "done" or "failed", then `error` says why.
    """

    key: str
    settings: dict[str, Any]
    parameters: int
    status: str
    error: str | None
    best_epoch: int | None
    stopped: str | None
    epoch_seconds: list[float]
    history: list[dict[str, float]]
    environment: dict[str, Any] = field(default_factory=dict)


class Store:
    """The folder of trials. Safe for several processes: each trial is locked while it is trained."""

    def __init__(self, root: Path | str | None = None) -> None:
        """`root` defaults to the environment's `SPIKEDUEL_STORE`, then `runs/store`."""
        self.root = Path(root or os.environ.get("SPIKEDUEL_STORE") or "runs/store")

    def folder(self, key: str) -> Path:
        """Where a trial lies."""
        return self.root / key

    def model_path(self, key: str) -> Path:
        """The trial's trained model."""
        return self.folder(key) / "model.safetensors"

    def checkpoint_path(self, key: str) -> Path:
        """The state after the last finished epoch of a trial under way."""
        return self.folder(key) / "checkpoint.pt"

    def split_path(self, key: str) -> Path:
        """The indices of the images that the trial trains on, validates on and is tested on: train, val and test."""
        return self.folder(key) / "split.npz"

    @contextmanager
    def locked(self, key: str) -> Iterator[None]:
        """Only one process at a time works on trial `key`; others wait, and then find it done."""
        with files.locked(self.root / f"{key}.lock"):
            yield

    def record(self, key: str) -> TrialRecord | None:
        """The finished trial `key`, or None; a failed one counts as absent, so that it is tried again."""
        try:
            record = TrialRecord(**files.read_json(self.folder(key) / "trial.json"))
        except (InputError, TypeError):
            return None
        return record if record.status == "done" and self.model_path(key).is_file() else None

    def save(self, record: TrialRecord) -> None:
        """Writes the record; from then on the trial is found again."""
        files.write_json(self.folder(record.key) / "trial.json", asdict(record))

    def save_split(self, key: str, **indices: np.ndarray) -> None:
        """Keeps the split of trial `key`: an array of image indices for each side, by name."""
        with files.atomic_path(self.split_path(key)) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **indices)

    def measure(self, key: str, name: str) -> dict[str, Any] | None:
        """What measure `name` found for trial `key`, or None."""
        try:
            return files.read_json(self._measure_path(key, name))
        except InputError:
            return None

    def save_measure(self, key: str, name: str, value: dict[str, Any]) -> None:
        """Keeps what measure `name` found; an old trial can gain a new measure."""
        files.write_json(self._measure_path(key, name), value)

    def _measure_path(self, key: str, name: str) -> Path:
        return self.folder(key) / "measures" / f"{name.replace(':', '.')}.json"
