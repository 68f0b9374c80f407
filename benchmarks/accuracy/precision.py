"""Is bfloat16 as accurate as float32? Both contenders, several seeds, each trained in both
precisions.

    python -m benchmarks.accuracy.precision [--dataset NAME] [--encoding direct] [--seeds 20] [--epochs N]
    [--limit N]

Differences are paired by seed; two one-sided t-tests ask whether their mean lies within the margin.
Without --epochs, training stops early by the published rule: a validation loss that differs in its
fourth digit can then stop one of a pair three epochs before the other, so that differences hold
that chance too. With --epochs, both train that long.

What the store holds is not trained again, so the command can be interrupted and goes on. Results go
to benchmarks/results/precision-DATASET-ENCODING[-N-epochs].json, contender by contender.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks import shared
from spikeduel.experiment.recipes import baseline
from spikeduel.results.trials import Classification
from spikeduel.system.progress import TerminalProgress
from spikeduel.training import contenders, trial
from spikeduel.training.store import Store

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
    parser = shared.parser(
        __doc__,
        dataset="fashion-mnist",
        encoding="direct",
        seeds=20,
        epochs=int,
        limit=int,
        contenders=["dense-snn", "small-cnn"],
        store=Path("runs/precision"),
    )
    options = parser.parse_args()

    settings = {
        "encoding": options.encoding,
        "seeds": options.seeds,
        "contenders": tuple(options.contenders),
        "limit": options.limit,
    }
    if options.epochs:
        settings |= {"epochs": options.epochs, "patience": options.epochs}
    experiment = baseline(options.dataset, **settings)
    prepared, split = shared.loaded(experiment)
    store, progress = Store(options.store), TerminalProgress()
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
    name = f"precision-{options.dataset}-{options.encoding}{rule}.json"
    results = shared.read(name, {"contenders": {}}) | {
        "dataset": options.dataset,
        "encoding": options.encoding,
        "margin": MARGIN,
        "early_stop": options.epochs is None,
        "limit": options.limit,
    }
    for contender, entry in found.items():
        accuracies = entry["test_accuracy"]
        difference = equivalence(np.subtract(accuracies["bf16"], accuracies["32"]), MARGIN)
        summary = {"seeds": options.seeds, "bf16_minus_32": difference, **entry}
        results["contenders"][contender] = summary
        print(contender, difference)
    shared.write(name, results)


if __name__ == "__main__":
    main()
