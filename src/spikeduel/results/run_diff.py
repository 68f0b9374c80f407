"""Runs side by side: settings in which they differ, and what two of them say of the same test
images.
"""

import dataclasses
from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs

from spikeduel.results import accuracy, predictions, significance, uncertainty
from spikeduel.results.columns import (
    Column,
    averaged,
    percent,
    render,
    text_rows,
)
from spikeduel.results.comparison import DUELS, load_run, runs_in
from spikeduel.results.costs import Range
from spikeduel.results.findings import with_id
from spikeduel.results.predictions import PredictionsFile
from spikeduel.results.run import Results
from spikeduel.results.significance import Difference
from spikeduel.results.words.costs import range_in_words
from spikeduel.results.words.numbers import as_text, duration
from spikeduel.results.words.verdict import difference_line
from spikeduel.settings import Experiment
from spikeduel.system.errors import InputError
from spikeduel.system.sentences import listed
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
"""Settings that tell most of two runs of one data set, the most telling first; all others
follow.
"""
_ELSEWHERE = ("dataset", "contenders", "per_contender")
"""Settings that a run shows beside its settings, or under another name."""
_OF_MACHINE = ("cpu", "threads", "device", "gpu", "torch")
LONGEST_VALUE = 24
"""Characters of a setting in a column; longer ones are shown with --json, or for two runs."""


class RunSummary(Frozen):
    """A run at a glance: `accuracy` and `images` (test images) of each trial, by contender.

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

    def mean_accuracy(self, contender: str) -> str:
        """Return a contender's accuracy in per cent, ± over its trainings."""
        accuracies, images = self.accuracy.get(contender, []), self.images.get(contender, [])
        mean = float(np.average(accuracies, weights=images)) if accuracies else None
        return str(averaged(accuracies, mean=mean) or "failed")


def list_runs(folder: Path, say: Callable[[str], object] = lambda text: None) -> list[RunSummary]:
    """Return the runs in `folder`, newest first. `say` hears of those that cannot be read."""
    runs: list[tuple[Path, Results]] = []
    for run in runs_in(Path(folder)):
        try:
            runs.append((run, load_run(run).results))
        except InputError as error:
            say(f"left out: {error}")
    runs.sort(key=lambda run: run[1].created, reverse=True)
    settings = [settings_of(results) for _, results in runs]
    names = differing(settings)
    return [
        _summary(run, results, {name: values[name] for name in names})
        for (run, results), values in zip(runs, settings, strict=True)
    ]


def _summary(run: Path, results: Results, settings: dict[str, Any]) -> RunSummary:
    tests = {
        name: [trial.test for trial in results.of(name) if trial.test]
        for name in results.contenders
    }
    return RunSummary(
        run=str(run),
        created=results.created,
        dataset=results.dataset.name,
        encoding=results.experiment.encoding,
        seeds=results.experiment.seeds,
        epochs=max(trial.epochs for trial in results.trials),
        contenders=results.contenders,
        accuracy={
            name: [test.accuracy for test in known] for name, known in tests.items() if known
        },
        images={name: [test.n for test in known] for name, known in tests.items() if known},
        models=[str(run / trial.model) for trial in results.trials if trial.model],
        settings=settings,
    )


def settings_of(results: Results) -> dict[str, Any]:
    """Return the settings of a run as set and minutes decided them, the most telling first, with
    `tuned` (trials of each contender) and the contenders' `own_settings`.
    """
    experiment, shape = results.experiment, results.dataset.image_shape
    known: dict[str, Any] = {"dataset": results.dataset.name} | {
        setting.name: getattr(experiment, setting.name)
        for setting in dataclasses.fields(Experiment)
        if setting.name not in _ELSEWHERE
    }
    known |= {
        "image_size": max(shape[1:]) if shape else experiment.image_size,
        "minutes": results.budget.minutes if results.budget else experiment.minutes,
        "tuned": results.tuning.num_trials if results.tuning else None,
        "own_settings": experiment.own_settings or None,
    }
    return {name: known[name] for name in dict.fromkeys(("dataset", *TELLING, *known))}


def differing(settings: Sequence[dict[str, Any]]) -> list[str]:
    """Return the names of settings that are not the same in all of `settings`."""
    first = settings[0] if settings else {}
    return [name for name in first if any(values[name] != first[name] for values in settings)]


def named(name: str, folder: Path) -> Path:
    """Return the run's folder that `name` means: its path, or the beginning of the name of one in
    `folder`. Raises `InputError`.
    """
    if (Path(name) / "results.json").is_file():
        return Path(name)
    known = runs_in(folder)
    matching = [run for run in known if run.name == name] or [
        run for run in known if run.name.startswith(name)
    ]
    if len(matching) == 1:
        return matching[0]
    if matching:
        names = ", ".join(run.name for run in matching)
        raise InputError(f"{name}: {len(matching)} runs are called so ({names}). Say more.")
    raise InputError(
        f"{name}: no run here, nor one in {folder} whose name begins so. `spikeduel runs` lists "
        f"them."
    )


# ---- two runs


class ContenderInRun(Frozen):
    """A contender's numbers in one run: the mean accuracy over `seeds` with its 95 % interval (over
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
    """A contender in two runs; `difference` is a − b, or `why_not` says why it was not tested."""

    contender: str
    a: ContenderInRun | None
    b: ContenderInRun | None
    difference: Difference | None = None
    why_not: str | None = None


class RunsCompared(Frozen):
    """Runs `a` and `b`: the settings in which they differ, as (of a, of b), and the contenders of
    either.

    `why_not`: why no contender of one can be tested against one of the other, None where they have
    the same test images. `times_compare`: both were timed on the same machine, idle enough.
    """

    a: str
    b: str
    created: tuple[str, str]
    settings: dict[str, tuple[Any, Any]]
    contenders: list[ContenderCompared]
    why_not: str | None
    times_compare: bool


def compare(a: Path, b: Path) -> RunsCompared:
    """Compare two runs. Contenders that both have are tested on the test images that both have,
    their p-values adjusted for their number (Holm). Raises `InputError` where one is no run.
    """
    results = (load_run(a).results, load_run(b).results)
    settings = [settings_of(of_run) for of_run in results]
    why_not, files = _predictions((a, b))
    names = dict.fromkeys(name for of_run in results for name in of_run.contenders)
    contenders = [
        ContenderCompared(
            contender=name,
            a=_in_run(results[0], files[0], name),
            b=_in_run(results[1], files[1], name),
            why_not=why_not,
        )
        for name in names
    ]
    return RunsCompared(
        a=str(a),
        b=str(b),
        created=(results[0].created, results[1].created),
        settings={name: (settings[0][name], settings[1][name]) for name in differing(settings)},
        contenders=contenders if why_not else _tested(contenders, a, b),
        why_not=why_not,
        times_compare=_timed_alike(results),
    )


def _predictions(runs: tuple[Path, Path]) -> tuple[str | None, list[PredictionsFile | None]]:
    """Return why the answers of two runs cannot be compared, if so, and the answers of each run."""
    files: list[PredictionsFile | None] = []
    reasons: list[str] = []
    for run in runs:
        try:
            files.append(predictions.read(run))
        except InputError as error:
            files.append(None)
            reasons.append(str(error))
    first, second = files
    if first and second and (reason := predictions.why_apart(first, second)):
        reasons.append(f"the two runs {reason}.")
    return reasons[0] if reasons else None, files


def _in_run(
    results: Results, file: PredictionsFile | None, contender: str
) -> ContenderInRun | None:
    trials = results.of(contender)
    share = accuracy.mean_accuracy(trials)
    if share is None:
        return None
    values = {lead.quantity: lead.values.get(contender) for lead in results.answer.leads}
    return ContenderInRun(
        accuracy=share,
        interval=_interval(file, contender) if file else None,
        seeds=len({trial.seed for trial in trials}),
        training=values.get("training"),
        answer=values.get("answer"),
        energy=values.get("energy"),
    )


def _interval(file: PredictionsFile, contender: str) -> tuple[float, float] | None:
    predicted = [answers.predicted for answers in file.trials if answers.contender == contender]
    if not predicted:
        return None
    right, cluster = np.array(predicted) == np.array(file.labels), None
    if file.groups is not None and len(set(file.groups)) < len(file.groups):
        cluster = np.unique(file.groups, return_inverse=True)[1]
    # An accuracy is its difference to a contender that is never right.
    low, high = uncertainty.of_difference(right, np.zeros_like(right), cluster).interval(0.95)
    return max(0.0, low), high


def _tested(
    contenders: Sequence[ContenderCompared], run_a: Path, run_b: Path
) -> list[ContenderCompared]:
    """Return `contenders` with the tests of those in both runs, adjusted for one another."""
    differences: dict[str, Difference] = {}
    why_not: dict[str, str] = {}
    for name in [compared.contender for compared in contenders if compared.a and compared.b]:
        try:
            differences[name] = predictions.compare_runs(run_a, name, name, run_b)
        except InputError as error:
            why_not[name] = str(error)
    adjusted = significance.adjusted(list(differences.values()))
    by_name = dict(zip(differences, adjusted, strict=True))
    return [
        structs.replace(
            compared,
            difference=by_name.get(compared.contender),
            why_not=why_not.get(compared.contender),
        )
        for compared in contenders
    ]


def _timed_alike(both: tuple[Results, Results]) -> bool:
    machines = [
        {name: (results.environment or {}).get(name) for name in _OF_MACHINE} for results in both
    ]
    busy = any(with_id(results.comparison.caveats, "busy_machine") for results in both)
    return machines[0] == machines[1] and any(machines[0].values()) and not busy


# ---- as text


def table(runs: Sequence[RunSummary], width: int = 100) -> tuple[str, str]:
    """Return the runs as text, a line for each contender, with as many of the differing settings as
    fit into `width`; and a sentence on the other settings, "" where there are none.
    """
    names = list(runs[0].settings)
    shown: list[str] = []
    for name in names:
        tried = render(_rows(runs, [*shown, name]))
        is_short = all(len(as_text(run.settings[name])) <= LONGEST_VALUE for run in runs)
        if is_short and max(map(len, tried.splitlines())) <= width:
            shown.append(name)
    others = listed([title(name) for name in names if name not in shown])
    note = f"They also differ in {others}: spikeduel runs RUN OTHER compares two." if others else ""
    return render(_rows(runs, shown)), note


def _rows(runs: Sequence[RunSummary], settings: Sequence[str]) -> list[dict[str, str]]:
    rows = []
    for run in runs:
        values = {title(name): as_text(run.settings[name]) for name in settings}
        path = Path(run.run)
        place = f", in {path.parent.parent.name}/{DUELS}" if path.parent.name == DUELS else ""
        beginnings = [path.name, f"  {moment(run.created)}{place}"]
        for number, (beginning, name) in enumerate(zip_longest(beginnings, run.contenders)):
            row = {"run": beginning or "", **(dict.fromkeys(values, "") if number else values)}
            accuracy_text = run.mean_accuracy(name) if name else ""
            rows.append({**row, "contender": name or "", "accuracy, %": accuracy_text})
    return rows


def moment(created: str) -> str:
    """Return a moment to the minute."""
    return created.replace("T", " ")[:16]


def title(setting: str) -> str:
    """Return a setting's name in words."""
    return setting.replace("_", " ")


def setting_rows(compared: RunsCompared) -> list[dict[str, str]]:
    """Return the settings in which two runs differ."""
    return [
        {"setting": title(name), "A": as_text(a), "B": as_text(b)}
        for name, (a, b) in compared.settings.items()
    ]


_NUMBERS: list[Column[ContenderInRun]] = [
    Column("accuracy, %", lambda numbers: numbers.accuracy, percent),
    Column(
        "95 % interval",
        lambda numbers: numbers.interval,
        lambda interval: f"{percent(interval[0])} to {percent(interval[1])}",
    ),
    Column("seeds", lambda numbers: numbers.seeds),
    Column("training", lambda numbers: numbers.training, lambda seconds: duration(seconds.low)),
    Column("answer", lambda numbers: numbers.answer, lambda time: f"{1000 * time.low:.3g} ms"),
    Column("energy", lambda numbers: numbers.energy, range_in_words),
]


def contender_rows(compared: RunsCompared) -> list[dict[str, str]]:
    """Return the numbers of each contender in each run that has it."""
    return [
        {"contender": contender.contender, "run": side, **text_rows(_NUMBERS, [numbers])[0]}
        for contender in compared.contenders
        for side, numbers in (("A", contender.a), ("B", contender.b))
        if numbers
    ]


def sentences(compared: RunsCompared) -> list[str]:
    """Return what may be concluded of two runs: a sentence for each contender that both have, and
    what to know of their times.
    """
    texts = [
        _difference(contender.contender, contender.difference)
        for contender in compared.contenders
        if contender.difference
    ]
    if len(texts) > 1:
        texts.append(f"p-values are adjusted for {len(texts)} contenders (Holm).")
    if compared.why_not:
        texts.append(f"Accuracies are not tested against each other: {compared.why_not}")
    elif not any(contender.a and contender.b for contender in compared.contenders):
        texts.append(
            f"They have the same test images and no contender in common: spikeduel test "
            f"{compared.a} --a NAME --against {compared.b} --b NAME compares two of your choice."
        )
    texts += [
        f"{contender.contender}: {contender.why_not}"
        for contender in compared.contenders
        if contender.why_not != compared.why_not
    ]
    if any(
        numbers and numbers.energy
        for contender in compared.contenders
        for numbers in (contender.a, contender.b)
    ):
        texts.append("Energies are estimates, of one answer, with neurons and memory on the chip.")
    if not compared.times_compare:
        texts.append(
            "Times do not compare: they were taken on different machines, or on a busy one."
        )
    return texts


def _difference(name: str, difference: Difference) -> str:
    if difference.paired and not difference.difference:
        return f"{name}: both runs have the same trained networks."
    return difference_line(difference, f"{name} of A", f"{name} of B")
