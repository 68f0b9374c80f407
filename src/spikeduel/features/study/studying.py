"""A whole study: prepare every duel, train, conclude each duel, then the study."""

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import spikeduel as sd
from spikeduel.comparing import conclude, prepare
from spikeduel.data import Prepared
from spikeduel.experiment import effects
from spikeduel.experiment.fields import as_text
from spikeduel.features.study import study_plan
from spikeduel.features.study.study_files import Study, Tuned
from spikeduel.features.study.study_page import report_study
from spikeduel.features.study.study_plan import PreparedDuel, StudyPlan, plan_of
from spikeduel.features.study.study_results import (
    FILE,
    Duel,
    StudyResults,
    conclude as conclude_study,
)
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError, naming
from spikeduel.system.negligible import MAX_MARGIN
from spikeduel.system.progress import Forwarding, Labelled, Progress
from spikeduel.training import contenders, run_folder
from spikeduel.training.jobs import Workers
from spikeduel.training.store import Place, Store, opened

SHARED = 0.01
"""Share of the smaller data set's images in another one from which both are related."""
RUNS = "duels"
"""Folder of the runs in the study's folder."""
MAX_LETTERS = 60
"""Longest name of a folder."""


class Once(Forwarding):
    """Forward to `inner`, but no line twice."""

    def __init__(self, inner: Progress) -> None:
        super().__init__(inner)
        self._reported: set[str] = set()

    def say(self, text: str) -> None:
        if text not in self._reported:
            self._reported.add(text)
            super().say(text)


def study(
    planned: Study,
    out: Path | str | None = None,
    store: Place = None,
    progress: Progress | None = None,
    workers: Workers | None = None,
    strict: bool = False,
) -> tuple[StudyResults, Path]:
    """Run all comparisons of a study; write a folder for each, study.html and study.json.

    All are checked before training. The same call continues after an interruption.

    Parameters
    ----------
    planned : Study
        Study, as `read_study` returns it.
    out : Path or str, optional
        Folder to write. Default: `runs/study-<name>`.
    store : Store, Path or str, optional
        Where trained networks are kept.
    progress : Progress, optional
        Where to show progress.
    workers : Workers, optional
        Who trains all trials. Default: this process.
    strict : bool
        As in `compare`.

    Returns
    -------
    results : StudyResults
        Content of study.json.
    page : Path
        study.html.

    Raises
    ------
    InputError
        For a setting that cannot be used.
    AuditFailed
        If an audit finds a problem, with `strict`.

    Examples
    --------
    >>> import spikeduel as sd
    >>> results, page = sd.study(sd.read_study("study.toml"))  # doctest: +SKIP
    """
    progress, workers, store = progress or Progress(), workers or Workers(), opened(store)
    folder = Path(out) if out else Path("runs") / f"study-{_slug(planned.name)}"
    run_folder.require_own(folder, FILE, {RUNS}, "study")
    duels = prepare_all(planned, folder, store, progress, workers, strict)
    outlook = plan_of(replace(planned, tuning=None), duels, workers)  # tuning is done
    for text in study_plan.sentences(outlook):
        progress.say(text)
    duels = [
        replace(duel, progress=progress.of_run(duel.ready.folder, duel.label)) for duel in duels
    ]
    titles = [
        f"{duel.label}: {trial.title}"
        for duel, trial in outlook.trials.values()
        if not trial.stored
    ]
    jobs = [job for duel in duels for job in duel.ready.jobs(duel.progress)]
    with progress.trials(titles):
        records = {record.key: record for record in workers.run(jobs, store)}
    finished = []
    for duel in progress.track(duels, "measuring, and writing reports", len(duels)):
        trained = [records[trial.key] for trial in duel.ready.plan.trials]
        run = conclude(duel.ready, trained, store, duel.progress, duel.tuned, workers)
        duel.ready.prepared.release()
        duel.progress.ends(run, store)
        values = {
            name: as_text(value) for name, value in duel.planned.values.items() if name != "dataset"
        }
        run_path = run.out.relative_to(folder).as_posix()
        dataset, family = planned.dataset_of(duel.planned), duel.planned.family
        finished.append(Duel(run_path, dataset, values, run.results, family))
    verdict = conclude_study(planned.name, finished, MAX_MARGIN)
    waiting = f"another process is writing {folder}; waiting"
    with files.locked(folder / run_folder.LOCK, lambda: progress.say(waiting)):
        typed.write_json(folder / FILE, verdict)
        return verdict, report_study(verdict, folder)


def plan(
    planned: Study,
    store: Place = None,
    progress: Progress | None = None,
    workers: Workers | None = None,
    strict: bool = False,
) -> StudyPlan:
    """Return a study's trials and times: trains nothing, but loads data and times training steps.
    Raises as `study`.
    """
    progress, workers, store = progress or Progress(), workers or Workers(), opened(store)
    duels = prepare_all(replace(planned, tuning=None), Path(), store, progress, workers, strict)
    return plan_of(planned, duels, workers)


def prepare_all(
    planned: Study,
    out: Path,
    store: Store,
    progress: Progress,
    workers: Workers,
    strict: bool = False,
) -> list[PreparedDuel]:
    """Check names, load and audit data, and tune if asked, for every duel.

    Runs go below `out`; duels on the same images share them in memory. Raises as `study`, naming
    the duel.
    """
    for duel in planned.duels:
        with naming(planned.label(duel)):
            contenders.check(duel.experiment)
    data_of: dict[str, Prepared] = {}
    progress_of: dict[str, Once] = {}
    timed: dict[str, float] = {}
    duels = []
    for planned_duel in progress.track(planned.duels, "looking at the data", len(planned.duels)):
        label, dataset = planned.label(planned_duel), planned.dataset_of(planned_duel)
        digest = typed.digest(typed.plain(planned_duel.experiment))[:8]
        # The label changes when the study grows; an earlier run's folder stays.
        folder = next((out / RUNS).glob(f"*-{digest}"), out / RUNS / f"{_slug(label)}-{digest}")
        with naming(label):
            shown_once = progress_of.setdefault(dataset, Once(Labelled(progress, dataset)))
            # A setting of all duels need not concern each of them.
            tolerated = effects.chosen(planned_duel.experiment) - set(planned.varied)
            ready = prepare(
                planned_duel.experiment,
                folder,
                store,
                shown_once,
                strict=strict,
                timed=timed,
                tolerated=tolerated,
                replace_run=True,
            )
        prepared = ready.prepared
        images = typed.digest([prepared.fingerprint, prepared.preprocessing.described()])
        ready = replace(ready, prepared=data_of.setdefault(images, prepared))
        ready.prepared.release()
        duels.append(PreparedDuel(label, planned_duel, ready, None, Labelled(progress, label)))
    _require_unrelated(duels)
    effects.refuse(_common(duel.ready.plan.idle for duel in duels))
    if planned.tuning is None:
        return duels
    tuned = progress.track(duels, "tuning", len(duels))
    return [_tuned(duel, planned.tuning, store, workers, strict, timed) for duel in tuned]


def _common(reasons: Iterable[effects.Reasons]) -> dict[str, str]:
    """Return the settings without effect in every duel, with the reasons of the first."""
    first, *others = reasons
    return {name: why for name, why in first.items() if all(name in other for other in others)}


def _require_unrelated(duels: Sequence[PreparedDuel]) -> None:
    """Raise `InputError` if two data sets share images and are not of one family."""
    duel_of = {str(duel.planned.values.get("dataset")): duel for duel in duels}
    content = {
        dataset: np.unique(duel.ready.prepared.content_of(np.arange(len(duel.ready.prepared))))
        for dataset, duel in duel_of.items()
    }
    for first, second in itertools.combinations(content, 2):
        shared = np.intersect1d(content[first], content[second]).size
        smaller = min(content[first].size, content[second].size)
        family = duel_of[first].planned.family
        is_family = family is not None and family == duel_of[second].planned.family
        if shared >= SHARED * smaller and not is_family:
            raise InputError(
                f"{first} and {second} share {shared:,} images, and related data sets count once. "
                f"Take one out of [grid] dataset, or name both as a family in the study's file: "
                f'[families] {_slug(first)} = ["{first}", "{second}"].'
            )


def _tuned(
    duel: PreparedDuel,
    tuning: Tuned,
    store: Store,
    workers: Workers,
    strict: bool,
    timed: dict[str, float],
) -> PreparedDuel:
    with naming(duel.label):
        ranges = sd.read_ranges(Path(tuning.ranges)) if tuning.ranges else None
        experiment, progress = duel.ready.plan.asked, duel.progress
        tuned = sd.tune(experiment, tuning.trials, ranges, store, progress, workers)
        ready = prepare(
            tuned.experiment,
            duel.ready.folder,
            store,
            Progress(),
            strict=strict,
            timed=timed,
            replace_run=True,
        )
    return replace(duel, ready=replace(ready, prepared=duel.ready.prepared), tuned=tuned)


def _slug(name: str) -> str:
    return re.sub(r"[^\w.]+", "-", name)[:MAX_LETTERS].strip("-") or "study"
