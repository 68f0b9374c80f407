"""The whole comparison, top to bottom: load, split, train, measure, compare, report."""

import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from spikeduel import analysis, controls, data, files, trial
from spikeduel.analysis import Comparison
from spikeduel.errors import InputError
from spikeduel.measuring import MEASURES
from spikeduel.progress import Progress
from spikeduel.reporting import report
from spikeduel.settings import Experiment, digest, write_experiment
from spikeduel.store import Store, TrialRecord


def compare(
    experiment: Experiment,
    out: Path | str | None = None,
    store: Store | Path | str | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Trains what the store lacks, measures, compares and writes the run's folder `out`.

    `out` defaults to `runs/<data set>-<recipe>-<hash>`, `store` to `SPIKEDUEL_STORE` or `runs/store`. The same call
    twice trains once. Raises `InputError` for what the user can mend; a trial that fails is recorded as failed.
    """
    progress = progress or Progress()
    store = store if isinstance(store, Store) else Store(store)
    trial.check_names(experiment)
    experiment = located(experiment)

    prepared = data.load(experiment, progress.track)
    split = data.split(prepared, experiment)
    trials = trial.plan(experiment, prepared, split)
    # Only now, so that a mistake in the data leaves no empty folders behind.
    for folder in (store.root, Path(out or "runs")):
        files.require_writable(folder)
    if out is not None:
        _require_a_runs_folder(Path(out))
    progress.say(_announcement(experiment, prepared, split))

    records = [trial.run(each, prepared, split, store, progress) for each in trials]

    results = analysis.assemble(experiment, prepared, split, records, [_measures(store, record) for record in records])
    if experiment.controls:
        controls.add(results, trials, prepared, split, store, progress)
    folder = Path(out) if out else Path("runs") / default_name(experiment, prepared.fingerprint)
    comparison = Comparison(experiment, results, folder)
    write(comparison, records, store)
    report(comparison, progress=progress, own_code=experiment.own_code)
    return comparison


def write(comparison: Comparison, records: list[TrialRecord], store: Store) -> None:
    """Puts models, settings and results into the run's folder, each file whole or not at all."""
    write_experiment(comparison.out / "experiment.toml", comparison.experiment)
    for record, entry in zip(records, comparison.results["trials"], strict=True):
        if entry["model"]:
            with files.atomic_path(comparison.out / entry["model"]) as temporary:
                shutil.copyfile(store.model_path(record.key), temporary)
    files.write_json(comparison.out / "results.json", comparison.results)


def located(experiment: Experiment) -> Experiment:
    """`experiment` with absolute paths, so that it means the same in every folder."""
    dataset, data_dir = experiment.dataset, experiment.data_dir
    if dataset not in data.DATASETS and Path(dataset).expanduser().is_dir():
        dataset = str(Path(dataset).expanduser().resolve())
    if data_dir is not None:
        data_dir = str(Path(data_dir).expanduser().resolve())
    return replace(experiment, dataset=dataset, data_dir=data_dir)


def _require_a_runs_folder(folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "experiment.toml").is_file():
        raise InputError(f"{folder}: holds other things than a run. Choose a new folder, or one that a run made.")


def default_name(experiment: Experiment, fingerprint: str) -> str:
    """`<data set>-<recipe>-<hash>`: the same experiment on the same data finds its folder again."""
    dataset = re.sub(r"[^A-Za-z0-9]+", "-", Path(experiment.dataset).name).strip("-") or "images"
    return f"{dataset}-{experiment.recipe}-{digest([asdict(experiment), fingerprint])[:8]}"


def _measures(store: Store, record: TrialRecord) -> dict[str, Any]:
    found = {name: store.measure(record.key, name) for name in MEASURES} if record.status == "done" else {}
    return {name: value for name, value in found.items() if value is not None}


def _announcement(experiment: Experiment, prepared: data.Prepared, split: data.Split) -> str:
    channels, height, width = prepared.image_shape
    colour = "grey" if channels == 1 else "colour"
    return (
        f"{prepared.name}: {len(split.train):,} training, {len(split.val):,} validation and {len(split.test):,} test "
        f"images, {height}×{width} {colour}, {len(prepared.classes)} classes.\n"
        f"{' against '.join(experiment.contenders)}, {_counted(experiment.seeds, 'seed')}, at most "
        f"{_counted(experiment.epochs, 'epoch')}; spiking contenders see {experiment.encoding} encoding over "
        f"{_counted(experiment.num_steps, 'step')}."
    )


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' if number > 1 else ''}"
