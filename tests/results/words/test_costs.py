import pytest

from made_costs import control, energy_of, results_of, trial, with_trial
from made_operations import plain, spiking
from spikeduel.results.words import costs
from spikeduel.results.words.verdict import titled


@pytest.fixture
def results():
    """Counts by hand; the spiking network needs 4 µJ, or 40 per step, or 3 mJ with memory; the CNN 8, 8 and 2."""
    return results_of(
        trial("dense-snn", operations=spiking(), energy=energy_of(4e-6, 40e-6, 3e-3)),
        trial("small-cnn", operations=plain(), energy=energy_of(8e-6, 8e-6, 2e-3)),
    )


def test_the_rows_by_hand(results):
    snn, cnn = costs.cost_rows(results)
    assert snn == {
        "model": "dense-snn", "MACs": "40.0", "per step": "80.0", "ACs": "20.0", "spikes": "50.0 %",
        "energy": "4.00 µJ", "with memory": "3.00 mJ", "one image": "", "images/s": "",
    }  # fmt: skip
    assert (cnn["MACs"], cnn["ACs"], cnn["spikes"]) == ("60.0", "0", "")
    assert list(costs.table_rows(results)[0]) == [
        "model", "MACs", "per step", "ACs", "spikes", "energy", "with memory",
    ]  # fmt: skip


def test_a_contender_with_a_trial_that_is_not_known_is_not_known(results):
    known = costs.cost_rows(results)[0]
    again = with_trial(results, 1, contender="dense-snn", seed=1, operations=spiking(), energy=energy_of(4e-6))
    assert costs.cost_rows(again)[0]["energy"] == known["energy"]
    lacking = with_trial(again, 1, operations=None, energy=None)
    assert {costs.cost_rows(lacking)[0][key] for key in ("MACs", "ACs", "spikes", "energy")} == {""}
    assert costs.rankings(lacking) == []


def test_a_mean_needs_all():
    assert costs.mean([1.0, 3.0]) == 2
    assert costs.mean([1.0, None]) is None
    assert costs.mean([]) is None


def test_rankings_say_when_the_counting_turns_the_order(results):
    hoisted, per_step, with_memory = costs.rankings(results)
    assert (hoisted.counting, list(hoisted.joules), hoisted.turned) == ("hoisted", ["dense-snn", "small-cnn"], False)
    assert (per_step.counting, per_step.turned) == ("per_step", True)
    assert per_step.joules == {"small-cnn": 8e-6, "dense-snn": 40e-6}
    assert (list(with_memory.joules), with_memory.turned) == (["small-cnn", "dense-snn"], True)
    text = costs.words(results)
    assert "dense-snn 4.00 µJ and small-cnn 8.00 µJ" in text
    assert text.count("The order changes") == 2


def test_a_counting_that_gives_the_same_is_left_out(results):
    same = with_trial(with_trial(results, 0, energy=energy_of(4e-6)), 1, energy=energy_of(8e-6))
    assert [ranking.counting for ranking in costs.rankings(same)] == ["hoisted"]


def test_nothing_counted_says_nothing(results):
    for index in (0, 1):
        results = with_trial(results, index, operations=None, energy=None)
    assert costs.words(results) is None
    assert (costs.table_rows(results), costs.table_title(results)) == ([], "")


def test_which_joules_are_meant(results):
    trial = results.trials[0]
    assert costs.joules_of(trial, "45nm-fp32") == costs.joules_of(trial) == 4e-6
    assert costs.joules_of(trial, multiplications="effective") == 2e-6
    assert costs.joules_of(trial, "45nm-int8") is None
    assert (costs.per_step(trial), costs.with_memory(trial)) == (40e-6, 3e-3)
    assert costs.joules_of(control("shuffled", 0.5)) is None


def test_a_control_that_a_trial_lacks_has_no_results(results):
    twin = control("quantised twin", 0.75, bits=3)
    has = with_trial(results, 0, controls={"quantised_twin": twin}).trials
    assert costs.control_results(has[:1], "quantised_twin") == [twin]
    assert costs.control_results(has, "quantised_twin") == []
    assert titled(twin) == "quantised twin (3 bits)"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (7.25, "7.25"),
        (1024, "1.02 k"),
        (1.2e7, "12.0 M"),
        (240.87e6, "241 M"),
        (2e9, "2.00 G"),
        (999.7, "1.00 k"),
    ],
)
def test_amounts_have_three_digits(number, text):
    assert costs.amount(number) == text
