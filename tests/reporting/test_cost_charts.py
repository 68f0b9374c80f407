"""Charts of accuracy against cost, and of where spiking pays, from declared data."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import made_operations
from made_costs import control, energy_of, followed, latency, leaving, with_accuracy, with_trial
from made_operations import both, layer, macs, plain
from made_pages import places, told, told_in
from made_results import with_trials
from spikeduel.counting.counter import Counter
from spikeduel.measuring import energy
from spikeduel.networks.architectures import DenseSNN
from spikeduel.reporting import anytime, charts, costs, drawing
from spikeduel.reporting.costs import break_even
from spikeduel.results.costs import MEMORIES
from spikeduel.settings.recipes import baseline
from spikeduel.spiking import ConstantInput
from spikeduel.spiking.neurons import LIF

TABLE = energy.read("45nm-fp32")


@pytest.fixture
def results(make_prepared, make_results, monkeypatch):
    """Two seeds with accuracies 0.8 and 0.9 (spiking), 0.7 and 0.7; 4 and 8 µJ with zeros skipped,
    2 and 0.5 ms.
    """
    made = make_results(make_prepared(), baseline(seeds=2))
    for index, accuracy in enumerate((0.8, 0.7, 0.9, 0.7)):
        made = with_accuracy(made, index, accuracy)
        made = with_trial(made, index, energy=energy_of(16e-6 if index % 2 else 8e-6))
    controls = {
        "relu_twin": control("ReLU twin", 0.86, energy=energy_of(12e-6)),
        "quantised_twin": control("quantised twin", 0.84, energy=energy_of(12e-6), bits=3),
        "one_step": control("one time step", 0.5, spikes=True, energy=energy_of(2e-6)),
    }
    early = followed([0.8, 0.85], [leaving(0.9, 0.851, [15, 5])])
    for index in (0, 2):
        made = with_trial(made, index, anytime=early, controls=controls)
    made = with_trial(made, 0, latency=latency(2.0, stream=[1.0, 5.0]))
    monkeypatch.setattr(anytime, "joules_over_time", lambda trial, table: [1e-6, 4e-6])
    return with_trial(made, 1, latency=latency(0.5))


def test_points_by_hand(results):
    found = {point.label: point for point in costs.points(results, TABLE)}
    assert list(found) == [
        "dense-snn",
        "early exit",
        "ReLU twin",
        "quantised twin (3 bits)",
        "small-cnn",
    ]
    snn = found["dense-snn"]
    assert (snn.kind, snn.accuracy) == ("spiking", pytest.approx(0.85))
    assert (snn.joules.low, snn.joules.high) == (pytest.approx(4e-6), pytest.approx(8e-6))
    assert snn.deviation == pytest.approx(np.std([0.8, 0.9], ddof=1))
    assert (snn.seconds, found["small-cnn"].seconds) == (2e-3, 5e-4)
    # Three of four images leave after the first of two steps.
    assert found["early exit"].joules.low == pytest.approx((3 * 1e-6 + 4e-6) / 4)
    assert found["early exit"].seconds == pytest.approx(1e-3 * (3 * 1 + 5) / 4)
    assert (found["ReLU twin"].joules.low, found["ReLU twin"].seconds) == (
        pytest.approx(6e-6),
        None,
    )
    assert found["quantised twin (3 bits)"].colour == snn.colour == charts.SPIKING_COLOURS[0]


def test_energy_that_one_seed_lacks_is_not_known(results):
    (snn, *_) = costs.points(with_trial(results, 2, energy=None), TABLE)
    assert snn.joules is None


def test_a_network_that_may_not_leave_early_has_no_early_exit(results):
    for index in (0, 2):
        results = with_trial(
            results, index, anytime=followed([0.8, 0.85], [leaving(None, 0.85, [0, 20])])
        )
    assert "early exit" not in [point.label for point in costs.points(results, TABLE)]


def test_a_twin_that_one_seed_lacks_is_left_out(results):
    results = with_trial(results, 0, controls={})
    assert "ReLU twin" not in [point.label for point in costs.points(results, TABLE)]


def test_the_front_by_hand():
    #          beaten by 1   cheapest   best   beaten by 2   as 1, dearer
    assert costs.front([3, 1, 5, 6, 2], [0.6, 0.7, 0.9, 0.8, 0.7]) == [1, 2]
    assert costs.front([1, 1], [0.5, 0.6]) == [1]


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_nobody_beats_the_front_and_somebody_beats_all_others(pairs):
    spent, accuracies = zip(*pairs, strict=True)
    kept = costs.front(spent, accuracies)
    for k in range(len(pairs)):
        better = [
            j
            for j in range(len(pairs))
            if spent[j] <= spent[k] and accuracies[j] >= accuracies[k] and pairs[j] != pairs[k]
        ]
        assert not (k in kept and better)
        assert k in kept or better or pairs[k] in [pairs[j] for j in kept]


def test_the_front_joins_the_points_that_nobody_beats(results):
    joules, times = costs.pareto(results, TABLE).panels
    # Early exit is a little better than the network itself, and cheaper; the ReLU twin is better
    # for more.
    xs, ys = places(joules, joules.marks[0])
    assert xs == pytest.approx([1.75e-6, 6e-6])
    assert ys == pytest.approx([85.1, 86])
    named = ["dense-snn", "early exit", "ReLU twin", "quantised twin (3 bits)", "small-cnn"]
    assert [marks.label for marks in joules.marks if marks.label] == named
    assert [marks.label for marks in times.marks if marks.label] == [named[0], named[1], named[4]]
    shown = [(row["time, s"], row["accuracy, %"]) for row in told_in(times)]
    assert shown == [pytest.approx(place) for place in ((2e-3, 85), (2e-3, 85.1), (5e-4, 70))]


def test_without_times_there_is_one_panel_and_without_both_no_chart(results, monkeypatch):
    results = with_trials(results, latency=None)
    assert len(costs.pareto(results, TABLE).panels) == 1
    monkeypatch.setattr(anytime, "joules_over_time", lambda trial, table: None)
    assert costs.pareto(with_trials(results, energy=None, controls={}), TABLE) is None


def test_a_bar_goes_to_where_nothing_is_skipped(results):
    joules, times = costs.pareto(results, TABLE).panels
    spans = [marks for marks in joules.marks if marks.kind == "spans"]
    ends = [tuple(marks.rows[0][end] for end in marks.ends) for marks in spans]
    # Early exit is known with zeros skipped alone.
    assert [end for end in ends if end[1]] == [
        pytest.approx(pair) for pair in ((4e-6, 8e-6), (6e-6, 12e-6), (6e-6, 12e-6), (8e-6, 16e-6))
    ]
    bars = [marks.rows[0][marks.ends[1]] for marks in times.marks if marks.kind == "spans"]
    assert set(bars) == {None}


def test_every_point_tells_its_accuracy_and_costs(results):
    rows = [charts.plain(row) for row in told(costs.pareto(results, TABLE))]
    snn, early, twin, _, cnn = rows[:5]
    # The same point says the same in both panels.
    assert rows[5:] == [snn, early, cnn]
    assert snn == {
        "contender": "dense-snn",
        "network": "spiking",
        "accuracy, %": 85,
        "energy, J": 4e-6,
        "time, s": 2e-3,
        "standard deviation, points": pytest.approx(7.07107),
        "energy at most, J": 8e-6,
    }
    assert (early["energy at most, J"], twin["time, s"]) == (None, None)


def counted(encoded):
    torch.manual_seed(0)
    module, counter = DenseSNN((64,), 4, lambda: LIF(0.9, threshold=0.1), 16), None
    counter = Counter(module, 4)
    images = torch.rand(8, 1, 8, 8)
    x = (torch.rand(4, 8, 1, 8, 8) < images).float() if encoded else ConstantInput(images, 4)
    counter.run(lambda: module(x), x, 8, "spikes" if encoded else "image", 4 if encoded else 1)
    return counter.operations()


@pytest.fixture(scope="module")
def operations():
    return counted(encoded=False)


def test_a_panel_for_each_memory_a_line_for_each_table_and_the_network(operations):
    chart = break_even(operations, "a $name$ " + 60 * "x", "#D55E00")
    assert [panel.title for panel in chart.panels] == [
        "arithmetic alone",
        "with memory on the chip",
        "with weights off the chip",
    ]
    for panel, memory in zip(chart.panels, MEMORIES, strict=True):
        network = panel.marks[-1]
        # Loihi multiplies nothing: it has no border here.
        lines = [marks for marks in panel.marks if marks.kind == "line"]
        assert len(lines) == 4
        for line, name in zip(lines, energy.NAMES, strict=False):
            for num_steps, rate in list(zip(*places(panel, line), strict=True))[::7]:
                expected = energy.break_even_rate(
                    operations, energy.relu_twin(operations), energy.read(name), num_steps, memory
                )
                assert rate == pytest.approx(min(max(expected, 1e-5), 30), rel=0.05)
        assert places(panel, network) == (
            [4],
            [operations.totals.spikes_per_neuron_and_step],
        )
    assert drawing.panels(chart, "").count("<svg") == 3


def test_a_network_that_even_silence_does_not_save_says_so():
    panel = break_even(counted(encoded=True), "net", "#D55E00", plain()).panels[2]
    assert "without a spike" in panel.note


def test_a_network_that_is_cheaper_however_often_it_fires_says_so(operations):
    dear = made_operations.operations([layer("x", passes=both(1), macs=macs(both(1e9)))], 1)
    assert "at any rate" in break_even(operations, "net", "#D55E00", dear).panels[0].note


def test_a_border_tells_its_rates_at_powers_of_two(operations):
    rows = told_in(break_even(operations, "net", "#D55E00").panels[0])
    assert [row["time steps"] for row in rows[:8]] == [1, 2, 4, 8, 16, 32, 64, 128]
    table, twin = energy.read(energy.NAMES[0]), energy.relu_twin(operations)
    for row in rows[:8]:
        rate = energy.break_even_rate(operations, twin, table, row["time steps"], MEMORIES[0])
        assert row["break-even rate"] == ("any" if np.isinf(rate) else pytest.approx(rate))


def test_where_no_rate_is_low_enough_the_table_says_never(operations, monkeypatch):
    monkeypatch.setattr(energy, "break_even_rate", lambda *_: -6e-6)
    rows = told(break_even(operations, "net", "#D55E00"))
    assert {row["break-even rate"] for row in rows if "break-even rate" in row} == {"never"}


def test_at_a_glance_it_has_the_numbers_of_the_answer(results):
    with_memory = energy_of(8e-6, with_memory=(20e-6, 90e-6))
    rows = told(costs.at_a_glance(with_trials(results, energy=with_memory)))
    assert [(row["contender"], row["energy, J"], row["energy at most, J"]) for row in rows] == [
        ("dense-snn", pytest.approx(20e-6), pytest.approx(90e-6)),
        ("small-cnn", pytest.approx(20e-6), pytest.approx(90e-6)),
    ]
    assert [row["accuracy, %"] for row in rows] == [pytest.approx(85), pytest.approx(70)]


def test_where_no_energy_is_known_it_has_the_time_of_an_answer(results):
    rows = told(costs.at_a_glance(with_trials(results, energy=None)))
    assert [(row["contender"], row["time, s"]) for row in rows] == [
        ("dense-snn", 2e-3),
        ("small-cnn", 5e-4),
    ]
    assert costs.at_a_glance(with_trials(results, energy=None, latency=None)) is None
