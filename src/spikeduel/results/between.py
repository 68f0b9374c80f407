"""Runs side by side: what sets the settings of several apart, and what two of them say of the same
test images.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs

from spikeduel.results import predictions, significance, uncertainty
from spikeduel.results.comparison import load_run, runs_in
from spikeduel.results.costs import Range
from spikeduel.results.findings import with_id
from spikeduel.results.predictions import PredictionsFile
from spikeduel.results.run import Results
from spikeduel.results.significance import Difference
from spikeduel.settings import Experiment
from spikeduel.system.errors import InputError
from spikeduel.system.typed import Frozen, Share

TELLING = (
    "image_size",
    "folds",
    "tuned",
    "augmentation",
    "epochs",
    "minutes",
    "encoding",
    "num_steps",
    "seeds",
    "limit",
    "recipe",
    "split",
    "group_by",
)
"""The settings that tell most of two runs of one data set, the most telling first; all others come
after them.
"""
_ELSEWHERE = ("dataset", "contenders", "per_contender")
"""What is told of a run beside its settings, or under another name."""
_OF_MACHINE = ("cpu", "threads", "device", "gpu", "torch")


class RunSummary(Frozen):
    """A run at a glance: `accuracy` and `images` (how many it was tested on) of each trial, by
    contender.

    `settings` are those that are not the same in all runs of the list.
    """

    run: str
    created: str
    dataset: str
    encoding: str
    seeds: int
    epochs: int
    contenders: list[str]
    accuracy: dict[str, list[float]]
    images: dict[str, list[int]]
    models: list[str]
    settings: dict[str, Any]


def list_runs(folder: Path, say: Callable[[str], object] = lambda text: None) -> list[RunSummary]:
    """The runs in `folder`, newest first. `say` hears of those that cannot be read."""
    found: list[tuple[Path, Results]] = []
    for run in runs_in(Path(folder)):
        try:
            found.append((run, load_run(run).results))
        except InputError as error:
            say(f"left out: {error}")
    found.sort(key=lambda each: each[1].created, reverse=True)
    settings = [settings_of(results) for _, results in found]
    apart = differing(settings)
    return [
        _summary(run, results, {name: its[name] for name in apart})
        for (run, results), its in zip(found, settings, strict=True)
    ]


def _summary(run: Path, results: Results, settings: dict[str, Any]) -> RunSummary:
    tests = {
        name: [trial.test for trial in results.of(name) if trial.test]
        for name in results.contenders
    }
    tests = {name: of_one for name, of_one in tests.items() if of_one}
    return RunSummary(
        run=str(run),
        created=results.created,
        dataset=results.dataset.name,
        encoding=results.experiment.encoding,
        seeds=results.experiment.seeds,
        epochs=max(trial.epochs for trial in results.trials),
        contenders=results.contenders,
        accuracy={name: [test.accuracy for test in of_one] for name, of_one in tests.items()},
        images={name: [test.n for test in of_one] for name, of_one in tests.items()},
        models=[str(run / trial.model) for trial in results.trials if trial.model],
        settings=settings,
    )


def settings_of(results: Results) -> dict[str, Any]:
    """What a run was made with, the most telling first: its settings as set and minutes decided
    them, `tuned` (trials of each contender), and the contenders' `own_settings`.
    """
    experiment, shape = results.experiment, results.dataset.image_shape
    known: dict[str, Any] = {"dataset": results.dataset.name} | {
        each.name: getattr(experiment, each.name)
        for each in dataclasses.fields(Experiment)
        if each.name not in _ELSEWHERE
    }
    known |= {
        "image_size": max(shape[1:]) if shape else experiment.image_size,
        "minutes": results.budget.minutes if results.budget else experiment.minutes,
        "tuned": results.tuning.num_trials if results.tuning else None,
        "own_settings": experiment.own_settings or None,
    }
    return {name: known[name] for name in dict.fromkeys(("dataset", *TELLING, *known))}


def differing(settings: Sequence[dict[str, Any]]) -> list[str]:
    """The names of what is not the same in all of `settings`."""
    return [
        name
        for name in (settings[0] if settings else ())
        if any(s[name] != settings[0][name] for s in settings)
    ]


def named(name: str, folder: Path) -> Path:
    """The run's folder that `name` means: its path, or how the name of one in `folder` begins.
    Raises `InputError`.
    """
    if (Path(name) / "results.json").is_file():
        return Path(name)
    known = runs_in(folder)
    found = [run for run in known if run.name == name] or [
        run for run in known if run.name.startswith(name)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"{name}: {len(found)} runs are called so ({', '.join(run.name for run in found)}). "
            f"Say more."
        )
    raise InputError(
        f"{name}: no run here, nor one in {folder} whose name begins so. `spikeduel runs` lists "
        f"them."
    )


class Reached(Frozen):
    """What a contender got in one run: the mean accuracy over `seeds` with its 95 % interval (over
    other test images and, from two seeds on, other seeds; None where the run has no predictions);
    seconds of a training and of an answer, joules an answer, None where they were not measured.
    """

    accuracy: Share
    interval: tuple[float, float] | None
    seeds: int
    training: Range | None = None
    answer: Range | None = None
    energy: Range | None = None


class ContenderCompared(Frozen):
    """One contender in two runs; `difference` is a − b, or `why_not` says why the two are not
    tested.
    """

    contender: str
    a: Reached | None
    b: Reached | None
    difference: Difference | None = None
    why_not: str | None = None


class RunsCompared(Frozen):
    """Runs `a` and `b`: the settings in which they differ, as (of a, of b), and each contender of
    either.

    `why_not`: why no contender of one can be tested against one of the other, None where they have
    the same test images. `times_compare`: whether both were timed on the same machine, idle enough.
    """

    a: str
    b: str
    created: tuple[str, str]
    settings: dict[str, tuple[Any, Any]]
    contenders: list[ContenderCompared]
    why_not: str | None
    times_compare: bool


def compare(a: Path, b: Path) -> RunsCompared:
    """Two runs side by side. Contenders that both have are tested on the test images that both
    have, their p-values adjusted for how many there are (Holm). Raises `InputError` where one is no
    run.
    """
    runs, both = (a, b), (load_run(a).results, load_run(b).results)
    settings = [settings_of(results) for results in both]
    why_not, answers = _answers(runs)
    names = list(dict.fromkeys(name for results in both for name in results.contenders))
    reached = [
        [_reached(*of_run, name) for of_run in zip(both, answers, strict=True)] for name in names
    ]
    compared = [
        ContenderCompared(contender=name, a=of_a, b=of_b, why_not=why_not)
        for name, (of_a, of_b) in zip(names, reached, strict=True)
    ]
    if why_not is None:
        compared = _tested(compared, runs)
    return RunsCompared(
        a=str(a),
        b=str(b),
        created=(both[0].created, both[1].created),
        settings={name: (settings[0][name], settings[1][name]) for name in differing(settings)},
        contenders=compared,
        why_not=why_not,
        times_compare=_timed_alike(both),
    )


def _answers(runs: tuple[Path, Path]) -> tuple[str | None, list[PredictionsFile | None]]:
    """Why the answers of two runs cannot be compared, if they cannot; and those of each, None where
    it has none.
    """
    found: list[PredictionsFile | None] = []
    why_not: list[str] = []
    for run in runs:
        try:
            found.append(predictions.read(run))
        except InputError as error:
            found.append(None)
            why_not.append(str(error))
    first, second = found
    if first and second and (reason := predictions.why_apart(first, second)):
        why_not.append(f"the two runs {reason}.")
    return why_not[0] if why_not else None, found


def _reached(results: Results, file: PredictionsFile | None, contender: str) -> Reached | None:
    leads = {lead.quantity: lead.values.get(contender) for lead in results.answer.leads}
    if (accuracy := leads["accuracy"]) is None:
        return None
    return Reached(
        accuracy=accuracy.low,
        interval=_interval(file, contender) if file else None,
        seeds=len({trial.seed for trial in results.of(contender)}),
        **{name: leads[name] for name in ("training", "answer", "energy")},
    )


def _interval(file: PredictionsFile, contender: str) -> tuple[float, float] | None:
    rows = [each.predicted for each in file.trials if each.contender == contender]
    if not rows:
        return None
    right, cluster = np.array(rows) == np.array(file.labels), None
    if file.groups is not None and len(set(file.groups)) < len(file.groups):
        cluster = np.unique(file.groups, return_inverse=True)[1]
    # An accuracy is what it is ahead of one that is never right.
    low, high = uncertainty.of_difference(right, np.zeros_like(right), cluster).interval(0.95)
    return max(0.0, low), high


def _tested(
    compared: Sequence[ContenderCompared], runs: tuple[Path, Path]
) -> list[ContenderCompared]:
    """Those in both runs tested, their p-values adjusted for each other."""

    def outcomes() -> Iterator[tuple[str, Difference | str]]:
        for each in compared:
            if each.a and each.b:
                try:
                    yield (
                        each.contender,
                        predictions.compare_runs(runs[0], each.contender, each.contender, runs[1]),
                    )
                except InputError as error:
                    yield each.contender, str(error)

    found = dict(outcomes())
    tested = {name: outcome for name, outcome in found.items() if isinstance(outcome, Difference)}
    adjusted = dict(zip(tested, significance.adjusted(list(tested.values())), strict=True))
    return [
        structs.replace(
            each,
            difference=adjusted.get(each.contender),
            why_not=why if isinstance(why := found.get(each.contender), str) else None,
        )
        for each in compared
    ]


def _timed_alike(both: tuple[Results, Results]) -> bool:
    machines = [
        {name: (results.environment or {}).get(name) for name in _OF_MACHINE} for results in both
    ]
    busy = any(with_id(results.comparison.caveats, "busy_machine") for results in both)
    return machines[0] == machines[1] and any(machines[0].values()) and not busy
