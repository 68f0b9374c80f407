"""How often a conclusion is false, by the rules before and by the rules now.

    python benchmarks/choice.py [--repeats 400]

**The choice.** Answers are made up as in `significance.py`, with a known true lead of the slower of two networks;
the other answers twice as fast. A third network, as accurate as the faster one and faster by half,
is then added: where neither it nor the same one is taken, it changed the choice between the other
two. Before, all within one point of the most accurate one, or with 0 in the 95 % interval of the
difference, were level, and the fastest of these was taken.

**Failed trainings.** One network is ahead by two points where it is trained, and each of its eight
trainings fails with some probability, so that it is worse on the whole. Before, the lead was shown
by the trainings that ended.

**Time.** A recording of which nothing is lost without time. Before, one seed was enough to say of
the data set that something is.

Results go to benchmarks/results/choice.json.
"""

import argparse
import json
import platform
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from msgspec import structs

from significance import Scenario, answers
from spikeduel.results import significance
from spikeduel.results.answer import NOTICEABLE, choose
from spikeduel.results.power import LEAD
from spikeduel.results.run import Pair
from spikeduel.results.significance import Conclusion
from spikeduel.system.progress import TerminalProgress
from spikeduel.trials.outcomes import Candidate, compare_best

RESULT = Path(__file__).parent / "results" / "choice.json"
SECONDS = {"slower": 2.0, "faster": 1.0, "third": 0.5}
LEADS = (0.0, 0.005, 0.01, 0.02, 0.05)
SEEDS = (1, 2, 3, 4, 6)
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
        if accuracies[name] >= accuracies[best] - LEAD
        or not pairs[frozenset((best, name))].excludes_zero
    ]
    fastest, *slower = sorted(level, key=SECONDS.__getitem__)
    as_fast = all(SECONDS[name] < NOTICEABLE * SECONDS[fastest] for name in slower)
    return best if as_fast else fastest


def faster_of(one: str, other: str) -> str:
    return min(one, other, key=SECONDS.__getitem__)


def chosen(right: Mapping[str, np.ndarray]) -> tuple[str, str]:
    """Return the contenders that the former and the present rule take, by their answers."""
    accuracies = {name: float(answered.mean()) for name, answered in right.items()}
    names = list(right)
    couples = [(a, b) for place, a in enumerate(names) for b in names[place + 1 :]]
    tests = [significance.tested(right[a], right[b]) for a, b in couples]
    pairs = {
        frozenset((a, b)): Pair(
            **structs.asdict(found),
            a=a,
            b=b,
            accuracy_a=accuracies[a],
            accuracy_b=accuracies[b],
            only_a_right=0.0,
            only_b_right=0.0,
        )
        for (a, b), found in zip(couples, significance.adjusted(tests), strict=True)
    }
    now = choose(accuracies, lambda one, other: pairs[frozenset((one, other))], faster_of)
    return before(accuracies, pairs), now


def simulated(scenario: Scenario, repeats: int, progress: TerminalProgress) -> dict[str, float]:
    """Return the shares of cases by what was taken, of both rules."""
    rng = np.random.default_rng(0)
    counts = dict.fromkeys(
        ["faster_before", "faster_now", "third_changes_before", "third_changes_now"], 0
    )
    for _ in progress.track(range(repeats), "cases", repeats):
        (slower, faster, third), _ = answers(replace(scenario, others=2), rng, None)
        two = {"slower": slower, "faster": faster}
        of_two, of_three = chosen(two), chosen({**two, "third": third})
        for rule, taken, among_three in zip(("before", "now"), of_two, of_three, strict=True):
            counts[f"faster_{rule}"] += taken == "faster"
            counts[f"third_changes_{rule}"] += among_three not in (taken, "third")
    return {name: count / repeats for name, count in counts.items()}


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
        now += loss.lost == "some" and loss.conclusive
    return {"said_before": before / repeats, "said_now": now / repeats}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=400)
    repeats = parser.parse_args().repeats
    rows = []
    for lead in LEADS:
        for seeds in SEEDS:
            scenario = Scenario(seeds=seeds, images=IMAGES, difference=lead, spread=SPREAD)
            shares = simulated(scenario, repeats, TerminalProgress())
            rows.append({"true_lead": lead, "seeds": seeds, **shares})
            print(rows[-1], flush=True)
    progress = TerminalProgress()
    measured = {
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
