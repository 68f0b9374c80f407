import pytest

import factories
from factories import scored, trial
from spikeduel.features.optimism.optimism_conclusion import conclude, tables
from spikeduel.results.trials import Epoch
from spikeduel.sentences.columns import text_rows


def trained(contender, seed, right, chosen, n=100, fold=None):
    """A trial of `n` test images, `right` of them after each epoch."""
    return trial(
        contender,
        0.5,
        seed=seed,
        fold=fold,
        epochs=len(right),
        history=[Epoch(val_loss=1.0, val_accuracy=0.5)] * len(right),
        best_epoch=chosen,
        test=scored(0.5, [n // 10] * 10),
        measured={"optimism": right},
    )


def concluded(*trials):
    return conclude(factories.results(list(trials)), None)


def test_a_curve_has_the_chosen_epoch_and_the_first_of_the_best_ones():
    (made,) = concluded(trained("snn", 0, [50, 70, 90, 80, 90], 3)).trainings
    assert (made.n, made.accuracies) == (100, [0.5, 0.7, 0.9, 0.8, 0.9])
    assert (made.chosen_epoch, made.chosen) == (3, 0.8)
    assert (made.best_epoch, made.best) == (2, 0.9)


def test_without_curves_there_is_no_conclusion():
    assert concluded(trial("snn", 0.5), trial("cnn", 0.5)) is None


def test_accuracies_by_seed_at_the_chosen_epochs_and_the_best_ones():
    made = concluded(
        trained("snn", 0, [80, 84], 0),
        trained("cnn", 0, [82, 82], 1),
        trained("snn", 1, [70, 90], 1),
        trained("cnn", 1, [88, 80], 1),
    )
    snn, cnn = made.contenders
    assert (snn.contender, snn.seeds, snn.chosen, snn.best) == (
        "snn",
        [0, 1],
        [0.80, 0.90],
        [0.84, 0.90],
    )
    assert (cnn.chosen, cnn.best) == ([0.82, 0.80], [0.82, 0.88])
    assert snn.gains == pytest.approx([0.04, 0.0])
    ((_, (columns, rows)),) = tables(made).items()
    assert [list(row.values()) for row in text_rows(columns, rows)] == [
        ["snn", "85.00 ± 7.07", "87.00 ± 4.24", "2.00 ± 2.83", "90.00"],
        ["cnn", "81.00 ± 1.41", "85.00 ± 4.24", "4.00 ± 5.66", "88.00"],
    ]


def test_folds_are_pooled_by_their_images_and_a_seed_without_all_of_them_is_left_out():
    made = concluded(
        trained("snn", 0, [50, 60], 0, n=100, fold=0),
        trained("snn", 0, [10, 30], 1, n=50, fold=1),
        trained("snn", 1, [90, 90], 0, n=100, fold=0),
        trial("snn", seed=1, fold=1),
        trained("cnn", 0, [99, 98], 0, n=100, fold=0),
        trained("cnn", 0, [49, 48], 1, n=50, fold=1),
    )
    assert made.contenders[0].seeds == [0]
    assert made.contenders[0].chosen == pytest.approx([80 / 150])
    assert made.contenders[0].best == pytest.approx([90 / 150])
