"""Accuracy of a contender over its trials, and chance: defined here alone.

An accuracy is the share of right answers over all test images of a seed, in all its folds; a
contender's is the mean over its seeds (`Results.of` says which). A `Pair` holds the same over the
seeds of both.
"""

import statistics
from collections.abc import Sequence

from spikeduel.results.trials import Trial


def of_seeds(trials: Sequence[Trial]) -> dict[int, float]:
    """Return the accuracy of each seed of one contender's tested trials."""
    right: dict[int, float] = {}
    tested: dict[int, int] = {}
    for trial in trials:
        if trial.test:
            right[trial.seed] = right.get(trial.seed, 0.0) + trial.test.accuracy * trial.test.n
            tested[trial.seed] = tested.get(trial.seed, 0) + trial.test.n
    return {seed: right[seed] / tested[seed] for seed in right}


def mean_accuracy(trials: Sequence[Trial]) -> float | None:
    """Return the accuracy of one contender; None without a tested trial."""
    accuracies = of_seeds(trials).values()
    return statistics.fmean(accuracies) if accuracies else None


def share_of_most_frequent(trials: Sequence[Trial]) -> float:
    """Return chance: the share of the test images that are of their most frequent class.

    No constant answer has a higher accuracy. The audit, which looks before training and at
    training's labels, names training's most frequent class instead.
    """
    tests = [trial.test for trial in trials if trial.test]
    support = [
        sum(scores.support for scores in of_class)
        for of_class in zip(*(test.per_class for test in tests), strict=True)
    ]
    return max(support) / sum(test.n for test in tests)


def no_better_than_chance(trials: Sequence[Trial], control: str | None = None) -> bool:
    """Return True unless one contender's trials, or this control of each, are shown to be better
    than chance: on average over their images, by two standard errors.
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
    """Return the trained controls of one contender that learned nothing, with their titles.

    They are not shown to be better than chance: all trainings together, or those of half of the
    seeds. A trained network that is asked in another way, as with its spikes shuffled, may well
    lose everything; so may one that is trained on recordings without time.
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
