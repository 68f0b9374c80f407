"""How much does reporting the best test epoch add to an accuracy? As a function of the number of
test images, of epochs, and of the noise of the curve.

    python benchmarks/atlas.py train --socofing PATH --photos FOLDER --mnist FOLDER
        [--runs runs/atlas] [--seeds 3] [--epochs 25] [--only TEXT]

`train` trains eleven small networks on six data sets or sizes, without early stopping, and asks
the test images after every epoch, as `--optimism` does. It keeps which test images were right
after each epoch, one bit an image, and the accuracy on validation: a file a training, in `--runs`.
What lies there is not trained again, so that the same command goes on after an interruption. All
sets are trained with a seed before the next seed begins, and the time left is printed. Images of
28×28 are shrunk to 14×14. With `--only`, trainings whose names hold the text.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spikeduel.data import Prepared, Split
from spikeduel.data.loader import EvaluationBatches
from spikeduel.measuring.answers import answers_of
from spikeduel.networks import building
from spikeduel.networks.models import Model
from spikeduel.results.words.numbers import duration, per_cent
from spikeduel.settings import Experiment
from spikeduel.settings.recipes import baseline, matched, strong
from spikeduel.spiking.random_keys import seeded
from spikeduel.system import files
from spikeduel.system.progress import Progress
from spikeduel.trials import auto_settings, contenders, plan
from spikeduel.trials.store import Store
from spikeduel.trials.training import Loop

SETS: dict[str, dict[str, Any]] = {
    "digits": {"dataset": "digits"},
    "fashion-mnist, 1000": {"dataset": "fashion-mnist", "limit": 1000},
    "socofing by subject": {"dataset": "socofing", "limit": 1500, "image_size": 16},
    "mnist, 1000": {"dataset": "mnist", "limit": 1000},
    "photographs": {"dataset": "photos", "image_size": 24},
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
            answers = answers_of(model, test)
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
            *(model, *prepared.held, split, trial.experiment, checkpoint, Progress()), kept=kept
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
    curves = [read(path) for path in sorted(options.runs.glob("*.npz"))]
    seconds = {(curve.dataset, curve.network): curve.seconds for curve in curves}
    held: dict[str, tuple[Prepared, Split]] = {}
    todo = list(missing(options))
    for number, (dataset, network, seed) in enumerate(todo, 1):
        experiment = experiment_of(dataset, network, options)
        if dataset not in held:
            _, prepared, splits = plan.loaded(experiment, Progress())
            held[dataset] = (halved(prepared), splits[0])
        curve = trained(dataset, network, seed, experiment, held[dataset])
        write(options.runs / f"{curve.name}.npz", curve)
        seconds[dataset, network] = curve.seconds
        left = sum(
            seconds.get((dataset, network), statistics.fmean(seconds.values()))
            for dataset, network, _ in todo[number:]
        )
        best, kept = curve.accuracies.max(), curve.accuracies[curve.chosen]
        print(
            f"{number} of {len(todo)}: {curve.name}, {duration(curve.seconds)}: best test epoch "
            f"{per_cent(best)}, chosen {per_cent(kept)}, last {per_cent(curve.accuracies[-1])}; "
            f"about {duration(left)} of one core left",
            flush=True,
        )


def missing(options: argparse.Namespace) -> Iterator[tuple[str, str, int]]:
    """Yield data set, network and seed of the trainings that are not in `options.runs`."""
    for seed in range(options.seeds):
        for dataset in SETS:
            for network in NETWORKS:
                name = name_of(dataset, network, seed)
                if options.only in name and not (options.runs / f"{name}.npz").exists():
                    yield dataset, network, seed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
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
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
