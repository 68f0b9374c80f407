"""Is bfloat16 as accurate as float32? Both contenders, several seeds, each trained in both precisions.

    python benchmarks/precision.py [--dataset NAME] [--encoding direct] [--seeds 10] [--store DIR]

Differences are paired by seed; two one-sided t-tests ask whether their mean lies within the margin. What the store
holds is not trained again, so the command can be interrupted and goes on. Results go to
benchmarks/results/precision-<data set>-<encoding>.json.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import stats

from spikeduel import data, trial
from spikeduel.progress import TerminalProgress
from spikeduel.recipes import baseline
from spikeduel.store import Store

RESULTS = Path(__file__).parent / "results"
MARGIN = 0.003


def equivalence(differences: np.ndarray, margin: float) -> dict[str, object]:
    """Two one-sided t-tests of paired `differences` `[N]` against ±`margin`; the interval is that of 90 %."""
    n, mean = len(differences), float(differences.mean())
    error = float(differences.std(ddof=1)) / n**0.5
    p_values = [stats.t.sf((mean + margin) / error, n - 1), stats.t.cdf((mean - margin) / error, n - 1)]
    half = stats.t.ppf(0.95, n - 1) * error
    return {
        "mean": mean,
        "standard_deviation": float(differences.std(ddof=1)),
        "ci90": [mean - half, mean + half],
        "p_value": float(max(p_values)),
        "equivalent": bool(max(p_values) < 0.05),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="fashion-mnist")
    parser.add_argument("--encoding", default="direct")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--contenders", nargs="*", default=["dense-snn", "small-cnn"])
    parser.add_argument("--store", type=Path, default=Path("runs/precision"))
    options = parser.parse_args()

    settings = {"encoding": options.encoding, "seeds": options.seeds, "contenders": tuple(options.contenders)}
    experiment = baseline(options.dataset, **settings)
    prepared = data.load(experiment)
    split, store, progress = data.split(prepared, experiment), Store(options.store), TerminalProgress()
    plans = {p: trial.plan(replace(experiment, precision=p), prepared, split) for p in ("32", "bf16")}
    accuracies: dict[str, dict[str, list[float]]] = {}
    for pair in zip(*plans.values(), strict=True):
        for planned in pair:
            record = trial.run(planned, prepared, split, store, progress)
            measured = store.measure(record.key, "quality") or {}
            name, precision = planned.card.contender, planned.card.precision
            accuracies.setdefault(name, {}).setdefault(precision, []).append(measured["accuracy"])
    results = {
        "dataset": options.dataset,
        "encoding": options.encoding,
        "margin": MARGIN,
        "environment": record.environment,
        "test_accuracy": accuracies,
        "bf16_minus_32": {
            name: equivalence(np.subtract(found["bf16"], found["32"]), MARGIN) for name, found in accuracies.items()
        },
    }
    path = RESULTS / f"precision-{options.dataset}-{options.encoding}.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results["bf16_minus_32"], indent=1))


if __name__ == "__main__":
    main()
