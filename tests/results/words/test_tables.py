import math

import numpy as np
import pytest
from msgspec import structs

from made_trials import DENSE, results, scored, trial, tuning
from spikeduel.results.trials import AddedMeasure, ClassScores, Robustness
from spikeduel.results.tuned import ExpectedBest
from spikeduel.results.words import tables


def rows(*trials):
    return tables.contender_rows(results(trials))


def scores(accuracy):
    return structs.replace(scored(accuracy), precision=0.5, recall=0.25, f1=1 / 3)


SNN = trial("snn", 2 / 3, test=scores(2 / 3), seconds=[2.0, 1.0, 6.0], parameters=1234)
CNN = trial("cnn", 0.5, test=scores(0.5), seconds=[1.0], parameters=1234)


def test_cells():
    assert rows(SNN, CNN) == [
        {
            "model": "snn",
            "family": "SNN",
            "encoding": "rate",
            "accuracy": "66.67",
            "precision": "50.00",
            "recall": "25.00",
            "F1": "33.33",
            "s/epoch": "2.0",
            "epochs": "2",
            "parameters": "1,234",
        },
        {
            "model": "cnn",
            "family": "CNN",
            "encoding": "analogue",
            "accuracy": "50.00",
            "precision": "50.00",
            "recall": "25.00",
            "F1": "33.33",
            "s/epoch": "1.0",
            "epochs": "2",
            "parameters": "1,234",
        },
    ]


def test_several_seeds_share_a_row_with_mean_and_standard_deviation():
    (row,) = rows(SNN, structs.replace(SNN, seed=1, test=scores(0.5), epochs=3))
    # 4/6 and 3/6: mean 7/12, sd (1/6)/sqrt(2).
    assert row["accuracy"] == f"58.33 ± {100 / 6 / math.sqrt(2):.2f}" == "58.33 ± 11.79"
    assert row["precision"] == "50.00 ± 0.00"
    assert row["epochs"] == "2, 3"


def test_folds_of_different_sizes_weigh_by_their_images():
    """As in the verdict: the mean of 2 of 3 and 3 of 9 is no share of the 12 images."""
    folds = [
        structs.replace(SNN, fold=fold, test=structs.replace(scores(accuracy), n=n))
        for fold, n, accuracy in ((0, 3, 2 / 3), (1, 9, 1 / 3))
    ]
    (row,) = rows(*folds)
    assert row["accuracy"] == f"{100 * 5 / 12:.2f} ± {100 * np.std([2 / 3, 1 / 3], ddof=1):.2f}"


def test_everybodys_twin_is_named():
    assert all("same weights as" not in row for row in rows(SNN, CNN))
    twins = rows(*(structs.replace(each, weight_shapes=DENSE) for each in (SNN, CNN)))
    assert [row["same weights as"] for row in twins] == ["cnn", "snn"]


def test_a_failed_contender_stays_and_a_converted_one_took_no_time():
    _, failed = rows(SNN, trial("cnn", epochs=0, parameters=9))
    assert (failed["accuracy"], failed["F1"], failed["s/epoch"], failed["epochs"]) == (
        "failed",
        "failed",
        "failed",
        "0",
    )
    (converted,) = rows(structs.replace(SNN, converted_from="cnn", epoch_seconds=[]))
    assert converted["s/epoch"] == "converted"


def test_a_measure_from_outside_has_a_column():
    def with_speed(value, seed=0):
        added = AddedMeasure(title="speed %", meaning="how fast", value=value, form="{:.1f}")
        return structs.replace(SNN, seed=seed, measures={"own:speed": added})

    assert [
        row["speed %"]
        for row in rows(with_speed(1.0), with_speed(4.0, 1), CNN, structs.replace(CNN, seed=1))
    ] == [
        "2.5 ± 2.1",
        "",
    ]
    assert rows(with_speed(None))[0]["speed %"] == ""


@pytest.mark.parametrize(
    ("seeds", "folds", "note"),
    [
        (1, None, ""),
        (3, None, "± is the standard deviation over 3 seeds."),
        (1, 5, "± is the standard deviation over 5 folds."),
        (3, 5, "± is the standard deviation over all trainings: 3 seeds and 5 folds."),
    ],
)
def test_what_plus_or_minus_is(seeds, folds, note):
    trials = [
        trial("snn", 0.9, seed=seed, fold=fold)
        for seed in range(seeds)
        for fold in (range(folds) if folds else [None])
    ]
    assert tables.spread_note(trials) == note


def test_long_names_are_not_cut():
    name = "a_module_with_a_long_name.and_a_part:build_the_network_of_my_dreams"
    lines = tables.render(
        [{"model": name, "F1": "1.00"}, {"model": "b", "F1": "10.00"}]
    ).splitlines()
    assert name in lines[2]
    # Numbers stand on the right.
    assert lines[2].endswith("   1.00")


def test_names_are_text_never_markup():
    shown = tables.render(
        [{"class": "[red]x[/blue] :smile:", "images": "1"}, {"class": "two\nlines", "images": "2"}]
    )
    assert "[red]x[/blue] :smile:" in shown
    assert r"two\nlines" in shown


def test_classes():
    test = structs.replace(
        scores(2 / 3),
        n=6,
        per_class=[ClassScores(name="a", precision=0.5, recall=0.25, f1=1 / 3, support=6)],
    )
    assert tables.class_rows(test) == [
        {"class": "a", "precision": "50.00", "recall": "25.00", "f1": "33.33", "images": "6"},
        {
            "class": "macro average",
            "precision": "50.00",
            "recall": "25.00",
            "f1": "33.33",
            "images": "6",
        },
        {"class": "accuracy", "precision": "", "recall": "", "f1": "66.67", "images": ""},
    ]


def test_corrupted_images():
    found = Robustness(
        clean=0.9,
        corruptions={"blur": [0.5, 0.5, 0.5, 0.25, 0.25], "altered-hard": [0.125]},
        area={"blur": 0.4, "altered-hard": 0.125},
        relative={"blur": None, "altered-hard": None},
        mean=None,
        mean_relative=None,
        images={"blur": 6, "altered-hard": 1200},
    )
    blur, hard = tables.robustness_rows(found)
    assert list(blur.values()) == [
        "blur",
        "50.00",
        "50.00",
        "50.00",
        "25.00",
        "25.00",
        "40.00",
        "6",
    ]
    assert list(hard.values()) == ["altered-hard", "", "", "", "", "", "12.50", "1,200"]


def test_every_trial_of_a_tuning():
    record = tuning(2, snn=0.0, cnn=None)
    snn, cnn = record.contenders
    tried = [structs.replace(each, settings={"beta": 0.5 + each.number / 4}) for each in snn.trials]
    shown = tables.tuning_rows(
        structs.replace(record, contenders=[structs.replace(snn, trials=tried), cnn])
    )
    assert [list(row.values()) for row in shown] == [
        ["snn", "1", "50.00", "*", "6", "1.0", "beta 0.5"],
        ["snn", "2", "25.00", "", "6", "1.0", "beta 0.75"],
        ["cnn", "1", "failed", "", "6", "1.0", ""],
        ["cnn", "2", "failed", "", "6", "1.0", ""],
    ]


def test_the_expected_best_of_1_2_4_and_all_trials():
    record = tuning(6, snn=0.0)
    curve = [
        ExpectedBest(trials=n, mean=n / 10, standard_deviation=0.01, low=0.0, high=1.0)
        for n in range(1, 7)
    ]
    (row,) = tables.expected_best_rows(
        structs.replace(
            record, contenders=[structs.replace(record.contenders[0], expected_best=curve)]
        )
    )
    assert list(row.items())[1:] == [
        ("of 1", "10.00 ± 1.00"),
        ("of 2", "20.00 ± 1.00"),
        ("of 4", "40.00 ± 1.00"),
        ("of 6", "60.00 ± 1.00"),
    ]
