"""How often a conclusion on unbalanced classes is false.

    python -m benchmarks.statistics.unbalanced [--repeats 100]

Answers on two classes, of which the positives are rare, are made up with known recalls of both. An
image is as hard for all networks (half of the variance), or for its group of five; seeds differ in
level. From 5 to 1 on, and with ten positives or more, networks are compared by balanced accuracy,
the mean of the two recalls.

**The winner.** The one with the higher balanced accuracy finds 80 % of the positives at 8 % false
alarms, the other 33 % at 1 %. Counted are verdicts for either, and leads of the other.

**The interval** of the balanced difference, 95 %: how often it holds the truth (with one seed, that of
these two trainings), and how often a network is called better, and wrongly so.

Results go to benchmarks/results/unbalanced.json.
"""

import itertools
import platform
from dataclasses import asdict, dataclass

import numpy as np
from scipy import special

from benchmarks import shared
from spikeduel.results import significance
from spikeduel.statistics import MIN_IN_CLASS, Conclusion, balanced_classes
from spikeduel.system.progress import TerminalProgress

RESULT = "unbalanced.json"
SHARES = (0.1, 0.01)
SIZES = (300, 1000, 3000)
SEEDS = (1, 4)
GROUP_SIZE = 5
SPREAD = 0.1
"""Standard deviation of a seed's level, in standard deviations of the difficulty of images."""
BETTER, RIVAL = (0.8, 0.92), (0.33, 0.99)
PAIRS = {
    "equal": ((0.8, 0.92), (0.85, 0.87)),
    "15 points of recall": ((0.8, 0.92), (0.65, 0.92)),
    "other recalls": (BETTER, RIVAL),
    "nearly perfect": ((0.99, 0.995), (0.97, 0.995)),
}


@dataclass(frozen=True)
class Case:
    """Test images, the share of positives among them, and seeds; grouped or not."""

    positives: float
    images: int
    seeds: int = 1
    group_size: int = 1

    @property
    def labels(self) -> np.ndarray:
        """Labels of the images, bool `[N]`, the positives last; groups are of one class."""
        num_groups = self.images // self.group_size
        positive = max(1, round(self.positives * num_groups))
        return np.arange(num_groups).repeat(self.group_size) >= num_groups - positive


def answered(
    case: Case, recall: float, specificity: float, difficulty: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Return right answers, bool `[S, N]`, of a network with these true recalls over all seeds, and
    the true balanced accuracy: of the one training, if there is one.
    """
    labels = case.labels
    aim = special.ndtri(np.where(labels, recall, specificity)) * np.sqrt(1 + SPREAD**2)
    level = SPREAD * rng.standard_normal((case.seeds, 1))
    own = rng.standard_normal((case.seeds, len(labels)))
    of_training = float(special.ndtr(aim[[0, -1]] + level[0]).mean())
    truth = of_training if case.seeds == 1 else (recall + specificity) / 2
    return np.sqrt(0.5) * (difficulty + own) < aim + level, truth


def difficulty_of(case: Case, rng: np.random.Generator) -> np.ndarray:
    """Return the difficulty of images, `[N]`, equal within a group."""
    return rng.standard_normal(case.images // case.group_size).repeat(case.group_size)


def winner(case: Case, repeats: int, progress: TerminalProgress) -> dict[str, object]:
    """Return how often the worse network is called better, and how often it leads."""
    rng = np.random.default_rng(0)
    classes = balanced_classes(case.labels)
    counts = {"better": 0, "leads": 0, "found": 0}
    for _ in progress.track(range(repeats), "winner", repeats):
        difficulty = difficulty_of(case, rng)
        right = [answered(case, *recalls, difficulty, rng)[0] for recalls in (BETTER, RIVAL)]
        found = significance.difference(right[0], right[1], classes=classes)
        counts["better"] += found.conclusion is Conclusion.B_BETTER
        counts["leads"] += found.difference < 0
        counts["found"] += found.conclusion is Conclusion.A_BETTER
    return {**asdict(case), **{name: count / repeats for name, count in counts.items()}}


def coverage(case: Case, repeats: int, progress: TerminalProgress) -> list[dict[str, object]]:
    """Return how often the interval of a balanced difference holds the truth, for each pair."""
    rng, rows = np.random.default_rng(0), []
    classes, groups = balanced_classes(case.labels), None
    if case.group_size > 1:
        groups = np.arange(case.images) // case.group_size
    for name, pair in PAIRS.items():
        held, found_better, wrong, widths = 0, 0, 0, []
        for _ in progress.track(range(repeats), name, repeats):
            difficulty = difficulty_of(case, rng)
            (a, truth_a), (b, truth_b) = (
                answered(case, *recalls, difficulty, rng) for recalls in pair
            )
            truth = round(truth_a - truth_b, 12)
            found = significance.difference(a, b, groups, classes=classes)
            held += found.ci95[0] <= truth <= found.ci95[1]
            found_better += found.conclusion.better
            wrong += found.conclusion.better and found.difference * truth <= 0
            widths.append(found.ci95[1] - found.ci95[0])
        shares = {
            "interval_holds": held / repeats,
            "better": found_better / repeats,
            "wrongly_better": wrong / repeats,
            "points_wide": round(100 * float(np.median(widths)), 2),
        }
        rows.append({**asdict(case), "pair": name, **shares})
    return rows


def main() -> None:
    parser = shared.parser(__doc__, repeats=100)
    repeats, progress = parser.parse_args().repeats, TerminalProgress()
    sizes = list(itertools.product(SHARES, SIZES))
    cases = [Case(*size, seeds) for size in sizes for seeds in SEEDS]
    cases = [case for case in cases if case.labels.sum() >= MIN_IN_CLASS]
    grouped = [Case(*size, 4, GROUP_SIZE) for size in sizes[1:3]]
    measured = {
        "winner": [winner(case, repeats, progress) for case in cases],
        "interval": [row for case in cases + grouped for row in coverage(case, repeats, progress)],
    }
    machine = {"python": platform.python_version(), "numpy": np.__version__}
    settings = {"repeats": repeats, "spread_over_seeds": SPREAD, "machine": machine}
    shared.write(RESULT, {**settings, **measured})


if __name__ == "__main__":
    main()
