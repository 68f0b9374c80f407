import numpy as np
import pytest

from factories import scored, trial, variant_result
from spikeduel.results.accuracy import (
    classified,
    no_better_than_chance,
    unlearned_variants,
)
from spikeduel.results.trials import MAX_IN_MATRIX
from spikeduel.sentences import columns

FIVE = (12,) * 5
"""Images of each class: chance is 20 %, and two standard errors of 60 guesses are 10.3 points."""


def seeds(*accuracies, folds=1, key="k"):
    """A variant's accuracies by seed; with folds, so many one after the other."""
    return [
        trial(
            "snn",
            0.9,
            seed=k // folds,
            fold=None if folds == 1 else k % folds,
            test=scored(0.9, FIVE),
            variants={
                "one_step": variant_result("one time step", accuracy, supports=FIVE, key=key)
            },
        )
        for k, accuracy in enumerate(accuracies)
    ]


@pytest.mark.parametrize(
    ("trials", "is_named"),
    [
        # As six trainings of so few steps that batch-norm statistics had not settled.
        (seeds(0.217, 0.233, 0.217, 0.333, 0.267, 0.517), True),
        (seeds(0.35, 0.4, 0.35), False),
        # Failed for half of the seeds.
        (seeds(0.2, 0.9, 0.2, 0.9), True),
        (seeds(0.2, 0.9, 0.9, 0.9), False),
        # Folds of a seed count together: 0.3 of 60 images is within two standard errors of chance,
        # of 180 it is not.
        (seeds(0.3), True),
        (seeds(*[0.3] * 3, folds=3), False),
        # A trained network that loses everything has not failed to learn.
        (seeds(0.2, key=None), False),
    ],
)
def test_an_ablation_at_chance_learned_nothing(trials, is_named):
    expected = {"one_step": "one time step"} if is_named else {}
    assert unlearned_variants(trials) == expected


def test_a_contender_is_judged_by_its_own_accuracy():
    assert not no_better_than_chance(seeds(0.2))
    assert no_better_than_chance(seeds(0.2), "one_step")


@pytest.mark.parametrize("num", [2, 3, MAX_IN_MATRIX, MAX_IN_MATRIX + 1, 4000])
def test_a_confusion_matrix_of_any_size_counts_the_same_and_does_not_grow_with_the_square(num):
    truth, predicted = np.random.default_rng(0).integers(0, num, (2, 300))
    predicted[::2] = truth[::2]
    scores = classified([f"class {k}" for k in range(num)], truth, predicted)
    is_square = num <= MAX_IN_MATRIX
    shape = (num, num) if is_square else (len(scores.cells), 3)
    assert np.shape(scores.confusion) == shape
    assert len(scores.cells) <= 300
    images = np.bincount(num * truth + predicted, minlength=num**2).reshape(num, num)
    assert {(t, p): n for t, p, n in scores.cells} == {
        (t, p): images[t, p] for t, p in np.argwhere(images).tolist()
    }
    assert scores.by_class.images == images.sum(1).tolist()
    assert scores.by_class.predictions == images.sum(0).tolist()
    assert scores.by_class.right == images.diagonal().tolist()
    assert [row.support for row in scores.per_class] == images.sum(1).tolist()
    tested = [trial("snn", 0.9, seed=seed, test=scores.scores()) for seed in (0, 1)]
    errors = columns.errors(tested)
    np.fill_diagonal(images, 0)
    assert sum(times for times, _, _ in errors) == 2 * images.sum()
    assert errors[0][0] == 2 * images.max() == 2 * images[errors[0][1:]]
    assert [times for times, _, _ in errors] == sorted((row[0] for row in errors), reverse=True)


@pytest.mark.parametrize("confusion", [[[1, 0, 0], [0, 1, 2]], [[1, 0], [0, 1], [0, 1]]])
def test_images_of_no_class_are_refused(confusion):
    with pytest.raises(ValueError, match="images of no class"):
        scored(0.5, (1, 1), confusion)
