from types import SimpleNamespace

import pytest
from msgspec import structs

from made_results import make_results, with_dataset, with_pair
from spikeduel.results import columns
from spikeduel.results.audit import Counts
from spikeduel.results.run import GroupSizes
from spikeduel.results.words import method, report, verdict
from spikeduel.settings.recipes import baseline

DATA = SimpleNamespace(
    name="made-up", fingerprint="f" * 64, classes=("class 0", "class 1", "class 2")
)


@pytest.fixture
def results():
    """Two contenders with two seeds each."""
    return make_results(DATA, baseline(seeds=2))


def test_what_a_mean_is_over(results):
    tested = results.of("dense-snn")
    in_folds = [structs.replace(trial, fold=fold) for trial in tested for fold in (0, 1)]
    assert columns.trained_on(tested) == "2 seeds"
    assert columns.trained_on(in_folds) == "2 seeds and 2 folds"
    assert columns.trained_on(in_folds[:2]) == "2 folds"
    # Of each seed, both folds' images; one fold of the second seed failed.
    assert report.num_tested(in_folds) == "40"
    assert report.num_tested(in_folds[:3]) == "20 to 40"


def test_the_note_says_what_was_tested_and_what_it_covers(results):
    note = verdict.how_compared(results)
    assert note.startswith("Test: a coin. Interval")
    assert "±0.5 points" in note
    assert "other seeds" in note
    alone = with_pair(results, seeds=1)
    assert "these two trained models" in verdict.how_compared(alone)
    folds = [Counts(train=1, val=1, test=10)] * 2
    assert "these trainings, one per fold" in verdict.how_compared(with_dataset(alone, folds=folds))
    two = structs.replace(
        results, comparison=structs.replace(results.comparison, pairs=results.comparison.pairs * 2)
    )
    assert (
        "adjusted for 2 comparisons (Holm); intervals, and so equivalence, are not."
        in verdict.how_compared(two)
    )


def test_the_rules_name_data_encoding_and_seeds(results):
    rules = dict(method.rules(results))
    assert rules["images"] == "30 training, 10 validation, 20 test"
    assert rules["spiking input"] == "rate encoding, 25 steps"
    assert "8.5e-05" in rules["training"]
    assert rules["seeds"] == "each contender was trained 2 times; numbers are mean ± sd"
    coloured = dict(method.rules(with_dataset(results, image_shape=(3, 9, 8))))
    assert coloured["data"] == "made-up: 3 classes, 8×9 pixels, colour"


def test_the_rules_name_folds_and_groups(results):
    changed = with_dataset(
        results,
        folds=[Counts(train=15, val=5, test=20)] * 2,
        counts=Counts(train=15, val=5, test=40),
        groups=7,
        group_sizes=GroupSizes(largest=9, median=2.5),
        groups_tested=3,
    )
    rules = dict(method.rules(changed))
    assert rules["images"] == "15 training, 5 validation, 2 folds, which test each of 40 once"
    assert rules["split"].endswith(
        "(7 groups, 2.5 images in the median, 9 at most, 3 groups tested)"
    )
    assert "in each fold" in rules["seeds"]
