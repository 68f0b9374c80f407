"""Optimism: accuracy that choosing the epoch on test images would add."""

from collections.abc import Sequence

from spikeduel.results.trials import Optimism, Trial
from spikeduel.system.typed import Count, Frozen, Share


class ContenderOptimism(Frozen):
    """Accuracies by seed, folds pooled: at the chosen epochs, and at the best for the test."""

    contender: str
    seeds: list[Count]
    chosen: list[Share]
    best: list[Share]

    @property
    def gains(self) -> list[float]:
        """Gains of the best epoch by seed."""
        return [best - chosen for best, chosen in zip(self.best, self.chosen, strict=True)]


def curve(right: Sequence[int], n: int, chosen_epoch: int) -> Optimism:
    """Return the `Optimism` of a training, `right` of `n` images after each epoch."""
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


def meter(trials: Sequence[Trial]) -> list[ContenderOptimism]:
    """Return the optimism of contenders tested after every epoch, without seeds that lack a
    fold.
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
            chosen, best = (
                [_pooled(folds, number) for folds in whole.values()]
                for number in ("chosen", "best")
            )
            contenders.append(
                ContenderOptimism(contender=name, seeds=list(whole), chosen=chosen, best=best)
            )
    return contenders


def _pooled(folds: Sequence[Optimism], name: str) -> float:
    return sum(getattr(fold, name) * fold.n for fold in folds) / sum(fold.n for fold in folds)
