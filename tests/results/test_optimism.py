import pytest

from made_trials import trial
from spikeduel.results.optimism import curve, meter


def test_a_curve_knows_what_was_chosen_and_what_would_have_been_best():
    made = curve([50, 70, 90, 80, 90], 100, 3)
    assert (made.n, made.accuracies) == (100, [0.5, 0.7, 0.9, 0.8, 0.9])
    assert (made.chosen_epoch, made.chosen) == (3, 0.8)
    # The first of the best two.
    assert (made.best_epoch, made.best) == (2, 0.9)


def of(contender, seed, right, chosen, n=100, fold=None):
    return trial(
        contender, 0.5, seed=seed, fold=fold, epochs=len(right), optimism=curve(right, n, chosen)
    )


def test_without_curves_there_is_no_meter():
    assert meter([trial("snn", 0.5), trial("cnn")]) == []


def test_accuracies_by_seed_at_the_chosen_epochs_and_the_best_ones():
    trials = [
        of("snn", 0, [80, 84], 0),
        of("cnn", 0, [82, 82], 1),
        of("snn", 1, [70, 90], 1),
        of("cnn", 1, [88, 80], 1),
    ]
    snn, cnn = meter(trials)
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
    meters = meter(trials)
    assert meters[0].seeds == [0]
    assert meters[0].chosen == pytest.approx([80 / 150])
    assert meters[0].best == pytest.approx([90 / 150])
