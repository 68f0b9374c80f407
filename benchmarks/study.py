"""Redoes the 2023 study: every data set at hand, direct and rate encoding, SOCOFing with both
splits.

    python benchmarks/study.py --socofing PATH/TO/SOCOFING [--only NAME …] [--runs DIR]
    python benchmarks/study.py --socofing PATH/TO/SOCOFING --time  # on an idle machine

Each comparison is the one that `spikeduel compare` makes; what its store holds is not trained
again. The results go to benchmarks/results/study-<name>.json; `python benchmarks/tables.py` makes
the README's tables of them. Trainings of an hour meet other work on the machine, which does not
touch their accuracy but their times: `--time` trains single epochs anew, the contenders in turns,
and adds their seconds to the results (`timing`).
"""

import argparse
import json
import resource
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from spikeduel import data
from spikeduel.comparing import compare
from spikeduel.networks import building
from spikeduel.networks.models import Model
from spikeduel.settings import Experiment
from spikeduel.settings.recipes import baseline
from spikeduel.system import hardware
from spikeduel.system.progress import Progress, TerminalProgress
from spikeduel.trials import contenders
from spikeduel.trials.training import Loop

RESULTS = Path(__file__).parent / "results"
COMPARISONS = {
    "fashion-mnist-direct": {"dataset": "fashion-mnist", "encoding": "direct"},
    "socofing-published-direct": {"dataset": "socofing-published", "encoding": "direct"},
    "socofing-by-subject-direct": {"dataset": "socofing", "encoding": "direct"},
    "fashion-mnist-rate": {"dataset": "fashion-mnist", "encoding": "rate"},
    "socofing-by-subject-rate": {"dataset": "socofing", "encoding": "rate"},
    "socofing-published-rate": {"dataset": "socofing-published", "encoding": "rate"},
}


TIMED_EPOCHS = 3


def timing(experiment: Experiment) -> dict[str, Any]:
    """Seconds that one epoch of training takes, validation excluded, for each contender; they take
    turns.
    """
    prepared = data.load(experiment)
    split = data.split(prepared, experiment)
    images, labels = prepared.held
    one_epoch = replace(experiment, epochs=1)
    seconds: dict[str, list[float]] = {}
    for _ in range(TIMED_EPOCHS):
        for planned in contenders.trials_of(experiment, prepared, split):
            model = Model(building.build(planned.card), planned.card, planned.card.precision)
            with tempfile.TemporaryDirectory() as folder:
                loop = Loop(
                    model,
                    images,
                    labels,
                    split,
                    one_epoch,
                    Path(folder) / "checkpoint.pt",
                    Progress(),
                )
                seconds.setdefault(planned.card.contender, []).extend(loop.run().epoch_seconds)
            hardware.release_freed_memory()
    return {
        "epoch_seconds": seconds,
        "environment": hardware.environment(
            hardware.resolve(experiment.device, experiment.precision)
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--socofing", help="SOCOFing's folder or zip")
    parser.add_argument("--only", nargs="*", choices=list(COMPARISONS), default=list(COMPARISONS))
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/study"), help="where the runs and their store go"
    )
    parser.add_argument(
        "--time", action="store_true", help="only time an epoch of each, for results that are there"
    )
    options = parser.parse_args()
    progress = TerminalProgress()
    for name in options.only:
        settings = COMPARISONS[name]
        data_dir = options.socofing if settings["dataset"] == "socofing" else None
        progress.say(f"== {name}")
        experiment = baseline(**settings, data_dir=data_dir)
        path = RESULTS / f"study-{name}.json"
        if options.time:
            results = json.loads(path.read_text()) | {"timing": timing(experiment)}
            path.write_text(json.dumps(results, indent=1) + "\n")
            print(results["timing"]["epoch_seconds"])
            continue
        comparison = compare(experiment, options.runs / name, options.runs / "store", progress)
        results = comparison.document()
        # Where the files lie is nobody's business, nor what a person's print is called. `court.py`
        # has the accountings.
        (
            results["experiment"]["data_dir"],
            results["dataset"]["suspect_labels"],
            results["energy_accountings"],
        ) = None, [], None
        results["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        RESULTS.mkdir(exist_ok=True)
        path.write_text(json.dumps(results, indent=1) + "\n")
        print(comparison.table())


if __name__ == "__main__":
    main()
