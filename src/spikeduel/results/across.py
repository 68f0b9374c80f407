"""Compare variants over data sets: Wilcoxon's signed-rank test, adjusted for all pairs by Holm.

The data set is the unit: a variant has one number on each, its mean accuracy over seeds (Demšar
2006, section 3.1.3). The better of two has an adjusted p-value of at most 5 %; two are equivalent
if both one-sided tests against the margin have; else the question is open. The test flips the signs
of the ranks in all ways: exact also with ties and zeros.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from spikeduel.results.significance import Conclusion, Probability, smallest_p
from spikeduel.results.uncertainty import ALPHA, holm, sign_flips
from spikeduel.system.typed import Frozen

Accuracies = Mapping[str, Mapping[str, Sequence[float]]]
"""Accuracies of all seeds, by variant and data set."""


class PairAcross(Frozen):
    """Variants `a`, which leads, and `b` over their common data sets: a − b.

    `difference`: the typical one (`centre`), with the intervals that the test does not reject: None
    with too few data sets. `p_value` is after Holm.
    """

    a: str
    b: str
    differences: dict[str, float]
    difference: float
    ci95: tuple[float, float] | None
    ci90: tuple[float, float] | None
    p_value: Probability
    conclusion: Conclusion
    margin: Probability

    @property
    def negligible(self) -> bool:
        """True if one is better, with a 90 % interval inside the margin."""
        if self.ci90 is None or not self.conclusion.better:
            return False
        return -self.margin < self.ci90[0] and self.ci90[1] < self.margin

    @property
    def wins(self) -> int:
        """Number of data sets with `a` ahead."""
        return sum(difference > 0 for difference in self.differences.values())

    @property
    def losses(self) -> int:
        """Number of data sets with `b` ahead."""
        return sum(difference < 0 for difference in self.differences.values())


class Across(Frozen):
    """All pairs, and the `main` one: the variant least `behind`, and the best of the other kind
    (spiking or not), else the second best.

    `fewest_datasets`: needed to call any pair better.
    """

    pairs: list[PairAcross]
    fewest_datasets: int
    main: tuple[str, str] | None

    def pair(self, one: str, other: str) -> PairAcross | None:
        return next((pair for pair in self.pairs if {pair.a, pair.b} == {one, other}), None)

    @property
    def headline(self) -> PairAcross | None:
        return self.pair(*self.main) if self.main else None


def over(accuracies: Accuracies, spiking: Mapping[str, bool], margin: float) -> Across:
    """Compare variants; differences inside `±margin` count as none."""
    pairs = compare(accuracies, margin)
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
    best: dict[str, float] = {}
    for scores in means.values():
        for dataset, mean in scores.items():
            best[dataset] = max(mean, best.get(dataset, mean))
    return {
        name: float(np.mean([round(best[dataset] - mean, 12) for dataset, mean in scores.items()]))
        for name, scores in means.items()
    }


def compare(accuracies: Accuracies, margin: float) -> list[PairAcross]:
    """Return every pair of variants with a common data set."""
    means, pairs = _means(accuracies), []
    for a, b in itertools.combinations(accuracies, 2):
        if datasets := [dataset for dataset in means[a] if dataset in means[b]]:
            apart = np.round([means[a][dataset] - means[b][dataset] for dataset in datasets], 12)
            if (centre(apart), float(apart.mean())) < (0.0, 0.0):
                a, b, apart = b, a, -apart
            pairs.append((a, b, datasets, apart + 0.0))  # without -0.0
    verdicts = tested([apart for *_, apart in pairs], margin)
    return [
        PairAcross(
            a=a,
            b=b,
            differences=dict(zip(datasets, apart.tolist(), strict=True)),
            difference=centre(apart),
            ci95=interval(apart, 0.95),
            ci90=interval(apart, 0.90),
            **verdict._asdict(),
            margin=margin,
        )
        for (a, b, datasets, apart), verdict in zip(pairs, verdicts, strict=True)
    ]


def _means(accuracies: Accuracies) -> dict[str, dict[str, float]]:
    return {
        name: {dataset: float(np.mean(seeds)) for dataset, seeds in scores.items()}
        for name, scores in accuracies.items()
    }


class Tested(NamedTuple):
    p_value: float
    conclusion: Conclusion


def tested(differences: Sequence[np.ndarray], margin: float) -> list[Tested]:
    """Test several pairs, by their differences `[N]`."""
    p_values = holm([wilcoxon(apart) for apart in differences])
    equivalent = holm([not_within(apart, margin) for apart in differences])
    verdicts = []
    for apart, p_value, p_equivalent in zip(differences, p_values, equivalent, strict=True):
        conclusion = Conclusion.INCONCLUSIVE
        if p_value <= ALPHA:
            conclusion = Conclusion.A_BETTER if centre(apart) > 0 else Conclusion.B_BETTER
        elif p_equivalent <= ALPHA:
            conclusion = Conclusion.EQUIVALENT
        verdicts.append(Tested(p_value, conclusion))
    return verdicts


def signed_ranks(differences: np.ndarray) -> np.ndarray:
    """Return twice the signed ranks of `differences` `[N]`: integers, also with ties.

    Zeros are ranked, but count for neither side (Pratt 1959).
    """
    from scipy import stats

    return np.rint(2 * stats.rankdata(np.abs(differences)) * np.sign(differences)).astype(np.int64)


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
