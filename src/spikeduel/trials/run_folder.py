"""Write and read the folder of a run; each file in it is whole or absent."""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from spikeduel import data
from spikeduel.concluding import hashes
from spikeduel.data import Prepared, Split
from spikeduel.results.comparison import Comparison, load_run
from spikeduel.results.predictions import FILE
from spikeduel.settings import Experiment, read_experiment, write_experiment
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError
from spikeduel.trials.outcomes import TrialOutcome, predictions_of
from spikeduel.trials.store import Store

LOCK = ".lock"
"""File in a run's folder that its writer locks."""
LOGS = "logs"
"""Folder of logs, alone in the run's folder during training."""


def located(experiment: Experiment) -> Experiment:
    changes: dict[str, Any] = {"dataset": data.absolute(experiment.dataset)}
    if experiment.data_dir is not None:
        changes["data_dir"] = str(files.located(experiment.data_dir))
    if experiment.group_by is not None and files.is_file(experiment.group_by):
        changes["group_by"] = str(files.located(experiment.group_by))
    return replace(experiment, **changes)


def require_writable(out: Path | str | None, dataset: str | None = None) -> None:
    """Raise `InputError` unless `out` (None: below `runs`) is new, empty, or a run on this data
    set.
    """
    if out is None:
        files.require_writable(Path("runs"))
        return
    folder, before = Path(out), None
    require_own(folder, "experiment.toml", {LOGS}, "run")
    with suppress(InputError):  # of a damaged run, the data are not known
        before = load_run(folder).results.dataset.name
    if dataset and before not in (None, dataset):
        raise InputError(
            f"{folder}: holds a run on other data ({before}). Choose another --out, or remove it."
        )


def require_own(folder: Path, marker: str, parts: set[str], kind: str) -> None:
    """Raise `InputError` unless `folder` is writable, and holds `marker`, or nothing but `parts`
    and hidden files.
    """
    files.require_writable(folder)
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    # A process killed while writing its first file leaves hidden parts.
    if marker not in names and any(not name.startswith(".") for name in names - parts):
        raise InputError(
            f"{folder}: holds other things than a {kind}. Choose a new folder, or one that a "
            f"{kind} made."
        )


def default_name(experiment: Experiment, fingerprint: str) -> str:
    """Return `<data set>-<recipe>-<hash>`, the same for the same experiment and data."""
    dataset = re.sub(r"[^A-Za-z0-9]+", "-", Path(experiment.dataset).name).strip("-") or "images"
    return f"{dataset}-{experiment.recipe}-{typed.digest([asdict(experiment), fingerprint])[:8]}"


def write(
    comparison: Comparison,
    prepared: Prepared,
    splits: Sequence[Split],
    outcomes: Sequence[TrialOutcome],
    store: Store,
) -> None:
    folder, results = comparison.out, comparison.results
    write_experiment(folder / "experiment.toml", comparison.experiment)
    for outcome, entry in zip(outcomes, results.trials, strict=True):
        if entry.model:
            files.link(store.model_path(outcome.record.key), folder / entry.model)
        for control in entry.controls.values():
            if control.model and control.key:
                files.link(store.model_path(control.key), folder / control.model)
    if results.tuning:
        typed.write_json(folder / "tuning.json", results.tuning)
    typed.write_json(folder / "results.json", comparison.document())
    data.write_splits(folder / "split.csv", prepared, splits)
    write_predictions(folder, prepared, splits, outcomes)
    named = {entry.model for entry in results.trials}
    named |= {control.model for entry in results.trials for control in entry.controls.values()}
    for path in (folder / "models").glob("*.safetensors"):  # of an earlier run in the folder
        if f"models/{path.name}" not in named:
            path.unlink()


def is_other(comparison: Comparison) -> bool:
    """Return True if the folder holds a run of other settings."""
    try:
        return read_experiment(comparison.out / "experiment.toml") != comparison.experiment
    except InputError:
        return False


def is_written(comparison: Comparison) -> bool:
    """Return True if the folder holds this comparison, its page and hashes, by this version."""
    written = [comparison.out / name for name in ("results.json", "report.html", hashes.FILE)]
    try:
        before = json.loads(written[0].read_text())
        created = before["created"]
        times = [path.stat().st_mtime_ns for path in written]
    except (OSError, ValueError, TypeError, KeyError):
        return False
    now = {**json.loads(json.dumps(comparison.document())), "created": created}
    return times == sorted(times) and before == now


def write_predictions(
    folder: Path, prepared: Prepared, splits: Sequence[Split], outcomes: Sequence[TrialOutcome]
) -> None:
    content = predictions_of(prepared, splits, outcomes)
    files.write_text(folder / FILE, json.dumps(typed.plain(content), separators=(",", ":")) + "\n")
