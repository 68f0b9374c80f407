"""How much longer a training step takes beside one other busy process, by how threads wait.

    python -m benchmarks.speed.busy [--seconds 15] [--rounds 3]

Run it on an otherwise idle machine. A process trains vgg-lif on the embedded set with all cores, as
a training does that began alone. Then another process joins it, which computes without end. Threads
that wait for one another spin for so many turns before they sleep: 300,000 by OpenMP's own default
(before), 30,000 as spikeduel sets it (now), or none. Cases are timed by turns, and the median of
rounds is kept, in benchmarks/results/busy.json.
"""

import itertools
import statistics
import subprocess
import sys
import time

from benchmarks import shared

BURN = "while True: pass"
SPINS = (300_000, 30_000, 0)
"""Values of `GOMP_SPINCOUNT`: the default, what spikeduel sets, and none."""


def step_for(seconds: float) -> None:
    """Print the milliseconds of every training step, for so many seconds."""
    import torch

    from spikeduel.engine.networks.training_step import TrainingStep
    from spikeduel.engine.random_keys import RandomKeys
    from spikeduel.experiment.recipes import strong
    from spikeduel.training.training import rules_of

    experiment = strong(
        contenders=("vgg-lif",),
        epochs=1,
        batch_size=64,
        dropout=0.2,
        width=24,
        augmentation="none",
    )
    prepared, split, (trial,) = shared.trials_of(experiment)
    model = shared.untrained(trial)
    step = TrainingStep(model, rules_of(experiment), 10_000)
    model.module.train()
    numbers = torch.as_tensor(split.train[:64])
    images, labels = prepared.arrays
    batch = torch.as_tensor(images[numbers.numpy()]), labels[numbers]
    keys = RandomKeys.for_training(0, 0, numbers.numpy())
    for _ in range(5):
        float(step(*batch, keys))
    print("ready", flush=True)
    ends = time.perf_counter() + seconds
    while (begun := time.perf_counter()) < ends:
        float(step(*batch, keys))
        print(1000 * (time.perf_counter() - begun), flush=True)


def timed(spins: int, seconds: float, beside: bool) -> float:
    """Return the median milliseconds of a step, in a process of its own."""
    environment = shared.surroundings(GOMP_SPINCOUNT=str(spins))
    for name in ("OMP_WAIT_POLICY", "OMP_NUM_THREADS"):
        environment.pop(name, None)
    command = shared.command(step_for, seconds)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as training:
        lines = iter(training.stdout or ())
        next(lines)
        other = subprocess.Popen([sys.executable, "-c", BURN]) if beside else None
        try:
            # The last line is the result of `step_for`, None.
            return statistics.median(float(line) for line in lines if line != "null\n")
        finally:
            if other:
                other.kill()
                other.wait()


def main() -> None:
    options = shared.parser(__doc__, seconds=15.0, rounds=3).parse_args()
    found: dict[tuple[int, bool], list[float]] = {}
    for _ in range(options.rounds):
        for case in itertools.product(SPINS, (False, True)):
            found.setdefault(case, []).append(timed(case[0], options.seconds, case[1]))
            print(*case, round(found[case][-1], 1), flush=True)
    rows = []
    for spins in SPINS:
        alone, beside = (statistics.median(found[spins, way]) for way in (False, True))
        rows.append(
            {
                "spins": spins,
                "milliseconds_alone": round(alone, 2),
                "milliseconds_beside_one_busy_process": round(beside, 2),
                "times": round(beside / alone, 2),
            }
        )
    shared.write("busy.json", {**vars(options), "rows": rows})


if __name__ == "__main__":
    main()
