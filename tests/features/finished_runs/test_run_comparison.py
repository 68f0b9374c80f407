import json

import numpy as np
import pytest

import spikeduel as sd
from made_runs import LABELS, TEST, predicted, run_maker
from spikeduel.features.finished_runs import run_comparison
from spikeduel.system.errors import InputError


@pytest.fixture
def make_run(tmp_path):
    return run_maker(tmp_path)


def test_two_contenders_of_one_run(make_run):
    run = make_run({"snn": [0], "cnn": [8]})
    difference = sd.compare_runs(run)
    assert difference == sd.compare_predictions(LABELS[TEST], predicted(0), predicted(8))
    assert difference.difference == pytest.approx(0.2)
    assert difference.p_value == pytest.approx(2 / 2**8)
    for names in ({"a": "cnn"}, {"b": "snn"}):
        assert sd.compare_runs(run, **names).difference == pytest.approx(-0.2)


def test_only_seeds_that_both_have(make_run):
    difference = sd.compare_runs(make_run({"snn": [0, 2, 4], "cnn": [8, None, 6]}))
    assert difference.seeds == 2
    assert difference.difference == pytest.approx(((8 - 0) + (6 - 4)) / 2 / 40)


def test_predictions_of_the_same_trainings_are_compared_seed_by_seed(make_run):
    converted = [2, 4, 5, 3, 4, 7]
    seeds = {"snn": [0, 2, 4, 1, 3, 5], "snn-converted": converted, "cnn": [8, 4, 6, 9, 2, 1]}
    run = make_run(seeds, source={"snn-converted": "snn"})
    difference = sd.compare_runs(run, "snn", "snn-converted")
    assert (difference.paired, difference.p_permutation) == (True, pytest.approx(2 / 64))
    assert not sd.compare_runs(run, "snn", "cnn").paired


def test_groups_count_and_a_given_margin_replaces_the_usual_one(make_run):
    grouped = make_run({"snn": [0], "cnn": [8]}, "grouped", groups=np.arange(60) // 4)
    difference = sd.compare_runs(grouped)
    assert difference.test == "t test over groups of images, and exact sign flips of 10 groups"
    assert difference.p_value == pytest.approx(2 / 4)
    run = make_run({"snn": [0], "cnn": [1]})
    assert sd.compare_runs(run).conclusion == "inconclusive"
    assert sd.compare_runs(run, margin=0.2).conclusion == "equivalent"


@pytest.mark.parametrize(
    ("names", "compared", "difference"),
    [
        ({}, ("snn", "snn"), 5 / 40),
        ({"a": "cnn", "b": "new"}, ("cnn", "new"), -7 / 40),
        ({"a": "snn"}, ("snn", "snn"), 5 / 40),
    ],
)
def test_a_contender_in_two_runs(make_run, names, compared, difference):
    run, other = make_run({"snn": [0], "cnn": [8]}), make_run({"snn": [5], "new": [1]}, "other")
    assert run_comparison.names(run, **names, other_run=other) == compared
    assert sd.compare_runs(run, **names, other_run=other).difference == pytest.approx(difference)


def changed(run, **changes):
    """`run` with other content in its predictions: each of `changes` a value, or a function of the
    document.
    """
    content = json.loads((run / "predictions.json").read_text())
    content |= {name: new(content) if callable(new) else new for name, new in changes.items()}
    (run / "predictions.json").write_text(json.dumps(content))
    return run


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ({}, r"run and .*other have different test images \(40 and 40, 39 in common\)"),
        (
            {"labels": lambda content: [content["labels"][1], *content["labels"][1:]]},
            "run and .*other have different labels for the same",
        ),
        ({"classes": ["a", "b", "d"]}, "different labels for the same"),
    ],
    ids=["images", "labels", "classes"],
)
def test_other_test_images_are_refused(make_run, damage, problem):
    run = make_run({"snn": [0], "cnn": [8]})
    other = make_run({"snn": [0]}, "other", test=TEST if damage else np.arange(19, 59))
    with pytest.raises(InputError, match=problem):
        sd.compare_runs(run, other_run=changed(other, **damage))


def test_images_are_known_by_their_files_however_they_were_prepared_and_in_whatever_order(make_run):
    run, other = (
        make_run({"snn": [3]}, groups=np.arange(60) // 2),
        make_run({"cnn": [8]}, "other", fingerprint="0" * 64),
    )
    # The same files, moved: in another order, classes too, with predictions to match.
    order, place = np.random.default_rng(0).permutation(40), [2, 0, 1]

    def moved(classes):
        return [place[classes[row]] for row in order]

    changed(
        other,
        classes=["b", "c", "a"],
        indices=lambda c: [c["indices"][row] for row in order],
        labels=lambda c: moved(c["labels"]),
        images=lambda c: [c["images"][row] for row in order],
        trials=lambda c: [
            {**trial, "predicted": moved(trial["predicted"])} for trial in c["trials"]
        ],
        groups=(np.arange(20, 60)[order] // 4).tolist(),
    )
    difference = sd.compare_runs(run, "snn", "cnn", other)
    # Groups of four join groups of two.
    assert difference == sd.compare_predictions(LABELS[TEST], predicted(3), predicted(8), TEST // 4)
    assert (difference.difference, difference.groups) == (pytest.approx(5 / 40), 10)


def test_equal_images_may_be_in_the_test_set_twice(make_run):
    def predicting(*classes):
        return lambda c: [{**trial, "predicted": list(classes)} for trial in c["trials"]]

    def twice(content):
        return [*content["images"][:20], *content["images"][:20]]

    run, other, once = (
        make_run({"snn": [0], "cnn": [8]}, name) for name in ("run", "other", "once")
    )
    labels = [0] * 40
    changed(run, images=twice, labels=labels, trials=predicting(*labels))
    changed(other, images=lambda c: twice(c)[::-1], labels=labels)
    changed(other, trials=predicting(*[1] * 10, *[0] * 30))
    assert sd.compare_runs(run, "snn", "snn", other).difference == pytest.approx(10 / 40)
    with pytest.raises(InputError, match="20 in common"):
        sd.compare_runs(run, "snn", "snn", changed(once, labels=labels))


@pytest.mark.parametrize(
    ("names", "in_two_runs", "problem"),
    [
        ((), False, "has snn, cnn, new: name two"),
        (("snn", "ccn"), False, "unknown contender 'ccn': did you mean 'cnn'"),
        (("snn", "snn"), False, "name two different ones"),
        ((), True, "cnn: name two different ones, --a and --b"),
        (("new",), True, "--a and --b"),
    ],
)
def test_where_there_is_a_choice_it_must_be_made(make_run, names, in_two_runs, problem):
    three = make_run({"snn": [0], "cnn": [8], "new": [4]}, "three")
    other = make_run({"snn": [0], "cnn": [8]}, "other") if in_two_runs else None
    with pytest.raises(InputError, match=problem):
        sd.compare_runs(three, *names, other_run=other)


def test_contenders_without_a_finished_or_common_seed(make_run):
    three = make_run({"snn": [0], "cnn": [8], "new": [None]})
    assert run_comparison.names(three) == ("snn", "cnn")
    with pytest.raises(InputError, match="snn and cnn have no finished seed in common"):
        sd.compare_runs(make_run({"snn": [0, None], "cnn": [None, 8]}, "other"))
