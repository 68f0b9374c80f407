import pytest
from msgspec.structs import replace

from made_costs import control, energy_of, results_of, trial, with_trial
from made_operations import plain, spiking
from spikeduel.data.events.recordings import EventRates
from spikeduel.results.costs import Range
from spikeduel.results.words import costs
from spikeduel.results.words.verdict import titled


@pytest.fixture
def results():
    """Counts by hand; µJ from zeros skipped to nothing skipped: the spiking network 4 to 10, or 30
    to 40 per step, the CNN 5 to 8; with memory 1 to 3 and 2 to 4 mJ.
    """
    return results_of(
        trial(
            "dense-snn",
            operations=spiking(),
            energy=energy_of((4e-6, 10e-6), (30e-6, 40e-6), (1e-3, 3e-3)),
        ),
        trial("small-cnn", operations=plain(), energy=energy_of((5e-6, 8e-6), None, (2e-3, 4e-3))),
    )


def test_the_rows_by_hand(results):
    snn, cnn = costs.cost_rows(results)
    assert snn == {
        "model": "dense-snn",
        "MACs": "40.0",
        "per step": "80.0",
        "ACs": "20.0",
        "spikes": "50.0 %",
        "energy": "4.00 to 10.0 µJ",
        "with memory": "1.00 to 3.00 mJ",
        "one image": "",
        "images/s": "",
    }
    assert (cnn["MACs"], cnn["ACs"], cnn["spikes"]) == ("60.0", "0", "")
    assert list(costs.table_rows(results)[0]) == [
        "model",
        "MACs",
        "per step",
        "ACs",
        "spikes",
        "energy",
        "with memory",
    ]


def test_a_contender_with_a_trial_that_is_not_known_is_not_known(results):
    known = costs.cost_rows(results)[0]
    again = with_trial(
        results,
        1,
        contender="dense-snn",
        seed=1,
        operations=spiking(),
        energy=results.trials[0].energy,
    )
    assert costs.cost_rows(again)[0]["energy"] == known["energy"]
    lacking = with_trial(again, 1, operations=None, energy=None)
    assert {costs.cost_rows(lacking)[0][key] for key in ("MACs", "ACs", "spikes", "energy")} == {""}


def test_the_words_say_that_it_depends_and_on_what(results):
    assert (
        "who takes the least depends on how it is counted. Of 5 ways: dense-snn in 1 (arithmetic "
        "alone, zeros skipped by all), small-cnn in 3 (arithmetic alone, nothing skipped; per "
        "step, zeros skipped by all; per step, nothing skipped), nobody in 1, where ranges "
        "overlap (with neurons and on-chip memory)."
    ) in costs.words(results)


def test_the_words_say_that_it_does_not_depend(results):
    cheap = with_trial(results, 0, energy=energy_of((1e-6, 2e-6), None, (1e-4, 1e-3)))
    assert "dense-snn takes the least in all 3 ways of counting." in costs.words(cheap)


def test_the_words_say_that_nobody_does(results):
    same = with_trial(results, 0, energy=results.trials[1].energy)
    assert "nobody takes the least in any of 3 ways of counting: ranges overlap." in costs.words(
        same
    )


def test_one_alone_is_not_the_least(results):
    alone = results_of(results.trials[0])
    assert costs.words(alone) is None


def test_the_page_marks_who_takes_least(results):
    rows = costs.page_rows(results)
    assert rows["energy, arithmetic alone, zeros skipped by all (estimate)"] == [
        "4.00 µJ (least)",
        "5.00 µJ",
    ]
    assert rows["energy, with neurons and on-chip memory (estimate)"] == [
        "1.00 to 3.00 mJ",
        "2.00 to 4.00 mJ",
    ]


def test_nothing_counted_says_nothing(results):
    for index in (0, 1):
        results = with_trial(results, index, operations=None, energy=None)
    assert costs.words(results) is None
    assert (costs.table_rows(results), costs.table_title(results)) == ([], "")


def test_a_control_has_its_bits_in_its_title():
    assert titled(control("quantised twin", 0.75, bits=3)) == "quantised twin (3 bits)"


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


def test_events_are_told_of_recordings_alone(results):
    assert costs.events(results) == ""
    rates = EventRates(a_second=13_400.4, each=4200.4, in_frames=4101.3, non_zero=0.09)
    recorded = replace(results, dataset=replace(results.dataset, events=rates))
    for number in ("13,400 events a second", "4,101", "9.0 %"):
        assert number in costs.events(recorded)
