"""What training from disk costs: its speed beside that from memory, and the accuracy of a shuffle
by blocks.

    python benchmarks/blocks.py [--seeds 5] [--epochs 6] [--batches 150] [--data-dir IDX_FILES]

Speed: steps of two small networks on images of 28×28 and 3×64×64, from memory and from a memory map
whose pages the system holds, in turns; of other maps whose pages it does not hold, how many images
a second come in random order, each asked for alone, and by blocks. (The system drops pages of a
file when it is told to; the disk under it may hold them.)

Accuracy: Fashion-MNIST sorted by class, as a folder is, with `small-cnn`; every order of training
images with the same seeds. "all": one by one. "window as large": blocks of 5 images, of which as
many are mixed as of 3×64×64 images. "window as small": blocks of 5, 32 windows an epoch, as in a
set of 16 GB. "not mixed": for comparison, blocks alone. Results go to
benchmarks/results/blocks.json.
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spikeduel import data
from spikeduel.data import loader
from spikeduel.data.loader import EvaluationBatches, Held
from spikeduel.data.prepared import RawDataset, from_raw
from spikeduel.measuring.correctness import classification
from spikeduel.networks import building
from spikeduel.networks.models import Model
from spikeduel.networks.preprocessing import Preprocessing
from spikeduel.networks.training_step import TrainingStep
from spikeduel.settings.recipes import baseline
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.system import hardware
from spikeduel.system.progress import Progress
from spikeduel.trials import contenders
from spikeduel.trials.training import Loop, rules_of

RESULT = Path(__file__).parent / "results" / "blocks.json"
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batches", type=int, default=150)
    parser.add_argument("--data-dir")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        maps = {
            name: _mapped(Path(folder) / f"{shape[-1]}.npy", shape)
            for name, shape in SHAPES.items()
        }
        speed = {name: _speed(images, options.batches) for name, images in maps.items()}
        cold = {name: _cold(images) for name, images in maps.items()}
    results = {
        "environment": hardware.environment(hardware.resolve()),
        "speed": speed,
        "cold": cold,
        "accuracy": _accuracy(options.seeds, options.epochs, options.data_dir),
        "epochs": options.epochs,
    }
    RESULT.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


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
    for planned in contenders.trials_of(experiment, made, data.split(made, experiment)):
        step = TrainingStep(
            Model(building.build(planned.card), planned.card, planned.card.precision),
            rules_of(experiment),
            10**6,
        )

        def milliseconds(held: Held, epoch: int, step: TrainingStep = step) -> float:
            batches = loader.training_batches(
                held, labels, np.arange(count), experiment.decided_batch_size, 0, epoch
            )
            with closing(batches):
                started = time.perf_counter()
                for picked, truth, indices in islice(batches, num_batches):
                    step(picked, truth, RandomKeys.for_training(0, epoch, indices))
                return 1e3 * (time.perf_counter() - started) / num_batches

        for held in (memory, images):
            milliseconds(held, 0)
        rounds = [
            (milliseconds(memory, epoch), milliseconds(images, epoch))
            for epoch in range(1, ROUNDS + 1)
        ]
        with _order({"BLOCK": loader.BLOCK, "WINDOW": loader.WINDOW}):
            blocks = [
                (milliseconds(memory, epoch), milliseconds(images, epoch))
                for epoch in range(1, ROUNDS + 1)
            ]
        found[planned.card.contender] = {
            "memory_ms": statistics.median(each for each, _ in rounds),
            "map_ms": statistics.median(each for _, each in rounds),
            "speed_ratio": statistics.median(a / b for a, b in rounds),
            "speed_ratio_by_blocks": statistics.median(a / b for a, b in blocks),
        }
    return found


def _cold(images: np.memmap) -> dict[str, float | None]:
    """Images a second of one epoch from a file of which the system holds no page, one by one and by
    blocks.
    """
    if not hasattr(os, "posix_fadvise"):
        return {"one_by_one": None, "by_blocks": None}
    labels = torch.zeros(len(images), dtype=torch.int64)
    found: dict[str, float | None] = {}
    for name, constants in (
        ("one_by_one", None),
        ("by_blocks", {"BLOCK": loader.BLOCK, "WINDOW": loader.WINDOW}),
    ):
        # Of a file that is mapped, the system keeps the pages.
        path = Path(f"{images.filename}-{name}")
        shutil.copyfile(str(images.filename), path)
        with path.open("rb+") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        opened = np.load(path, mmap_mode="r")
        with _order(constants):
            started = time.perf_counter()
            for _ in loader.training_batches(opened, labels, np.arange(len(opened)), 128, 0, 0):
                pass
            found[name] = len(opened) / (time.perf_counter() - started)
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
    images, labels = prepared.held
    found: dict[str, list[float]] = {name: [] for name in ORDERS}
    for planned in contenders.trials_of(experiment, prepared, split):
        for name, constants in ORDERS.items():
            model = Model(building.started(planned.card), planned.card, planned.card.precision)
            with _order(constants), tempfile.TemporaryDirectory() as folder:
                Loop(
                    model,
                    images,
                    labels,
                    split,
                    planned.experiment,
                    Path(folder) / "c.pt",
                    Progress(),
                ).run()
            found[name].append(
                classification(model, EvaluationBatches(images, labels, split.test)).accuracy
            )
            print(name, planned.card.seed, found[name][-1], flush=True)
    return found


if __name__ == "__main__":
    main()
