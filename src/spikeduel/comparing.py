"""The whole comparison, top to bottom: load, split, train, measure, compare, report."""

import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from spikeduel import analysis, data, files, trial, tuning
from spikeduel.analysis import Comparison
from spikeduel.errors import InputError
from spikeduel.measuring import MEASURES
from spikeduel.progress import Progress
from spikeduel.reporting import report, report_tuning
from spikeduel.settings import Experiment, digest, write_experiment
from spikeduel.store import Store, TrialRecord
from spikeduel.tuning import Range, Tuning


def compare(
    experiment: Experiment,
    out: Path | str | None = None,
    store: Store | Path | str | None = None,
    progress: Progress | None = None,
    tuned: Tuning | None = None,
) -> Comparison:
    """Trains what the store lacks, measures, compares and writes the run's folder `out`.

    `out` defaults to `runs/<data set>-<recipe>-<hash>`, `store` to `SPIKEDUEL_STORE` or `runs/store`. The same call
    twice trains once. `tuned`, from `tune`, is where `experiment` has the contenders' own settings from, so that the
    results can say so. Raises `InputError` for what the user can mend; a trial that fails is recorded as failed.
    """
    progress = progress or Progress()
    store = store if isinstance(store, Store) else Store(store)
    trial.check_names(experiment)
    experiment = located(experiment)

    prepared = data.load(experiment, progress.track)
    split = data.split(prepared, experiment)
    trials = trial.plan(experiment, prepared, split)
    # Only now, so that a mistake in the data leaves no empty folders behind.
    files.require_writable(store.root)
    require_runs_folder(out)
    progress.say(_announcement(experiment, prepared, split, trials))

    records = [trial.run(each, prepared, split, store, progress) for each in trials]

    found = [_measures(store, record) for record in records]
    of_tuning = tuning.record_for(tuned, experiment, prepared, split)
    results = analysis.assemble(experiment, prepared, split, records, found, of_tuning)
    folder = Path(out) if out else Path("runs") / default_name(experiment, prepared.fingerprint)
    comparison = Comparison(experiment, results, folder)
    write(comparison, records, store)
    report(comparison, progress=progress, own_code=experiment.own_code)
    return comparison


def tune(
    experiment: Experiment,
    num_trials: int,
    ranges: Mapping[str, Range] | None = None,
    store: Store | Path | str | None = None,
    progress: Progress | None = None,
) -> Tuning:
    """Gives each contender `num_trials` trials over `ranges` (default: `RANGES`), and chooses by validation accuracy.

    The first trial has the settings that `experiment` comes with; no test image is looked at. Trains only what the
    store lacks. The returned `experiment` holds each contender's own settings: `compare` it. Raises `InputError`.
    """
    progress = progress or Progress()
    store = store if isinstance(store, Store) else Store(store)
    tuning.require_optuna()
    trial.check_names(experiment)
    experiment = located(experiment)
    prepared = data.load(experiment, progress.track)
    files.require_writable(store.root)
    return tuning.search(experiment, prepared, data.split(prepared, experiment), num_trials, ranges, store, progress)


def write_tuning(tuned: Tuning, out: Path | str | None = None) -> Path:
    """Writes experiment.toml, tuning.json and tuning.html into a run's folder, and returns it.

    `out` defaults to `runs/<data set>-<recipe>-<hash>-tuning`, where the hash is that of the comparison to come.
    Raises `InputError`.
    """
    name = default_name(tuned.experiment, tuned.record["dataset"]["fingerprint"])
    folder = Path(out) if out else Path("runs") / f"{name}-tuning"
    require_runs_folder(folder)
    write_experiment(folder / "experiment.toml", tuned.experiment)
    files.write_json(folder / "tuning.json", tuned.record)
    report_tuning(tuned.record, folder)
    return folder


def write(comparison: Comparison, records: list[TrialRecord], store: Store) -> None:
    """Puts models, settings and results into the run's folder, each file whole or not at all."""
    write_experiment(comparison.out / "experiment.toml", comparison.experiment)
    for record, entry in zip(records, comparison.results["trials"], strict=True):
        if entry["model"]:
            with files.atomic_path(comparison.out / entry["model"]) as temporary:
                shutil.copyfile(store.model_path(record.key), temporary)
    if comparison.results["tuning"]:
        files.write_json(comparison.out / "tuning.json", comparison.results["tuning"])
    files.write_json(comparison.out / "results.json", comparison.results)


def located(experiment: Experiment) -> Experiment:
    """`experiment` with absolute paths, so that it means the same in every folder."""
    dataset, data_dir = experiment.dataset, experiment.data_dir
    if dataset not in data.DATASETS and Path(dataset).expanduser().is_dir():
        dataset = str(Path(dataset).expanduser().resolve())
    if data_dir is not None:
        data_dir = str(Path(data_dir).expanduser().resolve())
    return replace(experiment, dataset=dataset, data_dir=data_dir)


def require_runs_folder(out: Path | str | None) -> None:
    """Raises `InputError` unless a run can be written to `out` (None: below `runs`), or it holds one already."""
    folder = Path(out or "runs")
    files.require_writable(folder)
    if out is None:
        return
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "experiment.toml").is_file():
        raise InputError(f"{folder}: holds other things than a run. Choose a new folder, or one that a run made.")


def default_name(experiment: Experiment, fingerprint: str) -> str:
    """`<data set>-<recipe>-<hash>`: the same experiment on the same data finds its folder again."""
    dataset = re.sub(r"[^A-Za-z0-9]+", "-", Path(experiment.dataset).name).strip("-") or "images"
    return f"{dataset}-{experiment.recipe}-{digest([asdict(experiment), fingerprint])[:8]}"


def _measures(store: Store, record: TrialRecord) -> dict[str, Any]:
    found = {name: store.measure(record.key, name) for name in MEASURES} if record.status == "done" else {}
    return {name: value for name, value in found.items() if value is not None}


def _announcement(experiment: Experiment, prepared: data.Prepared, split: data.Split, trials: list[trial.Trial]) -> str:
    channels, height, width = prepared.image_shape
    colour = "grey" if channels == 1 else "colour"
    steps = sorted({each.card.num_steps for each in trials if each.card.num_steps}) or [experiment.num_steps]
    return (
        f"{prepared.name}: {len(split.train):,} training, {len(split.val):,} validation and {len(split.test):,} test "
        f"images, {height}×{width} {colour}, {len(prepared.classes)} classes.\n"
        f"{' against '.join(experiment.contenders)}, {_counted(experiment.seeds, 'seed')}, at most "
        f"{_counted(experiment.epochs, 'epoch')}; spiking contenders see {experiment.encoding} encoding over "
        f"{' or '.join(map(str, steps))} step{'s' if steps[-1] > 1 else ''}."
    )


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' if number > 1 else ''}"
