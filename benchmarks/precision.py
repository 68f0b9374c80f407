"""Is bfloat16 as accurate as float32? Both contenders, several seeds, each trained in both
precisions.

    python benchmarks/precision.py [--dataset NAME] [--encoding direct] [--seeds 20] [--epochs N]
    [--limit N]

Differences are paired by seed; two one-sided t-tests ask whether their mean lies within the margin.
Without --epochs, training stops early by the published rule: a validation loss that differs in its
fourth digit can then stop one of a pair three epochs before the other, so that differences hold
that chance too. With --epochs, both train that long.

What the store holds is not trained again, so the command can be interrupted and goes on. Results go
to benchmarks/results/precision-<data set>-<encoding>[-<N>-epochs].json, contender by contender.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import stats

from spikeduel import data
from spikeduel.results.trials import Classification
from spikeduel.settings.recipes import baseline
from spikeduel.system.progress import TerminalProgress
from spikeduel.trials import contenders, trial
from spikeduel.trials.store import Store

RESULTS = Path(__file__).parent / "results"
MARGIN = 0.003


def equivalence(differences: np.ndarray, margin: float) -> dict[str, object]:
    """Two one-sided t-tests of paired `differences` `[N]` against ±`margin`; the interval is that
    of 90 %.
    """
    n, mean = len(differences), float(differences.mean())
    error = float(differences.std(ddof=1)) / n**0.5
    p_values = [
        stats.t.sf((mean + margin) / error, n - 1),
        stats.t.cdf((mean - margin) / error, n - 1),
    ]
    half = stats.t.ppf(0.95, n - 1) * error
    return {
        "mean": mean,
        "standard_deviation": float(differences.std(ddof=1)),
        "ci90": [mean - half, mean + half],
        "p_value": float(max(p_values)),
        "equivalent": bool(max(p_values) < 0.05),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="fashion-mnist")
    parser.add_argument("--encoding", default="direct")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--epochs", type=int, help="train exactly so long, without an early stop")
    parser.add_argument(
        "--limit", type=int, help="use only so many images for training and validation"
    )
    parser.add_argument("--contenders", nargs="*", default=["dense-snn", "small-cnn"])
    parser.add_argument("--store", type=Path, default=Path("runs/precision"))
    options = parser.parse_args()

    settings = {
        "encoding": options.encoding,
        "seeds": options.seeds,
        "contenders": tuple(options.contenders),
    }
    if options.limit:
        settings |= {"limit": options.limit}
    if options.epochs:
        settings |= {"epochs": options.epochs, "patience": options.epochs}
    experiment = baseline(options.dataset, **settings)
    prepared = data.load(experiment)
    split, store, progress = (
        data.split(prepared, experiment),
        Store(options.store),
        TerminalProgress(),
    )
    plans = {
        p: contenders.trials_of(replace(experiment, precision=p), prepared, split)
        for p in ("32", "bf16")
    }
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for pair in zip(*plans.values(), strict=True):
        for planned in pair:
            record = trial.run(planned, prepared, store, progress)
            tested = store.measure(record.key, "classification", Classification)
            assert tested is not None
            entry = found.setdefault(planned.card.contender, {"test_accuracy": {}, "epochs": {}})
            entry["test_accuracy"].setdefault(planned.card.precision, []).append(tested.accuracy)
            entry["epochs"].setdefault(planned.card.precision, []).append(len(record.history))
    rule = f"-{options.epochs}-epochs" if options.epochs else ""
    path = RESULTS / f"precision-{options.dataset}-{options.encoding}{rule}.json"
    results = json.loads(path.read_text()) if path.is_file() else {"contenders": {}}
    results |= {
        "dataset": options.dataset,
        "encoding": options.encoding,
        "margin": MARGIN,
        "early_stop": options.epochs is None,
        "limit": options.limit,
        "environment": {**record.environment, "precision": None},
    }
    for name, entry in found.items():
        accuracies = entry["test_accuracy"]
        difference = equivalence(np.subtract(accuracies["bf16"], accuracies["32"]), MARGIN)
        results["contenders"][name] = {"seeds": options.seeds, "bf16_minus_32": difference, **entry}
        print(name, json.dumps(difference, indent=1))
    path.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
