"""The whole comparison, top to bottom: load, split, audit, train, measure, compare, report."""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np

from spikeduel import data
from spikeduel.data import auditing
from spikeduel.data.auditing import Audit
from spikeduel.measuring import MEASURES, latency, robustness
from spikeduel.networks.models import ModelCard
from spikeduel.reporting import report, report_tuning
from spikeduel.results.comparison import Comparison
from spikeduel.settings import Experiment, digest, write_experiment
from spikeduel.system import files
from spikeduel.system.errors import AuditFailed, InputError
from spikeduel.system.progress import Progress
from spikeduel.trials import answers, assembling, controls, conversion, evaluating, timing, trial, tuning
from spikeduel.trials.store import Store, TrialRecord
from spikeduel.trials.training import EvaluationBatches
from spikeduel.trials.tuning import Range, Tuning

LOCK = ".lock"
"""The file in a run's folder that its writer locks."""


def compare(
    experiment: Experiment,
    out: Path | str | None = None,
    store: Store | Path | str | None = None,
    progress: Progress | None = None,
    strict: bool = False,
    tuned: Tuning | None = None,
) -> Comparison:
    """Trains what the store lacks, measures, compares and writes the run's folder `out`.

    `out` defaults to `runs/<data set>-<recipe>-<hash>`, `store` to `SPIKEDUEL_STORE` or `runs/store`. The same call
    twice trains once. The data is audited first; with `strict`, problems found there end it. `tuned`, from `tune`, is
    where `experiment` has the contenders' own settings from, so that the results can say so. Raises `InputError` for
    what the user can mend, `AuditFailed`; a trial that fails is recorded as failed.
    """
    progress = progress or Progress()
    store = store if isinstance(store, Store) else Store(store)
    trial.check_names(experiment)
    conversion.require_convertible(experiment)
    experiment = located(experiment)

    prepared = data.load(experiment, progress.track, say=progress.say)
    splits = data.splits(prepared, experiment)
    trials = [(each, split) for split in splits for each in trial.plan(experiment, prepared, split)]
    # Only now, so that a mistake in the data leaves no empty folders behind.
    files.require_writable(store.root)
    require_runs_folder(out)
    progress.say(_announcement(experiment, prepared, splits, [each for each, _ in trials]))
    audit = auditing.examine(experiment, prepared, splits[0], progress)
    _heed(audit, strict, progress)

    altered = {each.fold: _altered(experiment, prepared, each, progress) for each in splits}
    records = [trial.run(each, prepared, split, store, progress, altered[split.fold]) for each, split in trials]

    if experiment.convert:
        converted = conversion.run(trials, prepared, store, progress)
        records += [trial.run(each, prepared, of, store, progress, altered[of.fold]) for each, of in converted]
        trials += converted

    controlled = controls.run(trials, prepared, store, progress) if experiment.controls else []

    timed = _timed(experiment, prepared, trials, records, store, progress)

    measures = [
        _measures(experiment, store, record, audit, splits[0]) | timed.get(record.key, {}) for record in records
    ]
    results = assembling.assemble(
        experiment,
        prepared,
        splits,
        records,
        measures,
        failed_measures=[store.failed_measures(record.key) for record in records],
        test_uses=_test_uses(store, prepared, splits, trials, controlled),
        audit=audit.results,
        tuning=tuning.record_for(tuned, experiment, prepared, splits[0]),
    )
    if experiment.controls:
        controls.add(results, trials, controlled, prepared, store)
    folder = Path(out) if out else Path("runs") / default_name(experiment, prepared.fingerprint)
    comparison = Comparison(experiment, results, folder)
    # One writer at a time, so that a folder never holds one run's settings beside another's results.
    with files.locked(folder / LOCK, lambda: progress.say(f"another process is writing {folder}; waiting")):
        write(comparison, records, store)
        data.write_splits(comparison.out / "split.csv", prepared, splits)
        answers.write(comparison.out, prepared, splits, records, measures)
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
    if experiment.folds is not None:
        raise InputError(
            "folds: each image is a test image of some fold, so that there are none to tune on. Tune without --folds, "
            "on other images than those that are to be tested."
        )
    trial.check_names(experiment)
    experiment = located(experiment)
    prepared = data.load(experiment, progress.track, say=progress.say)
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
    dataset, data_dir, group_by = experiment.dataset, experiment.data_dir, experiment.group_by
    if dataset not in data.DATASETS and files.is_folder(dataset):
        dataset = str(files.located(dataset))
    if data_dir is not None:
        data_dir = str(files.located(data_dir))
    if group_by is not None and data.names_a_file(group_by):
        group_by = str(files.located(group_by))
    return replace(experiment, dataset=dataset, data_dir=data_dir, group_by=group_by)


def require_runs_folder(out: Path | str | None) -> None:
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


def _heed(audit: Audit, strict: bool, progress: Progress) -> None:
    if audit.ok:
        return
    if strict:
        raise AuditFailed(f"the audit found what would invalidate a result: {' '.join(audit.problems)}")
    for problem in audit.problems:
        progress.say(f"PROBLEM with the data: {problem}")


def _measures(
    experiment: Experiment, store: Store, record: TrialRecord, audit: Audit, audited: data.Split
) -> dict[str, Any]:
    names = [*MEASURES, *(robustness.NAMES if experiment.robustness else ())]
    found: dict[str, Any] = {}
    if record.status == "done":
        found = {name: store.measure(record.key, name) for name in names}
    # With folds, the audit looks at the first one's split.
    if (quality := found.get("classification")) and answers.fold_of(record) == audited.fold:
        found["by_distance"] = auditing.accuracy_by_distance(audit, quality["truth"], quality["predicted"])
    return {name: value for name, value in found.items() if value is not None}


def _timed(
    experiment: Experiment,
    prepared: data.Prepared,
    trials: Sequence[tuple[trial.Trial, data.Split]],
    records: Sequence[TrialRecord],
    store: Store,
    progress: Progress,
) -> dict[str, dict[str, Any]]:
    """The latency of each contender's first finished trial, by its key: answers take other seeds as long."""
    first: dict[str, tuple[trial.Trial, data.Split]] = {}
    for (each, split), record in zip(trials, records, strict=True):
        if record.status == "done":
            first.setdefault(each.card.contender, (each, split))
    if not first:
        return {}
    timed = [timing.Timed(each.key, each.card.title, each.settings["device"]) for each, _ in first.values()]
    _, split = next(iter(first.values()))
    images = np.asarray(prepared.images[split.test[: latency.NUM_IMAGES]])
    found = timing.take(timed, images, experiment.own_code, store, progress)
    return {key: {"latency": taken} for key, taken in found.items()}


def _altered(
    experiment: Experiment, prepared: data.Prepared, split: data.Split, progress: Progress
) -> dict[str, EvaluationBatches]:
    return evaluating.altered(experiment, prepared, split, progress) if experiment.robustness else {}


def _test_uses(
    store: Store,
    prepared: data.Prepared,
    splits: Sequence[data.Split],
    trials: Sequence[tuple[trial.Trial, data.Split]],
    controlled: Sequence[controls.Controlled | None],
) -> tuple[int, int]:
    """How many models were asked about the test images, and how many of them are this run's; with folds, of the fold
    with the most others.
    """
    uses = []
    for split in splits:
        own = {each.key for each, of in trials if of is split and store.record(each.key)}
        for (_, of), found in zip(trials, controlled, strict=False):
            if of is split and found is not None:
                own |= set(found.keys)
        uses.append((store.test_uses(prepared.fingerprint, split.test, own), len(own)))
    return max(uses, key=lambda use: use[0] - use[1])


def _announcement(
    experiment: Experiment, prepared: data.Prepared, splits: Sequence[data.Split], trials: Sequence[trial.Trial]
) -> str:
    split, folds = splits[0], f", in the first of {len(splits)} folds" if len(splits) > 1 else ""
    lines = "".join(f"\n{line}" for line in foreign_lines(experiment, [each.card for each in trials]))
    channels, height, width = prepared.image_shape
    colour = "grey" if channels == 1 else "colour"
    spiking = [each.card for each in trials if each.card.num_steps]
    steps = sorted({card.num_steps for card in spiking if card.num_steps}) or [experiment.num_steps]
    encodings = sorted({card.encoding for card in spiking if card.encoding}) or [experiment.encoding]
    return (
        f"{prepared.name}: {len(split.train):,} training, {len(split.val):,} validation and {len(split.test):,} test "
        f"images{folds}, {height}×{width} {colour}, {len(prepared.classes)} classes.\n"
        f"{' against '.join(experiment.contenders)}, {_counted(experiment.seeds, 'seed')}, at most "
        f"{_counted(experiment.num_epochs(len(split.train)), 'epoch')}; spiking contenders see "
        f"{' or '.join(encodings)} encoding over {' or '.join(map(str, steps))} step{'s' if steps[-1] > 1 else ''}."
        f"{lines}"
    )


def foreign_lines(experiment: Experiment, cards: Sequence[ModelCard]) -> list[str]:
    """What to say beforehand of the networks that were not made for spikeduel, a line each."""
    lines = {}
    for card in cards:
        if card.foreign is None:
            continue
        if card.family == "cnn":
            said = "called as any other network that does not spike"
        elif card.foreign.way == "loop":
            said = f"makes its own {card.num_steps} time steps, and gets the analogue image for them (direct encoding)"
        else:
            said = f"called over {card.num_steps} time steps with {card.encoding} encoding, its state reset before"
        at_32 = card.family == "snn" and card.precision == "32" and experiment.precision == "auto"
        lines[card.contender] = f"{card.contender}: {said}{'; in float32, as in its own library' if at_32 else ''}."
    return list(lines.values())


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' if number > 1 else ''}"
