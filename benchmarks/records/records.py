"""The records: each row a duel by the recipe strong, trained for longer; docs/records.md is made of
their results.

    python -m benchmarks.records.records fashion-mnist-cnn [--data-dir PATH] [--seeds N] [--jobs N] [--runs DIR]
    python -m benchmarks.records.records --write

Settings were chosen on validation images. The whole test set is asked once a training, at its end.
The results go to benchmarks/results/record-ROW.json after each seed, and seeds that are there are
not trained again, so that one can go on another day; within a training, the store under `--runs`
has every epoch. `--jobs 2` trains two seeds at a time, each with half of the threads: a row's
minutes are of these. `--write` makes the page of all of them.
"""

import itertools
import json
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import shared
from benchmarks.tables import mean
from spikeduel import energy
from spikeduel.data import Prepared, Split
from spikeduel.experiment.recipes import strong
from spikeduel.experiment.settings import Experiment
from spikeduel.results.trials import Classification
from spikeduel.system.sentences import counted
from spikeduel.training import contenders
from spikeduel.training.outcomes import trial_entry
from spikeduel.training.store import Store

Found = dict[str, dict[str, Any]]
"""By contender."""
PAGE = shared.DOCS / "records.md"
HEAD = """\
# Records

How accurate do networks get if they train for longer? This page has the results of the recipe `strong` with the settings
that each section names, for readers who want to repeat or beat them.

- **Accuracy**: mean ± standard deviation over seeds, on the whole test set. It is used once per training run, at the
  end. Settings were chosen on validation images.
- **Minutes**: median over seeds, with one thread. Other work on the machine makes them longer. `--jobs 2` trains two
  seeds at a time.
- **Epochs, operations, energy**: those of the first seed. With `minutes` in the settings, epochs are what fits into
  them.
- **µJ**: [energy per inference](energy.md), estimated by arithmetic alone (45 nm, 32-bit floats), from zeros skipped to
  nothing skipped.
- **`start annealed`** no longer exists. It gave half of the epochs half of the time steps.

`python -m benchmarks.records.records --write` makes this page.
"""


@dataclass(frozen=True)
class Row:
    """A record: its `title`, the settings in which it differs from the recipe, and the best that is
    known elsewhere.
    """

    title: str
    settings: dict[str, Any]
    snn_elsewhere: str = ""
    cnn_elsewhere: str = ""
    also: dict[str, str] = field(default_factory=dict)


SOCOFING_ELSEWHERE = (
    "76.7 for ten fingers (Shehu et al. 2018), 88 to 93.5 for the hand (as other papers quote them: "
    "the originals were not read, and it is not known whether people were kept apart)"
)
SOCOFING_PARTS = {"real": "Real/", "altered": "Altered/"}
PLIF = "(PLIF, T = 8, [by its logs](claims-tested.md))"
FASHION_MNIST_ELSEWHERE = f"93.85, chosen on validation; 94.38, the best epoch for the test {PLIF}"
RESIDUAL_ELSEWHERE = (
    "95.4, DenseNet-BC of 768,000 parameters; 96.7, a wide ResNet of 8.9 M (both from "
    "Fashion-MNIST's README, which lists submissions untested)"
)
MNIST_ELSEWHERE = f"99.63, chosen on validation; 99.72, the best epoch for the test {PLIF}"
TWINS = ("vgg-lif", "vgg-relu")
FASHION_MNIST = {"dataset": "fashion-mnist", "contenders": TWINS}
RESIDUAL = {"dataset": "fashion-mnist", "augmentation": "translate-flip-cutout"}
ROWS = {
    "fashion-mnist-120-minutes": Row(
        "Fashion-MNIST, 60 minutes a network",
        {
            **FASHION_MNIST,
            "minutes": 120.0,
            "width": 48,
            "augmentation": "flip-cutout",
            "whitening": True,
        },
        FASHION_MNIST_ELSEWHERE,
    ),
    "fashion-mnist-cnn": Row(
        "Fashion-MNIST, the residual CNN",
        {**RESIDUAL, "contenders": ("resnet-silu",), "width": 32, "epochs": 24},
        cnn_elsewhere=RESIDUAL_ELSEWHERE,
    ),
    "fashion-mnist-cnn-40-epochs": Row(
        "Fashion-MNIST, the residual CNN for longer",
        {
            **RESIDUAL,
            "contenders": ("resnet-silu",),
            "width": 48,
            "epochs": 40,
            "whitening": True,
        },
        cnn_elsewhere=RESIDUAL_ELSEWHERE,
    ),
    "fashion-mnist-residual-snn": Row(
        "Fashion-MNIST, a spiking residual network",
        {
            **RESIDUAL,
            "contenders": ("residual_spiking:ResNetLIF",),
            "width": 32,
            "epochs": 28,
            "whitening": True,
        },
        FASHION_MNIST_ELSEWHERE,
    ),
    "fashion-mnist-10-minutes-a-core": Row(
        "Fashion-MNIST, 10 minutes a network", {**FASHION_MNIST, "minutes": 20.0, "whitening": True}
    ),
    "fashion-mnist-10-minutes-residual": Row(
        "Fashion-MNIST, 10 minutes a network, residual networks",
        {
            **RESIDUAL,
            "contenders": ("resnet-integer", "resnet-silu"),
            "width": 24,
            "minutes": 20.0,
            "whitening": True,
        },
    ),
    "mnist-40-minutes": Row(
        "MNIST, 20 minutes a network",
        {
            "dataset": "mnist",
            "contenders": TWINS,
            "width": 32,
            "augmentation": "affine",
            "minutes": 40.0,
            "whitening": True,
        },
        MNIST_ELSEWHERE,
    ),
    "socofing-40-minutes": Row(
        "SOCOFing by person, ten fingers, 20 minutes a network",
        {
            "dataset": "socofing",
            "contenders": TWINS,
            "width": 24,
            "batch_size": 64,
            "dropout": 0.5,
            "minutes": 40.0,
            "augmentation": "affine",
            "whitening": True,
        },
        cnn_elsewhere=SOCOFING_ELSEWHERE,
        also=SOCOFING_PARTS,
    ),
}


def main() -> None:
    parser = shared.parser(
        __doc__, data_dir=str, seeds=5, jobs=1, runs=Path("runs/records"), write=False
    )
    parser.add_argument("row", nargs="?", choices=list(ROWS))
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))  # for residual_spiking
    if options.write:
        PAGE.write_text(page())
    elif options.row is None:
        parser.error(f"name a row: {', '.join(ROWS)}; or --write")
    else:
        record(options.row, options.data_dir, options.seeds, options.jobs, options.runs)


def record(name: str, data_dir: str | None, seeds: int, jobs: int, runs: Path) -> None:
    row, path = ROWS[name], f"record-{name}.json"
    document = shared.read(path, {})
    if document.get("settings") != json.loads(json.dumps(row.settings)):
        document = {"title": row.title, "settings": row.settings, "machines": [], "contenders": {}}
    experiment = strong(**row.settings, seeds=seeds, data_dir=data_dir)
    known = min((len(each["accuracies"]) for each in document["contenders"].values()), default=0)
    train = partial(
        trained, experiment, row, runs / "store", max(1, torch.get_num_threads() // jobs)
    )
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        for machine_of_seed, test_images, found in pool.map(train, range(known, seeds)):
            add(document, found)
            at_once = f" --jobs {jobs}" if jobs > 1 else ""
            document |= {
                "command": f"python -m benchmarks.records.records {name} --seeds {seeds}{at_once}",
                "machines": sorted({*document["machines"], machine_of_seed}),
                "dataset": experiment.dataset,
                "test_images": test_images,
            }
            shared.write(path, document)


def trained(
    experiment: Experiment, row: Row, root: Path, threads: int, seed: int
) -> tuple[str, int, Found]:
    """The machine, the number of test images, and what is known of each contender, trained with one
    seed and tested.
    """
    torch.set_num_threads(threads)
    (prepared, split), store = shared.loaded(experiment), Store(root)
    fitted = shared.fitted(experiment, prepared, split, store)
    trials = contenders.trials_of(fitted, prepared, split)
    own = (each for each in trials if each.card.seed == seed)
    found: Found = {}
    for finished in shared.finished(own, prepared, store):
        entry = trial_entry(finished)
        with_energy = energy.energies(entry.operations, map(energy.read, energy.NAMES))
        if (
            finished.predictions is None
            or entry.test is None
            or entry.operations is None
            or with_energy is None
        ):
            raise SystemExit(f"{entry.title}: {finished.record.error or entry.failed_measures}")
        joules = {name: table.of().range for name, table in with_energy.tables.items()}
        found[entry.contender] = {
            "kind": entry.kind,
            "num_steps": entry.num_steps,
            "parameters": entry.parameters,
            "epochs": entry.epochs,
            "macs": entry.operations.totals.macs.dense.hoisted,
            "acs": entry.operations.totals.acs.total,
            "joules": {name: [ends.low, ends.high] for name, ends in joules.items() if ends},
            "accuracies": entry.test.accuracy,
            "minutes": sum(finished.record.epoch_seconds) / 60,
            "of_parts": parts(finished.predictions, prepared, split, row),
        }
    return machine(shared.environment()), len(split.test), found


def machine(environment: dict[str, Any]) -> str:
    return f"{environment['cpu']}, {counted(environment['threads'], 'thread')}"


def add(document: dict[str, Any], found: Found) -> None:
    """Adds what was `found` with one more seed: cost is the first one's, the rest are lists by
    seed.
    """
    for contender, new in found.items():
        lists = {
            "accuracies": [],
            "minutes": [],
            "of_parts": {part: [] for part in new["of_parts"]},
        }
        entry = document["contenders"].setdefault(contender, {**new, **lists})
        entry["accuracies"].append(new["accuracies"])
        entry["minutes"].append(new["minutes"])
        for part, share in new["of_parts"].items():
            entry["of_parts"][part].append(share)


def parts(answers: Classification, prepared: Prepared, split: Split, row: Row) -> dict[str, float]:
    """Accuracies on parts of the test images, by what their names begin with; and of the hand
    alone.
    """
    if not row.also or prepared.names is None:
        return {}
    names = np.array(prepared.names)[split.test]
    truth, predicted = np.array(answers.truth), np.array(answers.predicted)
    hand = np.array([name.split()[0] for name in prepared.classes])
    found = {}
    for part, start in row.also.items():
        chosen = np.char.startswith(names, start)
        found[part] = float((predicted == truth)[chosen].mean())
        found[f"{part}, hand"] = float((hand[predicted] == hand[truth])[chosen].mean())
    return found


def page() -> str:
    """docs/records.md."""
    lines = [HEAD]
    for name, row in ROWS.items():
        document = shared.read(f"record-{name}.json", {})
        lines += [f"## {row.title}", ""]
        if not document:
            lines += ["Not measured yet.", ""]
            continue
        cells = itertools.starmap(_cells, document["contenders"].items())
        lines += [*shared.markdown(COLUMNS, cells), ""]
        for contender, each in document["contenders"].items():
            if each["of_parts"]:
                said = "; ".join(
                    f"{part} {mean(values)}" for part, values in each["of_parts"].items()
                )
                lines += [f"{contender}, %: {said}.", ""]
        where = f"{document['test_images']:,} test images; {'; '.join(document['machines'])}"
        theirs = {"SNN": row.snn_elsewhere, "CNN": row.cnn_elsewhere}
        elsewhere = "; ".join(f"{kind} {found}" for kind, found in theirs.items() if found)
        lines += [f"Published elsewhere: {elsewhere}.", ""] if elsewhere else []
        lines += [f"Settings: {_settings(document['settings'])}.", ""]
        lines += [f"`{document['command']}` ({where}).", ""]
    return "\n".join([*lines, *_time_to_90()])


def _settings(settings: dict[str, Any]) -> str:
    """The settings in which a row differs from the recipe, but for what the table has."""
    shown = {
        name: value
        for name, value in settings.items()
        if name not in ("dataset", "contenders", "epochs")
    }
    return ", ".join(
        name if value is True else f"{name} {str(value).removesuffix('.0')}"
        for name, value in shown.items()
    )


def _time_to_90() -> list[str]:
    document = shared.read("time-to-90.json")
    settings = document["settings"]
    rows = []
    for contender, means in document["mean"].items():
        accuracies = [row["accuracy"] for row in document["rows"] if row["contender"] == contender]
        rows.append(
            [
                *(contender, mean(accuracies), f"{means['seconds']:.1f}"),
                f"{100 * min(accuracies):.2f}",
                len(accuracies),
                sum(accuracy >= 0.9 for accuracy in accuracies),
            ]
        )
    heads = ["network", "accuracy, %", "seconds", "lowest accuracy, %", "seeds", "seeds at 90 %"]
    return [
        "## Time to a mean of 90 % on Fashion-MNIST",
        "",
        "Seconds from the start of Python to the accuracy on the whole test set, with both networks "
        "trained from nothing.",
        "Reading files and preparing images count. The download, and compilation once per "
        "installation, do not.",
        "",
        f"vgg-relu trains for one epoch on {settings['vgg-relu']['limit']:,} images. vgg-lif trains "
        f"for {settings['vgg-lif']['epochs']} epochs on",
        f"{settings['vgg-lif']['limit']:,} images with T = {settings['vgg-lif']['num_steps']}, the "
        "first epoch with ReLU. A tenth of the images is for validation.",
        "",
        *shared.markdown(heads, rows),
        "",
        f"`{document['command']}` ({machine(document['environment'])}).",
        "",
    ]


COLUMNS = (
    *("network", "accuracy, %", "seeds", "T", "parameters", "MACs", "ACs", "µJ", "minutes"),
    "epochs",
)


def _cells(contender: str, each: dict[str, Any]) -> list[object]:
    low, high = (1e6 * joules for joules in each["joules"]["45nm-fp32"])
    return [
        contender,
        mean(each["accuracies"]),
        len(each["accuracies"]),
        each["num_steps"] or "–",
        f"{each['parameters']:,}",
        f"{each['macs'] / 1e6:.3g} M",
        f"{each['acs'] / 1e6:.3g} M" if each["acs"] else "0",
        f"{low:.3g} to {high:.3g}",
        f"{statistics.median(each['minutes']):.0f}",
        each["epochs"],
    ]


if __name__ == "__main__":
    main()
