"""At an equal number of epochs in all, how should a spiking network's training be divided between
ReLU and spikes?

    python -m benchmarks.accuracy.equal_training [--dataset fashion-mnist|digits] [--totals 4 8]
        [--seeds 0 1] [--only NAME …]

Trains vgg-lif of the recipe `strong`, 16 wide, for E epochs in all, of which the first ones may be
with ReLU for the neurons (one pass, no time steps). `own schedule`: the learning rate rises and
falls in either part; `one schedule`: once, over both, and the optimizer keeps its momenta.
`vgg-relu` has all its epochs with ReLU. Only validation images are asked: of Fashion-MNIST 1,500,
and as many train (at half their size, 14×14, for time); of digits 997, and 800 train. Before, a
spiking network started from a ReLU network that was trained for E epochs, and trained E more: that
is `half with ReLU, own schedule` for a total of 2E, beside vgg-relu for a total of E. The result
goes to benchmarks/results/equal-training.json after each training; what is there is not trained
again. The seconds there were taken beside other work: only their ratios say something.
"""

import itertools
import statistics
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks import shared
from spikeduel.data import Prepared, Split
from spikeduel.engine.networks import building
from spikeduel.engine.networks.cards import ModelCard
from spikeduel.engine.networks.models import Model
from spikeduel.engine.random_keys import seeded
from spikeduel.experiment.recipes import strong
from spikeduel.experiment.settings import Experiment
from spikeduel.sentences.columns import render
from spikeduel.system.progress import Progress, TerminalProgress
from spikeduel.training import auto_settings
from spikeduel.training.contenders import Contender
from spikeduel.training.store import Store
from spikeduel.training.training import Loop, Training, read_checkpoint, write_checkpoint

RESULT = "equal-training.json"
SETTINGS: dict[str, Any] = {"contenders": ("vgg-lif",), "width": 16, "start": "fresh"}


class Division(NamedTuple):
    """A share of the epochs with ReLU, and if one schedule goes over both parts."""

    with_relu: float
    one_schedule: bool = False


DIVISIONS = {
    "vgg-relu": Division(1.0),
    "fresh": Division(0.0),
    "a quarter with ReLU, own schedule": Division(0.25),
    "half with ReLU, own schedule": Division(0.5),
    "three quarters with ReLU, own schedule": Division(0.75),
    "a quarter with ReLU, one schedule": Division(0.25, True),
    "half with ReLU, one schedule": Division(0.5, True),
    "three quarters with ReLU, one schedule": Division(0.75, True),
}


class Enough(Exception):
    """The first part is over."""


class Until(Progress):
    """Ends a training after `epochs`, whose checkpoint is written by then."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def epoch(self, title: str, epochs: Any, num_epochs: int) -> None:
        if len(epochs) == self.epochs:
            raise Enough


def with_relu(card: ModelCard) -> ModelCard:
    """The card of the same network with ReLU for its neurons, in one step."""
    network = {key: card.network[key] for key in building.SHAPE_SETTINGS if key in card.network}
    return replace(card, network={**network, "neuron": "relu"}, num_steps=1)


def trained(
    card: ModelCard, division: Division, experiment: Experiment, prepared: Prepared, split: Split
) -> Training:
    """Train the network of `card` for `experiment.num_epochs` in all."""
    first = int(division.with_relu * experiment.num_epochs)
    path = Path(tempfile.mkdtemp()) / "checkpoint.pt"

    def loop(model: Model, epochs: int, progress: Progress) -> Loop:
        asked = replace(experiment, epochs=epochs)
        return Loop(model, *prepared.arrays, split, asked, path, progress)

    with seeded(card.seed):
        relu = Model(building.build(with_relu(card)), with_relu(card), card.precision)
        model = Model(building.build(card), card, card.precision)
    before = Training()
    epochs = experiment.num_epochs
    if first:
        until = Until(first) if first < epochs and division.one_schedule else Progress()
        with suppress(Enough):
            before = loop(relu, epochs if division.one_schedule else first, until).run()
        if first == epochs:
            return before
        state = read_checkpoint(path)
        assert state is not None
        for name, value in state["weights"].items():
            if name.endswith("num_batches_tracked"):
                value.zero_()  # spikes have statistics of their own
        write_checkpoint(path, {**state, "best_weights": {}})
        if not division.one_schedule:
            model.module.load_state_dict(state["weights"])
            path.unlink()
            epochs -= first
    after = loop(model, epochs, Progress()).run()
    return replace(
        after,
        history=[*before.history, *after.history],
        epoch_seconds=[*before.epoch_seconds, *after.epoch_seconds],
    )


def main() -> None:
    parser = shared.parser(__doc__, totals=[4, 8], seeds=[0, 1])
    parser.add_argument("--dataset", choices=("fashion-mnist", "digits"), default="fashion-mnist")
    parser.add_argument("--only", nargs="*", help="these divisions alone", choices=list(DIVISIONS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    progress, store = TerminalProgress(stderr=True), Store(None)
    asked = strong(options.dataset, **SETTINGS, epochs=1)
    prepared, split = images_of(asked)
    rows = shared.read(RESULT, {"rows": []})["rows"]
    for total, seed in itertools.product(options.totals, options.seeds):
        experiment = replace(asked, epochs=total)
        resolved = auto_settings.resolve(experiment, prepared, split, store, progress)
        (contender,) = resolved.contenders
        for name in options.only or DIVISIONS:
            row = {"dataset": options.dataset, "epochs": total, "division": name, "seed": seed}
            if not any(row.items() <= known.items() for known in rows):
                found = measured(contender, seed, name, resolved.experiment, prepared, split)
                rows.append({**row, **found})
                divisions = {name: each._asdict() for name, each in DIVISIONS.items()}
                document = {"settings": SETTINGS, "divisions": divisions, "rows": rows}
                shared.write(RESULT, document)
    print(table(rows))


def images_of(asked: Experiment) -> tuple[Prepared, Split]:
    """The data, and a split without test images."""
    prepared, split = shared.loaded(asked)
    if prepared.name == "digits":
        order = np.concatenate([split.train, split.val, split.test])
        train, val = np.split(np.random.default_rng(0).permutation(order), [800])
    else:
        order = np.random.default_rng(0).permutation(split.train)
        train, val = order[:1500], order[1500:3000]
        some = np.asarray(prepared.images)
        halves = some.reshape(len(some), 1, 14, 2, 14, 2).mean((3, 5)).round()
        prepared = replace(prepared, images=halves.astype(np.uint8))
    return prepared, replace(split, train=np.sort(train), val=np.sort(val))


def measured(contender: Contender, seed: int, name: str, *rest: Any) -> dict[str, Any]:
    """Validation accuracy after the last epoch, and seconds by the median epoch of either part."""
    division, experiment = DIVISIONS[name], rest[0]
    found = trained(replace(contender.card, seed=seed), division, *rest)
    first = int(division.with_relu * experiment.num_epochs)
    seconds = found.epoch_seconds
    parts = [part for part in (seconds[:first], seconds[first:]) if part]
    return {
        "accuracy": found.history[-1]["val_accuracy"],
        "seconds": round(sum(len(part) * statistics.median(part) for part in parts), 2),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Mean accuracy, seconds and number of seeds by division, data set and total."""
    cases = dict.fromkeys((row["dataset"], row["epochs"]) for row in rows)
    lines = []
    for name in DIVISIONS:
        line = {"division": name}
        for dataset, total in cases:
            wanted = {"dataset": dataset, "epochs": total, "division": name}
            some = [row for row in rows if wanted.items() <= row.items()]
            line[f"{dataset}, {total} epochs"] = ""
            if some:
                accuracy = 100 * statistics.fmean(row["accuracy"] for row in some)
                seconds = statistics.median(row["seconds"] for row in some)
                cell = f"{accuracy:.2f} % ({seconds:.0f} s, {len(some)} seeds)"
                line[f"{dataset}, {total} epochs"] = cell
        lines.append(line)
    return render(lines)


if __name__ == "__main__":
    main()
