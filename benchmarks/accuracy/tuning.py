"""Does equal tuning find something sensible? Each contender gets the same number of trials on a
part of a data set.

    python -m benchmarks.accuracy.tuning [--dataset NAME] [--limit N] [--encoding direct] [--trials N]
        [--epochs N] [--runs DIR] [--seeds N]

The tuning is the one that `spikeduel tune` makes. Then both contenders are trained with N seeds
(tuning saw none of them), at the settings given and at the chosen ones, and measured on the whole test
set. What the store holds is not trained again. Results go to benchmarks/results/tuning-DATASET-ENCODING.json.
"""

from dataclasses import replace
from pathlib import Path

from benchmarks import shared
from spikeduel.comparing import compare
from spikeduel.experiment.recipes import baseline
from spikeduel.features.tuning.tuning import tune
from spikeduel.features.tuning.tuning_section import write_tuning
from spikeduel.system import typed
from spikeduel.system.progress import TerminalProgress


def main() -> None:
    parser = shared.parser(
        __doc__,
        dataset="fashion-mnist",
        encoding="direct",
        limit=3000,
        trials=8,
        epochs=3,
        seeds=1,
        runs=Path("runs/tuning"),
    )
    options = parser.parse_args()

    settings = {name: getattr(options, name) for name in ("encoding", "limit", "epochs", "seeds")}
    experiment = baseline(options.dataset, **settings)
    store, progress = options.runs / "store", TerminalProgress()
    tuned = tune(experiment, options.trials, store=store, progress=progress)
    write_tuning(tuned, options.runs / "tuning")
    before = compare(
        replace(tuned.experiment, per_contender=None), options.runs / "before", store, progress
    )
    after = compare(tuned.experiment, options.runs / "after", store, progress, found_by=tuned)
    record = typed.plain(tuned.record)
    record["experiment"]["data_dir"] = None
    results = {
        "tuning": record,
        "test_accuracy": {
            contender: {
                which: [
                    trial.test.accuracy for trial in comparison.results.of(contender) if trial.test
                ]
                for which, comparison in (("as_given", before), ("as_tuned", after))
            }
            for contender in experiment.contenders
        },
    }
    shared.write(f"tuning-{options.dataset}-{options.encoding}.json", results)
    print(f"{tuned.table()}\n\nbefore\n{before.table()}\n\nafter\n{after.table()}")


if __name__ == "__main__":
    main()
