"""Optimism: what reporting the best test epoch would add to the true accuracy."""

import itertools
import statistics
from collections.abc import Sequence

from spikeduel.results.trials import Optimism, Trial
from spikeduel.system.typed import Count, Frozen, Share


class ContenderOptimism(Frozen):
    """Accuracies of a contender by seed, folds pooled: at the chosen epochs, and at the best for
    the test.
    """

    contender: str
    seeds: list[Count]
    chosen: list[Share]
    best: list[Share]

    @property
    def gains(self) -> list[float]:
        """Return the gain of the best epoch, by seed."""
        return [best - chosen for best, chosen in zip(self.best, self.chosen, strict=True)]


class LeadOptimism(Frozen):
    """The lead of a over b over common seeds: at the `chosen` epochs, which is true; at the best
    epochs; and between the best seeds of these.
    """

    a: str
    b: str
    seeds: Count
    chosen: float
    best_epoch: float
    best_seed: float


class OptimismMeter(Frozen):
    """Contenders tested after every epoch, and every two of them with a seed in common."""

    contenders: list[ContenderOptimism]
    leads: list[LeadOptimism]


def curve(right: Sequence[int], n: int, chosen_epoch: int) -> Optimism:
    """Return the `Optimism` of a training with so many of `n` images right after each epoch."""
    accuracies = [count / n for count in right]
    best = max(accuracies)
    return Optimism(
        n=n,
        accuracies=accuracies,
        chosen_epoch=chosen_epoch,
        chosen=accuracies[chosen_epoch],
        best_epoch=accuracies.index(best),
        best=best,
    )


def meter(trials: Sequence[Trial]) -> OptimismMeter | None:
    """Return the optimism of the finished trials; None where none was tested after every epoch.

    A seed without all of its folds is left out.
    """
    num_folds = len({trial.fold for trial in trials})
    by_contender: dict[str, dict[int, list[Optimism]]] = {}
    for trial in trials:
        if trial.optimism:
            by_seed = by_contender.setdefault(trial.contender, {})
            by_seed.setdefault(trial.seed, []).append(trial.optimism)
    contenders = []
    for name, by_seed in by_contender.items():
        whole = {seed: folds for seed, folds in by_seed.items() if len(folds) == num_folds}
        if whole:
            contenders.append(
                ContenderOptimism(
                    contender=name,
                    seeds=list(whole),
                    chosen=[_pooled(folds, "chosen") for folds in whole.values()],
                    best=[_pooled(folds, "best") for folds in whole.values()],
                )
            )
    leads = [lead for a, b in itertools.combinations(contenders, 2) if (lead := _lead(a, b))]
    return OptimismMeter(contenders=contenders, leads=leads) if contenders else None


def _pooled(folds: Sequence[Optimism], name: str) -> float:
    return sum(getattr(fold, name) * fold.n for fold in folds) / sum(fold.n for fold in folds)


def _lead(a: ContenderOptimism, b: ContenderOptimism) -> LeadOptimism | None:
    common = [seed for seed in a.seeds if seed in b.seeds]
    if not common:
        return None
    (chosen_a, best_a), (chosen_b, best_b) = (
        [
            [shares[contender.seeds.index(seed)] for seed in common]
            for shares in (contender.chosen, contender.best)
        ]
        for contender in (a, b)
    )
    return LeadOptimism(
        a=a.contender,
        b=b.contender,
        seeds=len(common),
        chosen=statistics.fmean(chosen_a) - statistics.fmean(chosen_b),
        best_epoch=statistics.fmean(best_a) - statistics.fmean(best_b),
        best_seed=max(best_a) - max(best_b),
    )
