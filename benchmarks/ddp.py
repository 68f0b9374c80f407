"""How much faster two processes train a network than one, each with one thread: the strong pair on
Fashion-MNIST.

    python benchmarks/ddp.py [--rounds 5] [--epochs 3] [--limit 12000] [--processes 1 2] [--data-dir
    IDX_FILES]

In each round all numbers of processes take turns, in a process group of their own; the seconds are
those of training steps, and of all epochs but the first, in which kernels are loaded. The batch is
the same for all, and so is the loss curve, but for rounding. Nothing else should be running.
Results go to benchmarks/results/ddp.json.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
CONTENDERS = "vgg-lif", "vgg-relu"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--limit", type=int, default=12_000)
    parser.add_argument("--batch-size", type=int, default=128, help="what a large set gets")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--data-dir")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker is not None:
        train(options)
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    from spikeduel.system import hardware, load, teams

    busy = load.load_average()
    rounds = []
    for _ in range(options.rounds):
        for number in options.processes:
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder, "seconds.json")
                teams.launch(number, __file__, *sys.argv[1:], "--worker", str(out))
                rounds.append({"processes": number, **json.loads(out.read_text())})
                print(rounds[-1], flush=True)
    seconds = {
        number: {name: median(rounds, number, name, "epoch_seconds") for name in CONTENDERS}
        for number in options.processes
    }
    one = seconds[options.processes[0]]
    results = {
        "settings": {
            name: value
            for name, value in vars(options).items()
            if name not in ("worker", "data_dir")
        },
        "environment": {**hardware.environment(hardware.resolve()), "load_average": busy},
        "epoch_seconds": seconds,
        "times_as_fast": {
            number: {
                **{name: one[name] / its[name] for name in CONTENDERS},
                "pair": sum(one.values()) / sum(its.values()),
            }
            for number, its in seconds.items()
        },
        "rounds": rounds,
    }
    (RESULTS / "ddp.json").write_text(json.dumps(results, indent=1) + "\n")
    print(
        json.dumps({"epoch_seconds": seconds, "times_as_fast": results["times_as_fast"]}, indent=1)
    )


def median(rounds: list[dict[str, Any]], number: int, name: str, what: str) -> float:
    """Of all epochs of a contender with this number of processes, but each training's first."""
    return statistics.median(
        each for found in rounds if found["processes"] == number for each in found[name][what][1:]
    )


def train(options: argparse.Namespace) -> None:
    """What each process does; the first writes the seconds of all epochs, and the losses."""
    from spikeduel import data
    from spikeduel.settings.recipes import strong
    from spikeduel.system.progress import Progress
    from spikeduel.trials import planning, together
    from spikeduel.trials.jobs import Job, Workers
    from spikeduel.trials.store import Store

    with together.joined(None), tempfile.TemporaryDirectory() as folder:
        experiment = strong(
            "fashion-mnist",
            contenders=CONTENDERS,
            epochs=options.epochs,
            limit=options.limit,
            start="fresh",
            batch_size=options.batch_size,
            augmentation="translate",
            dropout=0.0,
            width=24,
            data_dir=options.data_dir,
        )
        prepared = data.load(experiment)
        planned = planning.plan(experiment, prepared, data.split(prepared, experiment))
        records = Workers().run(
            [Job(each, prepared, Progress(), test=False) for each in planned], Store(folder)
        )
        found = {
            each.settings["contender"]: {
                "epoch_seconds": each.epoch_seconds,
                "train_loss": [epoch.train_loss for epoch in each.history],
            }
            for each in records
        }
        options.worker.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
