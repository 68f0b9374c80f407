"""Does equal tuning find something sensible? Each contender gets the same number of trials on a
part of a data set.

    python benchmarks/tuning.py [--dataset NAME] [--limit N] [--encoding direct] [--trials N]
        [--epochs N] [--runs DIR] [--seeds N]

The tuning is the one that `spikeduel tune` makes. Then both contenders are trained with N seeds
(tuning saw none of them), at the settings given and at the chosen ones, and measured on the whole test
set. What the store holds is not trained again. Results go to benchmarks/results/tuning-<data
set>-<encoding>.json.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from spikeduel.comparing import compare, tune, write_tuning
from spikeduel.settings.recipes import baseline
from spikeduel.system import typed
from spikeduel.system.progress import TerminalProgress

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="fashion-mnist")
    parser.add_argument("--encoding", default="direct")
    parser.add_argument("--limit", type=int, default=3000)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/tuning"), help="where the runs and their store go"
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
    after = compare(tuned.experiment, options.runs / "after", store, progress, tuned=tuned)
    record = typed.plain(tuned.record)
    # Where the files lie is nobody's business.
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
    path = RESULTS / f"tuning-{options.dataset}-{options.encoding}.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    print(f"{tuned.table()}\n\nbefore\n{before.table()}\n\nafter\n{after.table()}")


if __name__ == "__main__":
    main()
