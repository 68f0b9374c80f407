"""A run's folder: whether it can be written, what it is called, and its files, each whole or not at all."""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np

from spikeduel import data
from spikeduel.data import Prepared, Split
from spikeduel.results.comparison import Comparison
from spikeduel.results.predictions import FILE, PredictionsFile, SeedAnswers
from spikeduel.settings import Experiment, digest, write_experiment
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError
from spikeduel.trials import assembling
from spikeduel.trials.store import Store, TrialRecord

LOCK = ".lock"
"""The file in a run's folder that its writer locks."""


def located(experiment: Experiment) -> Experiment:
    """`experiment` with absolute paths, so that it means the same in every folder."""
    dataset, data_dir, group_by = experiment.dataset, experiment.data_dir, experiment.group_by
    if dataset not in data.DATASETS and files.is_folder(dataset):
        dataset = str(files.located(dataset))
    if data_dir is not None:
        data_dir = str(files.located(data_dir))
    if group_by is not None and data.names_a_file(group_by):
        group_by = str(files.located(group_by))
    return replace(experiment, dataset=dataset, data_dir=data_dir, group_by=group_by)


def require_writable(out: Path | str | None) -> None:
    """Raises `InputError` unless a run can be written to `out` (None: below `runs`), or it holds one already."""
    folder = Path(out or "runs")
    files.require_writable(folder)
    if out is None or not folder.is_dir() or (folder / "experiment.toml").is_file():
        return
    # A process that was killed while it wrote its first file leaves these.
    if any(path.name != LOCK and not fnmatch(path.name, ".*.part") for path in folder.iterdir()):
        raise InputError(f"{folder}: holds other things than a run. Choose a new folder, or one that a run made.")


def default_name(experiment: Experiment, fingerprint: str) -> str:
    """`<data set>-<recipe>-<hash>`: the same experiment on the same data finds its folder again."""
    dataset = re.sub(r"[^A-Za-z0-9]+", "-", Path(experiment.dataset).name).strip("-") or "images"
    return f"{dataset}-{experiment.recipe}-{digest([asdict(experiment), fingerprint])[:8]}"


def write(comparison: Comparison, records: list[TrialRecord], store: Store) -> None:
    """Puts models, settings and results into the run's folder, each file whole or not at all."""
    write_experiment(comparison.out / "experiment.toml", comparison.experiment)
    for record, entry in zip(records, comparison.results.trials, strict=True):
        if entry.model:
            with files.atomic_path(comparison.out / entry.model) as temporary:
                shutil.copyfile(store.model_path(record.key), temporary)
    if comparison.results.tuning:
        typed.write_json(comparison.out / "tuning.json", comparison.results.tuning)
    typed.write_json(comparison.out / "results.json", comparison.document())


def write_predictions(
    folder: Path,
    prepared: Prepared,
    splits: Sequence[Split],
    records: Sequence[TrialRecord],
    measures: Sequence[Mapping[str, Any]],
) -> None:
    """Writes a run's `predictions.json`, whole or not at all."""
    test, contenders = assembling.tested(splits), dict.fromkeys(record.settings["contender"] for record in records)
    content = PredictionsFile(
        schema=1,
        dataset=prepared.name,
        fingerprint=prepared.fingerprint,
        classes=list(prepared.classes),
        indices=test.tolist(),
        labels=np.asarray(prepared.labels)[test].tolist(),
        groups=None if prepared.groups is None else np.asarray(prepared.groups)[test].tolist(),
        trials=[
            SeedAnswers(contender=contender, seed=seed, predicted=predicted.tolist())
            for contender in contenders
            for seed, predicted in assembling.pooled("predicted", contender, records, measures).items()
        ],
    )
    files.write_text(folder / FILE, json.dumps(typed.plain(content), separators=(",", ":")) + "\n")
