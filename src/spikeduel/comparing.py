"""The whole comparison, top to bottom: load, split, audit, train, measure, compare, report."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spikeduel import auditing, data
from spikeduel.auditing import Audit
from spikeduel.auditing.labels import write_csv
from spikeduel.data import Prepared, Split
from spikeduel.data.loader import EvaluationBatches
from spikeduel.reporting import Held, report, report_tuning
from spikeduel.reporting.loggers import Logged
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
    tuning,
)
from spikeduel.trials.controls import Controlled
from spikeduel.trials.fitting import Fitted
from spikeduel.trials.jobs import Job, Workers
from spikeduel.trials.planning import Trial
from spikeduel.trials.store import Store, TrialRecord
from spikeduel.trials.tuning import Range, Tuning


@dataclass(frozen=True, eq=False)
class Begun:
    """A comparison before anything of it is trained: the experiment as `asked` and as the set and
    the minutes `fitted` it, the data, audited, and the trials; `refused` says which contenders
    cannot be converted, and why; `altered` are further test images of each fold, by name; the run's
    `folder` is written at the end.
    """

    asked: Experiment
    fitted: Fitted
    prepared: Prepared
    splits: tuple[Split, ...]
    audit: Audit
    trials: list[Trial]
    refused: dict[str, str]
    altered: dict[int | None, dict[str, EvaluationBatches]]
    folder: Path

    def jobs(self, progress: Progress, trials: Sequence[Trial] | None = None) -> list[Job]:
        """What is to be done for `trials`, by default for all."""
        chosen = self.trials if trials is None else trials
        return [
            Job(each, self.prepared, progress, self.altered[each.split.fold]) for each in chosen
        ]


def compare(
    experiment: Experiment,
    out: Path | str | None = None,
    store: Store | Path | str | None = None,
    progress: Progress | None = None,
    strict: bool = False,
    tuned: Tuning | None = None,
    workers: Workers | None = None,
    loggers: Collection[str] = (),
) -> Comparison:
    """Trains what the store lacks, measures, compares and writes the run's folder `out`.

    `out` defaults to `runs/<data set>-<recipe>-<hash>`, `store` to `SPIKEDUEL_STORE` or
    `runs/store`. The same call twice trains once. The data is audited first; with `strict`,
    problems found there end it. `tuned`, from `tune`, is where `experiment` has the contenders' own
    settings from, so that the results can say so. `workers` train; by default this process does.
    `loggers` ("tensorboard", "mlflow", "csv") are told of it all. Raises `InputError` for what the
    user can mend, `AuditFailed`; a trial that fails is recorded as failed.
    """
    progress, workers = Logged(progress or Progress(), loggers), workers or Workers()
    store = store if isinstance(store, Store) else Store(store)
    begun = begin(experiment, out, store, progress, strict)
    progress.say(
        announcing.of_contenders(begun.fitted.experiment, [each.card for each in begun.trials])
    )
    progress.begins(begun.folder)
    lacking = announcing.lacking(begun.trials, store)
    times = announcing.times(lacking, begun.fitted.budget, begun.prepared, store, progress)
    expected = announcing.expect(
        begun.trials, begun.fitted.budget, times, store, progress, workers.at_once
    )
    if workers.at_once > 1:
        begun.prepared.let_go()  # others train
    with progress.trials(expected, workers.at_once):
        records = workers.run(begun.jobs(progress), store)
    comparison = conclude(begun, records, store, progress, tuned, workers)
    progress.ends(comparison, store)
    return comparison


def begin(
    experiment: Experiment,
    out: Path | str | None,
    store: Store,
    progress: Progress,
    strict: bool = False,
) -> Begun:
    """Checks every name, loads, splits and audits the data, and plans the trials. Raises as
    `compare` does.
    """
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
    fitted = fitting.fit(experiment, prepared, splits, store, progress)
    trials = [
        each for split in splits for each in planning.plan(fitted.experiment, prepared, split)
    ]
    folder = (
        Path(out) if out else Path("runs") / runs.default_name(experiment, prepared.fingerprint)
    )
    altered = {
        each.fold: evaluating.altered(experiment, prepared, each, progress) for each in splits
    }
    return Begun(experiment, fitted, prepared, splits, audit, trials, refused, altered, folder)


def conclude(
    begun: Begun,
    records: list[TrialRecord],
    store: Store,
    progress: Progress,
    tuned: Tuning | None = None,
    workers: Workers | None = None,
    draws: bool = True,
) -> Comparison:
    """Converts and controls what is trained (`records` of all trials), measures, compares, writes
    the run's folder.

    Unless it `draws`, the report is left to be drawn, and a folder that holds just this is left
    alone.
    """
    workers, experiment, prepared, splits = (
        workers or Workers(),
        begun.fitted.experiment,
        begun.prepared,
        begun.splits,
    )
    trials, refused = begun.trials, dict(begun.refused)
    with progress.trials({}, workers.at_once):
        if experiment.convert:
            converted = conversion.run(trials, refused, prepared, store, progress)
            records, trials = (
                records + workers.run(begun.jobs(progress, converted), store),
                trials + converted,
            )
        controlled: list[Controlled | None] = [None] * len(trials)
        if experiment.controls:
            controlled = controls.run(trials, prepared, store, progress, workers)
    timed = runs.time_answers(trials, records, prepared, store, progress)
    finished = runs.gather(trials, records, controlled, timed, store, begun.audit, splits[0])
    doubted = labelling.check(prepared, splits, finished, begun.audit)
    results = assembling.assemble(
        *(experiment, prepared, splits, finished),
        uses=runs.test_uses(store, prepared, trials, controlled),
        doubted=doubted,
        audit=begun.audit,
        tuning=tuning.record_for(tuned, begun.asked, prepared, splits[0]),
        rules=begun.fitted.rules,
        budget=begun.fitted.budget,
        not_converted=refused,
    )
    comparison, folder = Comparison(experiment, results, begun.folder), begun.folder
    waiting = f"another process is writing {folder}; waiting"
    # One writer at a time, so that a folder never holds one run's settings beside another's
    # results.
    with files.locked(folder / runs.LOCK, lambda: progress.say(waiting)):
        if draws or not runs.is_written(comparison):
            runs.write(comparison, prepared, splits, finished, store)
            write_csv(folder / "labels.csv", begun.audit.details.labels, doubted[1])
        if draws:
            held = Held(prepared, splits, begun.audit)
            report(comparison, progress=progress, own_code=experiment.own_code, held=held)
    return comparison


def tune(
    experiment: Experiment,
    num_trials: int,
    ranges: Mapping[str, Range] | None = None,
    store: Store | Path | str | None = None,
    progress: Progress | None = None,
    workers: Workers | None = None,
) -> Tuning:
    """Gives each contender `num_trials` trials over `ranges` (default: `RANGES`), and chooses by
    validation accuracy.

    The first trial has the settings that `experiment` comes with; no test image is looked at.
    Trains only what the store lacks. The returned `experiment` holds each contender's own settings:
    `compare` it. Raises `InputError`.
    """
    progress = progress or Progress()
    store = store if isinstance(store, Store) else Store(store)
    if experiment.folds is not None:
        raise InputError(
            "folds: each image is a test image of some fold, so that there are none to tune on. "
            "Tune without --folds, on other images than those that are to be tested."
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
    progress.say(
        announcing.of_tuning(planned, num_trials, fitted.budget, prepared, store, progress)
    )
    return tuning.search(experiment, prepared, split, num_trials, ranges, store, progress, workers)


def write_tuning(tuned: Tuning, out: Path | str | None = None) -> Path:
    """Writes experiment.toml, tuning.json and tuning.html into a run's folder, and returns it.

    `out` defaults to `runs/<data set>-<recipe>-<hash>-tuning`, where the hash is that of the
    comparison to come. Raises `InputError`.
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
        raise AuditFailed(
            f"the audit found what would invalidate a result: {' '.join(problems(audit))}"
        )
    for problem in problems(audit):
        progress.say(f"PROBLEM with the data: {problem}")
