"""How much of an epoch is not training steps: Fashion-MNIST's epoch against its number of steps
times one step's time.

    python benchmarks/epoch.py [--encoding direct] [--epochs 5] [--data-dir IDX_FILES]

Steps on one batch in memory and whole epochs (validation excluded) take turns. Results go to
benchmarks/results/epoch-<encoding>.json.
"""

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from spikeduel import data
from spikeduel.networks import building
from spikeduel.networks.models import Model
from spikeduel.networks.training_step import TrainingStep
from spikeduel.settings.recipes import baseline
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.system import hardware
from spikeduel.system.progress import Progress
from spikeduel.trials import contenders
from spikeduel.trials.training import Loop, rules_of

RESULTS = Path(__file__).parent / "results"
NUM_STEPS = 100


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoding", default="direct")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--data-dir")
    options = parser.parse_args()
    experiment = baseline(
        "fashion-mnist", encoding=options.encoding, data_dir=options.data_dir, epochs=1
    )
    prepared = data.load(experiment)
    split = data.split(prepared, experiment)
    images, labels = prepared.held
    num_batches = -(-len(split.train) // experiment.decided_batch_size)
    rows = torch.from_numpy(split.train[: experiment.decided_batch_size].copy())

    found: dict[str, list[dict[str, float]]] = {}
    for planned in contenders.trials_of(experiment, prepared, split):
        for _ in range(options.epochs):
            model = Model(building.build(planned.card), planned.card, planned.card.precision)
            step = TrainingStep(model, rules_of(experiment), NUM_STEPS)
            draw = RandomKeys.for_training(0, 0, rows.numpy())
            milliseconds = []
            for _ in range(NUM_STEPS):
                started = time.perf_counter()
                step(torch.as_tensor(images[rows]), labels[rows], draw)
                milliseconds.append(1e3 * (time.perf_counter() - started))
            with tempfile.TemporaryDirectory() as folder:
                loop = Loop(
                    model,
                    images,
                    labels,
                    split,
                    replace(experiment, epochs=1),
                    Path(folder) / "c.pt",
                    Progress(),
                )
                seconds = loop.run().epoch_seconds[0]
            one = statistics.median(milliseconds[10:])
            found.setdefault(planned.card.contender, []).append(
                {
                    "step_ms": one,
                    "epoch_seconds": seconds,
                    "ratio": seconds / (num_batches * one / 1e3),
                }
            )
    results = {
        "encoding": options.encoding,
        "steps": num_batches,
        "environment": hardware.environment(hardware.resolve()),
        "rounds": found,
        "ratio": {
            name: float(np.median([r["ratio"] for r in rounds])) for name, rounds in found.items()
        },
    }
    (RESULTS / f"epoch-{options.encoding}.json").write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results["ratio"], indent=1), found)


if __name__ == "__main__":
    main()
