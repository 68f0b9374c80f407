"""Recordings of an event camera, in folds: who is right how often, and whether time mattered.

    python benchmarks/event_duel.py FOLDER [--name n-mnist-800] [--folds 5] [--epochs 20] [--runs
    DIR]

FOLDER has class folders, or a CSV. It is the comparison that `spikeduel compare FOLDER --folds 5
--epochs 20` makes, and its controls; what its store holds is not trained again. The result goes to
benchmarks/results/events-NAME.json, without the names of files.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from msgspec import structs

from spikeduel.comparing import compare
from spikeduel.results.comparison import Comparison
from spikeduel.settings.recipes import events
from spikeduel.system.progress import TerminalProgress

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument("--name", default="n-mnist-800")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/events"), help="where the run and its store go"
    )
    options = parser.parse_args()
    experiment = events(options.folder, folds=options.folds, epochs=options.epochs)
    comparison = compare(
        experiment, options.runs / options.name, options.runs / "store", TerminalProgress()
    )
    dataset = structs.replace(comparison.results.dataset, name=options.name, suspect_labels=[])
    named = replace(comparison.results.experiment, dataset=options.name)
    shown = structs.replace(
        comparison.results, dataset=dataset, experiment=named, energy_accountings=None
    )
    document = Comparison(named, shown, comparison.out).document()
    results = {
        name: document[name]
        for name in ("created", "environment", "dataset", "experiment", "comparison")
    }
    results["accuracies"] = {
        name: [trial.test.accuracy for trial in shown.of(name) if trial.test]
        for name in shown.contenders
    }
    (RESULTS / f"events-{options.name}.json").write_text(json.dumps(results, indent=1) + "\n")
    print(comparison.table())


if __name__ == "__main__":
    main()
