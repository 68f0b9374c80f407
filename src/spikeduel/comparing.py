"""The whole comparison: load, split, audit, train, measure, compare, report."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spikeduel.analysis import hashes
from spikeduel.auditing.audit_results import Audit
from spikeduel.auditing.audit_sentences import problems
from spikeduel.auditing.labels import write_csv
from spikeduel.data import Prepared, Split
from spikeduel.data.audited import examine
from spikeduel.experiment.settings import Experiment
from spikeduel.features import providing
from spikeduel.reporting import RunData, report
from spikeduel.results.predictions import RUNS
from spikeduel.sentences.comparison import Comparison
from spikeduel.system import files
from spikeduel.system.errors import AuditFailed
from spikeduel.system.progress import Progress
from spikeduel.training import auto_settings, plan, run_folder, variants
from spikeduel.training.jobs import Job, Workers
from spikeduel.training.outcomes import assemble, gather, test_uses
from spikeduel.training.plan import Plan
from spikeduel.training.store import Place, Store, TrialRecord, opened
from spikeduel.training.trial import is_whole


@dataclass(frozen=True, eq=False)
class PreparedComparison:
    """A comparison before training; the run's `folder` is written at the end."""

    plan: Plan
    prepared: Prepared
    splits: tuple[Split, ...]
    audit: Audit
    folder: Path

    def jobs(self, progress: Progress, test: bool = True) -> list[Job]:
        return [Job(trial, self.prepared, progress, test) for trial in self.plan.trials]


def compare(
    experiment: Experiment,
    out: Path | str | None = None,
    store: Place = None,
    progress: Progress | None = None,
    strict: bool = False,
    found_by: Any = None,
    workers: Workers | None = None,
    on_results: Callable[[Comparison], None] | None = None,
    given: Collection[str] = (),
    replace_run: bool = False,
) -> Comparison:
    """Train all contenders, compare them, and write the results into a folder.

    The same call twice trains once: trained networks are taken from `store`.

    Parameters
    ----------
    experiment : Experiment
        Data, contenders and settings, for instance `sd.recipes.strong("fashion-mnist")`.
    out : Path or str, optional
        Folder of the run. Default: `runs/<data set>-<recipe>-<hash>`.
    store : Store, Path or str, optional
        Where trained networks are kept. Default: `SPIKEDUEL_STORE`, or `runs/store`.
    progress : Progress, optional
        Where to show progress, such as `sd.TerminalProgress()`.
    strict : bool
        Whether a problem in the data ends the call.
    found_by : optional
        Result of the search that found the contenders' settings, such as that of `sd.tune`.
    workers : Workers, optional
        Who trains. Default: this process.
    on_results : callable, optional
        Function of the comparison. It is called before the report is drawn.
    given : collection of str
        Settings that the user chose. One without effect is an error, as if it differed from the
        recipe.
    replace_run : bool
        Whether a different run in `out` may be replaced.

    Returns
    -------
    Comparison
        The results. A failed trial is recorded there.

    Raises
    ------
    InputError
        For what you can mend, such as a setting without effect.
    AuditFailed
        If the audit finds a problem, with `strict`.

    Examples
    --------
    >>> import spikeduel as sd
    >>> experiment = sd.recipes.strong("digits", epochs=1, seeds=1)
    >>> sd.compare(experiment, "runs/digits")
    <Comparison of vgg-lif, vgg-relu and resnet-silu on digits, in runs/digits>
    ...
    """
    progress, workers, store = progress or Progress(), workers or Workers(), opened(store)
    ready = prepare(experiment, out, store, progress, strict, given=given, replace_run=replace_run)
    num_variants = sum(len(variants.titles(trial, ready.prepared)) for trial in ready.plan.trials)
    for sentence in plan.of_plan(ready.plan, workers.at_once, num_variants):
        progress.say(sentence)
    progress = progress.of_run(ready.folder)
    if workers.at_once > 1:
        ready.prepared.release()  # other processes train
    with progress.trials(ready.plan.seconds):
        records = workers.run(ready.jobs(progress, test=False), store)
    if resolved := auto_settings.replanned(ready.plan, records, progress):
        planned = plan.make(resolved, ready.prepared, ready.splits, store, progress)
        ready = replace(ready, plan=planned)
        with progress.trials(planned.seconds):
            records = workers.run(ready.jobs(progress, test=False), store)
    both = zip(ready.jobs(progress), records, strict=True)
    trained = [job for job, record in both if record.status == "done"]
    workers.run([job for job in trained if not is_whole(job.trial, store)], store)
    comparison = conclude(ready, records, store, progress, found_by, workers, on_results=on_results)
    progress.ends(comparison, store)
    return comparison


def prepare(
    experiment: Experiment,
    out: Path | str | None,
    store: Store,
    progress: Progress,
    strict: bool = False,
    timed: dict[str, float] | None = None,
    given: Collection[str] = (),
    tolerated: Collection[str] = (),
    replace_run: bool = False,
) -> PreparedComparison:
    """Check names, load, split and audit the data, and plan the trials.

    `timed` as in `plan.make`, `tolerated` as in `auto_settings.resolve`. Raises as `compare` does.
    """
    files.require_writable(store.root)
    run_folder.require_writable(out)  # loading can take minutes
    experiment, prepared, splits = plan.loaded(experiment, progress)
    progress.say(plan.of_data(prepared, splits))
    resolved = auto_settings.resolve(
        experiment, prepared, splits[0], store, progress, given, tolerated
    )
    experiment = resolved.asked
    if out is not None and not replace_run:
        run_folder.require_same(out, resolved.experiment, prepared)
    for adds in providing("adds").values():
        adds(resolved.experiment, resolved.contenders)
    audit = examine(experiment, prepared, splits[0], progress)
    if strict and not audit.ok:
        raise AuditFailed(
            f"the audit found what would invalidate a result: {' '.join(problems(audit))}"
        )
    for problem in problems(audit):
        progress.say(f"PROBLEM with the data: {problem}")
    planned = plan.make(resolved, prepared, splits, store, progress, timed)
    folder = Path(out or RUNS / run_folder.default_name(experiment, prepared.fingerprint))
    return PreparedComparison(planned, prepared, splits, audit, folder)


def conclude(
    ready: PreparedComparison,
    records: list[TrialRecord],
    store: Store,
    progress: Progress,
    found_by: Any = None,
    workers: Workers | None = None,
    on_results: Callable[[Comparison], None] | None = None,
) -> Comparison:
    """Add what features make from the trained `records`, train variants, measure, compare, and
    write the run's folder, unless it holds just this run.
    """
    workers, planned = workers or Workers(), ready.plan
    experiment, prepared, splits = planned.experiment, ready.prepared, ready.splits
    trials, features = list(planned.trials), dict[str, Any]()
    awaited = [title for trial in trials for title in variants.titles(trial, prepared)]
    with progress.trials(awaited):
        for feature, further_trials in providing("further_trials").items():
            further, conclusion = further_trials(planned, prepared, store, progress)
            trials += further
            jobs = [Job(trial, prepared, progress) for trial in further]
            records = [*records, *workers.run(jobs, store)]
            if conclusion is not None:
                features[feature] = conclusion
        trial_variants = variants.run(trials, prepared, store, progress, workers)
    if found_by is not None:
        features |= found_by.conclusions(planned.asked, prepared, splits[0])
    outcomes = gather(trials, records, trial_variants, prepared, store, progress)
    run_data = RunData(prepared, splits, ready.audit)
    for feature, conclude_outcomes in providing("conclude_outcomes").items():
        if (conclusion := conclude_outcomes(outcomes, run_data)) is not None:
            features[feature] = conclusion
    results = assemble(
        experiment,
        prepared,
        splits,
        outcomes,
        uses=test_uses(store, prepared, splits, outcomes),
        audit=ready.audit,
        rules=planned.rules,
        budget=planned.budget,
        features=features,
    )
    comparison, folder = Comparison(experiment, results, ready.folder), ready.folder
    waiting = f"another process is writing {folder}; waiting"
    # One writer, so that a folder never mixes two runs.
    with files.locked(folder / run_folder.LOCK, lambda: progress.say(waiting)):
        if not (is_written := run_folder.is_written(comparison)):
            run_folder.write(comparison, prepared, splits, outcomes, store)
            suspects = ready.audit.details.labels, results.suspect_labels
            write_csv(folder / "labels.csv", *suspects)
            hashes.write(folder)
        if on_results:
            on_results(comparison)
        if not is_written:
            for drawn in progress.track([comparison], "drawing the report"):
                report(
                    drawn,
                    progress=progress,
                    own_code=experiment.own_code,
                    run_data=run_data,
                )
    return comparison
