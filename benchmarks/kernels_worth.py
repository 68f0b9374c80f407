"""Measure what single kernels bring to a training step: with a kernel, and without it.

    python benchmarks/kernels_worth.py --out benchmarks/results/kernels-worth.json

Two of the kernels (adam, narrow) were deleted after this measurement, so that the steps run in the
source of BASE, the last commit that has them. For each kernel and each training of a recipe that
uses the kernel, two copies of a network train side by side on the same batches, one step with the
kernel and one without, in turns. The result is the median over the pairs of (time without) / (time
with): 1.15 means that the step takes 15 % longer without the kernel. Steps use one thread.
"""

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
BASE = "bbe88cd"
CASES = {
    "adam": ["baseline dense-snn", "baseline small-cnn", "matched dense-lif", "matched conv-lif"],
    "narrow": ["baseline dense-snn", "matched dense-lif"],
    "pooling": ["baseline small-cnn", "matched conv-relu"],
    "pooling of convolutions": ["baseline small-cnn"],
    "projected": ["baseline dense-snn", "baseline-direct dense-snn"],
}
"""By kernel, the recipes and contenders whose training it takes part in. The recipes strong and
events use none of these kernels; "baseline-direct" is the baseline with direct encoding."""


def main() -> None:
    """Print the ratios, and write them to `--out`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measured(options.pairs)))
        return
    with tempfile.TemporaryDirectory() as folder:
        source = subprocess.run(
            ["git", "archive", BASE, "src"], cwd=ROOT, check=True, stdout=subprocess.PIPE
        )
        subprocess.run(["tar", "-x", "-C", folder], input=source.stdout, check=True)
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, __file__, "--worker", "--pairs", str(options.pairs)],
            env={**os.environ, **threads, "PYTHONPATH": f"{folder}/src"},
            check=True,
            stdout=subprocess.PIPE,
        )
    document = json.loads(done.stdout)
    for row in document["rows"]:
        print(
            f"{row['kernel']:24} {row['training']:26} {row['ratio']:.3f} ({row['ms_with']:.1f} ms)"
        )
    if options.out:
        options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def measured(num_pairs: int) -> dict[str, Any]:
    """Return a row of ratios for each of `CASES`, and the machine."""
    import torch

    from spikeduel.system import hardware

    torch.set_num_threads(1)
    rows = []
    for kernel, trainings in CASES.items():
        for training in trainings:
            with_kernel, without = step_of(training), step_of(training, kernel)
            seconds = list(timed_in_turns(with_kernel, without, num_pairs))
            ratios = sorted(second / first for first, second in seconds)
            rows.append(
                {
                    "kernel": kernel,
                    "training": training,
                    "ratio": statistics.median(ratios),
                    "quartiles": [ratios[num_pairs // 4], ratios[-1 - num_pairs // 4]],
                    "ms_with": 1e3 * statistics.median(first for first, _ in seconds),
                    "ms_without": 1e3 * statistics.median(second for _, second in seconds),
                    "pairs": num_pairs,
                }
            )
    return {
        "base": BASE,
        "environment": {
            **hardware.environment(hardware.Compute("cpu", "32")),
            "features": sorted(hardware.cpu_features()),
        },
        "rows": rows,
    }


def timed_in_turns(
    first: Callable[[], None], second: Callable[[], None], num_pairs: int
) -> Iterator[tuple[float, float]]:
    """Yield the seconds of both calls, made one after the other in changing order."""
    for step in (first, second) * 3:
        step()
    for number in range(num_pairs):
        seconds = {}
        for step in (first, second) if number % 2 else (second, first):
            started = time.perf_counter()
            step()
            seconds[step] = time.perf_counter() - started
        yield seconds[first], seconds[second]


def step_of(training: str, without: str | None = None) -> Callable[[], None]:
    """Return a training step of a recipe's network on its first batch, without a kernel if one is
    named.
    """
    import torch

    from spikeduel import data
    from spikeduel.networks import building
    from spikeduel.networks.models import Model
    from spikeduel.networks.training_step import TrainingStep
    from spikeduel.settings.recipes import RECIPES
    from spikeduel.spiking.random_keys import RandomKeys, seeded
    from spikeduel.trials.training import rules_of

    planning: Any = importlib.import_module("spikeduel.trials.planning")  # as in BASE

    recipe, contender = training.split()
    changes = {"encoding": "direct"} if recipe.endswith("-direct") else {}
    experiment: Any = RECIPES[recipe.removesuffix("-direct")](contenders=(contender,), **changes)
    prepared = data.load(experiment)
    split = data.split(prepared, experiment)
    (trial, *_) = planning.plan(experiment, prepared, split)
    indices = split.train[: experiment.images_a_step]
    held, labels = prepared.held
    images, truth = torch.as_tensor(held[indices]), labels[indices]
    with seeded(0), removed(without):
        model = Model(building.build(trial.card), trial.card, trial.card.precision)
        step = TrainingStep(model, rules_of(trial.experiment), 10_000)
    model.module.train()
    keys = RandomKeys.for_training(0, 0, indices)

    def run() -> None:
        with removed(without):
            step(images, truth, keys)

    return run


@contextmanager
def removed(kernel: str | None) -> Iterator[None]:
    """Within, PyTorch computes what `kernel` would."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    # Modules as they are in BASE, not in this tree.
    names = (
        "networks.adam",
        "networks.architectures",
        "networks.narrow",
        "spiking.kernels.projected",
    )
    modules: list[Any] = [importlib.import_module(f"spikeduel.{name}") for name in names]
    adam, architectures, narrow, projected = modules

    def torchs_adam(weights: Any, lr: float, copies: Any = None) -> torch.optim.Optimizer:
        return torch.optim.Adam(weights, lr=lr, fused=True)

    def pooled(x: torch.Tensor) -> torch.Tensor:
        return F.relu(F.max_pool2d(x, 2))

    patches: dict[str | None, list[Any]] = {
        None: [nullcontext()],
        "adam": [
            mock.patch.object(adam, "adam", torchs_adam),
            mock.patch.object(adam, "_is_ours_in_bf16", return_value=False),
        ],
        "narrow": [mock.patch.object(narrow.NarrowLinear, "forward", nn.Linear.forward)],
        "pooling": [
            mock.patch.object(architectures, "relu_of_max_pool", pooled),
            mock.patch.object(
                architectures, "relu_of_max_pool_of_conv", lambda conv, x: pooled(conv(x))
            ),
        ],
        "pooling of convolutions": [
            mock.patch.object(
                architectures,
                "relu_of_max_pool_of_conv",
                lambda conv, x: architectures.relu_of_max_pool(conv(x)),
            )
        ],
        "projected": [mock.patch.object(projected, "is_projected", return_value=False)],
    }
    for patch in patches[kernel]:
        patch.__enter__()
    try:
        yield
    finally:
        for patch in patches[kernel]:
            patch.__exit__(None, None, None)


if __name__ == "__main__":
    main()
