"""What do corrupted test images cost, beside a plain evaluation?

    python -m benchmarks.accuracy.robustness [--dataset NAME] [--data-dir PATH] [--encoding direct]
        [--limit 6000] [--epochs 3] [--timed 1000] [--store DIR]

Trains what the store lacks. Then each corruption at severity 3 and a plain evaluation take turns
over `--timed` test images, three rounds; `cost` is the time of a round of robustness (35 corruptions
and 35 evaluations) by that of one evaluation. Results go to
benchmarks/results/robustness-DATASET-ENCODING.json.
"""

import statistics
from collections.abc import Callable
from pathlib import Path

from benchmarks import shared
from spikeduel.data.loader import EvaluationBatches
from spikeduel.engine.networks import models
from spikeduel.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupted
from spikeduel.evaluation.predictions_of_model import ask
from spikeduel.experiment.recipes import baseline
from spikeduel.system import hardware
from spikeduel.system.progress import TerminalProgress
from spikeduel.training import trial
from spikeduel.training.store import Store

ROUNDS = 3
MIDDLE = 3


def timed(model: models.Model, batches: EvaluationBatches) -> dict[str, object]:
    """Return milliseconds per 1,000 images of an evaluation and of each corruption alone."""
    hardware.keep_freed_memory()
    work: dict[str, Callable[[], object]] = {"evaluation": lambda: ask(model, batches)}
    for name in CORRUPTIONS:
        work[name] = lambda name=name: list(corrupted(batches, name, MIDDLE))  # type: ignore[misc]
    seconds = shared.in_turns(work, ROUNDS)
    median = {
        name: 1e6 * statistics.median(values) / len(batches.indices)
        for name, values in seconds.items()
    }
    corrupting = len(SEVERITIES) * sum(median[name] for name in CORRUPTIONS)
    evaluating = len(SEVERITIES) * len(CORRUPTIONS) * median["evaluation"]
    return {
        "ms_per_1000_images": median,
        "cost": (corrupting + evaluating) / median["evaluation"],
    }


def main() -> None:
    options = shared.parser(
        __doc__,
        dataset="fashion-mnist",
        data_dir=str,
        encoding="direct",
        limit=6000,
        epochs=3,
        timed=1000,
        store=Path("runs/robustness"),
    ).parse_args()
    settings = {
        name: getattr(options, name) for name in ("data_dir", "encoding", "limit", "epochs")
    }
    prepared, split, trials = shared.trials_of(baseline(options.dataset, **settings))
    store, cost = Store(options.store), {}
    batches = EvaluationBatches(*prepared.arrays, split.test[: options.timed])
    for planned in trials:
        record = trial.run(planned, prepared, store, TerminalProgress())
        model = models.load_model(store.model_path(record.key))
        cost[planned.card.contender] = timed(model, batches)
        print(planned.card.contender, cost[planned.card.contender])
    results = {**settings, "data_dir": None, "timed": options.timed, "cost": cost}
    shared.write(f"robustness-{options.dataset}-{options.encoding}.json", results)


if __name__ == "__main__":
    main()
