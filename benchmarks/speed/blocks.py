"""What training from disk costs: its speed beside that from memory, and the accuracy of a shuffle
by blocks.

    python -m benchmarks.speed.blocks [--seeds 5] [--epochs 6] [--batches 150] [--data-dir IDX_FILES]

Speed: steps of two small networks on images of 28×28 and 3×64×64, from memory and from a memory map
whose pages the system holds, in turns.

Accuracy: Fashion-MNIST sorted by class, as a folder is, with `small-cnn`; every order of training
images with the same seeds. "all": one by one. "window as large": blocks of 5 images, of which as
many are mixed as of 3×64×64 images. "window as small": blocks of 5, 32 windows an epoch, as in a
set of 16 GB. "not mixed": for comparison, blocks alone. Results go to
benchmarks/results/blocks.json.
"""

import statistics
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import shared
from spikeduel import data
from spikeduel.data import loader
from spikeduel.data.loader import EvaluationBatches, ImageArrays
from spikeduel.data.prepared import RawDataset, from_raw
from spikeduel.engine.networks import building
from spikeduel.engine.networks.models import Model
from spikeduel.engine.networks.training_step import TrainingStep
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.evaluation.correctness import classification
from spikeduel.experiment.recipes import baseline
from spikeduel.inputs.preprocessing import Preprocessing
from spikeduel.training import contenders
from spikeduel.training.training import rules_of

RESULT = "blocks.json"
SHAPES = {"28×28": (1, 28, 28), "3×64×64": (3, 64, 64)}
NUM_IMAGES = 40_000
CONTENDERS = ("dense-relu", "small-cnn")
ROUNDS = 7
IN_A_BLOCK = loader.BLOCK // (3 * 64 * 64)
ORDERS: dict[str, dict[str, int] | None] = {
    "all": None,
    "window as large": {"BLOCK": IN_A_BLOCK * 784, "WINDOW": loader.WINDOW // (3 * 64 * 64) * 784},
    "window as small": {"BLOCK": IN_A_BLOCK * 784, "WINDOW": 54_000 // 32 * 784},
    "not mixed": {"BLOCK": IN_A_BLOCK * 784, "WINDOW": 784},
}


def main() -> None:
    parser = shared.parser(__doc__, seeds=5, epochs=6, batches=150, data_dir=str)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        maps = {
            name: _mapped(Path(folder) / f"{shape[-1]}.npy", shape)
            for name, shape in SHAPES.items()
        }
        speed = {name: _speed(images, options.batches) for name, images in maps.items()}
    results = {
        "speed": speed,
        "accuracy": _accuracy(options.seeds, options.epochs, options.data_dir),
        "epochs": options.epochs,
    }
    shared.write(RESULT, results)


def _mapped(path: Path, shape: tuple[int, ...]) -> np.memmap:
    rng = np.random.default_rng(0)
    images = np.lib.format.open_memmap(path, "w+", np.uint8, (NUM_IMAGES, *shape))
    for start in range(0, NUM_IMAGES, 1000):
        images[start : start + 1000] = rng.integers(0, 256, (1000, *shape), dtype=np.uint8)
    images.flush()
    mapped: np.memmap = np.load(path, mmap_mode="r")
    return mapped


def _speed(images: np.memmap, num_batches: int) -> dict[str, Any]:
    """Milliseconds of a step from memory and from a map, and the ratio of speeds, medians over
    rounds in turns.
    """
    count, shape = len(images), images.shape[1:]
    some = np.arange(200)
    made = from_raw(
        "noise", RawDataset(images[:200], some % 10, tuple("0123456789"), Preprocessing(*shape))
    )
    experiment = baseline("noise", contenders=CONTENDERS, epochs=1)
    labels, memory = torch.arange(count) % 10, torch.from_numpy(np.array(images))
    found: dict[str, Any] = {}
    for trial in contenders.trials_of(experiment, made, data.split(made, experiment)):
        step = TrainingStep(shared.untrained(trial), rules_of(experiment), 10**6)

        def steps_of(held: ImageArrays, step: TrainingStep = step) -> None:
            batches = loader.training_batches(
                held, labels, np.arange(count), experiment.decided_batch_size, 0, 0
            )
            with closing(batches):
                for picked, truth, indices in islice(batches, num_batches):
                    step(picked, truth, RandomKeys.for_training(0, 0, indices))

        works = {"memory": partial(steps_of, memory), "map": partial(steps_of, images)}
        seconds = shared.in_turns(works, ROUNDS)
        with _order({"BLOCK": loader.BLOCK, "WINDOW": loader.WINDOW}):
            by_blocks = shared.in_turns(works, ROUNDS)
        found[trial.card.contender] = {
            **{
                f"{name}_ms": 1e3 * statistics.median(taken) / num_batches
                for name, taken in seconds.items()
            },
            "speed_ratio": shared.median_ratio(seconds["memory"], seconds["map"]),
            "speed_ratio_by_blocks": shared.median_ratio(by_blocks["memory"], by_blocks["map"]),
        }
    return found


@contextmanager
def _order(constants: dict[str, int] | None) -> Iterator[None]:
    """Within, images are shuffled by blocks of these sizes; None: one by one."""
    before = {name: getattr(loader, name) for name in ("WHOLE", "BLOCK", "WINDOW")}
    try:
        for name, value in ({"WHOLE": 0, **constants} if constants else {"WHOLE": 1 << 60}).items():
            setattr(loader, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(loader, name, value)


def _accuracy(seeds: int, epochs: int, data_dir: str | None) -> dict[str, list[float]]:
    """Test accuracy of each seed, by the order of training images."""
    experiment = baseline(
        "fashion-mnist", contenders=("small-cnn",), seeds=seeds, epochs=epochs, data_dir=data_dir
    )
    given = data.load(experiment)
    by_class = np.argsort(np.asarray(given.labels), kind="stable")
    parts = {
        each: getattr(given, each)
        for each in ("images", "labels", "official", "image_ids", "content", "groups")
    }
    sorted_parts: dict[str, Any] = {
        each: None if part is None else part[by_class] for each, part in parts.items()
    }
    prepared = replace(given, **sorted_parts)
    split = data.split(prepared, experiment)
    test = EvaluationBatches(*prepared.arrays, split.test)
    found: dict[str, list[float]] = {name: [] for name in ORDERS}
    for planned in contenders.trials_of(experiment, prepared, split):
        for name, constants in ORDERS.items():
            model = Model(building.started(planned.card), planned.card, planned.card.precision)
            with _order(constants):
                shared.train(model, prepared, split, planned.experiment)
            found[name].append(classification(model, test).accuracy)
            print(name, planned.card.seed, found[name][-1], flush=True)
    return found


if __name__ == "__main__":
    main()
