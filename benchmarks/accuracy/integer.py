"""Integer neurons beside ReLU and LIF: accuracy after equally many epochs, time of a training step,
and how many labels from spikes differ from those in one pass.

    python -m benchmarks.accuracy.integer [--data-dir PATH] [--epochs 12] [--seeds 2] [--runs DIR]

On Fashion-MNIST. Ratios of time are medians of steps in turns. Labels are those of all test images,
in float32 and in float64. Results go to benchmarks/results/integer.json.
"""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks import shared
from spikeduel.engine import ConstantInput
from spikeduel.engine.networks.models import Model, computed_once
from spikeduel.engine.networks.training_step import TrainingStep
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.experiment.recipes import strong
from spikeduel.training import contenders
from spikeduel.training.contenders import Trial
from spikeduel.training.outcomes import trial_entry
from spikeduel.training.store import Store
from spikeduel.training.training import rules_of
from spikeduel.training.trial import load_of

RESULT = "integer.json"
CONTENDERS = ("vgg-relu", "vgg-lif", "vgg-integer")
TIMED = ("vgg-relu", "vgg-lif", "vgg-integer", "resnet-silu", "resnet-integer")
RIVALS = {"vgg-lif": "vgg-relu", "vgg-integer": "vgg-relu", "resnet-integer": "resnet-silu"}
STEPS, ROUNDS = 8, 15


def main() -> None:
    options = shared.parser(
        __doc__, data_dir=str, epochs=12, seeds=2, runs=Path("runs/integer")
    ).parse_args()
    experiment = strong(
        "fashion-mnist",
        contenders=TIMED,
        epochs=options.epochs,
        seeds=options.seeds,
        data_dir=options.data_dir,
    )
    (prepared, split), store = shared.loaded(experiment), Store(options.runs / "store")
    experiment = shared.fitted(experiment, prepared, split, store)
    trials = contenders.trials_of(experiment, prepared, split)
    images = torch.from_numpy(np.array(prepared.images[: experiment.decided_batch_size]))
    targets = torch.from_numpy(np.array(prepared.labels[: len(images)])).long()
    works = {
        trial.card.contender: steps_of(trial, images, targets)
        for trial in trials
        if trial.card.seed == 0
    }
    seconds = shared.in_turns(works, ROUNDS)
    planned = [trial for trial in trials if trial.card.contender in CONTENDERS]
    outcomes = [trial_entry(outcome) for outcome in shared.finished(planned, prepared, store)]
    accuracies: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for entry in outcomes:
        if entry.test:
            accuracies[entry.contender].append(entry.test.accuracy)
    test = torch.from_numpy(np.array(prepared.images[split.test]))
    differ = {
        str(dtype).removeprefix("torch."): [
            int((labels(model, test, dtype) != labels(computed_once(model), test, dtype)).sum())
            for model in (
                load_of(trial.key, trial, store)
                for trial in planned
                if trial.card.contender == "vgg-integer"
            )
        ]
        for dtype in (torch.float32, torch.float64)
    }
    document = {
        "epochs": options.epochs,
        "accuracy": accuracies,
        "time_of_a_step": {
            name: shared.median_ratio(seconds[name], seconds[rival])
            for name, rival in RIVALS.items()
        },
        "rivals": RIVALS,
        "labels_that_differ": differ,
        "test_images": len(test),
    }
    shared.write(RESULT, document)


def steps_of(trial: Trial, images: torch.Tensor, targets: torch.Tensor) -> Callable[[], None]:
    """Return a function that trains an untrained network by some steps."""
    step = TrainingStep(shared.untrained(trial), rules_of(trial.experiment), 10**6)
    keys = RandomKeys.for_evaluation(np.arange(len(images)))

    def work() -> None:
        for _ in range(STEPS):
            step(images, targets, keys)

    return work


def labels(model: Model, images: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the labels of images, computed in `dtype`."""
    module, found = copy.deepcopy(model.module).to(dtype).eval(), []
    with torch.inference_mode():
        for part in images.split(250):
            x = model.encode(part, RandomKeys.for_content(part))
            assert isinstance(x, ConstantInput)
            found.append(module(ConstantInput(x.value.to(dtype), x.num_steps)).argmax(1))
    return torch.cat(found)


if __name__ == "__main__":
    main()
