import statistics

import pytest

from spikeduel.reporting import summary
from spikeduel.settings.recipes import baseline


@pytest.fixture
def results(make_prepared, make_results):
    return make_results(make_prepared(), baseline(seeds=2))


def test_the_table_gives_means_over_seeds(results):
    accuracies = [t["test"]["accuracy"] for t in results["trials"] if t["contender"] == "dense-snn"]

    snn, cnn = summary.contenders(results)

    mean, spread = 100 * statistics.fmean(accuracies), 100 * statistics.stdev(accuracies)
    assert snn["scores"]["accuracy"] == f"{mean:.2f} ± {spread:.2f}"
    assert snn["scores"]["f1"] == "73.00 ± 0.00"
    assert snn["epoch_seconds"] == "1.0"
    assert (snn["epochs"], snn["kept"], snn["parameters"], snn["tested"]) == ("5", "4", "1,234", "20")
    assert (snn["spiking"], cnn["spiking"]) == (True, False)
    assert (snn["ties"], cnn["ties"]) == ("5.0", None)


def test_where_nothing_was_ever_tied_nothing_is_said_of_ties(results):
    for trial in results["trials"]:
        trial["test"]["tie_share"] = 0.0
    assert [contender["ties"] for contender in summary.contenders(results)] == [None, None]


def test_what_was_not_measured_is_not_zero(results):
    for trial in results["trials"]:
        trial.update(epoch_seconds=[], best_epoch=None)
        trial["test"]["tie_share"] = None

    snn, _ = summary.contenders(results)

    assert snn["epoch_seconds"] == summary.NOT_MEASURED
    assert snn["kept"] == summary.NOT_MEASURED
    assert snn["ties"] is None
    assert snn["luck"] is None


def test_confusions_are_added_and_classes_averaged(results):
    own = [t for t in results["trials"] if t["contender"] == "small-cnn"]
    own[0]["test"]["per_class"][1]["recall"] = 0.75

    entry = summary.contenders(results)[1]

    assert entry["confusion"][2][2] == sum(t["test"]["confusion"][2][2] for t in own)
    assert entry["per_class"][1]["recall"] == 0.5
    assert entry["per_class"][0]["support"] == "7"


def test_the_most_frequent_errors_are_told():
    confusion = [[5, 0, 2], [7, 5, 0], [0, 1, 5]]

    text = summary.confused(confusion, ["a", "b", "c"], most=2)

    assert text == "Most frequent errors: b taken for a (7), a taken for c (2)."
    assert summary.confused([[3, 0], [0, 3]], ["a", "b"]) == "There is no error."


def test_a_failed_trial_counts_nowhere_but_is_named(results):
    results["trials"][0].update(status="failed", test=None, error="the loss became NaN")

    snn, _ = summary.contenders(results)

    assert (snn["seeds"], snn["failed"]) == (1, 1)
    assert "±" not in snn["scores"]["accuracy"]
    assert summary.failures(results) == [{"contender": "dense-snn", "seed": 0, "error": "the loss became NaN"}]


def test_differences_are_in_points_with_their_sign(results):
    (row,) = summary.pairs(results)
    assert row["difference"] == "−1.23"
    assert (row["interval"], row["p_value"], row["conclusion"]) == ("", "", "")

    results["comparison"]["pairs"][0].update(ci95=[-0.02, 0.001], p_value=0.0004, conclusion="b_better")
    (row,) = summary.pairs(results)
    assert row["interval"] == "−2.00 to +0.10"
    assert row["p_value"] == "< 0.001"
    assert row["conclusion"] == "small-cnn is better"

    results["comparison"]["pairs"][0].update(negligible=True, seeds=1)
    (row,) = summary.pairs(results)
    assert row["conclusion"] == "of these two models: small-cnn is better, by less than counts"


def test_the_note_says_what_was_tested(results):
    assert summary.how_compared(results) == "No test of significance was made."
    (pair,) = results["comparison"]["pairs"]
    pair.update(p_value=0.2, test="a coin", margin=0.005, seeds=1)
    said = summary.how_compared(results)
    assert said.startswith("Test: a coin. Interval and p-value are about these two trained models")
    assert "inside ±0.5 points" in said
    results["comparison"]["pairs"] = [pair, {**pair, "seeds": 6}]
    said = summary.how_compared(results)
    assert "Test: a coin. p-values are adjusted for 2 comparisons (Holm). " in said
    assert "allow for other seeds and for other test images" in said


HELD_BACK = {
    "ci95": [0.01, 0.03], "p_value": 1 / 3, "p_value_raw": 0.001, "p_permutation": 1 / 3, "seeds": 2,
    "conclusion": "inconclusive", "margin": 0.005, "test": "a coin",
}  # fmt: skip


def test_an_interval_that_excludes_0_is_explained(results):
    (pair,) = results["comparison"]["pairs"]
    pair.update(HELD_BACK)
    assert summary.pairs(results)[0]["conclusion"] == "inconclusive: too few seeds"
    assert "the interval excludes 0, yet with 2 seeds nobody can be called better" in summary.how_compared(results)
    pair.update(ci95=[-0.01, 0.03])
    assert summary.pairs(results)[0]["conclusion"] == "inconclusive"
    assert "excludes 0" not in summary.how_compared(results)


def test_a_p_of_1_is_no_certainty(results):
    (pair,) = results["comparison"]["pairs"]
    pair.update(HELD_BACK, p_value=0.9999)
    assert summary.pairs(results)[0]["p_value"] == "1"
    assert "A p of 1 is no evidence, neither of a difference nor of none." in summary.how_compared(results)
    pair.update(p_value=0.2)
    assert "A p of 1" not in summary.how_compared(results)


def test_one_seed_in_folds_is_no_two_models(results):
    (pair,) = results["comparison"]["pairs"]
    pair.update(HELD_BACK, seeds=1, conclusion="a_better")
    assert summary.pairs(results)[0]["conclusion"] == "of these two models: dense-snn is better"
    results["dataset"]["folds"] = [{"train": 1, "val": 1, "test": 10}] * 2
    assert summary.pairs(results)[0]["conclusion"] == "of these trainings, one in each fold: dense-snn is better"
    assert "about these trainings, one in each fold, and other test" in summary.how_compared(results)


def test_folds_of_different_sizes_count_by_their_images(results):
    own = [t for t in results["trials"] if t["contender"] == "dense-snn"]
    for trial, n, accuracy in zip(own, (10, 30), (0.9, 0.5), strict=True):
        trial["test"].update(n=n, accuracy=accuracy)
    assert summary.contenders(results)[0]["scores"]["accuracy"].startswith("60.00 ± ")


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({"split": "published", "groups": 40}, True),
        ({"split": "published", "groups": None}, False),
        ({"split": "grouped", "groups": 40}, False),
        ({"split": "official", "groups": 40, "shared_groups": 0.1}, True),
        ({"split": "official", "groups": 40, "shared_groups": 0.001}, False),
        ({"split": "grouped", "groups": 40, "shared_groups": 0.0}, False),
    ],
)
def test_relatives_in_training_are_a_warning(results, changes, warned):
    results["dataset"].update(changes)
    results["comparison"]["caveats"].append("LEAKAGE: told elsewhere")

    assert bool(summary.leakage(results)) == warned
    assert any("LEAKAGE" in text for text in summary.caveats(results)) != warned


def test_folds_are_told_and_every_image_counts_once(results):
    trials = [{**trial, "fold": fold} for fold in (0, 1) for trial in results["trials"]]
    results["trials"] = trials
    results["dataset"].update(folds=[{"test": 20}, {"test": 20}], counts={"train": 15, "val": 5, "test": 40})
    results["dataset"].update(groups=7, group_sizes={"largest": 9, "median": 2.5})
    trials[-1].update(status="failed", test=None, error="it broke")
    first, _ = summary.contenders(results)
    assert (first["trained"], first["tested"]) == ("2 seeds and 2 folds", "40")
    # Of each seed, both folds' images.
    once = {row["class"]: row["support"] for row in trials[0]["test"]["per_class"]}
    assert {row["class"]: int(row["support"]) for row in first["per_class"]} == {k: 2 * n for k, n in once.items()}
    assert summary.failures(results)[0]["seed"] == "1, fold 1"
    rules = dict(summary.rules(results))
    assert rules["images"] == (
        "15 to train on, 5 for validation, the others to test on, in each of 2 folds: each of 40 is tested once"
    )
    assert rules["seeds"].startswith("2: each contender was trained 2 times in each fold")
    assert rules["split"].endswith("(7 groups: 2.5 images in the median, 9 at most)")


def test_the_rules_name_data_encoding_and_seeds(results):
    rules = dict(summary.rules(results))

    assert "30 to train on, 10 for validation, 20 to test on" in rules["images"]
    assert rules["spiking input"] == "rate encoding over 25 steps"
    assert "8.5e-05" in rules["training"]
    assert rules["seeds"].startswith("2")
