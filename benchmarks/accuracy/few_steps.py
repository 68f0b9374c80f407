"""Do statistics of batch norm that are renewed after each epoch help if epochs have few steps?

    python -m benchmarks.accuracy.few_steps [--epochs 10] [--seeds 4] [--only NAME …]

Trains vgg-lif and vgg-relu of the recipe `strong` twice, with statistics that are renewed after each
epoch and with running ones. The weights are the same in both. The sets are 144 images of three
textures (5 steps an epoch, 366 test images), made here, and parts of digits (3, 6, 12, 23 and 45
steps an epoch). The result goes to benchmarks/results/few-steps.json: mean accuracy on validation
over all epochs, and test accuracy of each seed. No times are taken.
"""

import sys
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks import shared
from spikeduel.comparing import prepare
from spikeduel.data.loader import EvaluationBatches
from spikeduel.engine.networks.models import Model
from spikeduel.engine.random_keys import seeded
from spikeduel.evaluation.predictions_of_model import predict_in_one_pass
from spikeduel.experiment.recipes import strong
from spikeduel.system.progress import Progress
from spikeduel.training import contenders
from spikeduel.training.store import opened

RESULT = "few-steps.json"
SPLITS = {"train": 48, "val": 30, "test": 122}
"""Images of a class."""
NAMES = ("vgg-lif", "vgg-relu")
LIMITS = (100, 200, 400, 800, None)
"""Images of digits for training and validation."""


def texture(name: str, rng: np.random.Generator, side: int = 64, noise: float = 90.0) -> np.ndarray:
    """Return grey values `[side, side]` of a texture with random direction, period, phases, contrast
    and brightness, in noise.
    """
    y, x = np.mgrid[:side, :side].astype(float)
    angle, period = rng.uniform(0, np.pi), rng.uniform(4, 10)
    phases = rng.uniform(0, 2 * np.pi, 2)
    along = np.sin(2 * np.pi * (np.cos(angle) * x + np.sin(angle) * y) / period + phases[0])
    across = np.sin(2 * np.pi * (np.cos(angle) * y - np.sin(angle) * x) / period + phases[1])
    block = max(int(period / 2), 1)
    spots = rng.normal(size=(side // block + 1,) * 2).repeat(block, 0).repeat(block, 1)
    values = {"stripes": along, "checks": along * across, "spots": spots[:side, :side]}[name]
    grey = rng.uniform(90, 165) + rng.uniform(20, 60) * np.sign(values)
    return (grey + rng.normal(0, noise, (side, side))).clip(0, 255).astype(np.uint8)


def make_textures(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for side, number in SPLITS.items():
        for name in ("stripes", "checks", "spots"):
            for index in range(number):
                shared.write_image(folder / side / name / f"{index}.png", texture(name, rng))


def trained(dataset: str, limit: int | None, epochs: int, seeds: int) -> dict[str, Any]:
    """Return the scores with renewed and with running statistics."""
    experiment = strong(dataset, contenders=NAMES, limit=limit, epochs=epochs, seeds=seeds)
    usual, found = contenders.MIN_STEPS_IN_EPOCH, dict[str, Any]()
    with tempfile.TemporaryDirectory() as folder:
        ready = prepare(experiment, folder, opened(folder), Progress())
        for name, fewest in (("renewed", sys.maxsize), ("running", 0)):
            contenders.MIN_STEPS_IN_EPOCH = fewest
            found[name] = {contender: {"validation": [], "test": []} for contender in NAMES}
            for trial in ready.plan.trials:
                with seeded(trial.card.seed):
                    model = shared.untrained(trial)
                training = shared.train(model, ready.prepared, trial.split, trial.experiment)
                test = EvaluationBatches(*ready.prepared.arrays, trial.split.test)
                answers = predict_in_one_pass(Model(model.module, trial.card), test)
                scores = found[name][trial.card.contender]
                scores["validation"].append(fmean(e["val_accuracy"] for e in training.history))
                scores["test"].append(answers.accuracy)
    contenders.MIN_STEPS_IN_EPOCH = usual
    split = trial.split
    steps = -(-len(split.train) // trial.experiment.decided_batch_size)
    return {"steps": steps, "train": len(split.train), "test": len(split.test), **found}


def main() -> None:
    parser = shared.parser(__doc__, epochs=10, seeds=4)
    parser.add_argument("--only", nargs="*", metavar="NAME")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        textures = Path(folder, "textures")
        make_textures(textures)
        sets: dict[str, tuple[str, int | None]] = {"textures": (str(textures), None)}
        sets |= {f"digits-{limit or 'all'}": ("digits", limit) for limit in LIMITS}
        document = shared.read(RESULT, {"sets": {}})
        document["epochs"] = asked.epochs
        for name, (dataset, limit) in sets.items():
            if not asked.only or name in asked.only:
                document["sets"][name] = trained(dataset, limit, asked.epochs, asked.seeds)
                shared.write(RESULT, document)
    for name, of_set in document["sets"].items():
        for contender in of_set["renewed"]:
            both = [
                f"{what} {100 * fmean(of_set[how][contender][what]):.1f} {how}"
                for what in ("validation", "test")
                for how in ("running", "renewed")
            ]
            print(f"{name}, {of_set['steps']} steps, {contender}: {', '.join(both)}")


if __name__ == "__main__":
    main()
