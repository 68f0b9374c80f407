from types import SimpleNamespace

import pytest
from msgspec import structs

from made_results import make_results, with_dataset, with_pair, with_trials
from spikeduel.results.audit import Counts
from spikeduel.results.run import Budget, GroupSizes, SetRules
from spikeduel.results.significance import Reservation
from spikeduel.results.words import method, report, verdict
from spikeduel.settings.recipes import baseline, strong

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
    assert report.trained_on(tested) == "2 seeds"
    assert report.trained_on(in_folds) == "2 seeds and 2 folds"
    assert report.trained_on(in_folds[:2]) == "2 folds"
    assert report.dots(tested) == "Dots are seeds, strokes their means"
    assert report.dots(in_folds) == "Dots are trainings (2 seeds and 2 folds), strokes their means"
    assert report.dots(in_folds[:2]) == "Dots are trainings (2 folds), strokes their means"
    assert report.dots(tested[:1]) == "One seed each"
    # Of each seed, both folds' images; one fold of the second seed failed.
    assert report.num_tested(in_folds) == "40"
    assert report.num_tested(in_folds[:3]) == "20 to 40"


def test_the_most_frequent_errors_are_told():
    confusion = [[5, 0, 2], [7, 5, 0], [0, 1, 5]]
    assert report.most_confused(confusion, ["a", "b", "c"], most=2).endswith(
        ": b as a (7), a as c (2)."
    )
    assert "no errors" in report.most_confused([[3, 0], [0, 3]], ["a", "b"])


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


def test_an_interval_that_excludes_0_without_a_conclusion_is_explained_once(results):
    assert "excludes 0" not in verdict.how_compared(results)
    held_back = with_pair(results, reservation=Reservation.FEW_SEEDS, ci95=(0.01, 0.03))
    twice = structs.replace(
        held_back,
        comparison=structs.replace(held_back.comparison, pairs=held_back.comparison.pairs * 2),
    )
    assert verdict.how_compared(twice).count("excludes 0") == 1


def test_a_p_of_1_is_no_certainty(results):
    assert "A p of 1" not in verdict.how_compared(results)
    assert "A p of 1 is no evidence" in verdict.how_compared(with_pair(results, p_value=0.9999))


def test_the_rules_name_data_encoding_and_seeds(results):
    rules = dict(method.rules(results))
    assert rules["images"] == "30 training, 10 validation, 20 test"
    assert rules["spiking input"] == "rate encoding, 25 steps"
    assert "8.5e-05" in rules["training"]
    assert rules["seeds"].startswith("2: ")
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
    assert "first of 2 folds" in report.first_fold(changed.dataset)
    assert report.first_fold(results.dataset) == ""


def test_augmentation_is_a_rule_where_there_is_one(results):
    assert "augmentation" not in dict(method.rules(results))
    shifted = dict(method.rules(make_results(DATA, baseline(augmentation="shift"))))
    assert shifted["augmentation"] == "training images are moved a little (shift)"


def strong_rules(results=lambda made: made, **changes):
    decided = {"epochs": 15, "batch_size": 32, "dropout": 0.2, "augmentation": "translate"}
    made = make_results(
        DATA, strong(contenders=("dense-snn", "small-cnn"), **{**decided, **changes})
    )
    return dict(method.rules(results(made)))


def test_the_rules_name_what_made_the_networks_strong():
    rules = strong_rules()
    assert rules["training"] == (
        "Muon, and AdamW for the first and last layer, learning rate 0.01 at its highest, rising "
        "for a fifth and falling to 0, batches of 32, at most 15 epochs; never stops early; keeps "
        "the weights of the last epoch. All contenders: same images, same batches, same rules."
    )
    assert rules["made strong by"] == "weight decay 0.05, label smoothing 0.1, dropout 0.2"
    assert rules["recipe"] == "strong"
    # Nothing was measured, and nothing chosen.
    assert not {"time", "chosen for the set"} & set(rules)
    more = strong_rules(
        weight_decay=0.0,
        label_smoothing=0.0,
        dropout=0.0,
        whitening=True,
    )
    assert more["made strong by"] == "a whitening first layer"


def test_the_rules_of_plain_training_stay_what_they_were(results):
    rules = dict(method.rules(results))
    assert rules["training"].startswith(
        "Adam, learning rate 8.5e-05, batches of 128, at most 4 epochs; stops after 3 "
    )
    assert "keeps the weights of the best validation accuracy." in rules["training"]
    assert not {"time", "made strong by", "chosen for the set"} & set(rules)


@pytest.mark.parametrize(("given", "why"), [(True, ""), (False, "by the size of the set, ")])
def test_the_rules_name_the_time_and_what_the_set_decided(given, why):
    budget = Budget(
        minutes=1.5,
        given=given,
        epoch_seconds={"dense-snn": 3.04, "small-cnn": 0.5},
        epochs={"dense-snn": 15, "small-cnn": 15},
    )
    chosen = {"batch_size": 32, "dropout": 0.2, "augmentation": "translate-threshold"}
    decided = SetRules(num_train=1234, chosen=chosen, mirrored=0.123, moved=0.04, epochs=15)
    rules = strong_rules(lambda made: structs.replace(made, budget=budget, rules=decided))
    assert rules["time"] == (
        f"1.5 minutes for all contenders together, {why}the same time for each; measured "
        f"beforehand: dense-snn 3 s "
        "an epoch, small-cnn 0.5 s an epoch"
    )
    assert rules["chosen for the set"] == (
        "batch size 32, dropout 0.2, augmentation translate-threshold, for 1,234 training images and "
        "15 epochs; 12 % of them look most like another of their class in the mirror (they are "
        "flipped where that is surely above 10 %), 4 % like another that is moved (they are moved "
        "where that is surely above 10 %, in long training, and always below 2,000 images)"
    )
    by_size = structs.replace(
        decided, chosen={"batch_size": 32}, mirrored=None, moved=None, epochs=None
    )
    rules = strong_rules(lambda made: structs.replace(made, rules=by_size))
    assert rules["chosen for the set"] == "batch size 32, for 1,234 training images"


def test_the_rules_name_what_spiking_contenders_have_from_their_twins(results):
    start = "start at the trained weights of their twin among the contenders, and train on"

    def started(made):
        return with_trials(made, starts_from=lambda trial: "small-cnn" if trial.spiking else None)

    def twins(made):
        return with_trials(made, weight_shapes={"weight": [3, 64]})

    assert strong_rules(started)["start"] == f"spiking contenders {start}"
    assert "start" not in strong_rules(twins, start="fresh")
    assert "start" not in dict(method.rules(results))


def test_epochs_by_equal_times_are_no_settings_of_ones_own():
    rules = strong_rules(per_contender={"dense-snn": {"epochs": 3}, "small-cnn": {"epochs": 15}})
    assert "own settings" not in rules


def test_own_settings_are_rules():
    own = {"dense-snn": {"learning_rate": 0.5}, "small-cnn": {}}
    rules = dict(method.rules(make_results(DATA, baseline(per_contender=own))))
    assert "of each contender's own" in rules["training"]
    assert rules["own settings"].startswith("dense-snn: learning_rate 0.5")
    shown = dict(
        report.settings(
            {"per_contender": {"a": {"beta": 0.5}, "b": {"num_steps": 4}}, "unset": None}
        )
    )
    assert shown == {"per_contender": "a: beta 0.5; b: num_steps 4"}
    assert report.settings(None) == []


def test_titles(results):
    assert report.title(results) == "dense-snn against small-cnn on made-up"
    three = structs.replace(
        results, trials=[*results.trials, structs.replace(results.trials[0], contender="c")]
    )
    assert report.title(three) == "dense-snn, small-cnn and c on made-up"
