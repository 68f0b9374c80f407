import numpy as np
import pytest

from spikeduel.results import significance
from spikeduel.results.words.controls import conclude, right

CONTROLS = ("relu_twin", "quantised_twin", "one_step", "shuffled", "nearest_neighbour")


def classification(num_right, n=1000, bits=None, start=0):
    """Right on `num_right` of `n` images, from image `start` on."""
    predicted = [0 if (k - start) % n < num_right else 1 for k in range(n)]
    return {"accuracy": num_right / n, "truth": [0] * n, "predicted": predicted, "bits": bits}


def concluded(own, reasons=None, num_steps=4, **controls):
    given = {name: controls.get(name, [None] * len(own)) for name in CONTROLS}
    return conclude("conv-lif", num_steps, own, given, reasons or {})


def rows_of(found):
    return {row["b"]: row for row in found["rows"]}


def test_differences_are_those_of_contenders():
    own, other = (
        [classification(800), classification(820)],
        [classification(700, start=50), classification(760, start=50)],
    )
    row = rows_of(concluded(own, relu_twin=other))["relu_twin"]
    expected = significance.difference(right(own), right(other)).to_dict()
    assert {key: row[key] for key in expected} == expected
    # Images that belong together say less than as many single ones.
    given = {name: [None, None] for name in CONTROLS} | {"relu_twin": other}
    grouped = rows_of(conclude("conv-lif", 4, own, given, {}, np.arange(1000) // 50, 0.2))["relu_twin"]
    assert grouped["margin"] == 0.2
    assert grouped["ci95"][1] - grouped["ci95"][0] > row["ci95"][1] - row["ci95"][0]


def test_rows_are_pairs_of_the_contender_and_a_control():
    found = concluded(
        [classification(800), classification(820)],
        relu_twin=[classification(900), classification(900)],
        quantised_twin=[classification(700, bits=3), None],
        reasons={"one_step": "its training failed: NaN"},
    )
    rows = rows_of(found)
    assert list(rows) == list(CONTROLS)
    assert found["accuracy"] == pytest.approx(0.81)
    assert rows["relu_twin"]["difference"] == pytest.approx(-0.09)
    assert rows["relu_twin"]["spread"] == pytest.approx(np.std([0.1, 0.08], ddof=1))
    assert (rows["relu_twin"]["seeds"], rows["relu_twin"]["n"]) == (2, 1000)
    # Only the seed that both have.
    assert rows["quantised_twin"]["difference"] == pytest.approx(0.1)
    assert (rows["quantised_twin"]["seeds"], rows["quantised_twin"]["bits"]) == (1, 3)
    assert rows["one_step"]["accuracy"] is rows["one_step"]["difference"] is rows["one_step"]["ci95"] is None
    assert "Left out, since its training failed: NaN" in found["text"]


def test_the_words_say_who_is_better_and_by_how_much():
    own = [classification(800)]
    text = concluded(
        own,
        relu_twin=[classification(900)],
        quantised_twin=[classification(700, bits=3)],
        one_step=[classification(500)],
        shuffled=[classification(800, start=3)],
        nearest_neighbour=[classification(750)],
    )["text"]
    assert "its ReLU twin, the same network in one pass without spikes, is better (−10.00, −11.85 to −8.11)" in text
    assert "With activations of 3 bits, as many as tell a neuron's spike counts of 0 to 4 apart" in text
    assert "the ReLU twin is worse (+10.00, +8.11 to +11.85)" in text
    assert "Trained with a single time step instead of 4, it is worse (+30.00, " in text
    assert "The timing of its spikes carries nothing that counts (0.00, " in text
    assert "nearest neighbour on all pixels is right on 75.00%: worse (+5.00, " in text
    assert "So spiking over 4 steps buys conv-lif no accuracy, it costs some" in text
    assert "another training could end otherwise" in text


def test_timing_that_carries_something_and_spikes_that_pay():
    text = concluded(
        [classification(800)] * 6,
        relu_twin=[classification(700)] * 6,
        quantised_twin=[classification(700, bits=3)] * 6,
        shuffled=[classification(300)] * 6,
    )["text"]
    assert "Its spikes' timing carries something: shuffled in time, it is worse (+50.00, " in text
    assert "buys conv-lif accuracy that its twins do not have" in text
    assert "means of 6 seeds" in text
    assert "another training" not in text


def test_timing_that_is_used_is_not_always_needed():
    own, shuffled = [classification(800)], [classification(300)]
    assert "trained with a single step" in concluded(own, shuffled=shuffled, one_step=[classification(802)])["text"]
    assert "trained with a single step" not in concluded(own, shuffled=shuffled, one_step=[classification(500)])["text"]


def test_nothing_is_said_of_time_where_there_is_one_step():
    text = concluded(
        [classification(800)], num_steps=1, relu_twin=[classification(801)], one_step=[classification(800)]
    )["text"]
    assert "timing" not in text
    assert "single time step" not in text
    assert "is as good (" in text
    assert "not shown that spiking over 1 step buys" in text


def test_words_and_rows_have_one_sign():
    """Wherever the text names a difference, it is the row's: contender − control."""
    found = concluded(
        [classification(800)],
        relu_twin=[classification(820, start=5)],
        quantised_twin=[classification(900, bits=3)],
        one_step=[classification(802)],
        shuffled=[classification(799, start=300)],
        nearest_neighbour=[classification(500)],
    )
    for row in found["rows"]:
        low, high = row["ci95"]
        amount = f"({100 * row['difference']:+.2f}, {100 * low:+.2f} to {100 * high:+.2f})".replace("-", "−")
        assert amount in found["text"]
    assert "in brackets conv-lif − control in points" in found["text"]


def test_two_seeds_whose_interval_excludes_0_are_not_called_alike():
    twin = [classification(900), classification(901)]
    found = concluded([classification(800), classification(801)], relu_twin=twin, shuffled=twin, nearest_neighbour=twin)
    row = rows_of(found)["relu_twin"]
    assert (row["conclusion"], row["ci95"][1] < 0) == ("inconclusive", True)
    text = found["text"]
    assert "without spikes, is better in these trainings (−10.00, " in text
    assert "Shuffled in time, it is better in these trainings (−10.00, " in text
    assert "neither better nor worse" not in text
    said = "Where it says “in these trainings”, the interval excludes 0, yet with 2 seeds nobody can be called better"
    assert text.count(said) == 1
    assert "it is not shown that spiking" in text
