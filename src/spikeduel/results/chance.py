"""Who is not shown to have learned anything: naming the most frequent class of the test images does
as well.
"""

from collections.abc import Sequence

from spikeduel.results.trials import Trial


def no_better_than_chance(trials: Sequence[Trial], control: str | None = None) -> bool:
    """Whether one contender's trials, or this control of each, are not shown to be better than
    chance.

    That is on average over their images, by two standard errors: a lucky guesser is not taken for
    one who has learned.
    """
    found = [
        (trial.test, trial.controls[control] if control else trial.test)
        for trial in trials
        if trial.test
    ]
    num_answers = sum(test.n for test, _ in found)
    right = sum(asked.accuracy * test.n for test, asked in found)
    chance = share_of_most_frequent(trials)
    # Seeds answer the same images again.
    num_images = num_answers / len({trial.seed for trial in trials})
    return right / num_answers <= chance + 2 * (chance * (1 - chance) / num_images) ** 0.5


def share_of_most_frequent(trials: Sequence[Trial]) -> float:
    """Chance: the share of the test images that are of their most frequent class. No constant
    answer has a higher one.

    The audit, which looks before training and at training's labels, names training's most frequent
    class instead.
    """
    tests = [trial.test for trial in trials if trial.test]
    support = [
        sum(scores.support for scores in row)
        for row in zip(*(test.per_class for test in tests), strict=True)
    ]
    return max(support) / sum(test.n for test in tests)


def unlearned_controls(trials: Sequence[Trial]) -> dict[str, str]:
    """The trained controls of one contender that learned nothing, and their titles: what they score
    says that their training failed.

    They are not shown to be better than chance, all trainings together or those of half of the
    seeds. A trained network that is asked in another way, as with its spikes shuffled, may well
    lose everything by that; so may one that is trained on recordings without time.
    """
    tested, found = [trial for trial in trials if trial.test], {}
    trained = [
        each
        for trial in tested
        for each in trial.controls.items()
        if each[1].key and not each[1].of_recordings
    ]
    titles = {name: control.title for name, control in trained}
    for name, title in titles.items():
        those = [trial for trial in tested if name in trial.controls]
        seeds = {trial.seed for trial in those}
        at_chance = sum(
            no_better_than_chance([t for t in those if t.seed == seed], name) for seed in seeds
        )
        if 2 * at_chance >= len(seeds) or no_better_than_chance(those, name):
            found[name] = title
    return found
