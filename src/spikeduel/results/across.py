"""Compare variants over data sets: Wilcoxon's signed-rank test, adjusted for all pairs by Holm.

The data set is the unit: a variant has one number on each, its mean accuracy over seeds (Demšar
2006, section 3.1.3). Related data sets are a family, and count once, by their mean. The test flips
the signs of the ranks in all ways: exact also with ties and zeros. It is about the typical
difference, which says little of single data sets: `Outcome` says how both go together.
"""

import itertools
from collections.abc import Mapping, Sequence
from enum import StrEnum

import numpy as np

from spikeduel.results.significance import Probability, smallest_p
from spikeduel.results.uncertainty import ALPHA, holm, sign_flips
from spikeduel.system.grouping import grouped
from spikeduel.system.typed import Count, Frozen

Accuracies = Mapping[str, Mapping[str, Sequence[float]]]
"""Accuracies of all seeds, by variant and data set."""
Families = Mapping[str, str]
"""Family by data set; a data set that is not named is a family of its own."""
MOST = 0.75
"""Share of data sets inside the margin from which two variants can be equivalent."""


class Outcome(StrEnum):
    """Conclusion on two variants over data sets, by what two tests show of the typical difference.

    `BETTER`: one leads (p ≤ 5 %); `BETTER_TYPICALLY`: but not in the mean. Else, if the difference
    is within the margin (two one-sided tests), `EQUIVALENT` where `MOST` data sets and the mean lie
    inside, too, or else `BALANCED`: neither leads, but they differ.
    """

    BETTER = "better"
    BETTER_TYPICALLY = "better_typically"
    EQUIVALENT = "equivalent"
    BALANCED = "balanced"
    INCONCLUSIVE = "inconclusive"


class PairAcross(Frozen):
    """Variants `a`, which leads, and `b` over their common data sets: a − b.

    The test is of the means of `families`. `difference`: the typical one (`centre`), with the
    intervals that the test does not reject: None with too few families. `p_value` is after Holm.
    """

    a: str
    b: str
    differences: dict[str, float]
    families: Count
    difference: float
    mean: float
    ci95: tuple[float, float] | None
    ci90: tuple[float, float] | None
    p_value: Probability
    conclusion: Outcome
    margin: Probability

    @property
    def negligible(self) -> bool:
        """True if one is better, by less than the margin on a typical data set, most, and in the
        mean.
        """
        return (
            self.conclusion is Outcome.BETTER
            and self.ci90 is not None
            and max(self.ci90[1], self.mean) < self.margin
            and self.inside >= MOST * len(self.differences)
        )

    @property
    def wins(self) -> int:
        """Number of data sets with `a` ahead."""
        return sum(difference > 0 for difference in self.differences.values())

    @property
    def losses(self) -> int:
        """Number of data sets with `b` ahead."""
        return sum(difference < 0 for difference in self.differences.values())

    @property
    def inside(self) -> int:
        """Number of data sets whose difference is below the margin."""
        return sum(abs(difference) < self.margin for difference in self.differences.values())

    @property
    def worst(self) -> str:
        """The data set on which `a` is the farthest behind; the one on which both differ most, if
        neither leads over all.
        """
        if self.conclusion in (Outcome.EQUIVALENT, Outcome.BALANCED):
            return max(self.differences, key=lambda dataset: abs(self.differences[dataset]))
        return min(self.differences, key=self.differences.__getitem__)


class Across(Frozen):
    """All pairs, and the `main` one: the variant least `behind`, and the best of the other kind
    (spiking or not), else the second best.

    `fewest_datasets`: needed to call any pair better, a family counting once.
    """

    pairs: list[PairAcross]
    fewest_datasets: int
    main: tuple[str, str] | None

    def pair(self, one: str, other: str) -> PairAcross | None:
        return next((pair for pair in self.pairs if {pair.a, pair.b} == {one, other}), None)

    @property
    def headline(self) -> PairAcross | None:
        return self.pair(*self.main) if self.main else None


def over(
    accuracies: Accuracies, spiking: Mapping[str, bool], margin: float, families: Families
) -> Across:
    """Compare variants; differences inside `±margin` count as none."""
    pairs = compare(accuracies, margin, families)
    order = [name for name, _ in sorted(behind(accuracies).items(), key=lambda item: item[1])]
    rivals = [name for name in order[1:] if spiking[name] != spiking[order[0]]] or order[1:]
    return Across(
        pairs=pairs,
        fewest_datasets=fewest_datasets(max(1, len(pairs))),
        main=(order[0], rivals[0]) if rivals else None,
    )


def behind(accuracies: Accuracies) -> dict[str, float]:
    """Return each variant's mean distance below the best of a data set."""
    means = _means(accuracies)
    of_dataset = grouped(both for scores in means.values() for both in scores.items())
    best = {dataset: max(scores) for dataset, scores in of_dataset.items()}
    return {
        name: float(np.mean([round(best[dataset] - mean, 12) for dataset, mean in scores.items()]))
        for name, scores in means.items()
    }


def compare(accuracies: Accuracies, margin: float, families: Families) -> list[PairAcross]:
    """Return every pair of variants with a common data set."""
    means, pairs = _means(accuracies), []
    for a, b in itertools.combinations(accuracies, 2):
        if datasets := [dataset for dataset in means[a] if dataset in means[b]]:
            apart = np.round([means[a][dataset] - means[b][dataset] for dataset in datasets], 12)
            by_family = of_families(apart, [families.get(name, name) for name in datasets])
            if (centre(by_family), float(by_family.mean())) < (0.0, 0.0):
                a, b, apart, by_family = b, a, -apart, -by_family
            pairs.append((a, b, datasets, apart + 0.0, by_family + 0.0))  # without -0.0
    verdicts = tested([(apart, by_family) for *_, apart, by_family in pairs], margin)
    return [
        PairAcross(
            a=a,
            b=b,
            differences=dict(zip(datasets, apart.tolist(), strict=True)),
            families=len(by_family),
            difference=centre(by_family),
            mean=float(by_family.mean()),
            ci95=interval(by_family, 0.95),
            ci90=interval(by_family, 0.90),
            p_value=p_value,
            conclusion=outcome,
            margin=margin,
        )
        for (a, b, datasets, apart, by_family), (p_value, outcome) in zip(
            pairs, verdicts, strict=True
        )
    ]


def _means(accuracies: Accuracies) -> dict[str, dict[str, float]]:
    return {
        name: {dataset: float(np.mean(seeds)) for dataset, seeds in scores.items()}
        for name, scores in accuracies.items()
    }


def of_families(differences: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return the mean difference of each family `[F]`, from data sets `[N]` with families'
    `names`.
    """
    family = np.unique(names, return_inverse=True)[1]
    return np.round(np.bincount(family, differences) / np.bincount(family), 12)


def tested(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], margin: float
) -> list[tuple[float, Outcome]]:
    """Return adjusted p-values and outcomes of pairs of variants, by their differences on data sets
    `[N]` and the means of families `[F]`.
    """
    p_values = holm([wilcoxon(by_family) for _, by_family in pairs])
    within = holm([not_within(by_family, margin) for _, by_family in pairs])
    return [
        (p_value, _outcome(apart, by_family, p_value, p_within, margin))
        for (apart, by_family), p_value, p_within in zip(pairs, p_values, within, strict=True)
    ]


def _outcome(
    apart: np.ndarray, by_family: np.ndarray, p_value: float, p_within: float, margin: float
) -> Outcome:
    mean = float(by_family.mean())
    if p_value <= ALPHA:
        return Outcome.BETTER if centre(by_family) * mean > 0 else Outcome.BETTER_TYPICALLY
    if p_within > ALPHA:
        return Outcome.INCONCLUSIVE
    is_level = np.mean(np.abs(apart) < margin) >= MOST and abs(mean) < margin
    return Outcome.EQUIVALENT if is_level else Outcome.BALANCED


def signed_ranks(differences: np.ndarray) -> np.ndarray:
    """Return twice the signed ranks of `differences` `[N]`: integers, also with ties.

    Zeros are ranked, but count for neither side (Pratt 1959).
    """
    place, counts = np.unique(np.abs(differences), return_inverse=True, return_counts=True)[1:]
    return (2 * np.cumsum(counts) - counts + 1)[place] * np.sign(differences).astype(np.int64)


def wilcoxon(differences: np.ndarray) -> float:
    """Return the exact two-sided p-value of `differences` `[N]` symmetric around 0."""
    return sign_flips(signed_ranks(differences))


def one_sided(differences: np.ndarray) -> float:
    """Return the exact p-value of `differences` `[N]` centred at 0 or below."""
    ranks = signed_ranks(differences)
    return sign_flips(ranks) / 2 if ranks.sum() > 0 else 1.0


def not_within(differences: np.ndarray, margin: float) -> float:
    """Return the p-value of a centre outside `±margin`: the larger of two tests."""
    below, above = (np.round(margin + sign * differences, 12) for sign in (-1, 1))
    return max(one_sided(below), one_sided(above))


def averages(differences: np.ndarray) -> np.ndarray:
    """Return the sorted Walsh averages (means of any two) of `differences` `[N]`."""
    first, second = np.triu_indices(len(differences))
    return np.sort((differences[first] + differences[second]) / 2)


def centre(differences: np.ndarray) -> float:
    """Return the median of `averages` (Hodges and Lehmann 1963)."""
    return float(np.median(averages(differences)))


def interval(differences: np.ndarray, level: float) -> tuple[float, float] | None:
    """Return the centres that the test does not reject; None if it can reject none."""
    outside, means = _outside(len(differences), (1 - level) / 2), averages(differences)
    return (float(means[outside - 1]), float(means[-outside])) if outside else None


def _outside(number: int, tail: float) -> int:
    """Return how many of the lowest rank sums have a chance of `tail` together."""
    chances = np.ones(1)
    for rank in range(1, number + 1):
        chances = np.convolve(chances, [0.5, *[0.0] * (rank - 1), 0.5])
    return int((np.cumsum(chances) <= tail + 1e-12).sum())


def fewest_datasets(pairs: int = 1) -> int:
    """Return the fewest data sets whose p-value, times `pairs`, can reach 5 %."""
    return next(number for number in itertools.count(1) if pairs * smallest_p(number) <= ALPHA)
