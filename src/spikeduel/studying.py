"""A whole study, top to bottom: prepare every duel, train, conclude each duel, then the study."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spikeduel.comparing import PreparedComparison, conclude, prepare, tune
from spikeduel.data import Prepared, catalogue
from spikeduel.data.workers import IDLE_SECONDS
from spikeduel.reporting import report, report_study
from spikeduel.reporting.loggers import Logged
from spikeduel.results import study as results
from spikeduel.results.comparison import DUELS, Comparison, load_run
from spikeduel.results.study import StudyResults
from spikeduel.results.study_plan import StudyPlan
from spikeduel.results.variants import Duel
from spikeduel.results.words import study_plan as words
from spikeduel.settings import studies
from spikeduel.settings.studies import PlannedDuel, Study, shown
from spikeduel.system import files, hardware, typed
from spikeduel.system.errors import InputError, naming
from spikeduel.system.progress import Labelled, Once, Progress
from spikeduel.system.sentences import counted
from spikeduel.trials import contenders, forecast, run_folder
from spikeduel.trials.jobs import Workers
from spikeduel.trials.store import Store
from spikeduel.trials.tuning import Tuning, read_ranges

FILE = "study.json"
MOST_LETTERS = 60
"""Longest name of a folder."""


@dataclass(frozen=True)
class BegunDuel:
    """A duel of a study, prepared; `label` is its name in text."""

    label: str
    planned: PlannedDuel
    ready: PreparedComparison
    tuned: Tuning | None
    progress: Logged


def read_study(path: Path | str) -> Study:
    """Return the study in a TOML file (docs/studies.md). Runs nothing. Raises `InputError`."""
    return studies.read(Path(path), catalogue.is_recorded, catalogue.DATASETS.__contains__)


def study(
    planned: Study,
    out: Path | str | None = None,
    store: Store | Path | str | None = None,
    progress: Progress | None = None,
    workers: Workers | None = None,
    strict: bool = False,
    loggers: Collection[str] = (),
) -> tuple[StudyResults, Path]:
    """Train missing trials of all duels, and write a folder for each run, study.html and study.json.

    `out` defaults to `runs/study-<name>`. All duels are prepared, and so checked, before
    training; then `workers` train the trials of all duels as one list. The same call after an interruption
    goes on, and leaves finished runs alone. `strict` and `loggers` as in `compare`. Return the
    results and the page. Raises `InputError`, `AuditFailed`.
    """
    progress, workers = progress or Progress(), workers or Workers()
    store = store if isinstance(store, Store) else Store(store)
    folder = Path(out) if out else Path("runs") / f"study-{_slug(planned.name)}"
    require_writable(folder)
    parts = prepare_all(planned, folder, store, progress, workers, strict, loggers)
    untuned = replace(planned, tuning=None)  # tuning is done
    outlook = study_plan(untuned, parts, store, workers)
    for part in parts:
        part.progress.begins(part.ready.folder)
    jobs = [job for part in parts for job in part.ready.jobs(part.progress)]
    expected = {
        f"{duel.label}: {trial.title}": trial.seconds
        for duel, trial in outlook.first()
        if not trial.stored
    }
    for text in words.sentences(outlook):
        progress.say(text)
    with progress.trials(expected, workers.at_once):
        records = dict(zip((job.key for job in jobs), workers.run(jobs, store), strict=True))
    compared, duels = list[Comparison](), list[Duel]()
    progress.say(f"measuring, and writing {counted(len(parts), 'report')}")
    for part in progress.track(parts, "measuring", len(parts)):
        trained = [records[trial.key] for trial in part.ready.plan.trials]
        compared.append(
            conclude(part.ready, trained, store, part.progress, part.tuned, workers, draws=False)
        )
        part.ready.prepared.let_go()
    _draw([run for run in compared if not run_folder.is_written(run)], workers.at_once, progress)
    for part, run in zip(parts, compared, strict=True):
        part.progress.ends(run, store)
        values = {
            name: shown(value) for name, value in part.planned.values.items() if name != "dataset"
        }
        place, dataset = run.out.relative_to(folder).as_posix(), planned.dataset_of(part.planned)
        duels.append(Duel(place, dataset, values, run.results))
    margin = max(part.planned.experiment.equivalence_margin for part in parts)
    concluded = results.conclude(planned.name, duels, margin)
    with files.locked(
        folder / run_folder.LOCK,
        lambda: progress.say(f"another process is writing {folder}; waiting"),
    ):
        typed.write_json(folder / FILE, concluded)
        return concluded, report_study(concluded, folder)


def _draw(compared: Sequence[Comparison], at_once: int, progress: Progress) -> None:
    """Draw the reports of runs, in `at_once` processes or as many as there are cores."""
    from joblib import Parallel, delayed

    processes = max(1, min(at_once, len(compared), len(hardware.cores())))
    parallel = Parallel(
        processes, return_as="generator_unordered", idle_worker_timeout=IDLE_SECONDS
    )
    drawn = parallel(delayed(_report)(run.out.absolute()) for run in compared)
    for _ in progress.track(drawn, "drawing", len(compared)):
        pass


def _report(folder: Path) -> None:
    run = load_run(folder)
    with files.locked(folder / run_folder.LOCK):
        report(run, own_code=run.experiment.own_code)


def plan(
    planned: Study,
    store: Store | Path | str | None = None,
    progress: Progress | None = None,
    workers: Workers | None = None,
    strict: bool = False,
) -> StudyPlan:
    """Return what a study takes and can show: loads data and times training steps, trains nothing.

    Raises as `study` does.
    """
    progress, workers = progress or Progress(), workers or Workers()
    store = store if isinstance(store, Store) else Store(store)
    parts = prepare_all(replace(planned, tuning=None), Path(), store, progress, workers, strict)
    return study_plan(planned, parts, store, workers)


def prepare_all(
    planned: Study,
    out: Path,
    store: Store,
    progress: Progress,
    workers: Workers,
    strict: bool = False,
    loggers: Collection[str] = (),
) -> list[BegunDuel]:
    """Prepare every duel of a study: check it, load and audit its data, tune if the study asks.

    Runs will be written below `out`. Duels on the same images share them in memory. Names are
    checked first, before any data are loaded. Raises `InputError`, and with `strict` `AuditFailed`,
    naming the duel.
    """
    for duel in planned.duels:
        with naming(planned.label(duel)):
            contenders.check(duel.experiment)
            catalogue.resolve(duel.experiment.dataset)
    data_of: dict[str, Prepared] = {}
    name_of: dict[str, str] = {}
    progress_of: dict[str, Once] = {}
    timed: dict[str, float] = {}
    parts = []
    for duel in progress.track(planned.duels, "looking at the data", len(planned.duels)):
        label, dataset = planned.label(duel), planned.dataset_of(duel)
        digest = typed.digest(typed.plain(duel.experiment))[:8]
        # The label changes when the study grows; the folder of an earlier run stays.
        folder = next((out / DUELS).glob(f"*-{digest}"), out / DUELS / f"{_slug(label)}-{digest}")
        with naming(label):
            shown_once = progress_of.setdefault(dataset, Once(Labelled(progress, dataset)))
            ready = prepare(duel.experiment, folder, store, shown_once, strict, timed)
        prepared = ready.prepared
        if (other := name_of.setdefault(prepared.fingerprint, dataset)) != dataset:
            raise InputError(
                f"{other} and {dataset} are the same images: one data set. Take one out of [grid] "
                f"dataset."
            )
        images = typed.digest([prepared.fingerprint, prepared.preprocessing.described()])
        ready = replace(ready, prepared=data_of.setdefault(images, prepared))
        ready.prepared.let_go()
        parts.append(
            BegunDuel(label, duel, ready, None, Logged(Labelled(progress, label), loggers))
        )
    if planned.tuning is None:
        return parts
    tuned = progress.track(parts, "tuning", len(parts))
    return [_tuned(part, planned.tuning, store, workers, strict, timed) for part in tuned]


def _tuned(
    part: BegunDuel,
    tuning: studies.Tuned,
    store: Store,
    workers: Workers,
    strict: bool,
    timed: dict[str, float],
) -> BegunDuel:
    """Return `part` with each contender's tuned settings."""
    with naming(part.label):
        ranges = read_ranges(Path(tuning.ranges)) if tuning.ranges else None
        experiment, progress = part.planned.experiment, part.progress
        tuned = tune(experiment, tuning.trials, ranges, store, progress, workers)
        ready = prepare(tuned.experiment, part.ready.folder, store, Progress(), strict, timed)
    return replace(part, ready=replace(ready, prepared=part.ready.prepared), tuned=tuned)


def study_plan(
    planned: Study, parts: Sequence[BegunDuel], store: Store, workers: Workers
) -> StudyPlan:
    """Return what a study's trials take and can show."""
    duels = [
        forecast.duel_plan(
            *(part.label, planned.dataset_of(part.planned), part.ready.plan),
            *(part.ready.prepared, part.ready.splits, store),
        )
        for part in parts
    ]
    num_tuned = sum(len(part.ready.plan.contenders) for part in parts)
    trials = planned.tuning.trials * num_tuned if planned.tuning else 0
    return StudyPlan(name=planned.name, duels=duels, at_once=workers.at_once, tuning_trials=trials)


def require_writable(folder: Path) -> None:
    """Raise `InputError` unless `folder` is writable, and empty or of a study."""
    files.require_writable(folder)
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    others = {name for name in names - {DUELS, run_folder.LOCK} if not name.startswith(".")}
    if others and FILE not in others:
        raise InputError(
            f"{folder}: holds other things than a study. Choose a new folder, or one that a study "
            f"made."
        )


def _slug(name: str) -> str:
    return re.sub(r"[^\w.]+", "-", name)[:MOST_LETTERS].strip("-") or "study"
