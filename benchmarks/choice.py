"""How often a conclusion is false, by the rules before and by the rules now.

    python benchmarks/choice.py [--repeats 400]

**The choice.** Answers are made up as in `significance.py`, with a known true lead of the slower of
two networks; the other answers twice as fast. Before, all within one point of the most accurate
one, or with 0 in the 95 % interval of the difference, were level, and the fastest of these was
taken.

**A third network** is as accurate as the faster one and faster by half. Each of the three is added
to the other two: where neither it nor the same one is taken, it changed the choice between them.
In a circle each of the three is preferred to the next. Rules that choose alike outside circles:
`most_accurate` takes the most accurate of a circle (so does the fewest defeats: each has one);
`least_dropped` leaves out the least accurate; `beside_the_best` takes the fastest of all that are
preferred to the most accurate, as where only level with it counts; `in_turn` is the rule now.

**Failed trainings.** One network is ahead by two points where it is trained, and each of its eight
trainings fails with some probability, so that it is worse on the whole. Before, the lead was shown
by the trainings that ended.

**Few test images.** The slower network is ahead. Before, the test images were too few to recommend
one of the two only with one seed, or from four seeds on if the measured difference was small; now
they can be too few with any number of seeds. "Wrong" is a recommendation of the less accurate one.

**Near 100 %.** The two are equally accurate, or the faster one makes twice as many errors. Before,
the tolerance was a quarter of the errors; now it is that and two test images, at most a point.

**Time.** A recording of which nothing is lost without time. Before, one seed was enough to say of
the data set that something is.

Results go to benchmarks/results/choice.json.
"""

import argparse
import itertools
import json
import platform
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from msgspec import structs

from significance import Scenario, answers
from spikeduel.concluding.conclusions import Candidate, compare_best
from spikeduel.results import significance
from spikeduel.results.answer import choose
from spikeduel.results.audit import Counts
from spikeduel.results.run import Dataset, Pair
from spikeduel.results.run_findings import RunContext, more_images
from spikeduel.results.significance import Conclusion
from spikeduel.settings.recipes import baseline
from spikeduel.statistics import detectable
from spikeduel.system.negligible import (
    MAX_COST_RATIO,
    MAX_DEFICIT,
    MAX_DETECTABLE,
    MAX_SHARE_OF_ERRORS,
)
from spikeduel.system.progress import TerminalProgress

RESULT = Path(__file__).parent / "results" / "choice.json"
SECONDS = {"slower": 2.0, "faster": 1.0, "third": 0.5}
RULES = ("before", "most_accurate", "least_dropped", "beside_the_best", "in_turn")
LEADS = (0.0, 0.005, 0.01, 0.02, 0.05)
SEEDS = (1, 2, 3, 4, 6)
FEW_IMAGES = (50, 100, 150, 200, 300)
FEW_LEADS = (0.0, 0.02, 0.05)
NEAR_PERFECT = ((0.9995, 10_000), (0.995, 2000), (0.995, 180))
"""Mean accuracies and test images."""
FAILS = (0.0, 0.1, 0.3)
"""Probabilities that a training fails."""
SPREAD = 0.006
IMAGES = 2000


def before(accuracies: Mapping[str, float], pairs: Mapping[frozenset[str], Pair]) -> str:
    """Return the contender that the former rule takes."""
    beaten = {pair.led.b for pair in pairs.values() if pair.shows_better}
    left = [name for name in accuracies if name not in beaten]
    best = max(left, key=accuracies.__getitem__)
    level = [
        name
        for name in left
        if accuracies[name] >= accuracies[best] - MAX_DEFICIT
        or not pairs[frozenset((best, name))].excludes_zero
    ]
    fastest, *slower = sorted(level, key=SECONDS.__getitem__)
    as_fast = all(SECONDS[name] < MAX_COST_RATIO * SECONDS[fastest] for name in slower)
    return best if as_fast else fastest


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


@dataclass(frozen=True)
class Drawn:
    """Accuracies of networks, and whom of any two the present rule takes."""

    accuracies: Mapping[str, float]
    preferred: Mapping[frozenset[str], str]

    def most_accurate_of(self, names: Collection[str]) -> str:
        return max(names, key=self.accuracies.__getitem__)

    def prefers(self, one: str, other: str) -> bool:
        return self.preferred[frozenset((one, other))] == one

    def preferred_to_all(self, names: Collection[str]) -> str | None:
        return next(
            (
                name
                for name in names
                if all(self.prefers(name, other) for other in names if other != name)
            ),
            None,
        )

    def most_accurate(self, names: Collection[str]) -> str:
        return self.preferred_to_all(names) or self.most_accurate_of(names)

    def least_dropped(self, names: Collection[str]) -> str:
        least = min(names, key=self.accuracies.__getitem__)
        return self.preferred_to_all(names) or self.least_dropped(set(names) - {least})

    def beside_the_best(self, names: Collection[str]) -> str:
        best = self.most_accurate_of(names)
        level = [name for name in names if name == best or self.prefers(name, best)]
        return min(level, key=SECONDS.__getitem__)


def simulated(
    scenario: Scenario, repeats: int, progress: TerminalProgress
) -> dict[str, float | dict[str, float] | dict[str, dict[str, float]]]:
    """Return the shares of cases by what was taken, of both rules and of the ways out of circles:
    the faster of two; a circle; of three, not the more accurate one; and the changes by a third.
    """
    rng = np.random.default_rng(0)
    faster, circles = {"before": 0, "now": 0}, 0
    worse = dict.fromkeys(RULES, 0)
    changed = {rule: dict.fromkeys(SECONDS, 0) for rule in RULES}
    for _ in progress.track(range(repeats), "cases", repeats):
        right = dict(zip(SECONDS, answers(replace(scenario, others=2), rng, None)[0], strict=True))
        accuracies = {name: float(answered.mean()) for name, answered in right.items()}
        alone = {
            frozenset(two): paired({name: right[name] for name in two})
            for two in itertools.combinations(right, 2)
        }
        of_all = paired(right)

        def now(
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

        drawn = Drawn(accuracies, {two: now(two) for two in alone})
        circles += drawn.preferred_to_all(list(right)) is None
        taken_of = {
            "most_accurate": drawn.most_accurate,
            "least_dropped": drawn.least_dropped,
            "beside_the_best": drawn.beside_the_best,
            "in_turn": now,
        }
        taken = {"before": before(accuracies, of_all)}
        taken |= {rule: take(list(right)) for rule, take in taken_of.items()}
        for third in SECONDS:
            two = frozenset(right) - {third}
            of_two = {"before": before({name: accuracies[name] for name in two}, alone[two])}
            of_two |= {rule: take(two) for rule, take in taken_of.items()}
            for rule in RULES:
                changed[rule][third] += taken[rule] not in (of_two[rule], third)
            if third == "third":
                faster["before"] += of_two["before"] == "faster"
                faster["now"] += of_two["in_turn"] == "faster"
        for rule in RULES:
            worse[rule] += taken[rule] != "slower"
    return {
        **{f"faster_{rule}": number / repeats for rule, number in faster.items()},
        "circles": circles / repeats,
        "faster_of_three": {rule: number / repeats for rule, number in worse.items()},
        "third_changes": {
            rule: {third: number / repeats for third, number in by_third.items()}
            for rule, by_third in changed.items()
        },
    }


def with_failures(share: float, repeats: int, progress: TerminalProgress) -> dict[str, float]:
    """Return how often the network that fails with probability `share` is called better."""
    rng = np.random.default_rng(0)
    scenario = Scenario(seeds=8, images=IMAGES, difference=0.02, spread=SPREAD)
    before, now = 0, 0
    for _ in progress.track(range(repeats), "failed trainings", repeats):
        (ahead, other), _ = answers(scenario, rng, None)
        ended = rng.random(8) >= share
        if ended.sum() > 1:
            left = significance.difference(ahead[ended], other[ended])
            with_chance = np.where(ended[:, None], ahead, np.arange(IMAGES) % 10 == 0)
            confirmed = significance.confirmed(left, significance.difference(with_chance, other))
            before += left.conclusion is Conclusion.A_BETTER
            now += confirmed.conclusion is Conclusion.A_BETTER
    return {"shown_before": before / repeats, "shown_now": now / repeats}


def recommended(
    pair: Pair, names: Collection[str] = ("slower", "faster"), before: bool = False
) -> str:
    """Return the one of two networks that is taken; `before` by a quarter of the errors."""
    accuracies = {name: pair.accuracy(name) for name in names}
    quarter = 100 * min(MAX_DEFICIT, MAX_SHARE_OF_ERRORS * (1 - max(accuracies.values())))
    return choose(
        accuracies,
        lambda one, other: pair,
        faster_of,
        pair.n,
        tolerance=quarter if before else None,
    )


def too_few(pair: Pair) -> bool:
    """Return True if the test images are too few to recommend one of two."""
    counts = Counts(train=0, val=0, test=pair.n)
    about = Dataset(name="", fingerprint="", classes=[], counts=counts, split="stratified")
    run = RunContext(replace(baseline(), seeds=pair.seeds), about, [], [pair])
    named = any(values["detectable"] > MAX_DETECTABLE for values in more_images(run))
    return named and not pair.excludes_zero


def too_few_before(pair: Pair) -> bool:
    """Return the former verdict on the test images."""
    if pair.seeds == 1:
        return detectable(pair.n) > MAX_DETECTABLE and not pair.excludes_zero
    is_open = pair.conclusion is Conclusion.INCONCLUSIVE and pair.seeds >= pair.fewest_seeds
    at_best = pair.detectable_at_best or 0.0
    is_small = abs(pair.difference) <= at_best
    named = is_open and pair.seeds_needed is None and is_small and at_best > MAX_DETECTABLE
    return named and not pair.excludes_zero


def with_few_images(
    images: int, seeds: int, lead: float, repeats: int, progress: TerminalProgress
) -> dict[str, float]:
    """Return the shares of cases with a recommendation, and with that of the less accurate one."""
    rng = np.random.default_rng(0)
    scenario = Scenario(seeds=seeds, images=images, difference=lead, spread=SPREAD)
    counts = dict.fromkeys(
        ["recommended_before", "recommended_now", "wrong_before", "wrong_now"], 0
    )
    for _ in progress.track(range(repeats), "few images", repeats):
        right = dict(zip(("slower", "faster"), answers(scenario, rng, None)[0], strict=True))
        (pair,) = paired(right).values()
        for rule, refused in (("before", too_few_before(pair)), ("now", too_few(pair))):
            taken = None if refused else recommended(pair, before=rule == "before")
            counts[f"recommended_{rule}"] += taken is not None
            counts[f"wrong_{rule}"] += taken == "faster" and lead > 0
    return {name: count / repeats for name, count in counts.items()}


def near_perfect(
    accuracy: float, images: int, seeds: int, lead: float, repeats: int, progress: TerminalProgress
) -> dict[str, float]:
    """Return how often the slower one of two networks is taken; it is ahead by `lead`."""
    rng, counts = np.random.default_rng(0), {"before": 0, "now": 0}
    scenario = Scenario(
        seeds=seeds,
        images=images,
        difference=lead,
        spread=SPREAD * (1 - accuracy),
        accuracy=accuracy,
    )
    for _ in progress.track(range(repeats), "near 100 %", repeats):
        right = dict(zip(("slower", "faster"), answers(scenario, rng, None)[0], strict=True))
        (pair,) = paired(right).values()
        for rule in counts:
            taken = recommended(pair, before=rule == "before")
            counts[rule] += taken == "slower"
    return {f"slower_{rule}": count / repeats for rule, count in counts.items()}


def lost_without_time(seeds: int, repeats: int, progress: TerminalProgress) -> dict[str, float]:
    """Return how often a data set is said to lose something where nothing is lost."""
    rng = np.random.default_rng(0)
    scenario = Scenario(seeds=seeds, images=IMAGES, spread=SPREAD)
    before, now = 0, 0
    for _ in progress.track(range(repeats), "time", repeats):
        (best, without), _ = answers(scenario, rng, None)
        loss = compare_best(
            [Candidate("best", 0.9, best, at_chance=False)],
            [Candidate("without", 0.8, without, at_chance=False, trained_without=True)],
            None,
            None,
        )
        before += loss.lost == "some"
        now += loss.lost == "some" and loss.found.enough_seeds
    return {"said_before": before / repeats, "said_now": now / repeats}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=400)
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
            **near_perfect(accuracy, images, seeds, lead, repeats, progress),
        }
        for (accuracy, images), seeds in itertools.product(NEAR_PERFECT, SEEDS)
        for lead in (0.0, (1 - accuracy) * 2 / 3)
    ]
    print(*few, *near, sep="\n", flush=True)
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
        "failed_trainings": [
            {"fails": share, **with_failures(share, repeats, progress)} for share in FAILS
        ],
        "time": [
            {"seeds": seeds, **lost_without_time(seeds, repeats, progress)} for seeds in SEEDS
        ],
        "repeats": repeats,
        "images": IMAGES,
        "spread_over_seeds": SPREAD,
        "seconds": SECONDS,
        "rows": rows,
        "machine": {"python": platform.python_version(), "numpy": np.__version__},
    }
    print(*measured["failed_trainings"], *measured["time"], sep="\n")
    RESULT.write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
