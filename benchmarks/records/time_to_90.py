"""How long a training takes to a mean of 90 % on Fashion-MNIST's whole test set, everything
counted.

    python -m benchmarks.records.time_to_90 [--data-dir PATH] [--seeds N]

Each kind of network and seed is a process of its own with an empty cache: from the start of Python to the
test accuracy, with the files read and the images prepared. Not counted: the download, and the
compilation of the kernels, once an installation. The recipe is `strong` but for `FASTEST`, which
was chosen on validation images: fewer training images (`limit`), and an epoch of the spiking network
with ReLU for its neurons before those with spikes. Run it on an idle machine. The result goes to
benchmarks/results/time-to-90.json.
"""

import statistics
import sys
import tempfile
import time
from typing import Any

from benchmarks import shared

RESULT = "time-to-90.json"
BOTH = {"width": 16, "learning_rate": 0.02, "augmentation": "none", "whitening": True}
FASTEST: dict[str, dict[str, Any]] = {
    "vgg-relu": {**BOTH, "epochs": 1, "limit": 38_000},
    "vgg-lif": {**BOTH, "epochs": 4, "limit": 24_000, "num_steps": 2},
}


def main() -> None:
    parser = shared.parser(__doc__, data_dir=str, seeds=10)
    options = parser.parse_args()

    one("vgg-lif", 0, None, kernels_only=True)
    rows = [
        timed(contender, seed, options.data_dir)
        for seed in range(options.seeds)
        for contender in FASTEST
    ]
    means = {
        contender: {
            name: statistics.fmean(row[name] for row in rows if row["contender"] == contender)
            for name in ("accuracy", "seconds")
        }
        for contender in FASTEST
    }
    document = {
        "command": f"python -m benchmarks.records.time_to_90 --seeds {options.seeds}",
        "settings": FASTEST,
        "mean": means,
        "rows": rows,
    }
    shared.write(RESULT, document)


def timed(contender: str, seed: int, data_dir: str | None) -> dict[str, Any]:
    """`one` in a process of its own, with an empty cache, and how long that took."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        accuracy = shared.apart(
            shared.command(one, contender, seed, data_dir), SPIKEDUEL_CACHE=folder
        )
        seconds = time.perf_counter() - started
    found = {"contender": contender, "seed": seed, **accuracy, "seconds": seconds}
    print(found, file=sys.stderr)
    return found


def one(
    contender: str, seed: int, data_dir: str | None, kernels_only: bool = False
) -> dict[str, Any]:
    """The test accuracy of a network trained from nothing, and the seconds of its epochs."""
    from spikeduel.data.loader import EvaluationBatches
    from spikeduel.engine.networks.models import load_model
    from spikeduel.evaluation.predictions_of_model import predict_in_one_pass
    from spikeduel.experiment.recipes import EMBEDDED, strong
    from spikeduel.training import contenders
    from spikeduel.training.store import Store

    changes = {**FASTEST[contender], "contenders": (contender,)}
    experiment = strong(
        EMBEDDED if kernels_only else "fashion-mnist", data_dir=data_dir, seeds=seed + 1, **changes
    )
    prepared, split = shared.loaded(experiment)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        experiment = shared.fitted(experiment, prepared, split, store)
        trials = contenders.trials_of(experiment, prepared, split)
        own = (trial for trial in trials if trial.card.seed == seed)
        *_, trained = shared.finished(own, prepared, store, test=False)
        model = load_model(store.model_path(trained.record.key))
        answers = predict_in_one_pass(model, EvaluationBatches(*prepared.arrays, split.test))
    return {"accuracy": answers.accuracy, "epoch_seconds": trained.record.epoch_seconds}


if __name__ == "__main__":
    main()
