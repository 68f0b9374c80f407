"""Accuracy of a contender, chance, and optimism.

An accuracy is the share of right answers over all test images of a seed, in all folds; a
contender's is the mean over its seeds. Optimism is what
choosing the epoch on test images would add.
"""

import statistics
from collections.abc import Sequence

from spikeduel.results.trials import Optimism, Trial
from spikeduel.system.typed import Count, Frozen, Share


def of_seeds(trials: Sequence[Trial]) -> dict[int, float]:
    right: dict[int, float] = {}
    tested: dict[int, int] = {}
    for trial in trials:
        if trial.test:
            right[trial.seed] = right.get(trial.seed, 0.0) + trial.test.accuracy * trial.test.n
            tested[trial.seed] = tested.get(trial.seed, 0) + trial.test.n
    return {seed: right[seed] / tested[seed] for seed in right}


def mean_accuracy(trials: Sequence[Trial]) -> float | None:
    """Return a contender's accuracy; None if untested."""
    accuracies = of_seeds(trials).values()
    return statistics.fmean(accuracies) if accuracies else None


def share_of_most_frequent(trials: Sequence[Trial]) -> float:
    """Return chance: the share of the test images' most frequent class."""
    tests = [trial.test for trial in trials if trial.test]
    support = [
        sum(scores.support for scores in of_class)
        for of_class in zip(*(test.per_class for test in tests), strict=True)
    ]
    return max(support) / sum(test.n for test in tests)


def no_better_than_chance(trials: Sequence[Trial], control: str | None = None) -> bool:
    """Return True unless a contender, or its `control`, is better than chance by two standard
    errors over its images.
    """
    asked = [
        (trial.test, trial.controls[control] if control else trial.test)
        for trial in trials
        if trial.test
    ]
    num_answers = sum(test.n for test, _ in asked)
    right = sum(scored.accuracy * test.n for test, scored in asked)
    chance = share_of_most_frequent(trials)
    # Seeds answer the same images again.
    num_images = num_answers / len({trial.seed for trial in trials})
    return right / num_answers <= chance + 2 * (chance * (1 - chance) / num_images) ** 0.5


def unlearned_controls(trials: Sequence[Trial]) -> dict[str, str]:
    """Return the trained controls that learned nothing, with titles: at chance over all trainings,
    or in half of the seeds.

    Left out are networks asked in another way, and recordings without time, which may lose
    everything.
    """
    tested = [trial for trial in trials if trial.test]
    titles = {
        name: control.title
        for trial in tested
        for name, control in trial.controls.items()
        if control.key and not control.of_recordings
    }
    unlearned = {}
    for name, title in titles.items():
        controlled = [trial for trial in tested if name in trial.controls]
        seeds = {trial.seed for trial in controlled}
        at_chance = sum(
            no_better_than_chance([trial for trial in controlled if trial.seed == seed], name)
            for seed in seeds
        )
        if 2 * at_chance >= len(seeds) or no_better_than_chance(controlled, name):
            unlearned[name] = title
    return unlearned


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


def optimism_of(right: Sequence[int], n: int, chosen_epoch: int) -> Optimism:
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


def contender_optimism(trials: Sequence[Trial]) -> list[ContenderOptimism]:
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
