import math
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from factories import pair, results, scored, trial
from spikeduel.results.significance import Conclusion
from spikeduel.results.trials import AddedMeasure
from spikeduel.sentences import columns
from spikeduel.sentences.columns import text_rows


def rows(*trials):
    made = results(trials)
    return text_rows(columns.contender_columns(made), columns.contender_rows(made))


def scores(accuracy, supports=(180,) * 10):
    return structs.replace(scored(accuracy, supports), precision=0.5, recall=0.25, f1=1 / 3)


SNN = trial("snn", 2 / 3, test=scores(2 / 3), seconds=[2.0, 1.0, 6.0], parameters=1234)
CNN = trial("cnn", 0.5, test=scores(0.5), seconds=[1.0], parameters=1234)


def test_cells():
    snn, cnn = rows(SNN, CNN)
    assert list(snn) == [
        *("contender", "kind", "encoding", "accuracy %", "precision %", "recall %", "F1 %"),
        *("training s", "epochs", "converged", "parameters"),
    ]
    scores_of_snn = ["66.67", "50.00", "25.00", "33.33"]
    assert list(snn.values()) == ["snn", "SNN", "rate", *scores_of_snn, "9.0", "2", "–", "1,234"]
    assert list(cnn.values())[:4] == ["cnn", "CNN", "analogue", "50.00"]


def test_several_seeds_share_a_row_with_mean_and_standard_deviation():
    (row,) = rows(SNN, structs.replace(SNN, seed=1, test=scores(0.5), epochs=3))
    # 4/6 and 3/6: mean 7/12, sd (1/6)/sqrt(2).
    assert row["accuracy %"] == f"58.33 ± {100 / 6 / math.sqrt(2):.2f}" == "58.33 ± 11.79"
    assert row["precision %"] == "50.00 ± 0.00"
    assert row["epochs"] == "2 to 3"


def test_folds_of_different_sizes_weigh_by_their_images():
    # The verdict says it so, too: the mean of 2 of 3 and 3 of 9 is no share of the 12 images.
    folds = [
        structs.replace(SNN, fold=fold, test=scores(accuracy, (n // 3,) * 3))
        for fold, n, accuracy in ((0, 3, 2 / 3), (1, 9, 1 / 3))
    ]
    (row,) = rows(*folds)
    assert row["accuracy %"] == f"{100 * 5 / 12:.2f} ± {100 * np.std([2 / 3, 1 / 3], ddof=1):.2f}"


def test_a_failed_contender_stays_and_a_converted_one_took_the_time_of_its_source():
    _, failed = rows(SNN, trial("cnn", epochs=0, parameters=9))
    assert [failed[title] for title in ("accuracy %", "F1 %", "training s", "epochs")] == [
        *("failed", "failed", "–", "0")
    ]
    (converted,) = rows(structs.replace(SNN, derived_from="cnn", epoch_seconds=[1.0, 2.5]))
    assert converted["training s"] == "3.5"


@pytest.mark.parametrize(
    ("converged", "cell"),
    [([True, True], "2 of 2"), ([False], "0 of 1"), ([True, False, None], "1 of 2"), ([None], "–")],
    ids=str,
)
def test_a_contender_says_if_its_trainings_had_converged(converged, cell):
    trials = [
        structs.replace(SNN, seed=seed, converged=value) for seed, value in enumerate(converged)
    ]
    (row,) = rows(*trials)
    assert row["converged"] == cell


def test_seeds_that_a_contender_did_not_finish_count_for_nobody():
    """Table, recommendation and pair are of the same trials."""
    second = structs.replace(SNN, seed=1, test=scores(0.9))
    made = results([SNN, second, CNN, trial("cnn", seed=1)])
    snn, cnn = text_rows(columns.SCORES, columns.contender_rows(made))
    assert (snn["accuracy %"], cnn["accuracy %"]) == ("66.67", "50.00")
    assert made.recommendation.quantity("accuracy").values["snn"].low == pytest.approx(2 / 3)
    assert made.recommendation.quantity("accuracy").difference == pytest.approx(2 / 3 - 0.5)
    # A contender that finished nothing does not keep the others from being shown.
    lone = results([SNN, second, trial("cnn"), trial("cnn", seed=1)])
    assert [finished.seed for finished in lone.of("snn")] == [0, 1]
    # An unfinished fold leaves out its seed.
    folds = [structs.replace(SNN, fold=fold, seed=seed) for seed in (0, 1) for fold in (0, 1)]
    assert {finished.seed for finished in results(folds[:3]).of("snn")} == {0}


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


def test_what_plus_or_minus_is(golden):
    def note(seeds, folds):
        trials = [trial("snn", 0.9, seed=s, fold=f) for s in range(seeds) for f in folds]
        return columns.spread_note(trials)

    assert note(1, [None]) == ""
    golden(note(3, [None]), note(1, range(5)), note(3, range(5)))


def test_names_are_text_never_markup():
    shown = columns.render(
        [{"class": "[red]x[/blue] :smile:", "images": "1"}, {"class": "two\nlines", "images": "2"}]
    )
    assert "[red]x[/blue] :smile:" in shown
    assert r"two\nlines" in shown


def test_every_definition_is_of_a_column():
    titles = [column.title for table in columns.TABLES for column in table]
    assert len(titles) == len(set(titles))
    glossary = (Path(__file__).parents[2] / "docs" / "glossary.md").read_text()
    for title, definition in columns.definitions().items():
        assert title in titles
        assert f"| **{title}** | {definition} |" in glossary


def test_pairs_say_what_they_are_about():
    made = pair(-0.01, half=0.02, seeds=2, p_value=0.25)
    (row,) = text_rows(columns.PAIRS, [made.leader_first])
    assert list(row.values()) == [
        *("cnn − snn", "+1.00", "−1.00 to +3.00", "0.250", "2,000", "2", "inconclusive")
    ]
    better = structs.replace(made, conclusion=Conclusion.B_BETTER, negligible=True, seeds=1)
    (row,) = text_rows(columns.PAIRS, [better])
    assert row["conclusion"].startswith("of these trained models: cnn is better, by less")
