"""Recordings of an event camera, in folds: who is right how often, and whether time mattered.

    python -m benchmarks.accuracy.event_duel FOLDER [--name n-mnist-800] [--folds 5] [--epochs 20] [--runs
    DIR]

FOLDER has class folders, or a CSV. It is the comparison that `spikeduel compare FOLDER --folds 5
--epochs 20` makes, and its ablations; what its store holds is not trained again. The result goes to
benchmarks/results/events-NAME.json, without the names of files.
"""

from dataclasses import replace
from pathlib import Path

from msgspec import structs

from benchmarks import shared
from spikeduel.comparing import compare
from spikeduel.experiment.recipes import events
from spikeduel.sentences.comparison import Comparison
from spikeduel.system.progress import TerminalProgress


def main() -> None:
    parser = shared.parser(
        __doc__, "folder", name="n-mnist-800", folds=5, epochs=20, runs=Path("runs/events")
    )
    options = parser.parse_args()
    experiment = events(options.folder, folds=options.folds, epochs=options.epochs)
    comparison = compare(
        experiment, options.runs / options.name, options.runs / "store", TerminalProgress()
    )
    dataset = structs.replace(comparison.results.dataset, name=options.name)
    named = replace(comparison.results.experiment, dataset=options.name)
    shown = structs.replace(
        comparison.results, dataset=dataset, experiment=named, energy_accountings=None
    )
    document = Comparison(named, shown, comparison.out).document()
    results = {
        name: document[name]
        for name in ("created", "environment", "dataset", "experiment", "comparison", "features")
    }
    results["features"].pop("label_issues", None)
    results["accuracies"] = {
        name: [trial.test.accuracy for trial in shown.of(name) if trial.test]
        for name in shown.contenders
    }
    shared.write(f"events-{options.name}.json", results, as_it_is=True)
    print(comparison.table())


if __name__ == "__main__":
    main()
