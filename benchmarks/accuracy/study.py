"""Redoes the 2023 study: every data set at hand, direct and rate encoding, SOCOFing with both
splits.

    python -m benchmarks.accuracy.study --socofing PATH/TO/SOCOFING [--only NAME …] [--runs DIR]
    python -m benchmarks.accuracy.study --socofing PATH/TO/SOCOFING --time  # on an idle machine

Each comparison is the one that `spikeduel compare` makes; what its store holds is not trained
again. The results go to benchmarks/results/study-NAME.json; `python -m benchmarks.tables` makes
the README's tables of them. Trainings of an hour meet other work on the machine, which does not
touch their accuracy but their times: `--time` trains single epochs anew, the contenders in turns,
and adds their seconds to the results (`timing`).
"""

import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import shared
from spikeduel.comparing import compare
from spikeduel.experiment.recipes import baseline
from spikeduel.experiment.settings import Experiment
from spikeduel.system import hardware
from spikeduel.system.progress import TerminalProgress

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
    prepared, split, trials = shared.trials_of(experiment)
    one_epoch = replace(experiment, epochs=1)
    seconds: dict[str, list[float]] = {}
    for _ in range(TIMED_EPOCHS):
        for trial in trials:
            training = shared.train(shared.untrained(trial), prepared, split, one_epoch)
            seconds.setdefault(trial.card.contender, []).extend(training.epoch_seconds)
            hardware.release_freed_memory()
    return {"epoch_seconds": seconds, "environment": shared.environment()}


def main() -> None:
    parser = shared.parser(__doc__, socofing=str, runs=Path("runs/study"), only=COMPARISONS)
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
        if options.time:
            results = shared.read(f"study-{name}.json") | {"timing": timing(experiment)}
            shared.write(f"study-{name}.json", results, as_it_is=True)
            print(results["timing"]["epoch_seconds"])
            continue
        comparison = compare(experiment, options.runs / name, options.runs / "store", progress)
        results = comparison.document()
        # Results name neither the folder of the data nor a person's fingerprint.
        results["experiment"]["data_dir"] = None
        results["features"].pop("label_issues", None)
        results["energy_accountings"] = None
        results["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        shared.write(f"study-{name}.json", results, as_it_is=True)
        print(comparison.table())


if __name__ == "__main__":
    main()
