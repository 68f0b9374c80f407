import numpy as np
import pytest

from factories import scored, trial
from made_controls import control
from spikeduel.results.accuracy import (
    classified,
    contender_optimism,
    no_better_than_chance,
    optimism_of,
    unlearned_controls,
)
from spikeduel.results.trials import MOST_IN_MATRIX
from spikeduel.sentences import columns

FIVE = (12,) * 5
"""Images of each class: chance is 20 %, and two standard errors of 60 guesses are 10.3 points."""


def seeds(*accuracies, folds=1, key="k"):
    """A control's accuracies by seed; with folds, so many one after the other."""
    return [
        trial(
            "snn",
            0.9,
            seed=k // folds,
            fold=None if folds == 1 else k % folds,
            test=scored(0.9, FIVE),
            controls={"one_step": control("one time step", accuracy, supports=FIVE, key=key)},
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
def test_a_control_at_chance_learned_nothing(trials, is_named):
    expected = {"one_step": "one time step"} if is_named else {}
    assert unlearned_controls(trials) == expected


def test_a_contender_is_judged_by_its_own_accuracy():
    assert not no_better_than_chance(seeds(0.2))
    assert no_better_than_chance(seeds(0.2), "one_step")


def test_a_curve_knows_what_was_chosen_and_what_would_have_been_best():
    made = optimism_of([50, 70, 90, 80, 90], 100, 3)
    assert (made.n, made.accuracies) == (100, [0.5, 0.7, 0.9, 0.8, 0.9])
    assert (made.chosen_epoch, made.chosen) == (3, 0.8)
    # The first of the best two.
    assert (made.best_epoch, made.best) == (2, 0.9)


def of(contender, seed, right, chosen, n=100, fold=None):
    return trial(
        contender,
        0.5,
        seed=seed,
        fold=fold,
        epochs=len(right),
        optimism=optimism_of(right, n, chosen),
    )


def test_without_curves_there_is_no_meter():
    assert contender_optimism([trial("snn", 0.5), trial("cnn")]) == []


def test_accuracies_by_seed_at_the_chosen_epochs_and_the_best_ones():
    trials = [
        of("snn", 0, [80, 84], 0),
        of("cnn", 0, [82, 82], 1),
        of("snn", 1, [70, 90], 1),
        of("cnn", 1, [88, 80], 1),
    ]
    snn, cnn = contender_optimism(trials)
    assert (snn.contender, snn.seeds, snn.chosen, snn.best) == (
        "snn",
        [0, 1],
        [0.80, 0.90],
        [0.84, 0.90],
    )
    assert (cnn.chosen, cnn.best) == ([0.82, 0.80], [0.82, 0.88])
    assert snn.gains == pytest.approx([0.04, 0.0])


def test_folds_are_pooled_by_their_images_and_a_seed_without_all_of_them_is_left_out():
    trials = [
        of("snn", 0, [50, 60], 0, n=100, fold=0),
        of("snn", 0, [10, 30], 1, n=50, fold=1),
        of("snn", 1, [90, 90], 0, n=100, fold=0),
        trial("snn", seed=1, fold=1),
        of("cnn", 0, [99, 98], 0, n=100, fold=0),
        of("cnn", 0, [49, 48], 1, n=50, fold=1),
    ]
    meters = contender_optimism(trials)
    assert meters[0].seeds == [0]
    assert meters[0].chosen == pytest.approx([80 / 150])
    assert meters[0].best == pytest.approx([90 / 150])


@pytest.mark.parametrize("num", [2, 3, MOST_IN_MATRIX, MOST_IN_MATRIX + 1, 4000])
def test_a_confusion_matrix_of_any_size_counts_the_same_and_does_not_grow_with_the_square(num):
    truth, predicted = np.random.default_rng(0).integers(0, num, (2, 300))
    predicted[::2] = truth[::2]
    scores = classified([f"class {k}" for k in range(num)], truth, predicted)
    is_square = num <= MOST_IN_MATRIX
    shape = (num, num) if is_square else (len(scores.cells), 3)
    assert np.shape(scores.confusion) == shape
    assert len(scores.cells) <= 300
    images = np.bincount(num * truth + predicted, minlength=num**2).reshape(num, num)
    assert {(t, p): n for t, p, n in scores.cells} == {
        (t, p): images[t, p] for t, p in np.argwhere(images).tolist()
    }
    assert scores.by_class.images == images.sum(1).tolist()
    assert scores.by_class.answers == images.sum(0).tolist()
    assert scores.by_class.right == images.diagonal().tolist()
    assert [row.support for row in scores.per_class] == images.sum(1).tolist()
    tested = [trial("snn", 0.9, seed=seed, test=scores.scores()) for seed in (0, 1)]
    errors = columns.errors(tested)
    np.fill_diagonal(images, 0)
    assert sum(times for times, _, _ in errors) == 2 * images.sum()
    assert errors[0][0] == 2 * images.max() == 2 * images[errors[0][1:]]
    assert [times for times, _, _ in errors] == sorted((row[0] for row in errors), reverse=True)
