import json
import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from msgspec import structs

from factories import prepared, record, untimed
from made_operations import spiking
from spikeduel.auditing.audit_results import Counts
from spikeduel.data import Split
from spikeduel.evaluation.correctness import classified
from spikeduel.evaluation.measures import MEASURES, Measure
from spikeduel.experiment.settings import Experiment
from spikeduel.results import power
from spikeduel.results.cost_results import Counted
from spikeduel.results.findings import finding
from spikeduel.results.run import GroupSizes, Results
from spikeduel.results.significance import Reservation
from spikeduel.results.trials import (
    Anytime,
    EarlyExit,
    EncodingDeviation,
    ExitChoice,
    Leaving,
    Score,
    WeightShapes,
)
from spikeduel.statistics import variability_of
from spikeduel.system import typed
from spikeduel.training import outcomes
from spikeduel.training.outcomes import TrialOutcome, pooled

TRUTH = np.array([0, 0, 0, 1, 1, 2])
# Right on images 0, 1, 3 and 5, and on 1, 2 and 3.
SNN, CNN = [0, 0, 1, 1, 2, 2], [1, 0, 0, 1, 0, 1]
CLASSES = ("a", "b", "c")


def measured(predicted, truth=TRUTH, **others):
    scores = classified(CLASSES, np.asarray(truth), np.asarray(predicted))
    predicted_classes = structs.replace(scores, tie_share=0.0, loss=1.5)
    return {
        "classification": predicted_classes,
        "encoding_deviation": EncodingDeviation(),
        **others,
    }


SPLIT = Split(np.arange(0, 5), np.arange(5, 6), np.arange(6, 10), "stratified")
EXPERIMENT = Experiment(dataset="made up", contenders=("snn", "cnn"), epochs=2)


def finished(records, measures):
    return [TrialOutcome(*both) for both in zip(records, measures, strict=True)]


def entry(of, found):
    return outcomes.trial_entry(TrialOutcome(of, found))


def assembled(
    records=None, measures=None, experiment=EXPERIMENT, groups=None, splits=(SPLIT,), **others
):
    records = records or [record("snn"), record("cnn")]
    measures = measures or [measured(SNN), measured(CNN)]
    return put_together(finished(records, measures), experiment, groups, splits, **others)


def put_together(ours, experiment=EXPERIMENT, groups=None, splits=(SPLIT,), **others):
    """Results of outcomes on a data set that has their labels: further images, if not as many."""
    truths = [
        next(o.predictions.truth for o in ours if o.predictions and o.fold in (-1, place))
        for place in range(len(splits))
    ]
    num = max(10, *(10 + sum(map(len, truths[: place + 1])) for place in range(len(splits))))
    labels, placed = np.zeros(num, np.int64), []
    for split, truth in zip(splits, truths, strict=True):
        if len(truth) != len(split.test):
            start = 10 + sum(len(before.test) for before in placed)
            split = replace(split, test=np.arange(start, start + len(truth)))
        labels[split.test] = truth
        placed.append(split)
    labels = labels[: max(10, max(split.test.max() for split in placed) + 1)]
    return outcomes.assemble(
        experiment,
        prepared(len(labels), labels, groups=groups, notes=("a note.",)),
        placed,
        ours,
        **others,
    )


def pair_of(*given, **settings):
    (pair,) = assembled(*given, **settings).comparison.pairs
    return pair


# ---- results.json


def test_results_are_json_and_what_was_not_measured_is_null():
    results = assembled([record("snn"), record("cnn", val=[])], [measured(SNN), {}])
    document = json.loads(json.dumps(typed.plain(results), allow_nan=False))
    assert document["schema"] == 3
    assert typed.converted(document, Results) == results
    done, broken = document["trials"]
    unmeasured = ("operations", "energy", "latency", "anytime", "error")
    unfinished = ("test", "validation", "model", "best_epoch", "encoding", "num_steps", "stopped")
    assert {done[name] for name in unmeasured} == {None}
    assert {broken[name] for name in unfinished} == {None}
    assert (broken["status"], broken["error"], broken["epochs"]) == ("failed", "it broke", 0)
    unknown = ("audit", "groups", "shared_groups")
    assert {document["dataset"][name] for name in unknown} == {None}


def test_a_trials_numbers():
    trial = entry(record("snn", val=(0.5, 0.75)), measured(SNN))
    assert (trial.contender, trial.kind, trial.seed, trial.encoding) == ("snn", "snn", 0, "rate")
    assert (trial.epochs, trial.best_epoch, trial.stopped) == (2, 1, "limit")
    assert trial.validation == Score(accuracy=0.75, loss=0.25)
    assert trial.test.accuracy == 4 / 6
    # Rows are the truth: of three images of class a, two were called a and one b.
    assert trial.test.confusion == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert "predicted" not in typed.plain(trial.test)


LEAVING = {"threshold": 0.75, "mean_steps": 1.5, "accuracy": 4 / 6, "exit_steps": [3, 3]}
ANYTIME = Anytime(
    num_steps=2,
    n=6,
    accuracies=[0.5, 4 / 6],
    early_exit=EarlyExit(
        **LEAVING,
        tolerance=0.002,
        validation=ExitChoice(n=1, mean_steps=1.5, accuracy=0.5),
        curve=[Leaving(**LEAVING)],
    ),
)


def test_every_measure_reaches_the_results():
    deviation = EncodingDeviation(accuracies=[0.5, 0.25], standard_deviation=0.1)
    latency = untimed(None, None, "cpu")
    measures = {
        "encoding_deviation": deviation,
        "weight_shapes": WeightShapes(shapes={"w": [2, 3]}),
        "operations": Counted(operations=spiking()),
        "by_step": ANYTIME,
        "own": {"value": 5},
    }
    broken = {"own:measure": "it broke"}
    trial = outcomes.trial_entry(
        TrialOutcome(record("snn"), measured(SNN, **measures), broken, latency)
    )
    known = {*measures, "classification", "label_confidences"} - {"own"}
    assert set(MEASURES) == known
    assert trial.test.encoding_deviation == deviation
    assert (trial.anytime, trial.weight_shapes) == (ANYTIME, {"w": [2, 3]})
    assert (trial.operations, trial.latency) == (spiking(), latency)
    assert trial.measured == {"own": {"value": 5}}
    assert trial.failed_measures == broken
    # A network without time steps has answers after the last one only.
    assert entry(record("cnn"), measured(CNN, anytime=Anytime())).anytime is None


def test_a_measure_with_a_title_reaches_the_results_as_it_is(monkeypatch):
    shown = {"title": "speed %", "meaning": "how fast", "form": "{:.1f}"}
    speed = Measure(lambda *_: None, value=lambda found: found["speed"], **shown)
    monkeypatch.setitem(MEASURES, "own:speed", speed)
    (name, added), *others = entry(
        record("snn"), measured(SNN, **{"own:speed": {"speed": 2.5}})
    ).measures.items()
    assert (name, others) == ("own:speed", [])
    assert typed.plain(added) == {**shown, "value": 2.5, "found": {"speed": 2.5}}


def test_a_network_that_cannot_be_counted_is_a_caveat_and_no_failure():
    reason = "'odd' (Odd) does something."
    results = assembled(
        measures=[measured(SNN, operations=Counted(operations=None, reason=reason)), measured(CNN)]
    )
    odd, plain = results.trials
    assert (odd.operations, odd.energy, odd.not_counted) == (None, None, reason)
    assert (plain.operations, plain.energy, plain.not_counted) == (None, None, None)
    assert finding("not_counted", contender="snn", reason=reason) in results.comparison.caveats


def test_a_converted_network_has_its_sources_epochs_and_no_training():
    made = record("cnn")
    settings = {**made.settings, "derived": {"contender": "relu", "epochs": 7}}
    converted = structs.replace(made, best_epoch=0, stopped=None, settings=settings)
    trial = entry(converted, measured(CNN))
    about = (trial.derived_from, trial.epochs, trial.best_epoch, trial.history)
    assert about == ("relu", 7, None, [])
    assert trial.validation == made.history[0].validation


def test_the_data_set():
    groups = np.array([0, 0, 1, 2, 3, 4, 1, 5, 5, 6])
    about = outcomes.describe_dataset(prepared(groups=groups, notes=("a note.",)), [SPLIT])
    assert about.counts == Counts(train=5, val=1, test=4)
    # Of the test images 6 to 9, only image 6 is of a group (1) that is also in training.
    assert (about.groups, about.groups_tested, about.shared_groups) == (7, 3, 0.25)
    # Test images of groups 1, 5, 5 and 6: 4² / (1 + 4 + 1).
    assert about.effective_groups_tested == pytest.approx(16 / 6)
    # Groups of 2, 2, 1, 1, 1, 2 and 1 images.
    assert about.group_sizes == GroupSizes(largest=2, median=1.0)
    assert (about.folds, about.split, about.notes, about.image_shape) == (
        None,
        "stratified",
        ["a note."],
        (1, 4, 4),
    )


def test_what_is_handed_over_is_in_the_results():
    uses = {"test_uses": 5, "test_uses_here": 2, "tested_every_epoch": 1}
    results = assembled(uses=uses, features={"elsewhere": 1})
    assert uses.items() <= typed.plain(results.dataset).items()
    assert finding("test_uses", uses=5, here=2) in results.comparison.caveats
    assert results.features["elsewhere"] == 1
    # Ten test images are far too few, also to show that anything was learned.
    first_two = [caveat.id for caveat in assembled().comparison.caveats[:2]]
    assert first_two == ["at_chance", "more_images"]


# ---- folds


FOLDS = (
    Split(np.arange(5, 9), np.arange(9, 10), np.arange(0, 5), "grouped", 0),
    Split(np.arange(0, 3), np.arange(3, 5), np.arange(5, 10), "grouped", 1),
)


def test_the_data_set_in_folds():
    groups = np.array([0, 0, 1, 2, 2, 3, 4, 5, 5, 0])
    about = outcomes.describe_dataset(prepared(groups=groups, notes=("a note.",)), FOLDS)
    assert about.folds == [Counts(train=4, val=1, test=5), Counts(train=3, val=2, test=5)]
    # Means of 4 and 3 and of 1 and 2; all ten images are tested.
    assert about.counts == Counts(train=4, val=2, test=10)
    # Only image 9 (group 0) is in a test set, fold 1's, whose training images 0 and 1 are of its
    # group.
    assert about.shared_groups == 0.1


@pytest.mark.parametrize(
    ("contender", "seed", "fold", "model"),
    [
        ("cnn", 0, None, "cnn-seed0"),
        ("cnn", 2, 1, "cnn-seed2-fold1"),
        ("own.code:build", 2, None, "own.code.build-seed2"),  # a file's name has no colon
    ],
)
def test_a_trial_knows_its_fold_and_model(contender, seed, fold, model):
    trial = entry(record(contender, seed, fold=fold), measured(CNN))
    assert (trial.fold, trial.model) == (fold, f"models/{model}.safetensors")


def test_the_folds_of_a_seed_are_one_test_over_all_images():
    records = [
        record(name, seed, fold=fold)
        for seed in (0, 1)
        for fold in (0, 1)
        for name in ("snn", "cnn")
    ]
    measures = [measured(p) for p in (SNN, CNN, TRUTH, CNN, CNN, CNN, CNN, CNN)]
    pair = pair_of(records, measures, replace(EXPERIMENT, seeds=2, folds=2), splits=FOLDS)
    assert (pair.n, pair.seeds) == (12, 2)
    # The SNN has 4 + 6 right with seed 0 and 3 + 3 with seed 1, the CNN 3 in every fold.
    assert pair.accuracy_a == pytest.approx((10 / 12 + 6 / 12) / 2)
    assert pair.accuracy_b == pytest.approx(6 / 12)
    # In fold 0 only the SNN is right on images 0 and 5, only the CNN on 2; in fold 1 only the SNN
    # on 0, 4 and 5.
    assert (pair.only_a_right, pair.only_b_right) == (5 / 2, 1 / 2)
    predictions = pooled(finished(records[::-1], measures[::-1]), "snn")
    assert np.equal(*predictions[0]).tolist() == [True, True, False, True, False, True] + [True] * 6


@pytest.mark.parametrize(
    ("records", "measures", "splits"),
    [
        (
            [record(name, fold=fold) for fold in (0, 1) for name in ("snn", "cnn")],
            [measured(SNN), measured(CNN), {}, measured(CNN)],
            FOLDS,
        ),
        (
            [
                record("snn", 0),
                record("cnn", 0, val=[]),
                record("snn", 1, val=[]),
                record("cnn", 1),
            ],
            [measured(SNN), {}, {}, measured(CNN)],
            (SPLIT,),
        ),
    ],
    ids=["an unfinished fold", "no seed in common"],
)
def test_a_seed_that_not_both_finished_is_not_compared(records, measures, splits):
    experiment = replace(EXPERIMENT, seeds=2)
    assert assembled(records, measures, experiment, splits=splits).comparison.pairs == []


# ---- pairs


def test_a_pair_by_hand():
    pair = pair_of()
    assert (pair.a, pair.b, pair.measure, pair.n, pair.seeds) == ("snn", "cnn", "accuracy", 6, 1)
    assert pair.difference == pytest.approx(1 / 6)
    assert (pair.accuracy_a, pair.accuracy_b) == (4 / 6, 3 / 6)
    # Only the SNN: images 0 and 5; only the CNN: image 2.
    assert (pair.only_a_right, pair.only_b_right) == (2, 1)
    # Three images tell them apart, two against one: any coin does as well. (2 − 1)/8 ± sqrt(4 −
    # 1/8)/8 times the normal quantile: 1.96, or more as McNemar's p exceeds the normal one.
    assert (pair.p_value, pair.p_value_raw, pair.test) == (
        1.0,
        1.0,
        "exact McNemar test, and normal test over images",
    )
    normal = NormalDist()
    by_normal = 2 * normal.cdf(-1 / math.sqrt(4 - 1 / 8))
    half = normal.inv_cdf(1 - 0.05 * by_normal / 2) * math.sqrt(4 - 1 / 8) / 8
    assert pair.ci95 == pytest.approx((1 / 8 - half, 1 / 8 + half), rel=1e-6)
    assert (pair.conclusion, pair.margin, pair.negligible) == ("inconclusive", 0.005, False)


def test_a_pair_over_seeds_uses_those_that_both_finished():
    records = [record(name, seed) for seed in (0, 1) for name in ("snn", "cnn")]
    records += [record("snn", 2), record("cnn", 2, val=[])]
    measures = [*map(measured, (SNN, CNN, CNN, CNN, TRUTH)), {}]
    pair = pair_of(records, measures, replace(EXPERIMENT, seeds=3))
    assert pair.seeds == 2
    assert pair.difference == pytest.approx((1 / 6 + 0) / 2)
    assert pair.accuracy_a == pytest.approx((4 / 6 + 3 / 6) / 2)
    assert (pair.only_a_right, pair.only_b_right) == (1.0, 0.5)
    assert (pair.p_permutation, pair.p_value) == (None, pair.p_value_raw)


@pytest.mark.parametrize(
    ("middle", "predictions", "expected"),
    [
        (record("cnn"), measured(CNN), [("snn", "cnn"), ("snn", "snn2"), ("cnn", "snn2")]),
        (record("cnn", val=[]), {}, [("snn", "snn2")]),
    ],
    ids=["finished", "failed"],
)
def test_three_contenders_make_three_pairs_and_a_failed_one_none(middle, predictions, expected):
    experiment = replace(EXPERIMENT, contenders=("snn", "cnn", "snn2"))
    records = [record("snn"), middle, record("snn2")]
    pairs = assembled(
        records, [measured(SNN), predictions, measured(CNN)], experiment
    ).comparison.pairs
    assert [(pair.a, pair.b) for pair in pairs] == expected


def test_p_values_are_adjusted_for_the_number_of_pairs():
    names, truth = ["snn", "cnn", "snn2"], np.zeros(100, int)
    predicted = np.zeros((3, 100), int)
    predicted[1, :9] = predicted[2, 5:13] = 1
    ours = finished([record(name) for name in names], [measured(row, truth) for row in predicted])
    pairs = put_together(ours).comparison.pairs
    # 9 of 9, 8 of 8, and 5 against 4 coins.
    assert [pair.p_value_raw for pair in pairs] == pytest.approx([2 / 512, 2 / 256, 1.0])
    assert [pair.p_value for pair in pairs] == pytest.approx([6 / 512, 4 / 256, 1.0])


def test_a_pair_says_what_its_seeds_and_comparisons_could_have_found():
    random = np.random.default_rng(0)
    truth = np.zeros(200, int)
    names, seeds = ("snn", "cnn", "snn2"), range(5)
    records = [record(name, seed) for seed in seeds for name in names]
    measures = [
        measured((random.random(200) < rate).astype(int), truth)
        for _ in seeds
        for rate in (0.1, 0.2, 0.3)
    ]
    ours = finished(records, measures)
    pairs = put_together(ours).comparison.pairs
    right = {
        name: np.array([np.equal(*pooled(ours, name)[seed]) for seed in seeds]) for name in names
    }
    for pair in pairs:
        variability = variability_of(right[pair.a], right[pair.b])
        assert pair.power == power.power(variability, 0.01, 5, comparisons=3)
        assert 0 < pair.power.probability < 1
    assert pair_of().power is None


@pytest.mark.parametrize(
    ("loser", "conclusion", "reservation", "failed"),
    [("snn", "inconclusive", Reservation.FAILED_TRAININGS, 3), ("cnn", "a_better", None, 0)],
)
def test_failed_trainings_of_the_leader_count_as_chance(loser, conclusion, reservation, failed):
    truth = np.arange(600) % 3
    wrong = np.where(np.arange(600) < 60, 1 - truth % 2, truth)
    records, measures = [], []
    for seed in range(8):
        for name, predicted_classes in (("snn", truth), ("cnn", wrong)):
            has_failed = name == loser and seed > 4
            records.append(record(name, seed, val=[] if has_failed else [0.75]))
            measures.append({} if has_failed else measured(predicted_classes, truth))
    pair = pair_of(records, measures, replace(EXPERIMENT, seeds=8))
    assert (pair.seeds, pair.conclusion, pair.reservation, pair.failed) == (
        5,
        conclusion,
        reservation,
        failed,
    )


def test_pairs_are_of_the_seeds_of_the_table():
    records = [record(name, seed) for seed in range(3) for name in ("snn", "cnn")]
    records += [record("third", 0), record("third", 1), record("third", 2, val=[])]
    measures = [*map(measured, [SNN, CNN] * 3), measured(SNN), measured(SNN), {}]
    experiment = replace(EXPERIMENT, seeds=3, contenders=("snn", "cnn", "third"))
    found = assembled(records, measures, experiment)
    assert {pair.seeds for pair in found.comparison.pairs} == {2}
    assert [found.counted_seeds(name) for name in found.contenders] == [[0, 1]] * 3
    # A third one's failure is neither's of a pair.
    assert [pair.failed for pair in found.comparison.pairs if pair.b == "cnn"] == [0]


def test_groups_of_the_test_images_count():
    groups = np.array([0, 0, 1, 2, 3, 4, 7, 7, 8, 9])
    split = Split(np.arange(0, 3), np.arange(3, 4), np.arange(4, 10), "grouped")
    assert pair_of(groups=groups, splits=[split]).test == "t test over groups of images"
