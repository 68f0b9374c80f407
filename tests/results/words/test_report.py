import statistics
from types import SimpleNamespace

import pytest
from msgspec import structs

from made_results import failed, make_results, with_dataset, with_pair, with_tests, with_trials
from spikeduel.results.audit import Counts
from spikeduel.results.run import Budget, GroupSizes, SetRules
from spikeduel.results.significance import Conclusion, Reservation
from spikeduel.results.trials import AddedMeasure, EncodingSpread, Robustness
from spikeduel.results.words import method, report, tables
from spikeduel.settings.recipes import baseline, strong

DATA = SimpleNamespace(
    name="made-up", fingerprint="f" * 64, classes=("class 0", "class 1", "class 2")
)
CORRUPTIONS = ("noise", "blur", "contrast", "occlusion", "rotation", "translation", "jpeg")


def robustness(clean, last):
    """Accuracies that fall evenly from `clean` to `last`; under noise, to 0."""
    ends = {name: 0.0 if name == "noise" else last for name in CORRUPTIONS}
    at = {name: [clean + (end - clean) * k / 5 for k in range(1, 6)] for name, end in ends.items()}
    area = {name: statistics.fmean(values) for name, values in at.items()}
    mean = statistics.fmean(area.values())
    relative = {name: value / clean for name, value in area.items()}
    return Robustness(
        clean=clean,
        corruptions=at,
        area=area,
        relative=relative,
        mean=mean,
        mean_relative=mean / clean,
        images=dict.fromkeys(at, 20),
    )


@pytest.fixture
def results():
    """Two contenders with two seeds each."""
    return make_results(DATA, baseline(seeds=2))


def test_scores_are_means_with_their_spread(results):
    tested = results.of("dense-snn")
    accuracies = [100 * trial.test.accuracy for trial in tested]
    accuracy = tables.score(tested, "accuracy")
    assert accuracy == (
        f"{statistics.fmean(accuracies):.2f}",
        f"{statistics.stdev(accuracies):.2f}",
    )
    assert str(accuracy) == " ± ".join(accuracy)
    assert tables.score(tested, "f1") == ("73.00", "0.00")
    assert tables.score(tested[:1], "f1") == ("73.00", "")
    assert str(tables.score(tested[:1], "f1")) == "73.00"
    assert tables.score([], "f1") is None


def test_folds_of_different_sizes_count_by_their_images(results):
    first, second = results.of("dense-snn")
    tested = [
        structs.replace(trial, test=structs.replace(trial.test, n=n, accuracy=accuracy))
        for trial, n, accuracy in ((first, 10, 0.9), (second, 30, 0.5))
    ]
    assert tables.score(tested, "accuracy").mean == "60.00"


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


def test_what_was_not_measured_is_not_zero(results):
    assert report.epoch_seconds(results.of("dense-snn")) == "1.0"
    assert (
        report.epoch_seconds(with_trials(results, epoch_seconds=[]).trials) == report.NOT_MEASURED
    )
    assert report.span([]) == report.NOT_MEASURED
    assert report.accuracy(None) == "failed"


def test_ties_and_random_encodings_are_told_where_there_are_some(results):
    assert "5.0 % of the answers were ties" in report.of_encoding(
        "dense-snn", results.of("dense-snn")
    )
    assert report.of_encoding("small-cnn", results.of("small-cnn")) == ""
    assert (
        report.of_encoding("dense-snn", with_tests(results, tie_share=None).of("dense-snn")) == ""
    )
    drawn = with_tests(
        results, encoding_spread=EncodingSpread(accuracies=[0.5, 0.6], standard_deviation=0.0123)
    )
    assert "by 1.23 points" in report.of_encoding("dense-snn", drawn.of("dense-snn"))


def test_added_measures_have_their_own_form(results):
    values = iter([0.5, None, 0.7, 0.1])
    measured = with_trials(
        results,
        measures=lambda _: {
            "x": AddedMeasure(title="X", meaning="what it is", value=next(values), form="{:.1%}")
        },
    )
    assert tables.added(measured.of("dense-snn"), "x") == ("60.0%", "14.1%")
    assert tables.added(measured.of("small-cnn"), "x") == ("10.0%", "")
    assert tables.added(measured.of("small-cnn"), "y") is None


def test_the_most_frequent_errors_are_told():
    confusion = [[5, 0, 2], [7, 5, 0], [0, 1, 5]]
    assert report.most_confused(confusion, ["a", "b", "c"], most=2).endswith(
        ": b as a (7), a as c (2)."
    )
    assert "no errors" in report.most_confused([[3, 0], [0, 3]], ["a", "b"])


def test_conclusions_of_pairs_say_what_they_are_about(results):
    (pair,) = results.comparison.pairs
    assert report.interval(pair) == "−2.00 to +0.10"
    assert report.pair_conclusion(pair, in_folds=False) == "inconclusive"
    better = structs.replace(pair, conclusion=Conclusion.B_BETTER, negligible=True)
    assert report.pair_conclusion(better, in_folds=False).startswith("small-cnn is better, by less")
    held_back = structs.replace(pair, reservation=Reservation.FEW_SEEDS)
    assert report.pair_conclusion(held_back, in_folds=False) == "inconclusive: too few seeds"
    alone = structs.replace(better, seeds=1)
    assert report.pair_conclusion(alone, in_folds=False).startswith(
        "of these two models: small-cnn"
    )
    assert report.pair_conclusion(alone, in_folds=True).startswith(
        "of these trainings, one per fold: small-cnn"
    )


def test_the_note_says_what_was_tested_and_what_it_covers(results):
    note = report.how_compared(results)
    assert note.startswith("Test: a coin. Interval")
    assert "±0.5 points" in note
    assert "other seeds" in note
    alone = with_pair(results, seeds=1)
    assert "these two trained models" in report.how_compared(alone)
    folds = [Counts(train=1, val=1, test=10)] * 2
    assert "these trainings, one per fold" in report.how_compared(with_dataset(alone, folds=folds))
    two = structs.replace(
        results, comparison=structs.replace(results.comparison, pairs=results.comparison.pairs * 2)
    )
    assert (
        "adjusted for 2 comparisons (Holm); intervals, and so equivalence, are not."
        in report.how_compared(two)
    )


def test_an_interval_that_excludes_0_without_a_conclusion_is_explained_once(results):
    assert "excludes 0" not in report.how_compared(results)
    held_back = with_pair(results, reservation=Reservation.FEW_SEEDS, ci95=(0.01, 0.03))
    twice = structs.replace(
        held_back,
        comparison=structs.replace(held_back.comparison, pairs=held_back.comparison.pairs * 2),
    )
    assert report.how_compared(twice).count("excludes 0") == 1


def test_a_p_of_1_is_no_certainty(results):
    assert "A p of 1" not in report.how_compared(results)
    assert "A p of 1 is no evidence" in report.how_compared(with_pair(results, p_value=0.9999))


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
        averaging=0.5,
        first_steps=(1, 2),
        per_step_loss=0.25,
        whitening=True,
        first_surrogate_alpha=1.0,
        readout="membrane",
    )
    assert (
        more["made strong by"]
        == "averaged weights (0.5), time steps 1, then 2, then 4, surrogates of width 1 at first, "
        "a whitening first layer, a readout by membranes, 25 % of the loss step by step"
    )


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
    chosen = {"batch_size": 32, "dropout": 0.2, "augmentation": "translate-flip"}
    decided = SetRules(num_train=1234, chosen=chosen, mirrored=0.123, moved=0.04, epochs=15)
    rules = strong_rules(lambda made: structs.replace(made, budget=budget, rules=decided))
    assert rules["time"] == (
        f"1.5 minutes for all contenders together, {why}the same time for each; measured "
        f"beforehand: dense-snn 3 s "
        "an epoch, small-cnn 0.5 s an epoch"
    )
    assert rules["chosen for the set"] == (
        "batch size 32, dropout 0.2, augmentation translate-flip, for 1,234 training images and "
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
    taught = "have 25 % of their targets from their twin's answers"

    def started(made):
        return with_trials(made, starts_from=lambda trial: "small-cnn" if trial.spiking else None)

    def twins(made):
        return with_trials(made, weight_shapes={"weight": [3, 64]})

    assert strong_rules(started)["start"] == f"spiking contenders {start}"
    assert (
        strong_rules(started, distillation=0.25)["start"]
        == f"spiking contenders {start} and {taught}"
    )
    assert (
        strong_rules(twins, start="fresh", distillation=0.25)["start"]
        == f"spiking contenders {taught}"
    )
    assert "start" not in strong_rules(twins, start="fresh")
    assert "start" not in dict(method.rules(results))
    # Where no contender is a twin, there is nothing to have from it.
    assert "start" not in strong_rules(distillation=0.25)


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


def test_robustness_by_hand():
    by_name = {"dense-snn": robustness(0.8, 0.6), "small-cnn": robustness(0.9, 0.3)}
    results = with_trials(
        make_results(DATA, baseline()), robustness=lambda trial: by_name[trial.contender]
    )
    # Means over severities: 0.68 and 0.54; under noise 0.32 and 0.36. Six of the former and one of
    # the latter.
    text = report.robustness(results)
    assert (
        "dense-snn 62.9 % (80.0 % on clean images) and small-cnn 51.4 % (90.0 % on clean images)"
        in text
    )
    assert "noise for dense-snn (32.0 %) and noise for small-cnn (36.0 %)" in text
    assert (
        "small-cnn under noise; dense-snn under blur, contrast, occlusion, rotation, translation "
        "and jpeg" in text
    )
    assert "One seed each" in text


def test_leads_within_the_spread_over_seeds_are_left_out(results):
    # Two seeds of each, by turns. The means at the end are 0.5 and 0.475, alike under noise.
    lasts = iter((0.6, 0.45, 0.4, 0.5))
    text = report.robustness(
        with_trials(results, robustness=lambda _: robustness(0.8, next(lasts)))
    )
    assert "Highest mean" not in text
    assert "Within the spread over trainings: noise, blur" in text
    assert "One seed" not in text
    lasts = iter((0.6, 0.3, 0.6, 0.3))
    text = report.robustness(
        with_trials(results, robustness=lambda _: robustness(0.8, next(lasts)))
    )
    assert "dense-snn under blur, contrast" in text
    assert "Within the spread over trainings: noise." in text


def test_robustness_that_nobody_measured_has_no_words(results):
    assert report.robustness(results) == ""
    assert report.robustness_by_contender(results) == {}
    measured = with_trials(results, robustness=robustness(0.8, 0.6))
    gone = structs.replace(measured, trials=[failed(trial) for trial in measured.trials])
    assert report.robustness(gone) == ""


def test_the_rows_of_corruptions(results):
    altered = structs.replace(
        robustness(0.9, 0.3),
        corruptions=robustness(0.9, 0.3).corruptions | {"altered-medium": [0.25]},
        area=robustness(0.9, 0.3).area | {"altered-medium": 0.25},
        images=robustness(0.9, 0.3).images | {"altered-medium": 7},
    )
    by_name = {"dense-snn": robustness(0.8, 0.6), "small-cnn": altered}
    measured = with_trials(
        make_results(DATA, baseline()), robustness=lambda trial: by_name[trial.contender]
    )
    cells = {
        title: [cell and cell.mean for cell in row]
        for title, row in report.corruption_rows(measured)
    }
    assert list(cells) == [
        "clean images",
        *CORRUPTIONS,
        "altered-medium",
        "mean of seven",
        "mean / clean",
    ]
    assert cells["clean images"] == ["80.0", "90.0"]
    assert cells["noise"] == ["32.0", "36.0"]
    assert cells["altered-medium"] == [None, "25.0"]
    assert cells["mean of seven"] == ["62.9", "51.4"]
    assert cells["mean / clean"] == ["78.6", "57.1"]
    assert report.altered(measured) == ["altered-medium (7 images)"]
    assert report.altered(results) == []
