"""The records: each row a duel by the recipe strong, trained for longer; docs/records.md is made of their results.

    python benchmarks/records.py fashion-mnist [--data-dir PATH] [--seeds N] [--jobs N] [--runs DIR]
    python benchmarks/records.py --write

Settings were chosen on validation images. The whole test set is asked once a training, at its end. What the store holds
is not trained again, so that a run that is cut off goes on; `--seeds` adds to those that are there. `--jobs 2` trains
two seeds at a time, each with half of the threads: for rows that count epochs, not minutes. The results go to
benchmarks/results/record-ROW.json, and `--write` makes the page of all of them.
"""

import argparse
import json
import statistics
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spikeduel import data
from spikeduel.comparing import compare
from spikeduel.data import Prepared
from spikeduel.results import predictions
from spikeduel.results.comparison import Comparison
from spikeduel.settings import Experiment
from spikeduel.settings.recipes import strong
from spikeduel.system.progress import TerminalProgress
from spikeduel.trials import fitting, planning, trial
from spikeduel.trials.store import Store

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "records.md"


@dataclass(frozen=True)
class Row:
    """A record: its `title`, the settings in which it differs from the recipe, and the best that is known elsewhere."""

    title: str
    settings: dict[str, Any]
    snn_elsewhere: str = "none found"
    cnn_elsewhere: str = "none found"
    options: str = ""
    also: dict[str, str] = field(default_factory=dict)


ROWS = {
    "fashion-mnist": Row(
        "Fashion-MNIST, the twins",
        {
            "dataset": "fashion-mnist",
            "contenders": ("vgg-lif", "vgg-relu"),
            "width": 48,
            "epochs": 10,
            "per_contender": {"vgg-relu": {"epochs": 16}},
            "augmentation": "flip-cutout",
        },
        "93.85, chosen on validation; 94.74, the best epoch for the test",
    ),
    "fashion-mnist-cnn": Row(
        "Fashion-MNIST, the CNN that is nobody's twin",
        {
            "dataset": "fashion-mnist",
            "contenders": ("resnet-silu",),
            "width": 32,
            "epochs": 20,
            "augmentation": "flip-cutout",
        },
        cnn_elsewhere="95.4, DenseNet of 0.77 M parameters, as reported by its author",
    ),
    "fashion-mnist-10-minutes": Row(
        "Fashion-MNIST, 10 minutes for the pair",
        {"dataset": "fashion-mnist", "minutes": 10.0, "contenders": ("vgg-lif", "vgg-relu")},
    ),
    "mnist": Row(
        "MNIST",
        {"dataset": "mnist", "width": 32, "epochs": 20},
        "99.63, chosen on validation; 99.72, the best epoch for the test",
    ),
    "socofing": Row(
        "SOCOFing by person, ten fingers",
        {"dataset": "socofing", "epochs": 30},
        also={"real": "Real/", "altered": "Altered/"},
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("row", nargs="?", choices=list(ROWS))
    parser.add_argument("--data-dir")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1, help="seeds that are trained at a time")
    parser.add_argument("--runs", type=Path, default=Path("runs/records"), help="where the runs and their store go")
    parser.add_argument("--write", action="store_true", help="make docs/records.md")
    options = parser.parse_args()
    if options.write:
        PAGE.write_text(page())
    else:
        record(options.row, options.data_dir, options.seeds, options.jobs, options.runs)


def record(name: str, data_dir: str | None, seeds: int, jobs: int, runs: Path) -> None:
    row, progress = ROWS[name], TerminalProgress(stderr=True)
    experiment = strong(**row.settings, seeds=seeds, data_dir=data_dir)
    if jobs > 1:
        train = partial(train_seed, experiment, runs / "store", max(1, torch.get_num_threads() // jobs))
        with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
            list(pool.map(train, range(seeds)))
    comparison = compare(experiment, runs / name, runs / "store", progress)
    print(comparison.table())
    prepared = data.load(experiment)
    document = {
        "title": row.title,
        "command": f"python benchmarks/records.py {name} --seeds {seeds}{f' --jobs {jobs}' if jobs > 1 else ''}",
        "settings": row.settings,
        "environment": comparison.results.environment,
        "dataset": comparison.results.dataset.name,
        "test_images": comparison.results.dataset.counts.test,
        "budget": None if comparison.results.budget is None else comparison.results.budget.epochs,
        "contenders": [entry(comparison, contender, prepared, row) for contender in comparison.results.contenders],
    }
    path = HERE / "results" / f"record-{name}.json"
    path.write_text(f"{json.dumps(document, indent=1)}\n")


def train_seed(experiment: Experiment, root: Path, threads: int, seed: int) -> None:
    """Trains all contenders with one seed, and leaves them in the store: no test image is looked at."""
    torch.set_num_threads(threads)
    prepared, store, progress = data.load(experiment), Store(root), TerminalProgress(stderr=True)
    split = data.split(prepared, experiment)
    fitted = fitting.fit(experiment, prepared, [split], store, progress).experiment
    trials = [each for each in planning.plan(fitted, prepared, split) if each.card.seed == seed]
    for each in sorted(trials, key=lambda planned: planned.twin is not None):
        trial.run(each, prepared, store, progress, test=False)


def entry(comparison: Comparison, contender: str, prepared: Prepared, row: Row) -> dict[str, Any]:
    """What is known of a contender: accuracies by seed, cost, time."""
    results = comparison.results
    trials = results.of(contender)
    first = trials[0]
    energy = {name: table.of().range for name, table in first.energy.tables.items()} if first.energy else {}
    totals = first.operations.totals if first.operations else None
    return {
        "contender": contender,
        "family": first.family,
        "num_steps": first.num_steps,
        "parameters": first.parameters,
        "accuracies": [trial.test.accuracy for trial in trials if trial.test],
        "of_parts": parts(comparison, contender, prepared, row),
        "epochs": first.epochs,
        "training_minutes": statistics.fmean(
            (sum(trial.epoch_seconds) + results.seconds_before(trial)) / 60 for trial in trials
        ),
        "macs": totals.macs.dense.hoisted if totals else None,
        "acs": totals.acs.total if totals else None,
        "joules": {name: [each.low, each.high] for name, each in energy.items() if each},
    }


def parts(comparison: Comparison, contender: str, prepared: Prepared, row: Row) -> dict[str, list[float]]:
    """Accuracies by seed on parts of the test images, by what their names begin with; and of the hand alone."""
    if not row.also or prepared.names is None:
        return {}
    file = predictions.read(comparison.out)
    names, truth = np.array(prepared.names)[file.indices], np.array(file.labels)
    hand = np.array([name.split()[0] for name in prepared.classes])
    found: dict[str, list[float]] = {}
    for answers in (np.array(each.predicted) for each in file.trials if each.contender == contender):
        for part, start in row.also.items():
            chosen = np.char.startswith(names, start)
            found.setdefault(part, []).append(float((answers == truth)[chosen].mean()))
            found.setdefault(f"{part}, hand", []).append(float((hand[answers] == hand[truth])[chosen].mean()))
    return found


def page() -> str:
    """docs/records.md."""
    lines = [
        "# Records", "",
        "What the recipe `strong` reaches when it trains for longer. Settings were chosen on validation images, the",
        "whole test set was asked once a training, at its end, and each number is the mean over seeds ± their standard",
        "deviation. A spiking network starts from its twin's weights; its minutes are those of both. With `--jobs 2`",
        "two seeds train at a time, and minutes are of one thread. Energies are estimates from counts (45 nm, 32-bit",
        "floats, arithmetic alone): from zeros skipped to nothing skipped. This page is made by",
        "`python benchmarks/records.py --write`.", "",
    ]  # fmt: skip
    for name, row in ROWS.items():
        path = HERE / "results" / f"record-{name}.json"
        lines += [f"## {row.title}", ""]
        if not path.is_file():
            lines += ["Not measured yet.", ""]
            continue
        document = json.loads(path.read_text())
        lines += [
            "| network | accuracy, % | seeds | T | parameters | MACs | ACs | µJ | minutes | epochs |",
            "|---|---|---|---|---|---|---|---|---|---|",
            *(_line(each) for each in document["contenders"]),
            "",
        ]
        for each in document["contenders"]:
            if each["of_parts"]:
                said = "; ".join(f"{part} {_mean(values)}" for part, values in each["of_parts"].items())
                lines += [f"{each['contender']}, %: {said}.", ""]
        environment = document["environment"]
        lines += [
            f"Elsewhere: SNN {row.snn_elsewhere}; CNN {row.cnn_elsewhere}.", "",
            f"`{document['command']}` ({document['test_images']:,} test images; {environment['cpu']}, "
            f"{environment['threads']} threads).", "",
        ]  # fmt: skip
    return "\n".join([*lines, *_time_to_90()])


def _time_to_90() -> list[str]:
    path = HERE / "results" / "time-to-90.json"
    if not path.is_file():
        return []
    document = json.loads(path.read_text())
    lines = [
        "## Time to 90 % on Fashion-MNIST", "",
        "From the start of Python to the accuracy on the whole test set, files read and images prepared; the spiking",
        "network's with the training of its twin. Not counted: download, and compilation, once an installation.", "",
        "| network | accuracy, % | seconds | lowest accuracy, % | seeds |",
        "|---|---|---|---|---|",
    ]  # fmt: skip
    for contender, mean in document["mean"].items():
        accuracies = [row["accuracy"] for row in document["rows"] if row["contender"] == contender]
        cells = [
            contender,
            _mean(accuracies),
            f"{mean['seconds']:.1f}",
            f"{100 * min(accuracies):.2f}",
            len(accuracies),
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    environment = document["environment"]
    return [*lines, "", f"`{document['command']}` ({environment['cpu']}, {environment['threads']} threads).", ""]


def _line(each: dict[str, Any]) -> str:
    low, high = (1e6 * joules for joules in each["joules"]["45nm-fp32"])
    cells = [
        each["contender"], _mean(each["accuracies"]), len(each["accuracies"]), each["num_steps"] or "–",
        f"{each['parameters']:,}", f"{each['macs'] / 1e6:.3g} M", f"{each['acs'] / 1e6:.3g} M" if each["acs"] else "0",
        f"{low:.3g} to {high:.3g}", f"{each['training_minutes']:.0f}", each["epochs"],
    ]  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def _mean(shares: list[float]) -> str:
    spread = f" ± {100 * statistics.stdev(shares):.2f}" if len(shares) > 1 else ""
    return f"{100 * statistics.fmean(shares):.2f}{spread}"


if __name__ == "__main__":
    main()
