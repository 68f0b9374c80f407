"""Both contenders on worse images, and what asking costs: spoiling the images against evaluating
them.

    python benchmarks/robustness.py [--dataset NAME] [--data-dir PATH] [--encoding direct]
        [--limit 6000] [--epochs 3] [--seeds 2] [--timed 1000] [--store DIR]

Trains what the store lacks and measures all seven corruptions on the whole test set. Then each
corruption at severity 3 and a plain evaluation take turns over `--timed` test images, three rounds;
`cost` is the time of a round of robustness (35 corruptions and 35 evaluations) by that of one
evaluation. Results go to benchmarks/results/robustness-<data set>-<encoding>.json.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from spikeduel import data
from spikeduel.data.loader import EvaluationBatches
from spikeduel.measuring.answers import ask
from spikeduel.measuring.robustness import CORRUPTIONS, SEVERITIES, corrupted
from spikeduel.networks import models
from spikeduel.settings.recipes import baseline
from spikeduel.system import hardware
from spikeduel.system.progress import TerminalProgress
from spikeduel.system.typed import plain
from spikeduel.trials import contenders, trial
from spikeduel.trials.outcomes import TrialOutcome, trial_entry
from spikeduel.trials.store import Store

RESULTS = Path(__file__).parent / "results"
ROUNDS = 3
MIDDLE = 3


def spoil(batches: EvaluationBatches, name: str) -> None:
    """Corrupt all of `batches` once."""
    list(corrupted(batches, name, MIDDLE))


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def timed(model: models.Model, batches: EvaluationBatches) -> dict[str, object]:
    """Milliseconds per 1,000 images: an evaluation, and each corruption alone; medians of rounds in
    turns.
    """
    hardware.keep_freed_memory()
    work: dict[str, Callable[[], object]] = {"evaluation": lambda: ask(model, batches)}
    for name in CORRUPTIONS:
        work[name] = partial(spoil, batches, name)
    for each in work.values():
        each()
    found: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(ROUNDS):
        for name, each in work.items():
            found[name].append(1e6 * seconds(each) / len(batches.indices))
    median = {name: statistics.median(values) for name, values in found.items()}
    spoiling = len(SEVERITIES) * sum(median[name] for name in CORRUPTIONS)
    evaluating = len(SEVERITIES) * len(CORRUPTIONS) * median["evaluation"]
    return {
        "ms_per_1000_images": median,
        "spoiling_share": spoiling / (spoiling + evaluating),
        "cost": (spoiling + evaluating) / median["evaluation"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="fashion-mnist")
    parser.add_argument("--data-dir")
    parser.add_argument("--encoding", default="direct")
    parser.add_argument("--limit", type=int, default=6000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--timed", type=int, default=1000)
    parser.add_argument("--store", type=Path, default=Path("runs/robustness"))
    options = parser.parse_args()

    settings = {
        name: getattr(options, name)
        for name in ("data_dir", "encoding", "limit", "epochs", "seeds")
    }
    experiment = baseline(options.dataset, robustness=True, **settings)
    prepared = data.load(experiment)
    split, store, progress = (
        data.split(prepared, experiment),
        Store(options.store),
        TerminalProgress(),
    )
    trials, cost = [], {}
    for planned in contenders.trials_of(experiment, prepared, split):
        record = trial.run(planned, prepared, store, progress)
        entry = plain(trial_entry(TrialOutcome(record, trial.measured(planned, store))))
        calibration = {
            key: entry["test"]["calibration"][key] for key in ("ece", "nll", "brier", "temperature")
        }
        scaled = {
            key: entry["test"]["calibration"]["scaled"][key] for key in ("ece", "nll", "brier")
        }
        trials.append(
            {
                **{key: entry[key] for key in ("contender", "seed", "encoding", "robustness")},
                "calibration": {**calibration, "scaled": scaled},
            }
        )
        if planned.card.seed == 0:
            model = models.load_model(store.model_path(record.key))
            batches = EvaluationBatches(*prepared.held, split.test[: options.timed])
            cost[planned.card.contender] = timed(model, batches)
    results = {
        **{
            key: getattr(options, key)
            for key in ("dataset", "encoding", "limit", "epochs", "seeds", "timed")
        },
        "image_shape": prepared.image_shape,
        "environment": record.environment,
        "trials": trials,
        "cost": cost,
    }
    path = RESULTS / f"robustness-{options.dataset}-{options.encoding}.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(cost, indent=1))


if __name__ == "__main__":
    main()
