"""Re-runs the claims of `claims/*.toml` that have settings, one after another.

    python -m benchmarks.claims.claims_rerun NAME… [--runs DIR] [--jobs N] [--data NAME=PATH] [--list]

Each re-run is one `spikeduel.compare` with the settings in the claim's file, tested after every epoch
(`optimism`), so that it says what the claim's habit of reporting the best test epoch gives beside
what validation chooses; no choice depends on the test images. What the store under `--runs` holds
is not trained again, so that an interrupted re-run goes on. NAME is a claim, or a results file
without `.json`. `--data` says where a data set is that is not known by its name (SOCOFing, a folder
of recordings). Results go to benchmarks/results/claim-NAME.json; `python -m benchmarks.claims.claims --write`
takes them up. `--list` prints what can be run, and whether it was.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import shared
from benchmarks.claims.claims import Rerun, claims
from spikeduel.comparing import compare
from spikeduel.data import datasets
from spikeduel.experiment.recipes import RECIPES
from spikeduel.experiment.settings import Experiment
from spikeduel.results.run import Results
from spikeduel.results.trials import Trial
from spikeduel.sentences.verdict import verdict
from spikeduel.system.progress import TerminalProgress
from spikeduel.training.jobs import Workers

TABLE = "45nm-fp32"


def queue(names: list[str]) -> Iterator[Rerun]:
    """Yield the re-runs with settings of the claims, or of the results files, called `names`; all
    without names. Raises `SystemExit` for a name that has none.
    """
    by_claim = {
        name: [rerun for rerun in claim.rerun if rerun.settings] for name, claim in claims().items()
    }
    by_file = {rerun.results[:-5]: [rerun] for reruns in by_claim.values() for rerun in reruns}
    every = {**{name: reruns for name, reruns in by_claim.items() if reruns}, **by_file}
    for name in names or sorted(by_file):
        if name not in every:
            raise SystemExit(f"{name}: no re-run with settings. Choose from {', '.join(every)}.")
        yield from every[name]


def experiment(rerun: Rerun, places: dict[str, str]) -> Experiment:
    """Return the experiment of a re-run, its data set at the place given for it."""
    settings: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in rerun.settings.items()
    }
    recipe, dataset = settings.pop("recipe"), settings.pop("dataset")
    if place := places.get(dataset):
        if dataset in datasets():
            settings["data_dir"] = place
        else:
            dataset = place
    return RECIPES[recipe](dataset, optimism=True, **settings)


def document(rerun: Rerun, results: Results) -> dict[str, Any]:
    """Return what is kept of a re-run: its settings, and by contender the accuracies by seed."""
    optimism = results.features.get("optimism")
    chosen = {row.contender: row for row in optimism.contenders} if optimism else {}
    contenders = {}
    for name in results.contenders:
        trials = [trial for trial in results.of(name) if trial.test]
        contenders[name] = {
            "kind": trials[0].kind,
            "parameters": trials[0].parameters,
            "seeds": [trial.seed for trial in trials],
            "epochs": [trial.epochs for trial in trials],
            "accuracies": [trial.test.accuracy for trial in trials if trial.test],
            "best_test_epoch": chosen[name].best if name in chosen else [],
            "seconds": [round(sum(trial.epoch_seconds), 1) for trial in trials],
            "spike_rate": [rate for trial in trials if (rate := spike_rate(trial)) is not None],
            "microjoules": microjoules(trials),
        }
    counts = results.dataset.counts
    return {
        "command": f"python -m benchmarks.claims.claims_rerun {rerun.results[:-5]}",
        "settings": rerun.settings,
        "images": {"train": counts.train, "val": counts.val, "test": counts.test},
        "contenders": contenders,
        "verdict": verdict(results),
    }


def spike_rate(trial: Trial) -> float | None:
    """Return the spikes per neuron and time step over all layers; None without spikes or counts."""
    layers = trial.operations.layers if trial.operations else []
    rates = [
        (layer.neurons, layer.spikes_per_neuron_and_step)
        for layer in layers
        if layer.neurons and layer.spikes_per_neuron_and_step is not None
    ]
    neurons = sum(number for number, _ in rates)
    return sum(number * rate for number, rate in rates) / neurons if neurons else None


def microjoules(trials: Sequence[Trial]) -> dict[str, dict[str, list[float]]]:
    """Return the estimated energies of an answer by seed: arithmetic alone, 45 nm, 32-bit floats.

    `hoisted`: work that is equal at all time steps counts once; `per_step`: at every step. From
    `low`, all zeros skipped, to `high`, nothing skipped.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for trial in trials:
        if not trial.energy or not (arithmetic := trial.energy.tables[TABLE].compute):
            return {}
        for way in ("hoisted", "per_step"):
            joules = getattr(arithmetic, way).range
            ends = found.setdefault(way, {"low": [], "high": []})
            ends["low"].append(1e6 * joules.low)
            ends["high"].append(1e6 * joules.high)
    return found


def main() -> None:
    parser = shared.parser(__doc__, runs=Path("runs/claims"), jobs=1, list=False)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--data", action="append", default=[], metavar="NAME=PATH")
    options = parser.parse_args()
    reruns = list(queue(options.names))
    if options.list or not options.names:
        for rerun in reruns:
            done = "done" if rerun.is_done else "to run"
            print(f"{rerun.results[:-5]:45} {done:7} {rerun.settings}")
        return
    sys.path.insert(0, str(Path(__file__).parent))  # for claims_networks
    places = shared.pairs(options.data)
    for rerun in reruns:
        run = compare(
            experiment(rerun, places),
            options.runs / rerun.results[:-5],
            options.runs / "store",
            TerminalProgress(stderr=True),
            workers=Workers(options.jobs),
        )
        shared.write(rerun.results, document(rerun, run.results))
        print(f"{rerun.results}: {verdict(run.results)}")


if __name__ == "__main__":
    main()
