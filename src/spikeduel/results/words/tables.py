"""Results as tables of text: rows of cells, and how they are printed."""

import statistics
from collections.abc import Sequence
from typing import Any

from spikeduel.results.words.verdict import twins
from spikeduel.system.visible import visible


def table_rows(trials: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """One row a contender, every cell as text; with a column for the twin of each where there are some."""
    pairs = twins(trials)
    partners = {**dict(pairs), **{other: spiking for spiking, other in pairs}}
    rows = []
    for contender in dict.fromkeys(trial["contender"] for trial in trials):
        own = [trial for trial in trials if trial["contender"] == contender]
        done = [trial for trial in own if trial["test"]]
        row = {
            "model": contender,
            "family": own[0]["family"].upper(),
            "encoding": own[0]["encoding"] or "analogue",
            **({"same weights as": partners.get(contender, "")} if partners else {}),
        }
        for name, title in (
            ("accuracy", "accuracy"),
            ("precision", "precision"),
            ("recall", "recall"),
            ("f1", "F1"),
        ):
            # Folds may differ in size, and an accuracy is one of images, as in the verdict.
            images = [trial["test"]["n"] for trial in done] if name == "accuracy" else None
            row[title] = mean_and_spread([trial["test"][name] for trial in done], images)
        seconds = [second for trial in done for second in trial["epoch_seconds"]]
        row["s/epoch"] = f"{statistics.median(seconds):.1f}" if seconds else "failed" if not done else "converted"
        row["epochs"] = ", ".join(str(trial["epochs"]) for trial in own)
        row["parameters"] = f"{own[0]['parameters']:,}"
        rows.append(row)
    return rows


def mean_and_spread(values: Sequence[float], weights: Sequence[int] | None = None) -> str:
    """The mean, weighted if asked for, and with several values ± their standard deviation, in per cent."""
    if not values:
        return "failed"
    mean = f"{100 * statistics.fmean(values, weights):.2f}"
    return mean if len(values) == 1 else f"{mean} ± {100 * statistics.stdev(values):.2f}"


def spread_note(trials: Sequence[dict[str, Any]]) -> str:
    """Over what the ± of `table_rows` is taken, as a line; empty where there is none."""
    tested = [trial for trial in trials if trial["test"]]
    numbers = {name: len({trial.get(name) for trial in tested} - {None}) for name in ("seed", "fold")}
    over = [f"{number} {name}s" for name, number in numbers.items() if number > 1]
    return f"± is the standard deviation over {' and '.join(over)}." if over else ""


def render(rows: Sequence[dict[str, str]]) -> str:
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


def class_rows(test: dict[str, Any]) -> list[dict[str, str]]:
    """A per-class report: one row a class, and the macro average."""
    average = {
        "class": "macro average",
        "support": test["n"],
        **{k: test[k] for k in ("precision", "recall", "f1")},
    }
    rows = [
        {
            "class": row["class"],
            **{name: f"{100 * row[name]:.2f}" for name in ("precision", "recall", "f1")},
            "images": f"{row['support']:,}",
        }
        for row in [*test["per_class"], average]
    ]
    return [
        *rows,
        {
            "class": "accuracy",
            "precision": "",
            "recall": "",
            "f1": f"{100 * test['accuracy']:.2f}",
            "images": "",
        },
    ]


def robustness_rows(found: dict[str, Any]) -> list[dict[str, str]]:
    """A model's accuracies on worse images, from results.json's `robustness`: one row a corruption, in per cent."""
    rows = []
    for name, accuracies in found["corruptions"].items():
        several = len(accuracies) > 1
        at = accuracies if several else [None] * 5
        rows.append(
            {
                "corruption": name,
                **{str(k): "" if value is None else f"{100 * value:.2f}" for k, value in enumerate(at, 1)},
                "mean": f"{100 * found['area'][name]:.2f}",
                "images": f"{found['images'][name]:,}",
            }
        )
    return rows


def run_rows(runs: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """`list_runs` as rows of text."""
    return [
        {
            "run": run["run"],
            "created": run["created"].replace("T", " ")[:16],
            "dataset": run["dataset"],
            "encoding": run["encoding"],
            "seeds": str(run["seeds"]),
            "epochs": str(run["epochs"]),
            "accuracy": ", ".join(f"{name} {mean_and_spread(values)}" for name, values in run["accuracy"].items()),
            "models": str(len(run["models"])),
        }
        for run in runs
    ]
