"""Does the verdict over data sets keep its word? Made-up accuracies whose true differences are
known.

    python benchmarks/across.py [--repeats 4000] [--only TEXT]

A data set has a number of test images (200 to 10,000, log-uniform) and a standard deviation of
accuracy over seeds (0.1 to 1 point, log-uniform). A training's accuracy is what its variant truly
reaches there, and luck of its seed and of the images; trainings disagree on images as often as on
Fashion-MNIST (`significance.py`). Each variant is trained with three seeds. What variants truly
reach differs from one data set to the next:

- `equal`: not at all, so that there is nothing but luck;
- `by data set`: each of two variants is truly better on half of the data sets, by one point (standard deviation);
- `heavy tails`: the same by Student's t with 3 degrees of freedom, so that a few data sets are far off;
- `one-sided`: the first differs from the others by an exponential law, a little behind on most data sets and far ahead
  on a few, so that the typical difference is about 0. No test of signs and ranks is exact there;
- `lead`: the first leads by as much as is said, besides `by data set` of half a point.

Counted are verdicts that are false for any pair of variants, by the rule, and by Wilcoxon's test
without adjusting for all pairs. `equivalent` is false where the truth is at the margin, half a
point. Results go to benchmarks/results/across.json; `--only` keeps the results of other scenarios
there.
"""

import argparse
import itertools
import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from spikeduel.results import across
from spikeduel.results.power import BETWEEN, WITHIN
from spikeduel.results.significance import MARGIN, Conclusion
from spikeduel.results.uncertainty import ALPHA
from spikeduel.system.progress import TerminalProgress

RESULTS = Path(__file__).parent / "results" / "across.json"
SEEDS = 3
DATASETS = (3, 5, 8, 12, 20)
VARIANTS = (2, 3, 4)
TYPICAL_OF_EXPONENTIAL = 0.8391735
"""The median of the mean of two: half of the median of a gamma law of shape 2."""


@dataclass(frozen=True)
class Scenario:
    """`truth` is how variants differ over data sets, `between` by how much, `lead` what the first
    is ahead of all.
    """

    truth: Literal["equal", "by data set", "heavy tails", "one-sided"]
    datasets: int
    variants: int
    between: float = 0.0
    lead: float = 0.0

    def __str__(self) -> str:
        lead = f", lead of {100 * self.lead:g} points" if self.lead else ""
        return f"{self.truth}{lead}, {self.datasets} data sets, {self.variants} variants"


def scenarios() -> list[Scenario]:
    """All of them."""
    found = []
    for datasets, variants in itertools.product(DATASETS, VARIANTS):
        found += [
            Scenario("equal", datasets, variants),
            Scenario("by data set", datasets, variants, 0.01),
            Scenario("heavy tails", datasets, variants, 0.01),
            Scenario("one-sided", datasets, variants, 0.01),
            *(
                Scenario("by data set", datasets, variants, 0.005, lead)
                for lead in (MARGIN, 0.01, 0.02)
            ),
        ]
    return found


def accuracies(scenario: Scenario, random: np.random.Generator) -> np.ndarray:
    """Of each seed of each variant on each data set: `[V, D, S]`, but for a common level of the
    data set.
    """
    shape = (scenario.variants, scenario.datasets)
    images = np.exp(random.uniform(np.log(200), np.log(10_000), scenario.datasets))
    spread = np.exp(random.uniform(np.log(0.001), np.log(0.01), scenario.datasets))
    match scenario.truth:
        case "heavy tails":
            truth = random.standard_t(3, shape) / np.sqrt(2)
        case "one-sided":
            truth = np.zeros(shape)
            truth[0] = random.standard_exponential(scenario.datasets) - TYPICAL_OF_EXPONENTIAL
        case _:
            truth = random.standard_normal(shape) / np.sqrt(2)
    truth = scenario.between * truth
    truth[0] += scenario.lead
    of_images = random.standard_normal(shape) * np.sqrt((BETWEEN - WITHIN) / 2 / images)
    of_seeds = (
        random.standard_normal((*shape, SEEDS)) * np.sqrt(spread**2 + WITHIN / 2 / images)[:, None]
    )
    return (truth + of_images)[:, :, None] + of_seeds


def measured(scenario: Scenario, repeats: int, progress: TerminalProgress) -> dict[str, object]:
    """How often which verdict comes, as a share of all draws; `found`: the lead, of any pair with
    the first.
    """
    random = np.random.default_rng(0)
    counts = dict.fromkeys(("better", "equivalent", "unadjusted", "found"), 0)
    for _ in progress.track(range(repeats), str(scenario), repeats):
        means = np.round(accuracies(scenario, random).mean(2), 12)
        pairs = list(itertools.combinations(range(scenario.variants), 2))
        apart = [means[a] - means[b] for a, b in pairs]
        tested = across.tested(apart, MARGIN)
        with_first = [each for (a, _), each in zip(pairs, tested, strict=True) if a == 0]
        # With a lead, a verdict on the first is false where it goes against it; on others any is.
        others = [each for (a, _), each in zip(pairs, tested, strict=True) if a]
        wrong = Conclusion.B_BETTER if scenario.lead else None
        counts["better"] += any(each.conclusion.better for each in others) or any(
            each.conclusion is wrong if wrong else each.conclusion.better for each in with_first
        )
        counts["equivalent"] += any(each.conclusion is Conclusion.EQUIVALENT for each in with_first)
        counts["found"] += any(each.conclusion is Conclusion.A_BETTER for each in with_first)
        counts["unadjusted"] += any(across.wilcoxon(lead) <= ALPHA for lead in apart)
    shares: dict[str, object] = {name: count / repeats for name, count in counts.items()}
    shares["unadjusted" if scenario.lead else "found"] = None
    return shares


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=4000)
    parser.add_argument("--only", default="", help="scenarios whose names hold this text")
    options = parser.parse_args()
    kept = {}
    if RESULTS.exists():
        kept = {row["scenario"]: row for row in json.loads(RESULTS.read_text())["rows"]}
    about = {
        "seeds": SEEDS,
        "margin": MARGIN,
        "disagreement": {"one contender": WITHIN, "two contenders": BETWEEN},
        "environment": {"python": platform.python_version(), "numpy": np.__version__},
    }
    for scenario in scenarios():
        if options.only in str(scenario):
            shares = measured(scenario, options.repeats, TerminalProgress())
            kept[str(scenario)] = {
                "scenario": str(scenario),
                **asdict(scenario),
                "repeats": options.repeats,
                **shares,
            }
            print(json.dumps(kept[str(scenario)]), flush=True)
            rows = [kept[str(each)] for each in scenarios() if str(each) in kept]
            RESULTS.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
