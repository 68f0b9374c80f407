import pytest

from made_trials import pair, results, trial
from spikeduel.results.disagreement import Answered, shown_pairs
from spikeduel.results.predictions import PredictionsFile, SeedAnswers
from spikeduel.results.significance import Conclusion

#          row: 0  1  2  3  4  5
TRUTH = [0, 0, 1, 1, 2, 2]
ANSWERS = {
    ("snn", 0): [0, 1, 1, 0, 2, 0],
    ("snn", 1): [0, 1, 1, 1, 2, 1],
    ("cnn", 0): [0, 0, 2, 0, 2, 0],
    ("cnn", 1): [0, 1, 2, 0, 2, 2],
}


@pytest.fixture
def answered():
    trials = [
        SeedAnswers(contender=name, seed=seed, predicted=said)
        for (name, seed), said in ANSWERS.items()
    ]
    kept = PredictionsFile(
        schema=1,
        dataset="made up",
        fingerprint="f",
        classes=list("abc"),
        indices=list(range(10, 16)),
        labels=TRUTH,
        groups=None,
        trials=trials,
    )
    return Answered(kept)


def test_sides_of_a_disagreement_are_of_one_seed_each(answered):
    found = answered.between("snn", "cnn")

    # Row 2 twice, row 3 in seed 1 alone.
    assert found.rows["only_a"] == [2, 3]
    # Row 1 in seed 0, row 5 in seed 1, both wrong three times over all.
    assert found.rows["only_b"] == [1, 5]
    # Row 1 in seed 1, row 3 in seed 0, row 5 in seed 0.
    assert found.rows["neither"] == [1, 3, 5]


def test_the_other_way_round_the_sides_change_places(answered):
    one, other = answered.between("snn", "cnn").rows, answered.between("cnn", "snn").rows

    assert (one["only_a"], one["only_b"], one["neither"]) == (
        other["only_b"],
        other["only_a"],
        other["neither"],
    )


def test_cells_hold_every_image_that_one_seed_puts_there_most_seeds_first(answered):
    cells = answered.cells("cnn")

    assert cells[1, 2] == [2]
    assert cells[0, 0] == [0, 1]  # row 0 in both seeds, row 1 in one
    assert cells[2, 0] == [5]
    assert sum(len(rows) for (truth, _), rows in cells.items() if truth == 2) == 3
    assert answered.of("cnn", 5) == [(0, 1), (2, 1)]
    assert answered.of("snn", 1) == [(1, 2)]


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

    assert [(each.a, each.b) for each in shown] == [
        ("b-snn", "a-cnn"),
        ("b-snn", "b-cnn"),
        ("a-snn", "a-cnn"),
    ]


def test_a_pair_is_led_by_the_more_accurate_one():
    behind = pair(-0.01, half=0.02, only_a=3.0, only_b=23.0, conclusion=Conclusion.B_BETTER)

    led = behind.led

    assert (led.a, led.b, led.difference, led.conclusion) == (
        "cnn",
        "snn",
        0.01,
        Conclusion.A_BETTER,
    )
    assert led.ci95 == pytest.approx((-0.01, 0.03))
    assert (led.only_a_right, led.only_b_right) == (23.0, 3.0)
    assert led.accuracy("snn") == behind.accuracy("snn")
    assert (led.leader, led.led) == ("cnn", led)
