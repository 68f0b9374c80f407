"""A whole study, top to bottom: begin every duel, train what the store lacks, conclude each, then
all of them.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spikeduel.comparing import Begun, begin, conclude, tune
from spikeduel.data import Prepared, catalogue
from spikeduel.data.workers import IDLE_SECONDS
from spikeduel.reporting import report, report_study
from spikeduel.reporting.loggers import Logged
from spikeduel.results import study as results
from spikeduel.results.comparison import DUELS, Comparison, load_run
from spikeduel.results.study import StudyResults
from spikeduel.results.survey import Survey
from spikeduel.results.variants import Duel
from spikeduel.results.words import survey as words
from spikeduel.settings import studies
from spikeduel.settings.studies import PlannedDuel, Study, shown
from spikeduel.system import files, hardware, typed
from spikeduel.system.errors import InputError, naming
from spikeduel.system.progress import Labelled, Once, Progress
from spikeduel.system.sentences import counted
from spikeduel.trials import announcing, forecast, planning, runs
from spikeduel.trials.jobs import Workers
from spikeduel.trials.planning import Trial
from spikeduel.trials.store import Store
from spikeduel.trials.tuning import Tuning, read_ranges

FILE = "study.json"
MOST_LETTERS = 60
"""Of a folder's name."""


@dataclass(frozen=True)
class Part:
    """A duel of a study, begun: its `label` in text, its own settings where it was `tuned`, who is
    told of it.
    """

    label: str
    planned: PlannedDuel
    begun: Begun
    tuned: Tuning | None
    progress: Logged


def read_study(path: Path | str) -> Study:
    """The study in a TOML file; see docs/studies.md. Reading runs nothing. Raises `InputError`."""
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
    """Trains what the store lacks of all duels, and writes a run's folder for each, and above them
    study.html and study.json.

    `out` defaults to `runs/study-<name>`. All duels are begun, and so checked, before any trial is
    trained; then the trials of all are trained by `workers`, as one. The same call goes on where it
    was interrupted, and leaves alone what stands. `strict` and `loggers` as in `compare`. Returns
    what it found, and the page. Raises `InputError`, `AuditFailed`.
    """
    progress, workers = progress or Progress(), workers or Workers()
    store = store if isinstance(store, Store) else Store(store)
    folder = Path(out) if out else Path("runs") / f"study-{_slug(planned.name)}"
    require_writable(folder)
    parts = begun(planned, folder, store, progress, workers, strict, loggers)
    found = survey(
        replace(planned, tuning=None), parts, store, progress, workers
    )  # it has been tuned
    for part in parts:
        part.progress.begins(part.begun.folder)
    jobs = [job for part in parts for job in part.begun.jobs(part.progress)]
    expected = {
        f"{duel.label}: {trial.title}": trial.seconds
        for duel, trial in found.first()
        if not trial.stored
    }
    for text in words.sentences(found):
        progress.say(text)
    with progress.trials(expected, workers.at_once):
        records = dict(zip((job.key for job in jobs), workers.run(jobs, store), strict=True))
    compared, duels = list[Comparison](), list[Duel]()
    progress.say(f"measuring, and writing {counted(len(parts), 'report')}")
    for part in progress.track(parts, "measuring", len(parts)):
        trained = [records[trial.key] for trial in part.begun.trials]
        compared.append(
            conclude(part.begun, trained, store, part.progress, part.tuned, workers, draws=False)
        )
        part.begun.prepared.let_go()
    _draw([run for run in compared if not runs.is_written(run)], workers.at_once, progress)
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
        folder / runs.LOCK, lambda: progress.say(f"another process is writing {folder}; waiting")
    ):
        typed.write_json(folder / FILE, concluded)
        return concluded, report_study(concluded, folder)


def _draw(found: Sequence[Comparison], at_once: int, progress: Progress) -> None:
    """Draws the reports of runs, in as many processes as train, up to the number of cores."""
    from joblib import Parallel, delayed

    processes = max(1, min(at_once, len(found), len(hardware.cores())))
    parallel = Parallel(
        processes, return_as="generator_unordered", idle_worker_timeout=IDLE_SECONDS
    )
    drawn = parallel(delayed(_report)(run.out.absolute()) for run in found)
    for _ in progress.track(drawn, "drawing", len(found)):
        pass


def _report(folder: Path) -> None:
    run = load_run(folder)
    with files.locked(folder / runs.LOCK):
        report(run, own_code=run.experiment.own_code)


def plan(
    planned: Study,
    store: Store | Path | str | None = None,
    progress: Progress | None = None,
    workers: Workers | None = None,
    strict: bool = False,
) -> Survey:
    """What a study takes, and what it can show. Looks at the data, and times training steps; trains
    and tunes nothing.

    Raises as `study` does.
    """
    progress, workers = progress or Progress(), workers or Workers()
    store = store if isinstance(store, Store) else Store(store)
    parts = begun(replace(planned, tuning=None), Path(), store, progress, workers, strict)
    return survey(planned, parts, store, progress, workers)


def begun(
    planned: Study,
    out: Path,
    store: Store,
    progress: Progress,
    workers: Workers,
    strict: bool = False,
    loggers: Collection[str] = (),
) -> list[Part]:
    """Every duel of a study, begun, its run to be written below `out`. Duels on the same images
    share them.

    What takes no time is checked first, then all data are looked at, and then each duel is tuned by
    `workers`, where the study asks for that. Raises `InputError`, and `AuditFailed` with `strict`,
    naming the duel.
    """
    for duel in planned.duels:
        with naming(planned.label(duel)):
            planning.check(duel.experiment)
            catalogue.resolve(duel.experiment.dataset)
    known: dict[str, Prepared] = {}
    called: dict[str, str] = {}
    heard: dict[str, Once] = {}
    parts = []
    for duel in progress.track(planned.duels, "looking at the data", len(planned.duels)):
        label, dataset = planned.label(duel), planned.dataset_of(duel)
        own = typed.digest(typed.plain(duel.experiment))[:8]
        # Its label says what varies: it may lie there by another one, of before the study grew.
        folder = next((out / DUELS).glob(f"*-{own}"), out / DUELS / f"{_slug(label)}-{own}")
        with naming(label):
            told = heard.setdefault(dataset, Once(Labelled(progress, dataset)))
            its = begin(duel.experiment, folder, store, told, strict)
        if (other := called.setdefault(its.prepared.fingerprint, dataset)) != dataset:
            raise InputError(
                f"{other} and {dataset} are the same images: one data set. Take one out of [grid] "
                f"dataset."
            )
        same = typed.digest([its.prepared.fingerprint, its.prepared.preprocessing.described()])
        its = replace(its, prepared=known.setdefault(same, its.prepared))
        parts.append(Part(label, duel, its, None, Logged(Labelled(progress, label), loggers)))
    if planned.tuning is None:
        return parts
    tuned = progress.track(parts, "tuning", len(parts))
    return [_tuned(part, planned.tuning, store, workers, strict) for part in tuned]


def _tuned(part: Part, tuning: studies.Tuned, store: Store, workers: Workers, strict: bool) -> Part:
    """`part` as its duel is with what tuning found."""
    with naming(part.label):
        drawn = read_ranges(Path(tuning.ranges)) if tuning.ranges else None
        found = tune(part.planned.experiment, tuning.trials, drawn, store, part.progress, workers)
        its = begin(found.experiment, part.begun.folder, store, Progress(), strict)
    return replace(part, begun=replace(its, prepared=part.begun.prepared), tuned=found)


def survey(
    planned: Study, parts: Sequence[Part], store: Store, progress: Progress, workers: Workers
) -> Survey:
    """What a study's trials take, and what they can show; a step of each shape that is not known is
    timed.
    """
    timed: dict[str, float] = {}
    duels = []
    for part in progress.track(parts, "timing training steps", len(parts)):
        begun, budget = part.begun, part.begun.fitted.budget
        shapes = {each.card.contender: _shape(each) for each in begun.trials}
        known = {name: timed[shape] for name, shape in shapes.items() if shape in timed}
        lacking = announcing.lacking(begun.trials, store)
        times = announcing.times(lacking, budget, begun.prepared, store, progress, known)
        timed |= {shapes[each.contender]: each.epoch_seconds for each in times}
        named = part.label, planned.dataset_of(part.planned)
        duels.append(
            forecast.surveyed(*named, begun.trials, times, begun.prepared, begun.splits, store)
        )
        begun.prepared.let_go()
    tuned = (
        planned.tuning.trials * sum(len(part.begun.asked.contenders) for part in parts)
        if planned.tuning
        else 0
    )
    return Survey(name=planned.name, duels=duels, at_once=workers.at_once, tuning_trials=tuned)


def _shape(trial: Trial) -> str:
    """What the time of a training step depends on."""
    card, experiment = trial.card, trial.experiment
    settings = {
        name: getattr(experiment, name) for name in ("augmentation", "optimizer", "images_a_step")
    }
    of = [
        card.contender,
        typed.plain(card.network),
        card.image_shape,
        card.num_steps,
        card.encoding,
        card.precision,
    ]
    return typed.digest(
        [*of, settings, len(trial.split.train), len(card.classes), experiment.first_steps]
    )


def require_writable(folder: Path) -> None:
    """Raises `InputError` unless a study can be written there, or it holds one."""
    files.require_writable(folder)
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    others = {name for name in names - {DUELS, runs.LOCK} if not name.startswith(".")}
    if others and FILE not in others:
        raise InputError(
            f"{folder}: holds other things than a study. Choose a new folder, or one that a study "
            f"made."
        )


def _slug(name: str) -> str:
    return re.sub(r"[^\w.]+", "-", name)[:MOST_LETTERS].strip("-") or "study"
