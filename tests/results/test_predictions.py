import json
from dataclasses import replace

import numpy as np
import pytest

import spikeduel as sd
from factories import pair, prepared, record, results, trial
from spikeduel.data import Split
from spikeduel.evaluation.correctness import classified
from spikeduel.experiment.settings import Experiment, write_experiment
from spikeduel.results import predictions
from spikeduel.results.predictions import shown_pairs
from spikeduel.system.errors import InputError
from spikeduel.training.outcomes import TrialOutcome, predictions_of
from spikeduel.training.run_folder import write_predictions
from spikeduel.training.variants import TrialVariants

LABELS = np.arange(60) % 3
TEST = np.arange(20, 60)


DATA = prepared(
    np.arange(60 * 16, dtype=np.uint8).reshape(60, 1, 4, 4)
    ^ np.arange(60, dtype=np.uint8)[:, None, None, None],
    LABELS,
)


def converted(source, seed):
    return {"derived": {"contender": source, "key": f"{source}-{seed}-None"}} if source else {}


def predicted(num_wrong):
    answers = LABELS[TEST].copy()
    answers[:num_wrong] = (answers[:num_wrong] + 1) % 3
    return answers.tolist()


def answered(num_wrong):
    return classified(("a", "b", "c"), LABELS[TEST], np.array(predicted(num_wrong)))


@pytest.fixture
def make_run(tmp_path):
    """Makes a run's folder with predictions: {contender: [wrong answers of each seed]}."""

    def make(
        wrong, name="run", groups=None, test=TEST, fingerprint="f" * 64, source=None, **settings
    ):
        run = tmp_path / name
        records, measures = [], []
        for contender, numbers in wrong.items():
            for seed, number in enumerate(numbers):
                settings_of = converted((source or {}).get(contender), seed)
                records.append(record(contender, seed, settings=settings_of))
                measures.append({} if number is None else {"classification": answered(number)})
        write_experiment(run / "experiment.toml", Experiment(**settings))
        split = Split(np.arange(10), np.arange(10, 20), test, "stratified")
        write_predictions(
            run,
            replace(DATA, groups=groups, fingerprint=fingerprint),
            [split],
            list(map(TrialOutcome, records, measures)),
        )
        return run

    return make


def test_what_is_written_is_read_again(make_run):
    run = make_run({"snn": [3, 1], "cnn": [8, None]}, groups=np.arange(60) // 4)
    answered = predictions.read(run)
    assert answered.contenders == ["snn", "cnn"]
    assert list(answered.predictions) == [("snn", 0), ("snn", 1), ("cnn", 0)]
    stacked = np.stack([answered.labels, answered.indices, answered.groups])
    np.testing.assert_array_equal(stacked, [LABELS[TEST], TEST, TEST // 4])
    np.testing.assert_array_equal(answered.predictions["snn", 1].predicted, predicted(1))
    # What anybody may rely on who reads it without spikeduel.
    content = json.loads((run / "predictions.json").read_text())
    assert set(content) == {
        "schema",
        "dataset",
        "fingerprint",
        "classes",
        "indices",
        "labels",
        "groups",
        "images",
        "trials",
    }
    assert len(content["images"]) == len(set(content["images"])) == len(TEST)
    assert content["trials"][2] == {
        "contender": "cnn",
        "seed": 0,
        "predicted": predicted(8),
        "trainings": ["cnn-0-None"],
        "control": None,
    }


def test_they_are_in_the_order_of_the_trials_and_controls_follow_their_contender():
    controlled = TrialVariants({}, {"shuffled": answered(2)}, {})
    outcomes = [
        TrialOutcome(
            record(contender, seed),
            {"classification": answered(1)},
            variants=controlled if contender == "snn" else None,
        )
        for seed in (0, 1)
        for contender in ("snn", "cnn")
    ]
    split = Split(np.arange(10), np.arange(10, 20), TEST, "stratified")
    kept = predictions_of(DATA, [split], outcomes).trials
    assert [(one.contender, one.seed, one.control) for one in kept] == [
        (contender, seed, control)
        for seed in (0, 1)
        for contender, control in (("snn", None), ("snn", "shuffled"), ("cnn", None))
    ]


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


def test_answers_of_the_same_trainings_are_compared_seed_by_seed(make_run):
    seeds = {
        "snn": [0, 2, 4, 1, 3, 5],
        "snn-converted": [2, 4, 5, 3, 4, 7],
        "cnn": [8, 4, 6, 9, 2, 1],
    }
    run = make_run(seeds, source={"snn-converted": "snn"})
    difference = sd.compare_runs(run, "snn", "snn-converted")
    assert (difference.paired, difference.p_permutation) == (True, pytest.approx(2 / 64))
    assert not sd.compare_runs(run, "snn", "cnn").paired


def test_groups_count(make_run):
    difference = sd.compare_runs(make_run({"snn": [0], "cnn": [8]}, groups=np.arange(60) // 4))
    assert difference.test == "t test over groups of images, and exact sign flips of 10 groups"
    assert difference.p_value == pytest.approx(2 / 4)


def test_a_given_margin_replaces_the_usual_one(make_run):
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
    assert predictions.names(run, **names, other_run=other) == compared
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
    # The same files, moved: in another order, classes too, with answers to match.
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
    def twice(content):
        return [*content["images"][:20], *content["images"][:20]]

    run = changed(
        make_run({"snn": [0], "cnn": [8]}),
        images=twice,
        labels=[0] * 40,
        trials=lambda c: [{**trial, "predicted": [0] * 40} for trial in c["trials"]],
    )
    other = changed(
        make_run({"snn": [0]}, "other"), images=lambda c: twice(c)[::-1], labels=[0] * 40
    )
    changed(
        other,
        trials=lambda c: [{**trial, "predicted": [1] * 10 + [0] * 30} for trial in c["trials"]],
    )
    assert sd.compare_runs(run, "snn", "snn", other).difference == pytest.approx(10 / 40)
    once = changed(make_run({"snn": [0]}, "once"), labels=[0] * 40)
    with pytest.raises(InputError, match="20 in common"):
        sd.compare_runs(run, "snn", "snn", once)


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


def test_a_contender_that_finished_nothing_leaves_no_choice(make_run):
    three = make_run({"snn": [0], "cnn": [8], "new": [None]})
    assert predictions.names(three) == ("snn", "cnn")


def test_no_seed_in_common(make_run):
    with pytest.raises(InputError, match="snn and cnn have no finished seed in common"):
        sd.compare_runs(make_run({"snn": [0, None], "cnn": [None, 8]}))


def test_a_run_without_predictions_says_how_to_get_them(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "experiment.toml").touch()
    remedy = r"compare --experiment \S*old/experiment\.toml --out \S*old` writes it anew"
    with pytest.raises(InputError, match=rf"old: has no predictions\.json\. .*{remedy}"):
        predictions.read(tmp_path / "old")
    (tmp_path / "old" / "predictions.json").write_text('{"schema": 1, "da')
    with pytest.raises(InputError, match=rf"old/predictions\.json: .*{remedy}"):
        predictions.read(tmp_path / "old")


@pytest.mark.parametrize(
    "damage",
    [
        {"schema": 1},
        {"labels": [0, 1]},
        {"labels": None},
        {"indices": [[1]]},
        {"groups": ["x"] * 40},
        {"trials": [{"contender": "snn", "seed": 0, "predicted": [0.5] * 40}]},
        {"trials": [{"contender": "snn"}]},
        {"trials": 3},
        {"labels": [], "indices": [], "trials": []},
        {"labels": [10**30] * 40},
    ],
    ids=str,
)
def test_a_damaged_file_is_named(damage, make_run):
    run = make_run({"snn": [0], "cnn": [8]})
    path = run / "predictions.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    with pytest.raises(InputError, match=r"run/predictions\.json"):
        predictions.read(run)


def test_a_spiking_and_another_contender_come_first_and_three_pairs_are_enough():
    trials = [trial(name, 0.5) for name in ("a-snn", "b-snn", "a-cnn", "b-cnn")]
    pairs = [
        pair(0.0, a="a-snn", b="b-snn", accuracy_a=0.99),
        pair(0.0, a="a-snn", b="a-cnn", accuracy_a=0.7),
        pair(0.0, a="b-snn", b="a-cnn", accuracy_a=0.9),
        pair(0.0, a="b-snn", b="b-cnn", accuracy_a=0.8),
        pair(0.0, a="a-cnn", b="b-cnn", accuracy_a=0.98),
    ]

    shown = shown_pairs(results(trials, pairs))

    assert [(chosen.a, chosen.b) for chosen in shown] == [
        ("b-snn", "a-cnn"),
        ("b-snn", "b-cnn"),
        ("a-snn", "a-cnn"),
    ]
