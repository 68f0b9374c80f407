"""Write and read the folder of a run; each file in it is whole or absent."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from spikeduel import data
from spikeduel.analysis import hashes
from spikeduel.data import Prepared, Split
from spikeduel.experiment.settings import Experiment, write_experiment
from spikeduel.results.predictions import FILE, RUNS
from spikeduel.sentences.comparison import Comparison, load_run
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError
from spikeduel.training.outcomes import TrialOutcome, predictions_of
from spikeduel.training.store import Store

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


def require_writable(out: Path | str | None) -> None:
    """Raise `InputError` unless `out` (None: below `RUNS`) is new, empty, or a run."""
    if out is None:
        files.require_writable(RUNS)
    else:
        require_own(Path(out), "experiment.toml", {LOGS}, "run")


def require_same(out: Path | str, experiment: Experiment, prepared: Prepared) -> None:
    """Raise `InputError` if `out` holds a run of another experiment, or on other images."""
    try:
        before = load_run(out)
    except InputError:  # no run, or a damaged one
        return
    settings = vars(before.experiment).items()
    differing = [name for name, value in settings if getattr(experiment, name) != value]
    differing += ["images"] * (before.results.dataset.fingerprint != prepared.fingerprint)
    if differing:
        raise InputError(
            f"{out}: holds another run (it differs in {', '.join(differing)}). Choose another "
            "--out, or replace that run with --replace."
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
    of_trials = zip(results.trials, outcomes, strict=True)
    models = {entry.model: outcome.record.key for entry, outcome in of_trials}
    variants = (variant for entry in results.trials for variant in entry.variants.values())
    models |= {variant.model: variant.key for variant in variants if variant.key}
    for model in filter(None, models):
        files.link(store.model_path(models[model]), folder / model)
    typed.write_json(folder / "results.json", comparison.document())
    data.write_splits(folder / "split.csv", prepared, splits)
    write_predictions(folder, prepared, splits, outcomes)
    for path in (folder / "models").glob("*.safetensors"):  # of an earlier run in the folder
        if f"models/{path.name}" not in models:
            path.unlink()


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
