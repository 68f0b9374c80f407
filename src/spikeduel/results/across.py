"""A verdict over data sets: which of two variants is more accurate on data sets like these, and how
sure that is.

**The data set is the unit.** What a variant scores on a data set is its mean accuracy over seeds; what two differ by
there is one number, however many seeds and images it was measured with. Seeds and images make that
number less noisy, and the noise is in its spread over data sets. More seeds do not make more data
sets.

**The rule.** Of two variants one is better where Wilcoxon's signed-rank test of their differences, adjusted for all
pairs (Holm), has a p-value of at most 5 %. They are equivalent where both one-sided signed-rank
tests against the margin have, adjusted alike. Else the question is open. The test is exact: it
flips the signs of the ranks, and holds its level however much the spread differs from one data set
to the next. Each pair is tested on the data sets that have both. The rule leaves the mean ranks
aside: whether two variants differ by those depends on which others are in the study (Benavoli,
Corani and Mangili 2016), and with two variants they are no more than a count of wins.

Beside the rule stand what other readers ask for. Friedman's test and Nemenyi's critical difference
are as in Demšar
2006 (section 3.2.2), whose section 3.1.3 advises Wilcoxon's test for two. Friedman's p-value is that of ranks that
change places at random within data sets: with few of them the F of Iman and Davenport does not hold
its level (`benchmarks/across.py`). `Improvement` and `Profile` are after Agarwal and others 2021.

scipy is all that this needs. rliable brings pandas, arch and statsmodels for a mean and a
percentile, and cannot be imported beside the present versions of these; baycomp (2023) samples the
same posterior draw by draw. Each formula is a few lines here, and in `signed_rank`; the tests have
scikit-posthocs, baycomp and scipy as oracles.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from spikeduel.results import signed_rank
from spikeduel.results.signed_rank import Posterior
from spikeduel.results.significance import Conclusion, Probability
from spikeduel.results.uncertainty import ALPHA, holm
from spikeduel.system.typed import Frozen

Accuracies = Mapping[str, Mapping[str, Sequence[float]]]
"""By variant, by data set: the accuracy of each seed."""
RESAMPLES = 2_000
PLACES = 41
"""Points of a performance profile."""


class Improvement(Frozen):
    """How probable it is that a training of `a` is more accurate than one of `b`, averaged over
    these data sets.

    `ci95` is over other seeds on these data sets; None where one seed says nothing of others.
    """

    probability: Probability
    ci95: tuple[float, float] | None


class PairAcross(Frozen):
    """Variants `a` and `b` over the data sets that have both; `a` is the one that leads,
    differences are a − b.

    `difference` is the typical one, the median of the means of any two data sets' (Hodges and
    Lehmann), with the intervals that Wilcoxon's test leaves around it: None where so few data sets
    allow none. `p_value` is after Holm, `p_value_raw` before; `p_equivalent` is the larger of the
    two one-sided tests against the margin, after Holm. `datasets_needed`: as many as would show a
    typical difference like this one in 80 % of cases if they differ as these do; None where 200 are
    too few.
    """

    a: str
    b: str
    differences: dict[str, float]
    difference: float
    mean_difference: float
    ci95: tuple[float, float] | None
    ci90: tuple[float, float] | None
    p_value: Probability
    p_value_raw: Probability
    p_equivalent: Probability
    conclusion: Conclusion
    posterior: Posterior
    improvement: Improvement
    datasets_needed: int | None
    margin: Probability

    @property
    def negligible(self) -> bool:
        """Whether one is better, and the 90 % interval of the difference is inside the margin."""
        inside = (
            self.ci90 is not None and -self.margin < self.ci90[0] and self.ci90[1] < self.margin
        )
        return self.conclusion.better and inside

    @property
    def wins(self) -> int:
        """On how many data sets `a` is ahead."""
        return sum(each > 0 for each in self.differences.values())

    @property
    def losses(self) -> int:
        """On how many data sets `b` is ahead."""
        return sum(each < 0 for each in self.differences.values())

    @property
    def after_adjusting(self) -> bool:
        """Whether it is open only since several pairs were compared."""
        return self.conclusion is Conclusion.INCONCLUSIVE and self.p_value_raw <= ALPHA


class Ranks(Frozen):
    """Mean ranks (1 is the best) over the data sets that have all these variants, the best first.

    `friedman` is the p-value of no difference between any of them. Means that lie less than
    `critical_difference` apart do not differ by Nemenyi's test, and stand in one of `groups`.
    """

    datasets: list[str]
    means: dict[str, float]
    friedman: Probability
    critical_difference: float
    groups: list[list[str]]


class Profile(Frozen):
    """The share of a variant's trainings that are at most so many points (`behind`, fractions)
    below the best variant's mean on the same data set, data sets counting alike; `low` and `high`
    hold 95 % of resampled seeds.
    """

    behind: list[float]
    share: list[float]
    low: list[float] | None
    high: list[float] | None


class Across(Frozen):
    """The verdict: every pair of variants, and those two (`main`) that the headline is about.

    These are the variant with the best mean rank and the best of the other kind, spiking or not;
    where all are of one kind, the second best. `fewest_datasets`: with fewer no pair of so many can
    be called better.
    """

    pairs: list[PairAcross]
    fewest_datasets: int
    main: tuple[str, str] | None
    ranks: Ranks | None
    profiles: dict[str, Profile]

    def pair(self, one: str, other: str) -> PairAcross | None:
        """The pair of these two."""
        return next((pair for pair in self.pairs if {pair.a, pair.b} == {one, other}), None)

    @property
    def headline(self) -> PairAcross | None:
        """The pair that the headline is about."""
        return self.pair(*self.main) if self.main else None


def over(accuracies: Accuracies, spiking: Mapping[str, bool], margin: float) -> Across:
    """The verdict on variants, of each of which it is said whether it spikes."""
    pairs, ranked, shown = compare(accuracies, margin), ranks(accuracies), profiles(accuracies)
    order = (
        list(ranked.means)
        if ranked
        else sorted(accuracies, key=lambda name: -_mean(accuracies[name]))
    )
    rivals = [name for name in order[1:] if spiking[name] != spiking[order[0]]] or order[1:]
    return Across(
        pairs=pairs,
        fewest_datasets=signed_rank.fewest(max(1, len(pairs))),
        main=(order[0], rivals[0]) if rivals else None,
        ranks=ranked,
        profiles={name: shown[name] for name in order if name in shown},
    )


def _mean(of: Mapping[str, Sequence[float]]) -> float:
    return float(np.mean([np.mean(seeds) for seeds in of.values()]))


def improvement(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]) -> Improvement:
    """From the accuracies of each seed of two variants, data set by data set. Seeds are resampled
    within each.
    """
    random, several = np.random.default_rng(0), all(len(seeds) > 1 for seeds in (*a, *b))
    means, resampled = 0.0, np.zeros(RESAMPLES)
    for of_a, of_b in zip(a, b, strict=True):
        ahead = np.heaviside(np.round(np.subtract.outer(of_a, of_b), 12), 0.5)
        means += float(ahead.mean()) / len(a)
        if several:
            rows, columns = (random.integers(size, size=(RESAMPLES, size)) for size in ahead.shape)
            resampled += ahead[rows[:, :, None], columns[:, None, :]].mean((1, 2)) / len(a)
    ends = np.clip(np.quantile(resampled, (0.025, 0.975)), 0, 1) if several else None
    return Improvement(
        probability=min(1.0, means),
        ci95=None if ends is None else (float(ends[0]), float(ends[1])),
    )


class Tested(NamedTuple):
    """What the rule makes of one of several pairs."""

    p_value: float
    p_value_raw: float
    p_equivalent: float
    conclusion: Conclusion


def tested(differences: Sequence[np.ndarray], margin: float) -> list[Tested]:
    """The rule, for the differences `[N]` of each of several pairs over their data sets."""
    raw = [signed_rank.wilcoxon(each) for each in differences]
    equivalent = holm([signed_rank.not_within(each, margin) for each in differences])
    return [
        Tested(
            p_value,
            p_raw,
            p_equivalent,
            _concluded(p_value, p_equivalent, signed_rank.centre(each)),
        )
        for each, p_value, p_raw, p_equivalent in zip(
            differences, holm(raw), raw, equivalent, strict=True
        )
    ]


def _concluded(p_value: float, p_equivalent: float, centre: float) -> Conclusion:
    if p_value <= ALPHA:
        return Conclusion.A_BETTER if centre > 0 else Conclusion.B_BETTER
    return Conclusion.EQUIVALENT if p_equivalent <= ALPHA else Conclusion.INCONCLUSIVE


def compare(accuracies: Accuracies, margin: float) -> list[PairAcross]:
    """Every two variants that have a data set in common, by the rule above; the order is that of
    `accuracies`.
    """
    means = {
        name: {data: float(np.mean(seeds)) for data, seeds in of.items()}
        for name, of in accuracies.items()
    }
    pairs = []
    for a, b in itertools.combinations(accuracies, 2):
        if datasets := [data for data in means[a] if data in means[b]]:
            apart = np.round([means[a][data] - means[b][data] for data in datasets], 12)
            if (signed_rank.centre(apart), float(apart.mean())) < (0.0, 0.0):
                a, b, apart = b, a, -apart
            # And no -0.0.
            pairs.append((a, b, datasets, apart + 0.0))
    found = tested([apart for *_, apart in pairs], margin)
    return [
        PairAcross(
            a=a,
            b=b,
            differences=dict(zip(datasets, apart.tolist(), strict=True)),
            difference=signed_rank.centre(apart),
            mean_difference=float(apart.mean()),
            ci95=signed_rank.interval(apart, 0.95),
            ci90=signed_rank.interval(apart, 0.90),
            **each._asdict(),
            posterior=signed_rank.posterior(apart, margin),
            improvement=improvement(
                *([accuracies[name][data] for data in datasets] for name in (a, b))
            ),
            datasets_needed=signed_rank.needed(apart, len(pairs)),
            margin=margin,
        )
        for (a, b, datasets, apart), each in zip(pairs, found, strict=True)
    ]


def complete(accuracies: Accuracies) -> tuple[list[str], list[str]]:
    """Variants and data sets of the largest table without a gap that keeps the variants which most
    data sets have.

    Of two tables as large, the one with more data sets.
    """
    everywhere = list(dict.fromkeys(data for of in accuracies.values() for data in of))
    ordered = sorted(accuracies, key=lambda name: -len(accuracies[name]))
    best: tuple[list[str], list[str]] = ([], [])
    for number in range(2, len(ordered) + 1):
        names = [name for name in accuracies if name in ordered[:number]]
        datasets = [data for data in everywhere if all(data in accuracies[name] for name in names)]
        if len(names) * len(datasets) > len(best[0]) * len(best[1]):
            best = names, datasets
    return best


def ranks(accuracies: Accuracies) -> Ranks | None:
    """Mean ranks and the tests of them, on the `complete` table; None where there are not two data
    sets in it.
    """
    from scipy import stats

    names, datasets = complete(accuracies)
    if len(datasets) < 2:
        return None
    table = np.round([[np.mean(accuracies[name][data]) for name in names] for data in datasets], 12)
    ranked = stats.rankdata(-table, axis=1)
    means, (number, count) = ranked.mean(0), table.shape
    critical = _nemenyi(count) * math.sqrt(count * (count + 1) / (6 * number))
    by_rank = {names[place]: float(means[place]) for place in np.argsort(means, kind="stable")}
    return Ranks(
        datasets=datasets,
        means=by_rank,
        friedman=_friedman(ranked),
        critical_difference=critical,
        groups=_alike(by_rank, critical),
    )


def _friedman(ranked: np.ndarray) -> float:
    """The p-value of Friedman's test for ranks `[N, V]`, which change places at random within each
    data set.
    """

    def spread(means: np.ndarray) -> np.ndarray:
        return np.square(means - ranked.mean()).sum(-1)

    random = np.random.default_rng(0)
    shuffled = random.permuted(np.repeat(ranked[None], RESAMPLES, axis=0), axis=2)
    as_far = int((spread(shuffled.mean(1)) >= spread(ranked.mean(0)) - 1e-9).sum())
    return (1 + as_far) / (1 + RESAMPLES)


@cache
def _nemenyi(count: int) -> float:
    """The quantile of the Studentized range of so many variants, by √2 (Demšar 2006, table 5)."""
    from scipy import stats

    return float(stats.studentized_range.ppf(1 - ALPHA, count, np.inf)) / math.sqrt(2)


def _alike(means: Mapping[str, float], critical: float) -> list[list[str]]:
    """The longest rows of neighbours, by mean rank, whose ends are less than `critical` apart; no
    single ones.
    """
    names, groups = list(means), list[list[str]]()
    for first in range(len(names)):
        group = [name for name in names[first:] if means[name] - means[names[first]] < critical]
        if len(group) > 1 and (not groups or group[-1] not in groups[-1]):
            groups.append(group)
    return groups


def profiles(accuracies: Accuracies) -> dict[str, Profile]:
    """The performance profile of each variant of the `complete` table.

    A score is how many points a training is behind the best variant's mean on its data set. A point
    is as many images on one data set as on another of its size, and the margin is in points, too; a
    ratio of errors would be ruled by the data sets that all but solve.
    """
    names, datasets = complete(accuracies)
    best = {
        data: max(float(np.mean(accuracies[name][data])) for name in names) for data in datasets
    }
    behind = {
        name: [np.round(best[data] - np.asarray(accuracies[name][data]), 12) for data in datasets]
        for name in names
    }
    farthest = max((float(seeds.max()) for of in behind.values() for seeds in of), default=0.0)
    places = np.linspace(0.0, max(farthest, 0.001), PLACES)
    return {name: _profile(of, places) for name, of in behind.items()}


def _profile(behind: Sequence[np.ndarray], places: np.ndarray) -> Profile:
    random, several = np.random.default_rng(0), all(len(seeds) > 1 for seeds in behind)
    share, resampled = np.zeros(len(places)), np.zeros((RESAMPLES, len(places)))
    for seeds in behind:
        within = (seeds[:, None] <= places + 1e-12).astype(float)
        share += within.mean(0) / len(behind)
        if several:
            resampled += within[random.integers(len(seeds), size=(RESAMPLES, len(seeds)))].mean(
                1
            ) / len(behind)
    low, high = (
        np.clip(np.quantile(resampled, (0.025, 0.975), axis=0), 0, 1) if several else (None, None)
    )
    return Profile(
        behind=places.tolist(),
        share=share.tolist(),
        low=None if low is None else low.tolist(),
        high=None if high is None else high.tolist(),
    )
