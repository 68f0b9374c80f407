import numpy as np
import pytest

from spikeduel.features.ablations.ablation_conclusion import Candidate, compare_best


def candidate(
    name, accuracy, validation=0.5, at_chance=False, trained_without=False, seeds=6, n=1000
):
    """A contender that is right on so many of the first images, with every seed."""
    right = np.tile(np.arange(n) < accuracy * n, (seeds, 1))
    return Candidate(name, validation, right, at_chance, trained_without)


@pytest.mark.parametrize(
    ("accuracy", "at_chance", "seeds", "lost"),
    [
        (0.8, False, 6, "some"),
        (0.1, True, 6, "everything"),
        (0.9, False, 6, "nothing"),
        (0.95, False, 6, "nothing"),
        (0.896, False, 1, "not shown"),
        (0.1, True, 2, "everything"),
    ],
)
def test_the_best_is_compared_with_the_best_without_time(accuracy, at_chance, seeds, lost):
    best = candidate("vgg-lif", 0.9, 0.95, seeds=seeds)
    worse_on_validation = candidate("vgg-sum", 0.99, 0.2, seeds=seeds)
    without = candidate("vgg-relu", accuracy, 0.6, at_chance, trained_without=True, seeds=seeds)
    loss = compare_best(
        [best, candidate("vgg-gru", 0.99, 0.9, seeds=seeds)],
        [worse_on_validation, without],
        None,
    )
    assert (loss.contender, loss.without, loss.trained_without) == ("vgg-lif", "vgg-relu", True)
    assert (loss.accuracy, loss.accuracy_without) == (0.9, accuracy)
    assert loss.comparison.difference == pytest.approx(0.9 - accuracy)
    assert loss.lost == lost


def test_nothing_is_lost_where_the_best_sees_no_time():
    best = candidate("vgg-sum", 0.9, 0.95, seeds=1, n=20)
    loss = compare_best(
        [best, candidate("vgg-lif", 0.8)],
        [best, candidate("vgg-lif", 0.85, 0.96)],
        None,
    )
    assert (loss.contender, loss.without, loss.lost) == (
        "vgg-sum",
        "vgg-sum",
        "nothing",
    )
    assert not loss.trained_without


@pytest.mark.parametrize("sees_no_time", [True, False])
def test_a_contender_that_learned_nothing_shows_nothing_of_time(sees_no_time):
    best, other = candidate("vgg-lif", 0.3, at_chance=True), candidate("vgg-sum", 0.3, 0.4, True)
    loss = compare_best([best, other], [best if sees_no_time else other], None)
    assert loss.lost == "not shown"


def test_contenders_may_be_equally_good_on_validation():
    # "vgg-lif" in equal standing with its copy trained without time, and with one that sees no
    # time.
    best, without = (
        candidate("vgg-lif", accuracy, trained_without=trained_without)
        for accuracy, trained_without in ((0.9, False), (0.8, True))
    )
    same_name = candidate("vgg-lif", 0.8)
    loss = compare_best([best, candidate("vgg-sum", 0.9)], [same_name, without, best], None)
    assert (loss.contender, loss.without, loss.lost) == (
        "vgg-lif",
        "vgg-lif",
        "nothing",
    )
    loss = compare_best([best], [same_name, without], None)
    assert (loss.accuracy_without, loss.lost) == (0.8, "some")
