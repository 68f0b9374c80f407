"""How much does reporting the best test epoch add to an accuracy? As a function of the number of
test images and of epochs.

    python -m benchmarks.statistics.atlas train --socofing PATH --photos FOLDER --mnist FOLDER
        [--runs runs/atlas] [--seeds 3] [--epochs 25] [--only TEXT]
    python -m benchmarks.statistics.atlas summarise [--runs runs/atlas] [--plif FOLDER]

`train` trains eleven small networks on six data sets or sizes, without early stopping, and asks
the test images after every epoch, as `--optimism` does. It keeps which test images were right
after each epoch, one bit an image, and the accuracy on validation: a file a training, in `--runs`.
What lies there is not trained again, so that the same command goes on after an interruption. All
sets are trained with a seed before the next seed begins. Images of 28×28 are shrunk to 14×14. With `--only`, trainings whose names hold the text.

`summarise` takes seconds. It draws parts of the test images and first epochs of every curve, and
says what the best test epoch adds there, against the epoch chosen on validation and against the
last one. A law is fitted (`Law`), for a learning rate that stays and for one that falls to 0. It is
judged on each data set by the law of the
others, and on claims that state both: SpikingJelly's tutorial and, with `--plif`, the logs of PLIF's trainings (a copy of
github.com/fangwei123456/Parametric-Leaky-Integrate-and-Fire-Spiking-Neuron). Results go to
benchmarks/results/atlas.json.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import norm

from benchmarks import shared
from spikeduel.data import Prepared, Split
from spikeduel.data.loader import EvaluationBatches
from spikeduel.engine.networks import building
from spikeduel.engine.networks.models import Model
from spikeduel.engine.random_keys import seeded
from spikeduel.evaluation.predictions_of_model import predict_batches
from spikeduel.experiment.recipes import baseline, matched, strong
from spikeduel.experiment.settings import Experiment
from spikeduel.system import files, typed
from spikeduel.system.numbers import duration
from spikeduel.system.progress import Progress
from spikeduel.training import auto_settings, contenders, plan
from spikeduel.training.store import Store
from spikeduel.training.training import Loop

RESULT = "atlas.json"
SETS: dict[str, dict[str, Any]] = {
    "digits": {"dataset": "digits"},
    "photographs": {"dataset": "photos", "image_size": 24},
    "socofing by subject": {"dataset": "socofing", "limit": 1500, "image_size": 16},
    "fashion-mnist, 1000": {"dataset": "fashion-mnist", "limit": 1000},
    "mnist, 1000": {"dataset": "mnist", "limit": 1000},
    "fashion-mnist, 5000": {"dataset": "fashion-mnist", "limit": 5000},
}
"""Settings of each data set or size; `limit` is of training and validation images."""
ADAM = {"learning_rate": 1e-3}
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "dense-lif": ("matched", {"contenders": ("dense-lif",)}),
    "dense-relu": ("matched", {"contenders": ("dense-relu",)}),
    "conv-lif": ("matched", {"contenders": ("conv-lif",)}),
    "conv-relu": ("matched", {"contenders": ("conv-relu",)}),
    "conv-plif": ("matched", {"contenders": ("conv-lif",), "neuron": "plif"}),
    "dense-snn": (
        "baseline",
        {"contenders": ("dense-snn",), "encoding": "direct", "num_steps": 8, "hidden": 256, **ADAM},
    ),
    "small-cnn": ("baseline", {"contenders": ("small-cnn",), **ADAM}),
    "conv-if, falling rate": (
        "matched",
        {"contenders": ("conv-lif",), "neuron": "if", "optimizer": "adamw"},
    ),
    "vgg-lif, falling rate": ("strong", {"contenders": ("vgg-lif",), "start": "fresh"}),
    "vgg-relu, falling rate": ("strong", {"contenders": ("vgg-relu",)}),
    "resnet-silu, falling rate": ("strong", {"contenders": ("resnet-silu",)}),
}
"""Recipe and settings of each network; without "falling rate" the learning rate is constant."""
RECIPES = {"matched": matched, "baseline": baseline, "strong": strong}
SMALL = {"width": 8}
"""Size of the strong networks, so that a training takes a minute of one core."""

SIZES = (100, 300, 1000, 3000, 10_000)
"""Test images of a part."""
EPOCHS = (5, 10, 15, 25)
"""First epochs of a curve; of a falling rate all epochs alone, since fewer were not planned."""
DRAWS = 30
"""Parts of each size that are drawn of the test images of a curve."""
AGAINST = ("chosen", "last")
"""The epoch with the highest accuracy on validation, and the last one."""
SCHEDULES = ("constant", "falling")
LEVEL = 0.95
LOGS: dict[str, tuple[str, int, int]] = {
    "Fashion-MNIST": ("fmnist", 10_000, 9000),
    "MNIST": ("mnist", 10_000, 8995),
    "CIFAR-10": ("cifar10", 10_000, 7500),
    "N-MNIST": ("nmnist", 10_000, 8995),
    "CIFAR10-DVS": ("cf10dvs", 1000, 1350),
    "DVS128 Gesture": ("dvsgesture", 288, 133),
}
"""File in logs/B/terminal_out, and numbers of test and validation images, of PLIF's trainings."""


@dataclass(frozen=True)
class Curve:
    """The course of one training: `right` `[E, N]`, True where test image n was right after epoch
    e; `validation` `[E]`, the accuracy on `num_val` images; `chosen`, the epoch that is kept.
    """

    dataset: str
    network: str
    seed: int
    right: np.ndarray
    validation: np.ndarray
    num_val: int
    chosen: int
    seconds: float

    @property
    def name(self) -> str:
        return name_of(self.dataset, self.network, self.seed)

    @property
    def accuracies(self) -> np.ndarray:
        """Test accuracy after each epoch, `[E]`."""
        return self.right.mean(1)


def name_of(dataset: str, network: str, seed: int) -> str:
    return f"{dataset} {network} {seed}".replace(",", "").replace(" ", "-")


@dataclass(frozen=True, eq=False)
class KeepingAnswers(Loop):
    """A training loop that asks the test images after every epoch, and keeps which were right."""

    kept: list[np.ndarray] = field(default_factory=list)

    def _num_right_of_test(self) -> int:
        before = {name: value.clone() for name, value in self.model.module.state_dict().items()}
        model = Model(self.model.module, self.model.card)
        with seeded(self.model.card.seed):
            test = EvaluationBatches(self.images, self.labels, self.split.test)
            answers = predict_batches(model, test)
        self.model.module.load_state_dict(before)
        self.kept.append(answers.truth == answers.predicted)
        return int(self.kept[-1].sum())


def experiment_of(dataset: str, network: str, options: argparse.Namespace) -> Experiment:
    """Return the experiment of a network on a data set, without early stopping."""
    recipe, settings = NETWORKS[network]
    changes = {"epochs": options.epochs, "optimism": True, "patience": None, **SETS[dataset]}
    if recipe == "strong":
        changes |= SMALL
    name = changes.pop("dataset")
    if name == "photos":
        name = str(options.photos)
    elif where := {"socofing": options.socofing, "mnist": options.mnist}.get(name):
        changes["data_dir"] = str(where)
    return RECIPES[recipe](name, **changes, **settings)


def halved(prepared: Prepared) -> Prepared:
    """Return images of 28×28 as 14×14, means of 2×2 pixels: a quarter of the time."""
    if prepared.image_shape[1:] != (28, 28):
        return prepared
    blocks = np.asarray(prepared.images).reshape(len(prepared), -1, 14, 2, 14, 2)
    images = np.rint(blocks.mean((3, 5), np.float32)).astype(np.uint8)
    preprocessing = replace(prepared.preprocessing, height=14, width=14)
    return replace(prepared, images=images, preprocessing=preprocessing)


def trained(
    dataset: str, network: str, seed: int, experiment: Experiment, held: tuple[Prepared, Split]
) -> Curve:
    """Train a network, and return its curve."""
    prepared, split = held
    with files.scratch_folder() as scratch:
        store = Store(Path(scratch, "store"))
        asked = replace(experiment, seeds=seed + 1)
        resolved = auto_settings.resolve(asked, prepared, split, store, Progress())
        trial = contenders.trials_of(
            resolved.experiment, prepared, split, contenders=resolved.contenders
        )[seed]
        with seeded(trial.card.seed):
            module = building.started(trial.card).to(trial.device)
            model = Model(module, trial.card, trial.card.precision)
        checkpoint, kept = Path(scratch, "checkpoint.pt"), list[np.ndarray]()
        loop = KeepingAnswers(
            *(model, *prepared.arrays, split, trial.experiment, checkpoint, Progress()), kept=kept
        )
        started = time.process_time()
        training = loop.run()
    return Curve(
        dataset=dataset,
        network=network,
        seed=seed,
        right=np.array(kept),
        validation=np.array([epoch["val_accuracy"] for epoch in training.history]),
        num_val=len(split.val),
        chosen=training.best_epoch or 0,
        seconds=time.process_time() - started,
    )


def write(path: Path, curve: Curve) -> None:
    """Write a curve as an npz file."""
    with files.atomic_path(path) as part, part.open("wb") as file:
        np.savez_compressed(
            file,
            about=np.array([curve.dataset, curve.network]),
            numbers=np.array([curve.seed, curve.num_val, curve.chosen, curve.right.shape[1]]),
            right=np.packbits(curve.right, axis=1),
            validation=curve.validation,
            seconds=np.array(curve.seconds),
        )


def read(path: Path) -> Curve:
    """Read a curve that `write` wrote."""
    with np.load(path) as content:
        seed, num_val, chosen, num_test = (int(number) for number in content["numbers"])
        dataset, network = (str(text) for text in content["about"])
        right = np.unpackbits(content["right"], axis=1, count=num_test).astype(bool)
        return Curve(
            *(dataset, network, seed, right, content["validation"], num_val, chosen),
            seconds=float(content["seconds"]),
        )


def train(options: argparse.Namespace) -> None:
    """Train what `options.runs` lacks."""
    torch.set_num_threads(1)
    options.runs.mkdir(parents=True, exist_ok=True)
    held: dict[str, tuple[Prepared, Split]] = {}
    todo = list(missing(options))
    for number, (dataset, network, seed) in enumerate(todo, 1):
        path = options.runs / f"{name_of(dataset, network, seed)}.npz"
        if path.exists():
            continue  # another process trained it meanwhile
        experiment = experiment_of(dataset, network, options)
        if dataset not in held:
            _, prepared, splits = plan.loaded(experiment, Progress())
            held[dataset] = (halved(prepared), splits[0])
        curve = trained(dataset, network, seed, experiment, held[dataset])
        write(path, curve)
        print(f"{number} of {len(todo)}: {curve.name}, {duration(curve.seconds)}", flush=True)


def missing(options: argparse.Namespace) -> Iterator[tuple[str, str, int]]:
    """Yield data set, network and seed of the trainings that are not in `options.runs`."""
    for seed in range(options.seeds):
        for dataset in SETS:
            for network in NETWORKS:
                name = name_of(dataset, network, seed)
                if options.only in name and not (options.runs / f"{name}.npz").exists():
                    yield dataset, network, seed


@dataclass(frozen=True)
class Cell:
    """Optimism of one curve, in accuracy: the mean over parts of `n` test images, after `epochs`.

    `validation` is the number of validation images; `error` the share of wrong answers at the best
    epoch, which a claim states (with half an image more, so that it is not 0); `churn` the share of
    test images that are right after one alone of two epochs of the last half.
    """

    dataset: str
    network: str
    schedule: str
    seed: int
    n: int
    epochs: int
    validation: int
    chosen: float
    last: float
    error: float
    churn: float


def schedule_of(network: str) -> str:
    return "falling" if "falling" in network else "constant"


def churn_of(right: np.ndarray) -> float:
    """Return the mean share of images that are right after one of two epochs of the last half."""
    late = right[len(right) // 2 :].astype(np.float32)
    hits = late.mean(0)
    return float((2 * hits * (1 - hits)).mean() * len(late) / (len(late) - 1))


def cells_of(curve: Curve) -> list[Cell]:
    """Return the optimism of a curve by test size and number of epochs."""
    random = np.random.default_rng(0)
    schedule, num_test = schedule_of(curve.network), curve.right.shape[1]
    sizes = sorted({size for size in SIZES if size < num_test} | {num_test})
    lengths = [epochs for epochs in EPOCHS if epochs < len(curve.right)] + [len(curve.right)]
    cells = []
    for n in sizes:
        draws = 1 if n == num_test else DRAWS
        parts = [random.choice(num_test, n, replace=False) for _ in range(draws)]
        accuracies = np.array([curve.right[:, part].mean(1) for part in parts])
        for epochs in lengths if schedule == "constant" else lengths[-1:]:
            first = accuracies[:, :epochs]
            best = first.max(1)
            cells.append(
                Cell(
                    *(curve.dataset, curve.network, schedule, curve.seed),
                    *(n, epochs, curve.num_val),
                    chosen=float((best - first[:, np.argmax(curve.validation[:epochs])]).mean()),
                    last=float((best - first[:, -1]).mean()),
                    error=float((n * (1 - best.mean()) + 0.5) / (n + 1)),
                    churn=churn_of(curve.right[:epochs]),
                )
            )
    return cells


def expected_maximum(count: Any) -> Any:
    """Return the expected maximum of `count` ≥ 1 standard normal numbers (Blom 1958)."""
    return norm.ppf((count - 0.375) / (count + 0.25))


@dataclass(frozen=True)
class Law:
    """What the best of E test epochs adds, on N test images, with a share of wrong answers e.

    The accuracies of epochs are normal around a level, with a variance σ² of two parts: images · e
    / N, of the test images, and τ², of training. The best of k = 1 + share · (E − 1) independent
    epochs is M(k) · σ above that level (M: expected maximum of k standard normal numbers), and so
    above the last epoch. The epoch chosen on V validation images is M(k) · τ² / √(τ² + images · e /
    V) above it.

    τ² = training · e. `low` and `high` times the law hold 95 % of single trainings. The law says no
    less than a quarter of a test image.
    """

    images: float
    training: float
    share: float
    low: float = 0.0
    high: float = math.inf

    def optimism(self, n: Any, epochs: Any, error: Any, validation: Any = None) -> Any:
        """Return the optimism, in accuracy, against the last epoch, or that chosen on
        `validation` images.
        """
        n, of_images = np.asarray(n), self.images * np.asarray(error)
        of_training = self.training * np.asarray(error)
        gain = np.sqrt(of_images / n + of_training)
        if validation is not None:
            gain = gain - of_training / np.sqrt(of_training + of_images / np.asarray(validation))
        most = expected_maximum(1 + self.share * (np.asarray(epochs) - 1))
        return np.maximum(most * gain, 0.25 / n)


def predicted(law: Law, cells: list[Cell], against: str) -> np.ndarray:
    """Return what a law says of each cell."""
    n, epochs, error, validation = (
        np.array([getattr(cell, name) for cell in cells])
        for name in ("n", "epochs", "error", "validation")
    )
    return law.optimism(n, epochs, error, validation if against == "chosen" else None)


def fitted(cells: list[Cell], against: str) -> Law:
    """Return the law whose mean is that of the cells, by Poisson's deviance. `images`
    is not fitted, but half of the images that change between two epochs, by error.
    """
    seen = np.array([getattr(cell, against) for cell in cells])
    images = statistics.median(cell.churn / cell.error / 2 for cell in cells)
    # Each curve weighs as much as any other.
    names = [curve_of(cell) for cell in cells]
    weight = np.array([1 / names.count(name) for name in names])

    def law_of(numbers: np.ndarray) -> Law:
        return Law(images, math.exp(numbers[1]), 0.05 + 0.95 * float(expit(numbers[0])))

    def deviance(numbers: np.ndarray) -> float:
        said = predicted(law_of(numbers), cells, against)
        return float((weight * (said - seen * np.log(said))).sum())

    start = np.array([0.0, math.log(1e-4)])
    law = law_of(minimize(deviance, start, method="Nelder-Mead").x)
    ratios = seen / predicted(law, cells, against)
    order = np.argsort(ratios)
    below = np.cumsum(weight[order]) / weight.sum()
    ends = np.searchsorted(below, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    low, high = ratios[order][ends].tolist()
    return replace(law, low=low, high=high)


def left_out(cells: list[Cell], against: str) -> dict[str, dict[str, float]]:
    """Return by data set what the law of the others says of it, and how often its single
    trainings lie in the interval.
    """
    rows = {}
    for dataset in sorted({cell.dataset for cell in cells}):
        others = [cell for cell in cells if cell.dataset != dataset]
        own = [cell for cell in cells if cell.dataset == dataset]
        if not others:
            continue
        law = fitted(others, against)
        said = predicted(law, own, against)
        seen = np.array([getattr(cell, against) for cell in own])
        inside = (seen >= law.low * said - 1e-12) & (seen <= law.high * said + 1e-12)
        rows[dataset] = {
            "seen": float(seen.mean()),
            "said": float(said.mean()),
            "inside": float(inside.mean()),
        }
    return rows


def claims(plif: Path | None) -> list[dict[str, Any]]:
    """Return the claims that state both, or whose logs do."""
    found: list[dict[str, Any]] = [
        {
            "claim": "SpikingJelly, tutorial on Fashion-MNIST",
            "source": "fangwei123456/spikingjelly docs/source/tutorials/en/conv_fashion_mnist.rst, "
            "output of epoch 63",
            "schedule": "falling",
            **{"n": 10_000, "epochs": 64, "best": 0.9308, "last": 0.9283},
        }
    ]
    for title, (name, n, num_val) in LOGS.items() if plif else ():
        path = Path(plif or "", "logs/B/terminal_out", f"{name}.txt")
        lines = path.read_text(errors="replace").splitlines()
        test, validation = (
            np.array([float(line.split()[1]) for line in lines if line.startswith(word)])
            for word in ("test_accuracy", "val_accuracy")
        )
        for epochs in (64, len(test)):
            seen = test[:epochs]
            found.append(
                {
                    "claim": f"PLIF, {title}",
                    "source": "fangwei123456/Parametric-Leaky-Integrate-and-Fire-Spiking-Neuron "
                    f"logs/B/terminal_out/{name}.txt",
                    # Its rate falls and rises again, with a period of 64 or 192 epochs.
                    "schedule": "falling" if epochs == 64 else "constant",
                    **{"n": n, "epochs": epochs, "validation": num_val},
                    "best": float(seen.max()),
                    "chosen": float(seen[np.argmax(validation[:epochs])]),
                    "last": float(seen[-1]),
                }
            )
    return found


def checked(claim: dict[str, Any], laws: dict[str, dict[str, Law]]) -> dict[str, Any]:
    """Return a claim with what the laws say that its best epoch adds. `laws` are by what it is set
    against, and by schedule.
    """
    optimism: dict[str, Any] = {}
    for against in AGAINST:
        if against not in claim:
            continue
        seen, law = claim["best"] - claim[against], laws[against][claim["schedule"]]
        validation = claim["validation"] if against == "chosen" else None
        mean = float(law.optimism(claim["n"], claim["epochs"], 1 - claim["best"], validation))
        low, high = law.low * mean, law.high * mean
        optimism[against] = {
            **{"seen": seen, "said": mean, "low": low, "high": high},
            "inside": bool(low - 1e-12 <= seen <= high + 1e-12),
        }
    return {**claim, "optimism": optimism}


def by_size(cells: list[Cell]) -> list[dict[str, Any]]:
    """Return the mean optimism of all curves with as many test images and epochs."""
    rows = []
    for schedule in SCHEDULES:
        some = [cell for cell in cells if cell.schedule == schedule]
        for n, epochs in sorted({(cell.n, cell.epochs) for cell in some}):
            alike = [cell for cell in some if (cell.n, cell.epochs) == (n, epochs)]
            row: dict[str, Any] = {"schedule": schedule, "n": n, "epochs": epochs}
            row |= {"curves": len(alike), "datasets": len({cell.dataset for cell in alike})}
            for against in AGAINST:
                values = np.array([getattr(cell, against) for cell in alike])
                row[against] = {"mean": float(values.mean()), **interval_of(alike, values)}
            rows.append(row)
    return rows


def interval_of(cells: list[Cell], values: np.ndarray) -> dict[str, float]:
    """Return the 95 % interval of a mean, from draws of whole pairs of data set and network."""
    random, pairs = np.random.default_rng(0), [(cell.dataset, cell.network) for cell in cells]
    names = sorted(set(pairs))
    parts = [values[[pair == name for pair in pairs]] for name in names]
    means = [
        np.concatenate([parts[place] for place in random.integers(0, len(names), len(names))])
        for _ in range(1000)
    ]
    low, high = np.quantile([part.mean() for part in means], (0.025, 0.975))
    return {"low": float(low), "high": float(high)}


def curve_of(cell: Cell) -> tuple[str, str, int]:
    return cell.dataset, cell.network, cell.seed


def summarise(options: argparse.Namespace) -> None:
    """Write what the curves in `options.runs` say to RESULT."""
    curves = [read(path) for path in sorted(options.runs.glob("*.npz"))]
    if not curves:
        raise SystemExit(f"{options.runs}: no curve there. Run `atlas.py train` first.")
    cells = [cell for curve in curves for cell in cells_of(curve)]
    by_schedule = {
        schedule: [cell for cell in cells if cell.schedule == schedule] for schedule in SCHEDULES
    }

    def for_all(function: Callable[[list[Cell], str], Any]) -> dict[str, Any]:
        return {
            against: {schedule: function(some, against) for schedule, some in by_schedule.items()}
            for against in AGAINST
        }

    laws = for_all(fitted)
    before = shared.read(RESULT, {"claims": []})["claims"]
    known = claims(options.plif)
    names = {(claim["claim"], claim["epochs"]) for claim in known}
    known += [claim for claim in before if (claim["claim"], claim["epochs"]) not in names]
    document = {
        "curves": len(curves),
        "cpu_minutes": sum(curve.seconds for curve in curves) / 60,
        "datasets": {
            name: {"test": curve.right.shape[1], "validation": curve.num_val}
            for curve in reversed(curves)
            for name in [curve.dataset]
        },
        "networks": sorted({curve.network for curve in curves}),
        "seeds": len({curve.seed for curve in curves}),
        "by_size": by_size(cells),
        "laws": typed.plain(laws),
        "left_out": for_all(left_out),
        "claims": [checked(claim, laws) for claim in known],
    }
    shared.write(RESULT, document)


def main() -> None:
    parser = shared.parser(__doc__)
    commands = parser.add_subparsers(required=True)
    training = commands.add_parser("train", help="train what is missing in --runs")
    training.add_argument("--socofing", type=Path, required=True)
    training.add_argument("--photos", type=Path, required=True)
    training.add_argument("--mnist", type=Path, required=True)
    training.add_argument("--runs", type=Path, default=Path("runs/atlas"))
    training.add_argument("--seeds", type=int, default=3)
    training.add_argument("--epochs", type=int, default=25)
    training.add_argument("--only", default="", help="trainings whose names hold this text")
    training.set_defaults(run=train)
    summing = commands.add_parser("summarise", help="say what the trainings in --runs show")
    summing.add_argument("--runs", type=Path, default=Path("runs/atlas"))
    summing.add_argument("--plif", type=Path, help="a copy of the PLIF repository, for its logs")
    summing.set_defaults(run=summarise)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
