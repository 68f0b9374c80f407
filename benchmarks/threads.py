"""How much faster a training step is with all threads than with one, and which number is kept.

    python benchmarks/threads.py [--rounds 3]

Run it on an otherwise idle machine. Networks of the recipes `strong` and `baseline` train on sets of
several sizes, as `compare` would train them; a round times each of them as `compare` does before
training (`timing.seconds_by_threads`), and the medians of rounds are kept, with the number of threads
that each round would keep, in benchmarks/results/threads.json.
"""

import argparse
import json
import statistics
from dataclasses import replace
from pathlib import Path

import torch

from spikeduel import data
from spikeduel.data import Prepared
from spikeduel.settings import Experiment
from spikeduel.settings.recipes import RECIPES
from spikeduel.system import hardware
from spikeduel.system.hardware import Compute
from spikeduel.system.negligible import MAX_THREADS_RATIO
from spikeduel.system.progress import Progress
from spikeduel.trials import timing
from spikeduel.trials.auto_settings import resolve
from spikeduel.trials.contenders import Trial, trials_of
from spikeduel.trials.store import opened

RESULT = Path(__file__).parent / "results" / "threads.json"
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    rounds, most = parser.parse_args().rounds, torch.get_num_threads()
    if most == 1:
        raise SystemExit("there is one thread: unset OMP_NUM_THREADS.")
    rows = []
    for recipe, dataset, contenders in CASES:
        for contender in contenders:
            asked = replace(RECIPES[recipe](dataset), contenders=(contender,), epochs=1, seeds=1)
            prepared = data.load(asked)
            trial = trial_of(asked, prepared)
            timed = [timing.seconds_by_threads(trial, prepared, (most, 1)) for _ in range(rounds)]
            with_one, with_most = ([times[number] for times in timed] for number in (1, most))
            kept = [
                timing.KeptThreads(
                    most=most, seconds_with_one=times[1], seconds_with_most=times[most]
                ).threads
                for times in timed
            ]
            ratios = [one / many for one, many in zip(with_one, with_most, strict=True)]
            rows.append(
                {
                    "recipe": recipe,
                    "dataset": dataset,
                    "contender": contender,
                    "batch_size": trial.experiment.decided_batch_size,
                    "ms_with_one": round(1000 * statistics.median(with_one), 2),
                    "ms_with_all": round(1000 * statistics.median(with_most), 2),
                    "one_over_all": round(statistics.median(ratios), 2),
                    "kept": kept,
                }
            )
            print(rows[-1], flush=True)
    machine = hardware.environment(Compute())
    measured = {"rounds": rounds, "worth": MAX_THREADS_RATIO, "rows": rows, "machine": machine}
    RESULT.write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
