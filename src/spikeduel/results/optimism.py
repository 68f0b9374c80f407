"""The optimism meter: what reporting the best test accuracy over all epochs would add to what is
true.
"""

import itertools
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from spikeduel.system.typed import Count, Frozen, Share

if TYPE_CHECKING:
    from spikeduel.results.trials import Trial


class Optimism(Frozen):
    """Test accuracy on `n` images after each epoch of a training, which no choice was made by.

    `chosen` is that of `chosen_epoch`, whose weights were kept: the accuracy that the trial has.
    `best` is the highest, of `best_epoch`, the first that has it: what is often reported in its
    place.
    """

    n: Count
    accuracies: list[Share]
    chosen_epoch: Count
    chosen: Share
    best_epoch: Count
    best: Share


class ContenderOptimism(Frozen):
    """A contender's accuracies by seed, its folds pooled: at the epochs chosen, and at the best
    ones for the test.
    """

    contender: str
    seeds: list[Count]
    chosen: list[Share]
    best: list[Share]

    @property
    def gains(self) -> list[float]:
        """How much the best epoch adds, by seed."""
        return [best - chosen for best, chosen in zip(self.best, self.chosen, strict=True)]


class LeadOptimism(Frozen):
    """How far contender a leads b, over the seeds that both have: a − b.

    `chosen` at the chosen epochs; `best_epoch` at the best epoch for the test of every training;
    `best_seed` for the best of these, one seed of each contender. The first is true, the others are
    habits.
    """

    a: str
    b: str
    seeds: Count
    chosen: float
    best_epoch: float
    best_seed: float


class OptimismMeter(Frozen):
    """The contenders whose trainings were tested after every epoch, and every two of them with a
    seed in common.
    """

    contenders: list[ContenderOptimism]
    leads: list[LeadOptimism]


def curve(right: Sequence[int], n: int, chosen_epoch: int) -> Optimism:
    """The `Optimism` of a training that got so many of `n` images right after each epoch."""
    accuracies = [each / n for each in right]
    best = max(accuracies)
    return Optimism(
        n=n,
        accuracies=accuracies,
        chosen_epoch=chosen_epoch,
        chosen=accuracies[chosen_epoch],
        best_epoch=accuracies.index(best),
        best=best,
    )


def meter(trials: Sequence["Trial"]) -> OptimismMeter | None:
    """What the habit would have reported of the finished trials; None where none was tested after
    every epoch.

    A seed without all of its folds is left out, for want of its images.
    """
    folds = {trial.fold for trial in trials}
    found = []
    for name in dict.fromkeys(trial.contender for trial in trials if trial.optimism):
        by_seed: dict[int, list[Optimism]] = {}
        for trial in trials:
            if trial.contender == name and trial.optimism:
                by_seed.setdefault(trial.seed, []).append(trial.optimism)
        whole = {seed: parts for seed, parts in by_seed.items() if len(parts) == len(folds)}
        if whole:
            pooled = [
                (_pooled(parts, "chosen"), _pooled(parts, "best")) for parts in whole.values()
            ]
            chosen, best = zip(*pooled, strict=True)
            found.append(
                ContenderOptimism(
                    contender=name, seeds=list(whole), chosen=list(chosen), best=list(best)
                )
            )
    leads = [lead for a, b in itertools.combinations(found, 2) if (lead := _lead(a, b))]
    return OptimismMeter(contenders=found, leads=leads) if found else None


def _pooled(parts: Sequence[Optimism], which: str) -> float:
    """The accuracy of all folds' images together."""
    return sum(getattr(each, which) * each.n for each in parts) / sum(each.n for each in parts)


def _lead(a: ContenderOptimism, b: ContenderOptimism) -> LeadOptimism | None:
    common = [seed for seed in a.seeds if seed in b.seeds]
    if not common:
        return None
    chosen, best = (
        [[getattr(each, which)[each.seeds.index(seed)] for seed in common] for each in (a, b)]
        for which in ("chosen", "best")
    )
    return LeadOptimism(
        a=a.contender,
        b=b.contender,
        seeds=len(common),
        chosen=statistics.fmean(chosen[0]) - statistics.fmean(chosen[1]),
        best_epoch=statistics.fmean(best[0]) - statistics.fmean(best[1]),
        best_seed=max(best[0]) - max(best[1]),
    )
