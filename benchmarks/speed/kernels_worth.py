"""What do single kernels bring to a training step: with the kernel, and without it?

    python -m benchmarks.speed.kernels_worth [--rounds 40]

For each kernel and each training of a recipe that uses it, two copies of a network train side by
side on the same batch, one step with the kernel and one without, in turns, with one thread. The
result is the median over the rounds of (time without) / (time with): 1.15 means that the step takes
15 % longer without the kernel. It goes to benchmarks/results/kernels-worth.json.
"""

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch.nn import functional as F

from benchmarks import shared
from spikeduel.engine import kernels
from spikeduel.engine.networks import architectures
from spikeduel.engine.networks.training_step import TrainingStep
from spikeduel.engine.random_keys import RandomKeys, seeded
from spikeduel.experiment.recipes import RECIPES
from spikeduel.training.training import rules_of

RESULT = "kernels-worth.json"
CASES = {
    "pooling of convolutions": ["baseline small-cnn"],
    "projected": ["baseline dense-snn", "baseline-direct dense-snn"],
}
"""By kernel, the recipes and contenders whose training it takes part in. The recipes strong and
events use none of these kernels; "baseline-direct" is the baseline with direct encoding."""
REPLACED: dict[str | None, tuple[Any, str, Callable[..., Any]]] = {
    "pooling of convolutions": (
        architectures,
        "relu_of_max_pool_of_conv",
        lambda conv, x: F.relu(F.max_pool2d(conv(x), 2)),
    ),
    "projected": (kernels, "is_projected", lambda *_: False),
}
"""Functions in place of which PyTorch computes the same."""


@contextmanager
def removed(kernel: str | None) -> Iterator[None]:
    """Within, PyTorch computes what `kernel` would."""
    with mock.patch.object(*REPLACED[kernel]) if kernel else nullcontext():
        yield


def step_of(training: str, without: str | None = None) -> Callable[[], None]:
    """Return a training step of a recipe's network on its first batch, without a kernel if one is
    named.
    """
    recipe, contender = training.split()
    changes = {"encoding": "direct"} if recipe.endswith("-direct") else {}
    experiment: Any = RECIPES[recipe.removesuffix("-direct")](contenders=(contender,), **changes)
    prepared, split, (trial, *_) = shared.trials_of(experiment)
    indices = split.train[: experiment.images_a_step]
    images, labels = torch.as_tensor(prepared.arrays[0][indices]), prepared.arrays[1][indices]
    with seeded(0), removed(without):
        model = shared.untrained(trial)
        step = TrainingStep(model, rules_of(trial.experiment), 10_000)
    model.module.train()
    keys = RandomKeys.for_training(0, 0, indices)

    def run() -> None:
        with removed(without):
            step(images, labels, keys)

    return run


def main() -> None:
    rounds = shared.parser(__doc__, rounds=40).parse_args().rounds
    torch.set_num_threads(1)
    rows = []
    for kernel, trainings in CASES.items():
        for training in trainings:
            steps = {"with": step_of(training), "without": step_of(training, kernel)}
            seconds = shared.in_turns(steps, rounds)
            ms = {f"ms_{name}": 1e3 * statistics.median(seconds[name]) for name in steps}
            ratio = shared.median_ratio(seconds["without"], seconds["with"])
            rows.append({"kernel": kernel, "training": training, "ratio": ratio, **ms})
            print(rows[-1], flush=True)
    shared.write(RESULT, {"rows": rows})


if __name__ == "__main__":
    main()
