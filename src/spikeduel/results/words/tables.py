"""Results as tables of text: rows of cells, and how they are printed."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from spikeduel.results.run import Results, TuningRecord
from spikeduel.results.trials import Robustness, Scores, Trial
from spikeduel.results.words.caveats import assigned
from spikeduel.system.errors import visible

SCORES = {"accuracy": "accuracy", "precision": "precision", "recall": "recall", "f1": "F1"}


def contender_rows(results: Results) -> list[dict[str, str]]:
    """One row a contender, every cell as text; with a column for the twin of each where there are some."""
    partners = {**dict(results.twins), **{other: spiking for spiking, other in results.twins}}
    measures = {name: each for trial in results.trials for name, each in trial.measures.items()}
    rows = []
    for contender in results.contenders:
        every, tested = results.of(contender, tested=False), results.of(contender)
        row = {
            "model": contender,
            "family": every[0].family.upper(),
            "encoding": every[0].encoding or "analogue",
            **({"same weights as": partners.get(contender, "")} if partners else {}),
            **{title: str(score(tested, name) or "failed") for name, title in SCORES.items()},
        }
        seconds = [second for trial in tested for second in trial.epoch_seconds]
        row["s/epoch"] = f"{statistics.median(seconds):.1f}" if seconds else "converted" if tested else "failed"
        row["epochs"] = ", ".join(str(trial.epochs) for trial in every)
        row["parameters"] = f"{every[0].parameters:,}"
        row |= {each.title: str(added(tested, name) or "") for name, each in measures.items()}
        rows.append(row)
    return rows


class Averaged(NamedTuple):
    """A mean as text, and the standard deviation over several values; empty for a single one."""

    mean: str
    spread: str = ""

    def __str__(self) -> str:
        return f"{self.mean} ± {self.spread}" if self.spread else self.mean


def percent(share: float) -> str:
    """A share in per cent, without the sign: "91.23"."""
    return f"{100 * share:.2f}"


def averaged(
    values: Sequence[float], form: Callable[[float], str] = percent, weights: Sequence[int] | None = None
) -> Averaged | None:
    """The mean, weighted if asked for, and the standard deviation, written by `form`; None of no values."""
    if not values:
        return None
    spread = form(statistics.stdev(values)) if len(values) > 1 else ""
    return Averaged(form(statistics.fmean(values, weights)), spread)


def score(tested: Sequence[Trial], name: str) -> Averaged | None:
    """A score in per cent over trials."""
    tests = [trial.test for trial in tested if trial.test]
    # Folds may differ in size, and an accuracy is one of images, as in the verdict.
    weights = [test.n for test in tests] if name == "accuracy" else None
    return averaged([getattr(test, name) for test in tests], weights=weights)


def added(tested: Sequence[Trial], name: str) -> Averaged | None:
    """What a measure from outside the package shows over trials, in its own form; None where it is not known."""
    found = [trial.measures[name] for trial in tested if name in trial.measures]
    return averaged([each.value for each in found if each.value is not None], found[0].form.format) if found else None


def spread_note(trials: Sequence[Trial]) -> str:
    """Over what the ± of `contender_rows` is taken, as a line; empty where there is none."""
    tested = [trial for trial in trials if trial.test]
    numbers = {
        "seeds": len({trial.seed for trial in tested}),
        "folds": len({trial.fold for trial in tested} - {None}),
    }
    over = [f"{number} {name}" for name, number in numbers.items() if number > 1]
    return f"± is the standard deviation over {' and '.join(over)}." if over else ""


def render(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows as a plain-text table."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in rows[0]:
        numeric = all(row[title][:1].isdigit() or not row[title] for row in rows)
        table.add_column(title, justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(visible, row.values()))
    # Jupyter would show the table at once, and again where the text is printed. A class may be called [red] or :smile:.
    console = Console(
        width=200, color_system=None, force_terminal=False, force_jupyter=False, markup=False, emoji=False
    )
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()).strip("\n")


def class_rows(test: Scores) -> list[dict[str, str]]:
    """A per-class report: one row a class, the macro average, and the accuracy."""
    average = ("macro average", test.precision, test.recall, test.f1, test.n)
    classes = [(row.name, row.precision, row.recall, row.f1, row.support) for row in test.per_class]
    rows = [
        {
            "class": name,
            "precision": f"{100 * precision:.2f}",
            "recall": f"{100 * recall:.2f}",
            "f1": f"{100 * f1:.2f}",
            "images": f"{images:,}",
        }
        for name, precision, recall, f1, images in [*classes, average]
    ]
    accuracy = f"{100 * test.accuracy:.2f}"
    return [*rows, {"class": "accuracy", "precision": "", "recall": "", "f1": accuracy, "images": ""}]


def robustness_rows(found: Robustness) -> list[dict[str, str]]:
    """A model's accuracies on corrupted images, in per cent: one row a corruption."""
    rows = []
    for name, accuracies in found.corruptions.items():
        at = accuracies if len(accuracies) > 1 else [None] * 5
        rows.append(
            {
                "corruption": name,
                **{str(k): "" if value is None else f"{100 * value:.2f}" for k, value in enumerate(at, 1)},
                "mean": f"{100 * found.area[name]:.2f}",
                "images": f"{found.images[name]:,}",
            }
        )
    return rows


def tuning_rows(record: TuningRecord) -> list[dict[str, str]]:
    """Every trial of every contender; a star marks the chosen ones."""
    return [
        {
            "contender": each.contender,
            "trial": str(trial.number + 1),
            "validation %": f"{100 * trial.validation.accuracy:.2f}" if trial.validation else "failed",
            "chosen": "*" if trial.number == each.best else "",
            "epochs": str(trial.epochs),
            "seconds": f"{trial.training_seconds:.1f}",
            "settings": assigned(trial.settings),
        }
        for each in record.contenders
        for trial in each.trials
    ]


def expected_best_rows(record: TuningRecord) -> list[dict[str, str]]:
    """The expected best validation accuracy of 1, 2, 4, … and of all trials, ± its standard deviation, in per cent."""
    shown = sorted({2**power for power in range(record.num_trials.bit_length())} | {record.num_trials})
    rows = []
    for each in record.contenders:
        points = {point.trials: point for point in each.expected_best}
        cells = {f"of {n}": f"{100 * points[n].mean:.2f} ± {100 * points[n].standard_deviation:.2f}" for n in shown}
        rows.append({"expected best of so many trials, %": each.contender, **cells})
    return rows


def run_rows(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """`list_runs` as rows of text."""
    return [
        {
            "run": run["run"],
            "created": run["created"].replace("T", " ")[:16],
            "dataset": run["dataset"],
            "encoding": run["encoding"],
            "seeds": str(run["seeds"]),
            "epochs": str(run["epochs"]),
            "accuracy": ", ".join(f"{name} {averaged(values)}" for name, values in run["accuracy"].items()),
            "models": f"{len(run['models'])} in models/",
        }
        for run in runs
    ]
