import pytest
from msgspec.structs import replace

from factories import fully_timed, latency, with_trial
from made_operations import spiking
from spikeduel.data.events.recordings import EventRates
from spikeduel.results.cost_results import Range
from spikeduel.sentences import cost_sentences as costs


def cells(results, name):
    return {row["cost"]: row[name] for row in costs.rows(results)}


def test_the_rows_by_hand(results):
    assert cells(results, "dense-snn") == {
        "MACs": "40.0",
        "MACs per step": "80.0",
        "MACs not of 0": "20.0",
        "ACs": "20.0",
        "spikes/neuron/step": "50.0 %",
        "energy": "1.00 to 3.00 mJ",
        "arithmetic alone": "4.00 to 10.0 µJ",
        "arithmetic per step": "30.0 to 40.0 µJ",
    }
    cnn = cells(results, "small-cnn")
    assert (cnn["MACs"], cnn["ACs"], cnn["spikes/neuron/step"]) == ("60.0", "0", "")


def test_the_times_by_hand(results):
    timed = with_trial(results, 1, latency=fully_timed())
    snn, cnn = cells(timed, "dense-snn"), cells(timed, "small-cnn")
    one_image = "one image (95 % within)"
    assert (snn[one_image], cnn[one_image], cnn["images/s"]) == ("", "0.50 ms (0.75)", "4,000")
    # Few repetitions have no 95th percentile.
    few = cells(with_trial(results, 1, latency=latency(0.5)), "small-cnn")
    assert (few[one_image], "first inference of a process" in few) == ("0.50 ms", False)


def test_the_energies_as_most_count(results):
    title, memory, ((hoisted, usual), _) = costs.energies(results)[0]
    assert (title, memory) == ("the table 45nm-fp32", "arithmetic alone")
    assert (hoisted, usual) == ("4.00 to 10.0 µJ", "10.0 µJ")


def test_a_contender_with_a_trial_that_is_not_known_is_not_known(results):
    known = cells(results, "dense-snn")
    again = with_trial(
        results,
        1,
        contender="dense-snn",
        seed=1,
        operations=spiking(),
        energy=results.trials[0].energy,
    )
    assert cells(again, "dense-snn") == known
    assert costs.rows(with_trial(again, 1, operations=None, energy=None)) == []


def test_nothing_counted_says_nothing(results):
    for index in (0, 1):
        results = with_trial(results, index, operations=None, energy=None)
    assert (costs.rows(results), costs.leading(results)) == ([], None)


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (1e-6, 2.5e-6, "1.00 to 2.50 µJ"),
        (9e-7, 2e-6, "900 nJ to 2.00 µJ"),
        (1e-6, 1.0001e-6, "1.00 µJ"),
    ],
)
def test_a_range_names_its_unit_once(low, high, text):
    assert costs.range_in_words(Range(low=low, high=high)) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (7.25, "7.25"), (1.2e7, "12.0 M"), (240.87e6, "241 M"), (999.7, "1.00 k")],
)
def test_amounts_have_three_digits(number, text):
    assert costs.amount(number) == text


def test_only_recordings_have_a_sentence_on_events(results):
    assert costs.events(results) == ""
    rates = EventRates(a_second=13_400.4, each=4200.4, in_frames=4101.3, non_zero=0.09)
    recorded = replace(results, dataset=replace(results.dataset, events=rates))
    for number in ("13,400 events a second", "4,101", "9.0 %"):
        assert number in costs.events(recorded)
