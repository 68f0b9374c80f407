"""The whole comparison, top to bottom: load, split, audit, train, measure, compare, report."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from spikeduel import data
from spikeduel.data import auditing
from spikeduel.data.auditing import Audit
from spikeduel.data.auditing.labels import write_csv
from spikeduel.reporting import Held, report, report_tuning
from spikeduel.reporting.logged import Logged
from spikeduel.results.comparison import Comparison
from spikeduel.results.words.audit import problems
from spikeduel.settings import Experiment
from spikeduel.settings.reading import write_experiment
from spikeduel.system import files, typed
from spikeduel.system.errors import AuditFailed, InputError
from spikeduel.system.progress import Progress
from spikeduel.trials import (
    announcing,
    assembling,
    controls,
    conversion,
    evaluating,
    fitting,
    labelling,
    planning,
    runs,
    trial,
    tuning,
)
from spikeduel.trials.store import Store
from spikeduel.trials.tuning import Range, Tuning


def compare(
    experiment: Experiment,
    out: Path | str | None = None,
    store: Store | Path | str | None = None,
    progress: Progress | None = None,
    strict: bool = False,
    tuned: Tuning | None = None,
    loggers: Collection[str] = (),
) -> Comparison:
    """Trains what the store lacks, measures, compares and writes the run's folder `out`.

    `out` defaults to `runs/<data set>-<recipe>-<hash>`, `store` to `SPIKEDUEL_STORE` or `runs/store`. The same call
    twice trains once. The data is audited first; with `strict`, problems found there end it. `tuned`, from `tune`, is
    where `experiment` has the contenders' own settings from, so that the results can say so. `loggers`
    ("tensorboard", "mlflow", "csv") are told of it all. Raises `InputError` for what the user can mend, `AuditFailed`;
    a trial that fails is recorded as failed.
    """
    progress = logged = Logged(progress or Progress(), loggers)
    store = store if isinstance(store, Store) else Store(store)
    planning.check(experiment)
    experiment = runs.located(experiment)

    prepared = data.load(experiment, progress.track, say=progress.say)
    splits = data.splits(prepared, experiment)
    refused = conversion.refusals(planning.plan(experiment, prepared, splits[0]))
    # Only now, so that a mistake in the data leaves no empty folders behind.
    files.require_writable(store.root)
    runs.require_writable(out, prepared.name)
    progress.say(announcing.of_data(prepared, splits))
    audit = auditing.examine(experiment, prepared, splits[0], progress)
    _heed(audit, strict, progress)
    asked, fitted = experiment, fitting.fit(experiment, prepared, splits, store, progress)
    experiment = fitted.experiment
    trials = [each for split in splits for each in planning.plan(experiment, prepared, split)]
    progress.say(announcing.of_contenders(experiment, [each.card for each in trials]))
    expected = announcing.expect(trials, fitted.budget, prepared, store, progress)
    folder = Path(out) if out else Path("runs") / runs.default_name(asked, prepared.fingerprint)
    logged.begins(folder)

    altered = {each.fold: evaluating.altered(experiment, prepared, each, progress) for each in splits}
    with progress.trials(expected):
        records = trial.run_all(trials, prepared, store, progress, altered)
        if experiment.convert:
            converted = conversion.run(trials, refused, prepared, store, progress)
            records += trial.run_all(converted, prepared, store, progress, altered)
            trials += converted
        controlled = controls.run(trials, prepared, store, progress) if experiment.controls else [None] * len(trials)
    timed = runs.time_answers(trials, records, prepared, store, progress)
    finished = runs.gather(trials, records, controlled, timed, store, audit, splits[0])
    doubted = labelling.check(prepared, splits, finished, audit)
    results = assembling.assemble(
        *(experiment, prepared, splits, finished),
        uses=runs.test_uses(store, prepared, trials, controlled),
        doubted=doubted,
        audit=audit,
        tuning=tuning.record_for(tuned, asked, prepared, splits[0]),
        rules=fitted.rules,
        budget=fitted.budget,
        not_converted=refused,
    )
    comparison = Comparison(experiment, results, folder)
    waiting = f"another process is writing {folder}; waiting"
    # One writer at a time, so that a folder never holds one run's settings beside another's results.
    with files.locked(folder / runs.LOCK, lambda: progress.say(waiting)):
        runs.write(comparison, prepared, splits, finished, store)
        write_csv(folder / "labels.csv", audit.details.labels, doubted[1])
        report(comparison, progress=progress, own_code=experiment.own_code, held=Held(prepared, splits, audit))
    logged.ends(comparison, store)
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
    if experiment.folds is not None:
        raise InputError(
            "folds: each image is a test image of some fold, so that there are none to tune on. Tune without --folds, "
            "on other images than those that are to be tested."
        )
    planning.check(experiment)
    experiment = runs.located(experiment)
    prepared = data.load(experiment, progress.track, say=progress.say)
    tuning.require_possible(experiment, prepared, num_trials, ranges)
    files.require_writable(store.root)
    split = data.split(prepared, experiment)
    # Each contender is tuned alone, so that none starts where another ended.
    fitted = fitting.fit(replace(experiment, start="fresh"), prepared, [split], store, progress)
    experiment = fitted.experiment
    planned = planning.plan(replace(experiment, seeds=1), prepared, split)
    progress.say(announcing.of_tuning(planned, num_trials, fitted.budget, prepared, store, progress))
    return tuning.search(experiment, prepared, split, num_trials, ranges, store, progress)


def write_tuning(tuned: Tuning, out: Path | str | None = None) -> Path:
    """Writes experiment.toml, tuning.json and tuning.html into a run's folder, and returns it.

    `out` defaults to `runs/<data set>-<recipe>-<hash>-tuning`, where the hash is that of the comparison to come.
    Raises `InputError`.
    """
    name = runs.default_name(tuned.experiment, tuned.record.dataset.fingerprint)
    folder = Path(out) if out else Path("runs") / f"{name}-tuning"
    runs.require_writable(folder)
    write_experiment(folder / "experiment.toml", tuned.experiment)
    typed.write_json(folder / "tuning.json", tuned.record)
    report_tuning(tuned.record, folder)
    return folder


def _heed(audit: Audit, strict: bool, progress: Progress) -> None:
    if audit.ok:
        return
    if strict:
        raise AuditFailed(f"the audit found what would invalidate a result: {' '.join(problems(audit))}")
    for problem in problems(audit):
        progress.say(f"PROBLEM with the data: {problem}")
