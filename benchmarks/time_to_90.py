"""How long a training takes to a mean of 90 % on Fashion-MNIST's whole test set, everything
counted.

    python benchmarks/time_to_90.py [--data-dir PATH] [--seeds N]

Each family and seed is a process of its own with an empty cache: from the start of Python to the
test accuracy, with the files read and the images prepared. Not counted: the download, and the
compilation of the kernels, once an installation. The recipe is `strong` but for `FASTEST`, which
was chosen on validation images: fewer training images (`limit`), and an epoch of the spiking network
with ReLU for its neurons before those with spikes. Run it on an idle machine. The result goes to
benchmarks/results/time-to-90.json.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent / "results" / "time-to-90.json"
BOTH = {"width": 16, "learning_rate": 0.02, "augmentation": "none", "whitening": True}
FASTEST: dict[str, dict[str, Any]] = {
    "vgg-relu": {**BOTH, "epochs": 1, "limit": 38_000},
    "vgg-lif": {**BOTH, "epochs": 4, "limit": 24_000, "num_steps": 2},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument(
        "--one", nargs=2, metavar=("CONTENDER", "SEED"), help="one training, in this process"
    )
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one[0], int(options.one[1]), options.data_dir)))
        return
    from spikeduel.system import hardware
    from spikeduel.system.hardware import Compute

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
        "command": f"python benchmarks/time_to_90.py --seeds {options.seeds}",
        "settings": FASTEST,
        "environment": hardware.environment(Compute("cpu", hardware.resolve().precision)),
        "mean": means,
        "rows": rows,
    }
    RESULT.write_text(f"{json.dumps(document, indent=1)}\n")
    for contender, mean in means.items():
        print(f"{contender}: {100 * mean['accuracy']:.2f} % in {mean['seconds']:.1f} s")


def timed(contender: str, seed: int, data_dir: str | None) -> dict[str, Any]:
    """`one` in a process of its own, with an empty cache, and how long that took."""
    command = [
        sys.executable,
        __file__,
        "--one",
        contender,
        str(seed),
        *(["--data-dir", data_dir] if data_dir else []),
    ]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        environment = {**os.environ, "SPIKEDUEL_CACHE": folder}
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, check=True, text=True
        )
        seconds = time.perf_counter() - started
    found = {"contender": contender, "seed": seed, **json.loads(done.stdout), "seconds": seconds}
    print(found, file=sys.stderr)
    return found


def one(
    contender: str, seed: int, data_dir: str | None, kernels_only: bool = False
) -> dict[str, Any]:
    """The test accuracy of a network trained from nothing, and the seconds of its epochs."""
    from spikeduel import data
    from spikeduel.data.loader import EvaluationBatches
    from spikeduel.measuring.answers import ask
    from spikeduel.networks.models import load_model
    from spikeduel.settings.recipes import EMBEDDED, strong
    from spikeduel.system.progress import Progress
    from spikeduel.trials import auto_settings, contenders
    from spikeduel.trials.jobs import Job, Workers
    from spikeduel.trials.store import Store

    changes = {**FASTEST[contender], "contenders": (contender,)}
    experiment = strong(
        EMBEDDED if kernels_only else "fashion-mnist", data_dir=data_dir, seeds=seed + 1, **changes
    )
    prepared = data.load(experiment)
    split = data.split(prepared, experiment)
    with tempfile.TemporaryDirectory() as folder:
        store, progress = Store(folder), Progress()
        experiment = auto_settings.resolve(experiment, prepared, split, store, progress).experiment
        planned = [
            each
            for each in contenders.trials_of(experiment, prepared, split)
            if each.card.seed == seed
        ]
        *_, record = Workers().run(
            [Job(each, prepared, progress, test=False) for each in planned], store
        )
        model = load_model(store.model_path(record.key))
        answers = ask(model, EvaluationBatches(*prepared.held, split.test))
    return {"accuracy": answers.accuracy, "epoch_seconds": record.epoch_seconds}


if __name__ == "__main__":
    main()
