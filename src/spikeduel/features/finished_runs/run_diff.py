"""Runs side by side: a list of many, and what two have in common."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from spikeduel.experiment.settings import Experiment
from spikeduel.features.finished_runs import run_comparison
from spikeduel.results import accuracy, significance
from spikeduel.results.findings import with_id
from spikeduel.results.run import Results
from spikeduel.results.significance import Difference, Measure
from spikeduel.sentences.columns import averaged, render
from spikeduel.sentences.comparison import load_run, runs_in
from spikeduel.sentences.verdict import difference_line
from spikeduel.statistics import PairedTest
from spikeduel.system.errors import InputError
from spikeduel.system.numbers import as_text
from spikeduel.system.sentences import listed
from spikeduel.system.typed import Frozen

TELLING = (
    *("image_size", "folds", "augmentation", "epochs", "minutes", "encoding"),
    *("num_steps", "seeds", "limit", "recipe", "group_by"),
)
"""Settings that tell most of two runs of one data set, the most telling first."""
_ELSEWHERE = ("dataset", "contenders", "per_contender")
"""Settings that a run shows beside its settings, or under another name."""
MAX_VALUE = 24
"""Characters of a setting in a column; longer ones are shown for two runs."""


class RunSummary(Frozen):
    """A run at a glance: `accuracy` of each seed, by contender, in the `measure` that decides;
    differing `settings`.
    """

    run: str
    created: str
    dataset: str
    accuracy: dict[str, list[float]]
    measure: Measure
    models: list[str]
    settings: dict[str, Any]


def list_runs(folder: Path, say: Callable[[str], object] = lambda text: None) -> list[RunSummary]:
    """Return the runs in `folder`, newest first; `say` hears of unreadable ones."""
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
        RunSummary(
            run=str(run),
            created=results.created,
            dataset=results.dataset.name,
            accuracy={
                name: list(accuracy.of_seeds(results.of(name), results.measure).values())
                for name in results.contenders
            },
            measure=results.measure,
            models=[str(run / trial.model) for trial in results.trials if trial.model],
            settings={name: values[name] for name in names},
        )
        for (run, results), values in zip(runs, settings, strict=True)
    ]


def settings_of(results: Results) -> dict[str, Any]:
    """Return a run's settings, decided ones included, the most telling first, with
    `own_settings` of contenders.
    """
    experiment, shape = results.experiment, results.dataset.image_shape
    names = [field.name for field in dataclasses.fields(Experiment)]
    values = {name: getattr(experiment, name) for name in names if name not in _ELSEWHERE} | {
        "dataset": results.dataset.name,
        "image_size": max(shape[1:]) if shape else experiment.image_size,
        "minutes": results.budget.minutes if results.budget else experiment.minutes,
        "own_settings": experiment.own_settings or None,
    }
    return {name: values[name] for name in dict.fromkeys(("dataset", *TELLING, *values))}


def differing(settings: Sequence[dict[str, Any]]) -> list[str]:
    """Return the names of settings that differ."""
    first = settings[0] if settings else {}
    return [name for name in first if any(values[name] != first[name] for values in settings)]


class RunsCompared(Frozen):
    """Runs `a` and `b`: differing settings as (of a, of b), tests (a − b) of common contenders, and
    why others were not tested.

    `times_compare`: both were timed on the same machine, idle enough.
    """

    a: str
    b: str
    settings: dict[str, tuple[Any, Any]]
    differences: dict[str, Difference]
    why_not: dict[str, str]
    times_compare: bool


def compare(a: Path, b: Path) -> RunsCompared:
    """Compare two runs: common contenders on common test images, with p-values after Holm. Raises
    `InputError`.
    """
    both = (load_run(a).results, load_run(b).results)
    first, second = map(settings_of, both)
    tests: dict[str, PairedTest] = {}
    why_not: dict[str, str] = {}
    for name in [name for name in both[0].contenders if name in both[1].contenders]:
        try:
            tests[name] = run_comparison.tested_runs(a, name, name, b)
        except InputError as error:
            why_not[name] = str(error)
    machines = [
        {name: (results.environment or {}).get(name) for name in ("cpu", "threads", "device")}
        for results in both
    ]
    busy = any(with_id(results.comparison.caveats, "busy_machine") for results in both)
    return RunsCompared(
        a=str(a),
        b=str(b),
        settings={name: (first[name], second[name]) for name in differing([first, second])},
        differences=dict(zip(tests, significance.adjusted(list(tests.values())), strict=True)),
        why_not=why_not,
        times_compare=machines[0] == machines[1] and any(machines[0].values()) and not busy,
    )


def table(runs: Sequence[RunSummary], width: int = 100) -> tuple[str, str]:
    """Return the runs as text, with the differing settings that fit into `width`; and a sentence on
    the others.
    """
    columns: list[str] = []
    for name in runs[0].settings:
        is_short = all(len(as_text(run.settings[name])) <= MAX_VALUE for run in runs)
        tried = render(_rows(runs, [*columns, name]))
        if is_short and max(map(len, tried.splitlines())) <= width:
            columns.append(name)
    others = listed([title(name) for name in runs[0].settings if name not in columns])
    note = f"They also differ in {others}: spikeduel runs RUN OTHER compares two." if others else ""
    return render(_rows(runs, columns)), note


def _rows(runs: Sequence[RunSummary], settings: Sequence[str]) -> list[dict[str, str]]:
    """Return a row for each contender; the first of a run has its path, date and `settings`."""
    rows, above = [], os.path.commonpath([Path(run.run).parent for run in runs])
    for run in runs:
        path = Path(run.run).relative_to(above).as_posix()
        values = {title(name): as_text(run.settings[name]) for name in settings}
        about = {"run": path, "date": run.created[:10], **values}
        for number, name in enumerate(run.accuracy):
            row = dict.fromkeys(about, "") if number else about
            rows.append({**row, "contender": name, "accuracy, %": _got(run, name)})
    return rows


def _got(run: RunSummary, contender: str) -> str:
    balanced = " (balanced)" if run.measure == "balanced_accuracy" else ""
    return f"{got}{balanced}" if (got := averaged(run.accuracy[contender])) else "failed"


def title(setting: str) -> str:
    return setting.replace("_", " ")


def setting_rows(compared: RunsCompared) -> list[dict[str, str]]:
    return [
        {"setting": title(name), "A": as_text(a), "B": as_text(b)}
        for name, (a, b) in compared.settings.items()
    ]


def sentences(compared: RunsCompared) -> list[str]:
    texts = [
        f"{name}: both runs have the same trained networks."
        if difference.paired and not difference.difference
        else difference_line(difference, f"{name} of A", f"{name} of B")
        for name, difference in compared.differences.items()
    ]
    if len(texts) > 1:
        texts.append(f"p-values are adjusted for {len(texts)} contenders (Holm).")
    texts += [f"Not tested: {reason}" for reason in dict.fromkeys(compared.why_not.values())]
    if not texts:
        texts.append(
            f"They have no contender in common: spikeduel test {compared.a} --a NAME --against "
            f"{compared.b} --b NAME compares two of your choice."
        )
    if not compared.times_compare:
        texts.append(
            "Times do not compare: they were taken on different machines, or on a busy one."
        )
    return texts
