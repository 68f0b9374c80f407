"""How often a recommendation is false.

    python -m benchmarks.statistics.choice [--repeats 400]

**The choice.** Answers are made up as in `significance.py`, with a known true lead of the slower of
two networks; the other answers twice as fast.

**A third network** is as accurate as the faster one and faster by half. Each of the three is added
to the other two: where neither it nor the same one is taken, it changed the choice between them.
In a circle each of the three is preferred to the next.

**Few test images.** The slower network is ahead, and the test images can be too few to recommend one
of the two. "Wrong" is a recommendation of the less accurate one.

**Near 100 %.** The two are equally accurate, or the faster one makes twice as many errors. The
tolerance is a quarter of the errors and two test images, at most a point.

Results go to benchmarks/results/choice.json.
"""

import itertools
from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np
from msgspec import structs

from benchmarks import shared
from benchmarks.statistics.significance import Scenario, answers
from spikeduel.analysis.recommending import choose
from spikeduel.analysis.run_findings import RunContext, more_images
from spikeduel.auditing.audit_results import Counts
from spikeduel.experiment.recipes import baseline
from spikeduel.results import significance
from spikeduel.results.run import Dataset, Pair
from spikeduel.system.negligible import MAX_DETECTABLE
from spikeduel.system.progress import TerminalProgress

RESULT = "choice.json"
SECONDS = {"slower": 2.0, "faster": 1.0, "third": 0.5}
LEADS = (0.0, 0.005, 0.01, 0.02, 0.05)
SEEDS = (1, 2, 3, 4, 6)
FEW_IMAGES = (50, 100, 150, 200, 300)
FEW_LEADS = (0.0, 0.02, 0.05)
NEAR_PERFECT = ((0.9995, 10_000), (0.995, 2000), (0.995, 180))
"""Mean accuracies and test images."""
SPREAD = 0.006
IMAGES = 2000


def faster_of(one: str, other: str) -> str:
    return min(one, other, key=SECONDS.__getitem__)


def paired(right: Mapping[str, np.ndarray]) -> dict[frozenset[str], Pair]:
    """Return the pairs of networks, tested together, by the images that their seeds get right."""
    couples = list(itertools.combinations(right, 2))
    tests = [significance.tested(right[a], right[b]) for a, b in couples]
    return {
        frozenset((a, b)): Pair(
            **structs.asdict(found),
            a=a,
            b=b,
            accuracy_a=float(right[a].mean()),
            accuracy_b=float(right[b].mean()),
            only_a_right=0.0,
            only_b_right=0.0,
        )
        for (a, b), found in zip(couples, significance.adjusted(tests), strict=True)
    }


def has_circle(taken: Mapping[frozenset[str], str]) -> bool:
    """Return True if no network is taken beside both others."""
    return all(list(taken.values()).count(name) < 2 for name in SECONDS)


def simulated(
    scenario: Scenario, repeats: int, progress: TerminalProgress
) -> dict[str, float | dict[str, float]]:
    """Return the shares of cases in which the faster of two is taken, preferences go in a circle,
    the more accurate of three is not taken, and a third network changes the choice between two.
    """
    rng = np.random.default_rng(0)
    counts = dict.fromkeys(("faster", "circles", "faster_of_three"), 0)
    changed = dict.fromkeys(SECONDS, 0)
    for _ in progress.track(range(repeats), "cases", repeats):
        right = dict(zip(SECONDS, answers(replace(scenario, others=2), rng, None)[0], strict=True))
        accuracies = {name: float(answered.mean()) for name, answered in right.items()}
        of_all = paired(right)

        def taken(
            names: Collection[str],
            accuracies: Mapping[str, float] = accuracies,
            of_all: Mapping[frozenset[str], Pair] = of_all,
        ) -> str:
            return choose(
                {name: accuracies[name] for name in names},
                lambda one, other: of_all[frozenset((one, other))],
                faster_of,
                IMAGES,
            )

        of_two = {two: taken(two) for two in of_all}
        of_three = taken(list(right))
        counts["circles"] += has_circle(of_two)
        counts["faster_of_three"] += of_three != "slower"
        counts["faster"] += of_two[frozenset(("slower", "faster"))] == "faster"
        for third in SECONDS:
            changed[third] += of_three not in (of_two[frozenset(right) - {third}], third)
    shares: dict[str, float | dict[str, float]] = {
        name: number / repeats for name, number in counts.items()
    }
    return {
        **shares,
        "third_changes": {third: number / repeats for third, number in changed.items()},
    }


def recommended(pair: Pair) -> str:
    """Return the one of two networks that is recommended."""
    accuracies = {name: pair.accuracy(name) for name in ("slower", "faster")}
    return choose(accuracies, lambda one, other: pair, faster_of, pair.n)


def simulated_pair(scenario: Scenario, rng: np.random.Generator) -> Pair:
    """Return the test of the slower and the faster network."""
    right = dict(zip(("slower", "faster"), answers(scenario, rng, None)[0], strict=True))
    (pair,) = paired(right).values()
    return pair


def too_few(pair: Pair) -> bool:
    """Return True if the test images are too few to recommend one of two."""
    counts = Counts(train=0, val=0, test=pair.n)
    about = Dataset(name="", fingerprint="", classes=[], counts=counts, split="stratified")
    run = RunContext(replace(baseline(), seeds=pair.seeds), about, [], [pair])
    named = any(values["detectable"] > MAX_DETECTABLE for values in more_images(run))
    return named and not pair.excludes_zero


def with_few_images(
    images: int, seeds: int, lead: float, repeats: int, progress: TerminalProgress
) -> dict[str, float]:
    """Return the shares of cases with a recommendation, and with that of the less accurate one."""
    rng = np.random.default_rng(0)
    scenario = Scenario(seeds=seeds, images=images, difference=lead, spread=SPREAD)
    counts = {"recommended": 0, "wrong": 0}
    for _ in progress.track(range(repeats), "few images", repeats):
        pair = simulated_pair(scenario, rng)
        if not too_few(pair):
            counts["recommended"] += 1
            counts["wrong"] += recommended(pair) == "faster" and lead > 0
    return {name: count / repeats for name, count in counts.items()}


def near_perfect(
    accuracy: float, images: int, seeds: int, lead: float, repeats: int, progress: TerminalProgress
) -> float:
    """Return how often the slower one of two networks is recommended; it is ahead by `lead`."""
    rng, num_slower = np.random.default_rng(0), 0
    scenario = Scenario(
        seeds=seeds,
        images=images,
        difference=lead,
        spread=SPREAD * (1 - accuracy),
        accuracy=accuracy,
    )
    for _ in progress.track(range(repeats), "near 100 %", repeats):
        num_slower += recommended(simulated_pair(scenario, rng)) == "slower"
    return num_slower / repeats


def main() -> None:
    parser = shared.parser(__doc__, repeats=400)
    repeats, progress = parser.parse_args().repeats, TerminalProgress()
    few = [
        {
            **{"images": images, "seeds": seeds, "true_lead": lead},
            **with_few_images(images, seeds, lead, repeats, progress),
        }
        for images, seeds, lead in itertools.product(FEW_IMAGES, SEEDS, FEW_LEADS)
    ]
    near = [
        {
            **{"accuracy": accuracy, "images": images, "seeds": seeds, "true_lead": lead},
            "slower": near_perfect(accuracy, images, seeds, lead, repeats, progress),
        }
        for (accuracy, images), seeds in itertools.product(NEAR_PERFECT, SEEDS)
        for lead in (0.0, (1 - accuracy) * 2 / 3)
    ]
    rows = []
    for lead in LEADS:
        for seeds in SEEDS:
            scenario = Scenario(seeds=seeds, images=IMAGES, difference=lead, spread=SPREAD)
            shares = simulated(scenario, repeats, progress)
            rows.append({"true_lead": lead, "seeds": seeds, **shares})
            print(rows[-1], flush=True)
    measured = {
        "few_images": few,
        "near_100_percent": near,
        "repeats": repeats,
        "images": IMAGES,
        "spread_over_seeds": SPREAD,
        "seconds": SECONDS,
        "rows": rows,
    }
    shared.write(RESULT, measured)


if __name__ == "__main__":
    main()
