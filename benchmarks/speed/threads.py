"""How much faster a training step is with all threads than with one.

    python -m benchmarks.speed.threads [--rounds 3]

Run it on an otherwise idle machine. Networks of the recipes `strong` and `baseline` train on sets of
several sizes, as `compare` would train them. A round times each of them with one thread and with all,
as `compare` does before training (`timing.step_seconds`). The medians of rounds are written to
benchmarks/results/threads.json.
"""

import statistics
from dataclasses import replace

import torch

from benchmarks import shared
from spikeduel import data
from spikeduel.data import Prepared
from spikeduel.experiment.recipes import RECIPES
from spikeduel.experiment.settings import Experiment
from spikeduel.system.progress import Progress
from spikeduel.training import timing
from spikeduel.training.auto_settings import resolve
from spikeduel.training.contenders import Trial, trials_of
from spikeduel.training.store import opened

CASES = (
    ("strong", "digits", ("vgg-lif", "vgg-relu", "resnet-silu")),
    ("strong", "fashion-mnist-mini", ("vgg-lif", "vgg-relu", "resnet-silu")),
    ("baseline", "digits", ("dense-snn", "small-cnn")),
    ("baseline", "fashion-mnist-mini", ("dense-snn", "small-cnn")),
)


def trial_of(experiment: Experiment, prepared: Prepared) -> Trial:
    split = data.splits(prepared, experiment)[0]
    resolved = resolve(experiment, prepared, split, opened(None), Progress())
    return trials_of(resolved.experiment, prepared, split, contenders=resolved.contenders)[0]


def main() -> None:
    parser = shared.parser(__doc__, rounds=3)
    rounds, most = parser.parse_args().rounds, torch.get_num_threads()
    if most == 1:
        raise SystemExit("there is one thread: unset OMP_NUM_THREADS.")
    rows = []
    for recipe, dataset, contenders in CASES:
        for contender in contenders:
            asked = replace(RECIPES[recipe](dataset), contenders=(contender,), epochs=1, seeds=1)
            prepared = data.load(asked)
            trial = trial_of(asked, prepared)
            seconds: dict[int, list[float]] = {1: [], most: []}
            for _ in range(rounds):
                for threads, timed in seconds.items():
                    torch.set_num_threads(threads)
                    timed.append(timing.step_seconds(trial, prepared))
            rows.append(
                {
                    "recipe": recipe,
                    "dataset": dataset,
                    "contender": contender,
                    "batch_size": trial.experiment.decided_batch_size,
                    "ms_with_one": round(1000 * statistics.median(seconds[1]), 2),
                    "ms_with_all": round(1000 * statistics.median(seconds[most]), 2),
                    "one_over_all": round(shared.median_ratio(seconds[1], seconds[most]), 2),
                }
            )
            print(rows[-1], flush=True)
    shared.write("threads.json", {"rounds": rounds, "rows": rows})


if __name__ == "__main__":
    main()
