"""A contender has one accuracy, computed from predictions.json: in the table, the pairs, the
headline, and beside variants.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from msgspec import structs

from factories import (
    dataset,
    existing,
    latency,
    predictions_file,
    results,
    scored,
    trial,
    variant_result,
)
from spikeduel.analysis.conclusions import _scored, concluded
from spikeduel.analysis.predicted import Predictions
from spikeduel.auditing.audit_results import Counts
from spikeduel.experiment.recipes import baseline
from spikeduel.features import FEATURES
from spikeduel.results.trials import Epoch, Int8Result
from spikeduel.sentences.recommendation_sentences import headline, rows
from spikeduel.statistics import accuracy
from spikeduel.system.numbers import hundredths

OF_FEATURES = {
    "ablations": {
        "shuffled": {"paired": True, "feature": "ablations"},
        "collapsed": {"of_recordings": True, "val_accuracy": 0.5, "feature": "ablations"},
    },
    "int8": {"int8": {"int8": Int8Result(flash=1, ram=1, operations=1.0), "paired": True}},
}
ABOUT = {
    name: about
    for feature, variants in OF_FEATURES.items()
    if feature in FEATURES
    for name, about in variants.items()
}
"""The variants of the features that are there."""


def conclude(labels, predicted, folds=1, variants=None):
    """The conclusions from the predicted classes of (contender, seed), of equal folds; `variants`
    has those of (contender, variant, seed).
    """
    labels = np.asarray(labels)
    names = list(dict.fromkeys(contender for contender, _ in predicted))
    classes = [f"class {k}" for k in range(labels.max() + 1)]
    size = len(labels) // folds
    trials = [
        trial(
            contender,
            0.5,
            seed=seed,
            fold=fold if folds > 1 else None,
            test=scored(0.5, np.bincount(labels[:size], minlength=len(classes)).tolist()),
            latency=latency(1.0 + names.index(contender), 1.0 + names.index(contender)),
            variants={
                name: variant_result(name, 0.5, **ABOUT[name])
                for of, name, of_seed in variants or ()
                if (of, of_seed) == (contender, seed)
            },
        )
        for contender, seed in predicted
        for fold in range(folds)
    ]
    ablations = {
        (contender, seed, name): predictions
        for (contender, name, seed), predictions in (variants or {}).items()
    }
    predictions = predictions_file(labels, {**predicted, **ablations}, folds)
    about = dataset(
        len(labels),
        classes=classes,
        folds=[Counts(train=1, val=1, test=size)] * folds if folds > 1 else None,
    )
    seeds = len({seed for _, seed in predicted})
    experiment = replace(
        baseline(), contenders=tuple(names), seeds=seeds, **existing(ablations=True)
    )
    return concluded(results(trials, about=about, experiment=experiment), predictions)


def oracle(file, names):
    """Each contender's accuracy, from predictions.json alone: over the seeds that all finished, or
    its own if there are none; balanced if the largest class has more than five times the images of
    the smallest, and that has ten.
    """
    labels, predicted = file
    common = set.intersection(*({seed for name, seed in predicted if name == a} for a in names))
    sizes = [labels.count(k) for k in set(labels)]
    balanced = max(sizes) > 5 * min(sizes) and min(sizes) >= 10

    def accuracy(classes):
        right = [label == named for label, named in zip(labels, classes, strict=True)]
        if not balanced:
            return sum(right) / len(right)
        recalls = [
            sum(hit for hit, label in zip(right, labels, strict=True) if label == k)
            / labels.count(k)
            for k in set(labels)
        ]
        return sum(recalls) / len(recalls)

    of_seeds = {
        a: [
            accuracy(classes)
            for (name, seed), classes in predicted.items()
            if name == a and (seed in common or not common)
        ]
        for a in names
    }
    return {name: sum(shares) / len(shares) for name, shares in of_seeds.items()}, common, balanced


@st.composite
def predictions(draw):
    """Labels of up to three classes, some of them small, and the predictions of two or three contenders
    in the seeds that they finished.
    """
    sizes = draw(st.lists(st.sampled_from([3, 9, 10, 20, 60]), min_size=2, max_size=3))
    folds = draw(st.sampled_from([1, 2]))
    labels = [k for k, size in enumerate(sizes) for _ in range(size)] * folds
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    predicted = {}
    for name in ("snn", "cnn", "other-cnn")[: draw(st.integers(2, 3))]:
        for seed in sorted(draw(st.sets(st.integers(0, 3), min_size=1))):
            is_right = random.random(len(labels)) < draw(st.sampled_from([0.5, 0.8, 1.0]))
            wrong = (np.array(labels) + 1) % len(sizes)
            predicted[name, seed] = np.where(is_right, labels, wrong).tolist()
    return (labels, predicted), folds


@given(predictions())
@settings(max_examples=60, deadline=None)
def test_table_pairs_and_headline_have_the_accuracy_of_the_predictions(made):
    file, folds = made
    found = conclude(*file, folds)
    accuracies, common, balanced = oracle(file, found.contenders)
    title = "balanced accuracy, %" if balanced else "accuracy, %"
    assert found.measure == ("balanced_accuracy" if balanced else "accuracy")
    for row in rows(found)[: len(accuracies)]:
        assert row[title].split(" ")[0] == hundredths(accuracies[row[""]])
    values = found.recommendation.quantity("accuracy").values
    assert {name: value.low for name, value in values.items()} == pytest.approx(accuracies)
    pairs = found.comparison.pairs
    number = len(accuracies)
    assert len(pairs) == (number * (number - 1) // 2 if common else 0)
    for pair in pairs:
        assert (pair.accuracy_a, pair.accuracy_b) == pytest.approx(
            (accuracies[pair.a], accuracies[pair.b])
        )
        assert pair.difference == pytest.approx(accuracies[pair.a] - accuracies[pair.b])
    if not common:
        assert found.recommendation.reason == "no_common_seed"
        assert "No recommendation: no seed was finished by every" in headline(found)
        assert found.recommendation.quantity("accuracy").leader is None
    elif (
        found.recommendation.recommended and found.recommendation.runner_up
    ):  # without one, the other is at chance
        taken, rival = (
            accuracies[found.recommendation.recommended],
            accuracies[found.recommendation.runner_up],
        )
        if abs(taken - rival) > 0.01:
            expected = (
                f"{hundredths(abs(taken - rival))} points {'more' if taken > rival else 'less'}"
            )
            assert expected in headline(found)


def with_variants(finished):
    """Contenders with these finished seeds, with all variants: each is wrong about 10 images of 200
    more than the last, and about 20 more a seed.
    """
    labels = np.arange(200) % 10
    predicted, variants = {}, {}
    for place, (name, seeds) in enumerate(finished.items()):
        for seed in seeds:
            wrong = 10 * place + 20 * seed + 40
            predicted[name, seed] = wrong_in(labels, wrong)
            for number, of_variant in enumerate(ABOUT, 1):
                variants[name, of_variant, seed] = wrong_in(labels, wrong + 10 * number)
    return labels, predicted, variants


def shown_accuracies(found, name):
    """The accuracies of a contender, and of its variants, at each place that shows them."""
    conclusions, place = found.comparison, found.contenders.index(name)
    pairs = [pair for pair in conclusions.pairs if name in (pair.a, pair.b)]
    own = {
        "table": float(rows(found)[place]["accuracy, %"].split(" ")[0]) / 100,
        "recommendation": found.recommendation.quantity("accuracy").values[name].low,
    } | {
        f"pair of {pair.a} and {pair.b}": pair.accuracy_a if name == pair.a else pair.accuracy_b
        for pair in pairs
    }
    of_variants = {}
    if int8 := found.features.get("int8"):
        of_variants |= {
            f"int8 pair of {pair.a} and {pair.b}": pair.accuracy_a
            if name == pair.a
            else pair.accuracy_b
            for pair in int8.pairs
            if name in (pair.a, pair.b)
        }
        (of_variants["int8"],) = [row.accuracy for row in int8.rows if row.contender == name]
    if ablations := found.features.get("ablations"):
        (beside,) = (one for one in ablations.contenders if one.contender == name)
        own["ablations"] = beside.accuracy
        of_variants |= {row.ablation: row.accuracy for row in beside.rows}
        if ablations.without_time and ablations.without_time.contender == name:
            own["with time"] = ablations.without_time.accuracy
            of_variants["without time"] = ablations.without_time.accuracy_without
    return own, of_variants


@pytest.mark.parametrize(
    "finished",
    [
        {"snn": [0, 1, 2], "cnn": [0, 1]},
        {"snn": [0, 1], "cnn": [1, 2], "other-cnn": [1]},
        {"snn": [0, 1], "cnn": [1, 2], "other-cnn": [2, 0]},
    ],
    ids=["one failed", "two failed", "no common seed"],
)
def test_ablations_and_int8_are_of_the_seeds_of_the_table(finished):
    labels, predicted, variants = with_variants(finished)
    found = conclude(labels, predicted, variants=variants)
    accuracies, common, _ = oracle((labels.tolist(), predicted), found.contenders)
    for name in finished:
        own, of_variants = shown_accuracies(found, name)
        assert own == {place: pytest.approx(accuracies[name]) for place in own}
        lost = {variant: 0.05 * number for number, variant in enumerate(ABOUT, 1)}
        lost["without time"] = lost.get("collapsed")
        for place, shown in of_variants.items():
            assert shown == pytest.approx(accuracies[name] - lost[place.split(" pair")[0]]), place
    # Without a common seed, contenders are compared by nothing.
    assert bool(found.comparison.pairs) is bool(common)
    if int8 := found.features.get("int8"):
        assert bool(int8.pairs) is bool(common)
    if ablations := found.features.get("ablations"):
        assert bool(ablations.without_time) is bool(common)


def test_another_definition_of_accuracy_reaches_all_places_and_not_the_oracle(monkeypatch):
    def less(images, right, balanced=False):
        return np.asarray(right).sum(-1) / np.asarray(images).sum(-1) / 2

    labels, predicted, variants = with_variants({"snn": [0, 1], "cnn": [0, 1]})
    before = conclude(labels, predicted, variants=variants)
    were = [shown_accuracies(before, name) for name in before.contenders]
    monkeypatch.setattr(accuracy, "__code__", less.__code__)
    after = conclude(labels, predicted, variants=variants)
    for name, was in zip(before.contenders, were, strict=True):
        for places, now in zip(was, shown_accuracies(after, name), strict=True):
            assert places.keys() == now.keys()
            assert now == {place: pytest.approx(value / 2) for place, value in places.items()}
        assert after.of(name)[0].test.accuracy == before.of(name)[0].test.accuracy / 2
    halves = before.comparison.pairs[0].difference / 2
    assert after.comparison.pairs[0].difference == pytest.approx(halves)
    with pytest.raises(AssertionError):
        test_table_pairs_and_headline_have_the_accuracy_of_the_predictions()


def wrong_in(labels, number):
    return np.where(np.arange(len(labels)) < number, (labels + 1) % 10, labels)


@pytest.mark.parametrize("seeds", [1, 2, 3, 4, 6])
def test_fifty_images_give_no_recommendation_unless_a_difference_is_significant(seeds):
    labels = np.arange(50) % 10

    def concluded_of(**is_wrong):
        predicted = {
            (name, seed): np.where(wrong, (labels + 1) % 10, labels)
            for name, wrong in is_wrong.items()
            for seed in range(seeds)
        }
        return conclude(labels, predicted).recommendation

    few, others = np.arange(50) < 5, np.arange(50) > 43
    assert concluded_of(snn=few, cnn=others).reason == "too_few_images"
    assert concluded_of(snn=few, cnn=np.arange(50) < 45).recommended == "snn"


def test_a_class_of_two_images_does_not_decide():
    # Ten errors each, one of fast-cnn in a class of two: 4.5 points of balanced accuracy.
    labels, rows_of = np.repeat(np.arange(10), [22] * 9 + [2]), np.arange(200)
    slow = np.where(rows_of < 10, 1, labels)
    fast = np.where((rows_of < 9) | (rows_of == 199), 1, labels)
    predicted = {
        (name, seed): classes
        for name, classes in (("fast-cnn", fast), ("slow-snn", slow))
        for seed in range(2)
    }
    found = conclude(labels, predicted)
    assert (found.measure, found.recommendation.recommended) == ("accuracy", "fast-cnn")
    shown = [(row["accuracy, %"], row["balanced accuracy, %"]) for row in rows(found)[:2]]
    assert shown == [("95.00 ± 0.00", "90.91 ± 0.00"), ("95.00 ± 0.00", "95.45 ± 0.00")]
    assert headline(found).endswith(
        "Accuracy decides and not balanced accuracy, because a class has fewer than 10 test images: "
        "2 test images of class 9, 22 of class 8."
    )


# ---- convergence


BY_CLASS = [0, 1, 2] * 20
PLATEAU = [Epoch(val_loss=1.0, val_accuracy=0.4)] * 8


@pytest.mark.parametrize("stopped", ["limit", "early"])
@pytest.mark.parametrize(
    ("predicted", "converged"),
    [(BY_CLASS, True), ([0] * 60, False), (BY_CLASS[1:] + BY_CLASS[:1], False)],
)
def test_a_training_whose_predictions_are_at_chance_has_not_converged(
    stopped, predicted, converged
):
    made = structs.replace(trial("snn", 0.5, stopped=stopped), history=PLATEAU)
    assert (
        _scored(
            made, Predictions(predictions_file(BY_CLASS, {("snn", 0): predicted})), dataset()
        ).converged
        is converged
    )
