"""Do the intervals and tests keep their word? Made-up answers whose true difference is known, seeds
and images crossed.

    python -m benchmarks.statistics.significance [--repeats 1000] [--only NAME …]

An answer is right where a sum of normal variables exceeds a level (a probit model): the image's
difficulty, common to all; what is special to a contender on the image; what is special to a
training on the image; and the seed's own effect. The first three are set so that two trainings of
one contender, and two of different contenders, disagree about as often as measured on
Fashion-MNIST, direct encoding (trainings of the dense SNN on 4.3 % of the test images, of the small
CNN on 5.1 %, one of each on 8.3 %). A training asked in two ways disagrees with itself on 1 % of
the images, as two trainings of the dense spiking twin did when their spikes were shuffled in time
(0.9 and 1.1 %; 6,000 images, five epochs); half of the variance of what sets the two ways apart is
the image's. Where images come in groups, half of the variance of each part is the group's; the
sizes of unequal groups are drawn anew for every data set. With one seed the truth is that of the
two models drawn, which differ, so that "better" is no error there. Results go to
benchmarks/results/significance.json; `--only` leaves those of the other scenarios there.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from scipy import optimize, stats

from benchmarks import shared
from spikeduel.results import significance
from spikeduel.results.significance import Conclusion, Difference
from spikeduel.statistics import ALPHA, PairedTest
from spikeduel.system.negligible import MAX_MARGIN
from spikeduel.system.progress import TerminalProgress

ACCURACY = 0.875
DISAGREEMENT = {"one contender": 0.046, "two contenders": 0.083, "one training": 0.01}
FAMILY = 20
"""Comparisons of a contender with itself that Holm takes together."""


@dataclass(frozen=True)
class Scenario:
    """`difference` is a's true lead, `spread` the standard deviation of accuracy over seeds, both
    fractions; `accuracy` is the mean of a and b.

    `itself` compares a contender with itself under other seeds. `luck` is how seeds are
    distributed: normal, Student's t with 3 degrees of freedom, exponential (most seeds a little
    better than the mean, a few far worse), or normal with one training in ten that fails and
    guesses one class of ten. b's spread is `times_spread` that of a. Groups have `group_size`
    images each; or there are `num_groups`, of log-normal sizes (sigma 1), or equal but for one that
    has half of the images. `by_group`: each contender is better at some groups, whole, and groups
    have no other effect. a is compared with `others`, of which the first is b and all are alike, as
    with its ablations. `paired`: these are a's own trainings, asked in other ways; what that costs
    has over seeds the standard deviation `paired_spread`.
    """

    seeds: int = 6
    images: int = 10_000
    difference: float = 0.0
    spread: float = 0.003
    itself: bool = False
    group_size: int = 1
    luck: Literal["normal", "heavy tails", "skewed", "failures"] = "normal"
    times_spread: float = 1.0
    num_groups: int | None = None
    sizes: Literal["equal", "log-normal", "one of half"] = "equal"
    by_group: bool = False
    others: int = 1
    paired: bool = False
    paired_spread: float = 0.001
    accuracy: float = ACCURACY


SCENARIOS = {
    "six seeds, no difference": Scenario(),
    "six seeds, itself": Scenario(itself=True),
    "six seeds, one point": Scenario(difference=0.01),
    "six seeds, one point, half a point of spread": Scenario(difference=0.01, spread=0.005),
    "six seeds, half a point, small spread": Scenario(
        difference=0.005, spread=0.001, images=20_000
    ),
    "six seeds, none, small spread": Scenario(spread=0.001, images=20_000),
    "six seeds, twice the spread": Scenario(spread=0.006),
    "six seeds, heavy tails": Scenario(luck="heavy tails"),
    "six seeds, five harmless ablations": Scenario(others=5),
    "three seeds, no difference": Scenario(seeds=3),
    "three seeds, one point": Scenario(seeds=3, difference=0.01),
    "ten seeds, no difference": Scenario(seeds=10),
    "ten seeds, one point": Scenario(seeds=10, difference=0.01),
    "six seeds, 400 groups of 4": Scenario(images=1_600, group_size=4),
    "six seeds, 40 groups of 40": Scenario(images=1_600, group_size=40),
    "six seeds, 10 groups of log-normal sizes": Scenario(
        images=1_600, num_groups=10, sizes="log-normal", by_group=True
    ),
    "six seeds, 40 groups of log-normal sizes": Scenario(
        images=1_600, num_groups=40, sizes="log-normal", by_group=True
    ),
    "six seeds, 40 groups, one of half the images": Scenario(
        images=1_600, num_groups=40, sizes="one of half", by_group=True
    ),
    "six seeds, 200 images": Scenario(images=200),
    "six seeds, ten times the spread": Scenario(times_spread=10.0),
    "six seeds, skewed luck": Scenario(luck="skewed", spread=0.006),
    "six seeds, one training in ten fails": Scenario(luck="failures"),
    "six seeds, paired, no difference": Scenario(paired=True, spread=0.005),
    "six seeds, paired, 0.6 points in each": Scenario(
        paired=True, spread=0.005, difference=0.006, paired_spread=0.0
    ),
    "six seeds, paired, 0.6 points on average": Scenario(
        paired=True, spread=0.005, difference=0.006
    ),
    "six seeds, paired, 200 images": Scenario(paired=True, images=200),
    "six seeds, paired, large spread": Scenario(paired=True, paired_spread=0.005),
    "six seeds, paired, 40 groups of log-normal sizes": Scenario(
        paired=True, images=1_600, num_groups=40, sizes="log-normal"
    ),
    "six seeds, paired, five harmless ablations": Scenario(paired=True, others=5),
    "ten seeds, paired, no difference": Scenario(paired=True, seeds=10),
    "one seed, these two models": Scenario(seeds=1),
    "one seed, two harmless twins": Scenario(seeds=1, spread=0.005, others=2),
    "six seeds, two harmless twins": Scenario(spread=0.005, others=2),
    "one seed, 400 groups of 4": Scenario(seeds=1, images=1_600, group_size=4),
    "one seed, 40 groups of 12, models alike": Scenario(
        seeds=1, images=480, group_size=12, spread=0.0
    ),
    "one seed, 40 groups of log-normal sizes": Scenario(
        seeds=1, images=1_600, num_groups=40, sizes="log-normal"
    ),
}


def correlation(disagreement: float) -> float:
    """Of two trainings' latent answers, so that they disagree on this share of the images."""
    level = stats.norm.ppf(ACCURACY)

    def excess(rho: float) -> float:
        both = stats.multivariate_normal([0, 0], [[1, rho], [rho, 1]]).cdf([level, level])
        return 2 * (ACCURACY - both) - disagreement

    return float(optimize.brentq(excess, 0.0, 0.9999))


CORRELATION = {name: correlation(share) for name, share in DISAGREEMENT.items()}


def grouped(scenario: Scenario, rng: np.random.Generator) -> np.ndarray | None:
    """The group of each image, from 0: int64 `[N]`; None where each stands for itself."""
    if scenario.num_groups is None:
        return (
            None if scenario.group_size == 1 else np.arange(scenario.images) // scenario.group_size
        )
    weights = np.ones(scenario.num_groups)
    if scenario.sizes == "log-normal":
        weights = rng.lognormal(sigma=1.0, size=scenario.num_groups)
    elif scenario.sizes == "one of half":
        weights[0] = scenario.num_groups - 1
    ends = np.cumsum(weights) / weights.sum() * scenario.images
    return np.unique(
        np.searchsorted(ends, np.arange(scenario.images), side="right"), return_inverse=True
    )[1]


def answers(
    scenario: Scenario, rng: np.random.Generator, groups: np.ndarray | None
) -> tuple[list[np.ndarray], float]:
    """Whether each seed of a, of b and of the others is right, bool `[S, N]`, and the true
    difference of a and b.
    """
    if scenario.paired:
        return _asked_in_several_ways(scenario, rng, groups)
    own, common = CORRELATION["one contender"], CORRELATION["two contenders"]
    share = 0.0 if scenario.by_group else 0.5
    difficulty = math.sqrt(own if scenario.itself else common) * _per_image(
        rng, (scenario.images,), groups, share
    )
    found, truth = [], []
    half = scenario.difference / 2
    for lead, times in [(half, 1.0), *[(-half, scenario.times_spread)] * scenario.others]:
        latent = difficulty + math.sqrt(1 - own) * _per_image(
            rng, (scenario.seeds, scenario.images), groups, share
        )
        if not scenario.itself:
            of_contender = 1.0 if scenario.by_group else share
            latent += math.sqrt(own - common) * _per_image(
                rng, (scenario.images,), groups, of_contender
            )
        level = stats.norm.ppf(scenario.accuracy + lead)
        spread = times * scenario.spread / stats.norm.pdf(level)
        level = level * (math.sqrt(1 + spread**2) if scenario.luck == "normal" else 1)
        level = level + spread * _luck(scenario, rng)[:, None]
        if scenario.luck == "failures":
            level[rng.random(scenario.seeds) < 0.1] = stats.norm.ppf(0.1)
        found.append(latent + level.astype(np.float32) > 0)
        of_all_seeds = scenario.accuracy + lead
        truth.append(float(stats.norm.cdf(level[0, 0])) if scenario.seeds == 1 else of_all_seeds)
    return found, truth[0] - truth[1]


def _asked_in_several_ways(
    scenario: Scenario, rng: np.random.Generator, groups: np.ndarray | None
) -> tuple[list[np.ndarray], float]:
    """`answers` of one contender's trainings, which every way of asking shares."""
    own, same = CORRELATION["one contender"], CORRELATION["one training"]
    images, each = (scenario.images,), (scenario.seeds, scenario.images)

    def parts(common: float) -> np.ndarray:
        of_images = math.sqrt(common) * _per_image(rng, images, groups, 0.5)
        return np.asarray(of_images + math.sqrt(1 - common) * _per_image(rng, each, groups, 0.5))

    trained, luck = parts(own), scenario.spread * rng.standard_normal(scenario.seeds)
    found, half = [], scenario.difference / 2
    for lead in (half, *[-half] * scenario.others):
        latent = math.sqrt(same) * trained + math.sqrt(1 - same) * parts(0.5)
        level = stats.norm.ppf(ACCURACY + lead)
        spread = math.hypot(
            scenario.spread, scenario.paired_spread / math.sqrt(2)
        ) / stats.norm.pdf(level)
        off = luck + scenario.paired_spread / math.sqrt(2) * rng.standard_normal(scenario.seeds)
        levels = level * math.sqrt(1 + spread**2) + off / stats.norm.pdf(level)
        found.append(latent + levels[:, None].astype(np.float32) > 0)
    return found, scenario.difference


def _luck(scenario: Scenario, rng: np.random.Generator) -> np.ndarray:
    """What each seed is off by, `[S]`: with mean 0 and standard deviation 1."""
    if scenario.luck == "heavy tails":
        return rng.standard_t(3, scenario.seeds) / 3**0.5
    return (
        1 - rng.exponential(size=scenario.seeds)
        if scenario.luck == "skewed"
        else rng.standard_normal(scenario.seeds)
    )


def _per_image(
    rng: np.random.Generator, shape: tuple[int, ...], groups: np.ndarray | None, share: float
) -> np.ndarray:
    """Normal variables `[…, N]`, of whose variance a `share` is common to a group."""
    alone = rng.standard_normal(shape, dtype=np.float32)
    if groups is None:
        return alone
    common = rng.standard_normal((*shape[:-1], int(groups.max()) + 1), dtype=np.float32)
    return math.sqrt(1 - share) * alone + math.sqrt(share) * common[..., groups]


def simulate(
    scenario: Scenario, repeats: int, progress: TerminalProgress, name: str
) -> dict[str, object]:
    """How often the interval holds the truth, and how often each conclusion is drawn."""
    rng = np.random.default_rng(0)
    size = FAMILY if scenario.itself else scenario.others
    family: list[PairedTest] = []
    drawn: list[Difference] = []
    families: list[list[Difference]] = []
    covered = []
    for _ in progress.track(range(repeats), name, repeats):
        groups = grouped(scenario, rng)
        (first, *others), truth = answers(scenario, rng, groups)
        for other in others:
            family.append(significance.tested(first, other, groups, paired=scenario.paired))
            drawn += significance.adjusted(family[-1:])
            if len(family) == size:
                families.append(significance.adjusted(family))
                family.clear()
        with_b = drawn[-len(others)]
        covered.append(with_b.ci95[0] <= truth <= with_b.ci95[1])

    def share(holds: Callable[[Difference], bool]) -> float:
        return float(np.mean([holds(found) for found in drawn]))

    shares: dict[str, object] = {
        "coverage_of_ci95": float(np.mean(covered)),
        "mean_width_of_ci95": float(np.mean([found.ci95[1] - found.ci95[0] for found in drawn])),
        "better": share(lambda found: found.conclusion.better),
        "equivalent": share(lambda found: found.conclusion is Conclusion.EQUIVALENT),
        "inconclusive": share(lambda found: found.conclusion is Conclusion.INCONCLUSIVE),
        "interval_excludes_0_with_p_above_5_percent": share(
            lambda found: found.excludes_zero and found.p_value > ALPHA
        ),
        "p_of_t_test_at_most_5_percent": share(lambda found: found.p_value_raw <= 0.05),
    }
    if permuted := [found.p_permutation for found in drawn if found.p_permutation is not None]:
        shares["p_of_permutation_at_most_5_percent"] = float(np.mean(np.array(permuted) <= 0.05))
    if scenario.itself or scenario.others > 1:
        shares["families"], shares["family_size"] = len(families), size
        shares["families_with_any_better"] = sum(
            any(found.conclusion.better for found in family) for family in families
        )
    return shares


def main() -> None:
    options = shared.parser(__doc__, repeats=1000, only=SCENARIOS).parse_args()
    progress, path = TerminalProgress(), "significance.json"
    found = shared.read(path, {"scenarios": {}})["scenarios"]
    for name in options.only:
        shares = simulate(SCENARIOS[name], options.repeats, progress, name)
        found[name] = {**asdict(SCENARIOS[name]), "repeats": options.repeats, **shares}
        print(name, json.dumps(found[name]), flush=True)
    results = {
        "accuracy": ACCURACY,
        "disagreement": DISAGREEMENT,
        "correlation": CORRELATION,
        "margin": MAX_MARGIN,
        "scenarios": {name: found[name] for name in SCENARIOS if name in found},
    }
    shared.write(path, results)


if __name__ == "__main__":
    main()
