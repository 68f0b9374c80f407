"""Variants over data sets, as study.json has them; `statistics.rank_tests` compares them."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from spikeduel.results.significance import Probability
from spikeduel.statistics import (
    MIN_SHARE_INSIDE,
    Outcome,
    compare_over_datasets,
    family_means,
    min_datasets,
)
from spikeduel.statistics.rank_tests import centre
from spikeduel.system.grouped import grouped
from spikeduel.system.typed import Count, Frozen

Accuracies = Mapping[str, Mapping[str, Sequence[float]]]
"""Accuracies of all seeds, by variant and data set."""
Families = Mapping[str, str]
"""Family by data set; a data set that is not named is a family of its own."""


class PairAcross(Frozen):
    """Variants `a`, which leads, and `b` over their common data sets: a − b.

    Fields are those of `statistics.DatasetsTest`, and the `differences` by data set.
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
            and self.inside >= MIN_SHARE_INSIDE * len(self.differences)
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

    def pair(self, first: str, second: str) -> PairAcross | None:
        return next((pair for pair in self.pairs if {pair.a, pair.b} == {first, second}), None)

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
        fewest_datasets=min_datasets(max(1, len(pairs))),
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
    """Return every pair of variants with a common data set, the one with the higher accuracy first.

    The number of a variant on a data set is its mean accuracy over seeds.
    """
    means, names, differences = _means(accuracies), [], []
    for a, b in itertools.combinations(accuracies, 2):
        if datasets := [dataset for dataset in means[a] if dataset in means[b]]:
            apart = np.round([means[a][dataset] - means[b][dataset] for dataset in datasets], 12)
            by_family = family_means(apart, [families.get(name, name) for name in datasets])
            if (centre(by_family), float(by_family.mean())) < (0.0, 0.0):
                a, b, apart, by_family = b, a, -apart, -by_family
            names.append((a, b, datasets))
            differences.append((apart + 0.0, by_family + 0.0))  # without -0.0
    tests = compare_over_datasets(differences, margin)
    return [
        PairAcross(
            a=a, b=b, differences=dict(zip(datasets, apart.tolist(), strict=True)), **vars(test)
        )
        for (a, b, datasets), (apart, _), test in zip(names, differences, tests, strict=True)
    ]


def _means(accuracies: Accuracies) -> dict[str, dict[str, float]]:
    return {
        name: {dataset: float(np.mean(seeds)) for dataset, seeds in scores.items()}
        for name, scores in accuracies.items()
    }
