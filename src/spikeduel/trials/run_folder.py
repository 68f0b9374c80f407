"""A run's folder: whether it can be written, what it is called, and its files, each whole or not at all."""

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from spikeduel import data
from spikeduel.data import Prepared, Split
from spikeduel.results.comparison import Comparison
from spikeduel.results.predictions import FILE, PredictionsFile, SeedAnswers
from spikeduel.settings import Experiment, digest, write_experiment
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError
from spikeduel.trials.gathering import Finished, pooled, tested
from spikeduel.trials.store import Store

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


def write(
    comparison: Comparison, prepared: Prepared, splits: Sequence[Split], finished: Sequence[Finished], store: Store
) -> None:
    """Puts settings, models, results, split and predictions into the run's folder, each file whole or not at all."""
    folder, results = comparison.out, comparison.results
    write_experiment(folder / "experiment.toml", comparison.experiment)
    for each, entry in zip(finished, results.trials, strict=True):
        if entry.model:
            with files.atomic_path(folder / entry.model) as temporary:
                shutil.copyfile(store.model_path(each.record.key), temporary)
    if results.tuning:
        typed.write_json(folder / "tuning.json", results.tuning)
    typed.write_json(folder / "results.json", comparison.document())
    data.write_splits(folder / "split.csv", prepared, splits)
    write_predictions(folder, prepared, splits, finished)


def write_predictions(folder: Path, prepared: Prepared, splits: Sequence[Split], finished: Sequence[Finished]) -> None:
    """Writes a run's `predictions.json`, whole or not at all."""
    test = tested(splits)
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
            for contender in dict.fromkeys(each.contender for each in finished)
            for seed, predicted in pooled(finished, contender, _predicted).items()
        ],
    )
    files.write_text(folder / FILE, json.dumps(typed.plain(content), separators=(",", ":")) + "\n")


def _predicted(finished: Finished) -> np.ndarray | None:
    return None if finished.answers is None else np.array(finished.answers.predicted)
