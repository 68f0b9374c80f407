"""How optimistic is the test accuracy of a tuned contender? Made-up accuracies whose truth is known.

    python -m benchmarks.statistics.tuning_seeds [--repeats 20000]

A setting has a true accuracy, its mean over all trainings; settings differ by a standard deviation
of `between` points. A training has luck, of half a point, which it shows on validation and on test
images alike. Both sets are drawn, 1,000 validation and 10,000 test images. The setting of the best
validation accuracy is chosen, of as many trainings as there are trials. Before, a comparison found
the training of its first seed in the store: the one that was chosen, with the luck that it was
chosen for. After, none of its trainings was seen by the tuning. Optimism is the test accuracy over
the comparison's seeds, less the setting's true accuracy, in points. The result goes to
benchmarks/results/tuning-seeds.json.
"""

import itertools

import numpy as np

from benchmarks import shared
from spikeduel.sentences.columns import render

RESULT = "tuning-seeds.json"
ACCURACY, LUCK, VALIDATION, TEST = 0.9, 0.005, 1000, 10_000
TRIALS, SEEDS, BETWEEN = (5, 10, 20), (1, 3, 6), (0.0, 0.005, 0.02)


def optimism(trials: int, seeds: int, between: float, repeats: int) -> tuple[float, float]:
    """Return the mean optimism before and after, in points."""
    random = np.random.default_rng([trials, seeds, round(1000 * between)])
    spread = (ACCURACY * (1 - ACCURACY)) ** 0.5
    truth = ACCURACY + between * random.standard_normal((repeats, trials))
    luck = LUCK * random.standard_normal((repeats, trials))
    images = spread / VALIDATION**0.5 * random.standard_normal((repeats, trials))
    chosen = (truth + luck + images).argmax(1)[:, None]
    own = np.take_along_axis(luck, chosen, 1)
    others = LUCK * random.standard_normal((repeats, seeds))
    on_test = spread / TEST**0.5 * random.standard_normal((repeats, 1))
    before = np.concatenate([own, others[:, 1:]], 1).mean(1) + on_test[:, 0]
    after = others.mean(1) + on_test[:, 0]
    return 100 * float(before.mean()), 100 * float(after.mean())


def main() -> None:
    parser = shared.parser(__doc__, repeats=20000)
    options = parser.parse_args()
    rows = []
    for between, trials, seeds in itertools.product(BETWEEN, TRIALS, SEEDS):
        before, after = optimism(trials, seeds, between, options.repeats)
        case = {"settings differ by, points": 100 * between, "trials": trials, "seeds": seeds}
        rows.append({**case, "before": round(before, 3), "after": round(after, 3)})
    document = {
        "settings": {
            "accuracy": ACCURACY,
            "luck": LUCK,
            "validation_images": VALIDATION,
            "test_images": TEST,
            "repeats": options.repeats,
        },
        "rows": rows,
    }
    shared.write(RESULT, document)
    print(render([{name: str(value) for name, value in row.items()} for row in rows]))


if __name__ == "__main__":
    main()
