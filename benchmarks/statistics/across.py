"""Does the verdict over data sets keep its word? Made-up accuracies whose true differences are
known.

    python -m benchmarks.statistics.across [--repeats 4000] [--only TEXT]

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
- `lead`: the first leads by as much as is said, besides `by data set` of half a point;
- `halves`: the first is two points better on half of the data sets, and two worse on the others;
  here test sets have 10,000 images, and seeds vary by 0.1 points, so that luck does not hide it;
- `families`: as `by data set`, where data sets come in families of four whose differences correlate
  by 0.8, besides a lead.

Counted are verdicts that are false for any pair of variants, by the rule, and by Wilcoxon's test
without adjusting for all pairs. `equivalent` is false where the truth is at the margin, half a
point, and where variants truly differ on most data sets. `cases` are leads without luck, as one would
make them up against the rule. Results go to benchmarks/results/across.json; `--only` keeps the results of other scenarios
there.
"""

import itertools
import json
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from benchmarks import shared
from spikeduel.statistics import (
    ALPHA,
    BETWEEN,
    WITHIN,
    Outcome,
    compare_over_datasets,
    rank_tests,
    sign_flips,
)
from spikeduel.system.negligible import MAX_MARGIN
from spikeduel.system.progress import TerminalProgress

RESULT = "across.json"
SEEDS = 3
DATASETS = (3, 5, 8, 12, 20)
VARIANTS = (2, 3, 4)
FAMILIES = (3, 6, 8, 12)
OF_A_FAMILY = 4
"""Data sets of a family."""
CORRELATION = 0.8
"""Of true differences on data sets of a family."""
CASES: dict[str, list[float]] = {
    "+2 points on 10 data sets, −2 on 10": [0.02, -0.02] * 10,
    "+0.01 to +0.09 points on 9, −10 to −20 on 3": [
        *(0.0001 * n for n in range(1, 10)),
        -0.1,
        -0.15,
        -0.2,
    ],
    "−0.08 to +0.08 points on 17, −20 on 3": [*(0.0001 * (n - 8) for n in range(17)), *[-0.2] * 3],
    "+0.5 to +1 points on 11, −30 on 1": [*(0.005 + 0.0005 * n for n in range(11)), -0.3],
    "−0.08 to +0.08 points on 17, ±2 on 3": [
        *(0.0001 * (n - 8) for n in range(17)),
        0.02,
        0.02,
        -0.02,
    ],
}
"""Leads of the first of two variants, by data set."""
TYPICAL_OF_EXPONENTIAL = 0.8391735
"""The median of the mean of two: half of the median of a gamma law of shape 2."""


@dataclass(frozen=True)
class Scenario:
    """`truth` is how variants differ over data sets, `between` by how much, `lead` what the first
    is ahead of all.
    """

    truth: Literal["equal", "by data set", "heavy tails", "one-sided", "halves", "families"]
    datasets: int
    variants: int
    between: float = 0.0
    lead: float = 0.0

    @property
    def families(self) -> list[str]:
        """The family of each data set."""
        size = OF_A_FAMILY if self.truth == "families" else 1
        return [f"{number // size}" for number in range(self.datasets)]

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
                for lead in (MAX_MARGIN, 0.01, 0.02)
            ),
        ]
    found += [Scenario("halves", datasets, 2, 0.02) for datasets in DATASETS[2:]]
    for families, lead in itertools.product(FAMILIES, (0.0, 0.01, 0.02)):
        found.append(Scenario("families", OF_A_FAMILY * families, 2, 0.01, lead))
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
        case "halves":
            images, spread = np.full_like(images, 10_000), np.full_like(spread, 0.001)
            truth = np.zeros(shape)
            truth[0] = random.permutation(np.resize([1.0, -1.0], scenario.datasets))
        case "families":
            common = random.standard_normal((scenario.variants, scenario.datasets // OF_A_FAMILY))
            rest = random.standard_normal(shape)
            truth = np.sqrt(CORRELATION / 2) * np.repeat(common, OF_A_FAMILY, axis=1)
            truth += np.sqrt((1 - CORRELATION) / 2) * rest
        case _:
            truth = random.standard_normal(shape) / np.sqrt(2)
    truth = scenario.between * truth
    truth[0] += scenario.lead
    of_images = random.standard_normal(shape) * np.sqrt((BETWEEN - WITHIN) / 2 / images)
    of_seeds = (
        random.standard_normal((*shape, SEEDS)) * np.sqrt(spread**2 + WITHIN / 2 / images)[:, None]
    )
    return (truth + of_images)[:, :, None] + of_seeds


def remembered(sums: np.ndarray) -> float:
    """`sign_flips`, which draws without ties ask for the same few sums."""
    key = (tuple(sorted(np.abs(sums).tolist())), abs(int(sums.sum())))
    if key not in _CHANCES:
        _CHANCES[key] = sign_flips(sums)
    return _CHANCES[key]


_CHANCES: dict[tuple[tuple[int, ...], int], float] = {}


@dataclass(frozen=True)
class Verdict:
    """The outcome of a pair of variants; `leads`: its first one does."""

    first: int
    outcome: Outcome
    leads: bool

    @property
    def is_better(self) -> bool:
        return self.outcome in (Outcome.BETTER, Outcome.BETTER_TYPICALLY)

    def is_false(self, lead: float) -> bool:
        """True if one is called better, and not the first variant where that has a `lead`."""
        return self.is_better and not (lead and self.first == 0 and self.leads)


def verdicts(
    pairs: list[tuple[int, int]], differences: list[np.ndarray], families: list[str]
) -> list[Verdict]:
    """The verdict on each pair of variants, with differences `[N]` on data sets of `families`."""
    by_family = [rank_tests.family_means(leads, families) for leads in differences]
    related = list(zip(differences, by_family, strict=True))
    tests = rank_tests.compare_over_datasets(related, MAX_MARGIN)
    return [
        Verdict(first, test.conclusion, rank_tests.signed_ranks(leads).sum() > 0)
        for (first, _), test, leads in zip(pairs, tests, by_family, strict=True)
    ]


def measured(scenario: Scenario, repeats: int, progress: TerminalProgress) -> dict[str, object]:
    """How often which verdict comes, as a share of all draws; `found`: the lead, of any pair with
    the first.
    """
    random, lead = np.random.default_rng(0), scenario.lead
    counts = dict.fromkeys(("better", "equivalent", "balanced", "unadjusted", "found"), 0)
    pairs = list(itertools.combinations(range(scenario.variants), 2))
    for _ in progress.track(range(repeats), str(scenario), repeats):
        means = np.round(accuracies(scenario, random).mean(2), 12)
        apart = [means[a] - means[b] for a, b in pairs]
        tested = verdicts(pairs, apart, scenario.families)
        first = [verdict for verdict in tested if verdict.first == 0]
        counts["better"] += any(verdict.is_false(lead) for verdict in tested)
        counts["equivalent"] += any(verdict.outcome is Outcome.EQUIVALENT for verdict in first)
        counts["balanced"] += any(verdict.outcome is Outcome.BALANCED for verdict in first)
        counts["found"] += any(verdict.is_better and verdict.leads for verdict in first)
        if not lead:
            counts["unadjusted"] += any(rank_tests.wilcoxon(leads) <= ALPHA for leads in apart)
    shares: dict[str, object] = {name: count / repeats for name, count in counts.items()}
    shares["unadjusted" if lead else "found"] = None
    return shares


def of_case(name: str) -> dict[str, object]:
    """The verdict on leads without luck."""
    leads = np.array(CASES[name])
    if (rank_tests.centre(leads), leads.mean()) < (0.0, 0.0):
        leads = -leads
    (test,) = compare_over_datasets([(leads, leads)], MAX_MARGIN)
    neither_leads = test.conclusion in (Outcome.EQUIVALENT, Outcome.BALANCED)
    return {
        "case": name,
        "outcome": test.conclusion,
        "inside": f"{sum(abs(leads) < MAX_MARGIN)} of {len(leads)}",
        "typical": test.difference,
        "mean": test.mean,
        "worst": float(max(leads, key=abs) if neither_leads else min(leads)),
    }


def main() -> None:
    parser = shared.parser(__doc__, repeats=4000, only="")
    options = parser.parse_args()
    rank_tests.sign_flips = remembered
    kept = {row["scenario"]: row for row in shared.read(RESULT, {"rows": []})["rows"]}
    about = {
        "seeds": SEEDS,
        "margin": MAX_MARGIN,
        "families": {"datasets": OF_A_FAMILY, "correlation": CORRELATION},
        "disagreement": {"one contender": WITHIN, "two contenders": BETWEEN},
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
            content = {**about, "cases": list(map(of_case, CASES)), "rows": rows}
            shared.write(RESULT, content)


if __name__ == "__main__":
    main()
