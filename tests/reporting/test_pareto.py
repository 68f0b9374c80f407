import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

import made_operations
from made_costs import control, energy_of, followed, latency, leaving, with_accuracy, with_trial
from made_operations import both, layer, macs, plain
from made_pages import told
from made_results import with_trials
from spikeduel.counting.counter import Counter
from spikeduel.measuring import energy
from spikeduel.networks.architectures import DenseSNN
from spikeduel.reporting import anytime, pareto, style
from spikeduel.reporting.labels import label_points
from spikeduel.reporting.pareto import break_even
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
    found = {point.label: point for point in pareto.points(results, TABLE)}
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
    assert found["quantised twin (3 bits)"].colour == snn.colour == style.SPIKING_COLOURS[0]


def test_energy_that_one_seed_lacks_is_not_known(results):
    (snn, *_) = pareto.points(with_trial(results, 2, energy=None), TABLE)
    assert snn.joules is None


def test_a_network_that_may_not_leave_early_has_no_early_exit(results):
    for index in (0, 2):
        results = with_trial(
            results, index, anytime=followed([0.8, 0.85], [leaving(None, 0.85, [0, 20])])
        )
    assert "early exit" not in [point.label for point in pareto.points(results, TABLE)]


def test_a_twin_that_one_seed_lacks_is_left_out(results):
    results = with_trial(results, 0, controls={})
    assert "ReLU twin" not in [point.label for point in pareto.points(results, TABLE)]


def test_the_front_by_hand():
    #          beaten by 1   cheapest   best   beaten by 2   as 1, dearer
    assert pareto.front([3, 1, 5, 6, 2], [0.6, 0.7, 0.9, 0.8, 0.7]) == [1, 2]
    assert pareto.front([1, 1], [0.5, 0.6]) == [1]


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_nobody_beats_the_front_and_somebody_beats_all_others(pairs):
    costs, accuracies = zip(*pairs, strict=True)
    kept = pareto.front(costs, accuracies)
    for k in range(len(pairs)):
        better = [
            j
            for j in range(len(pairs))
            if costs[j] <= costs[k] and accuracies[j] >= accuracies[k] and pairs[j] != pairs[k]
        ]
        assert not (k in kept and better)
        assert k in kept or better or pairs[k] in [pairs[j] for j in kept]


def test_the_plot(results):
    figure = pareto.pareto(results, TABLE)
    figure.draw_without_rendering()
    joules, times = figure.axes
    front = next(line for line in joules.lines if line.get_linestyle() == "--")
    # Early exit is a little better than the network itself, and cheaper; the ReLU twin is better
    # for more.
    np.testing.assert_allclose(front.get_xdata(), [1.75e-6, 6e-6])
    np.testing.assert_allclose(front.get_ydata(), [0.851, 0.86])
    written = [
        [text.get_text() for text in axes.texts if isinstance(text, Annotation)]
        for axes in (joules, times)
    ]
    assert written[0] == [
        "dense-snn",
        "early exit",
        "ReLU twin",
        "quantised twin (3 bits)",
        "small-cnn",
    ]
    assert written[1] == ["dense-snn", "early exit", "small-cnn"]
    assert f"estimate: {TABLE.title}" in joules.get_xlabel()
    places = [each.get_offsets()[0] for each in times.collections]
    np.testing.assert_allclose(places, [(2e-3, 0.85), (2e-3, 0.851), (5e-4, 0.7)])


def test_without_times_there_is_one_panel_and_without_both_no_plot(
    results, with_trials, monkeypatch
):
    results = with_trials(results, latency=None)
    assert len(pareto.pareto(results, TABLE).axes) == 1
    monkeypatch.setattr(anytime, "joules_over_time", lambda trial, table: None)
    assert pareto.pareto(with_trials(results, energy=None, controls={}), TABLE) is None


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
    figure = break_even(operations, "net", "red")
    assert [axes.get_title("left") for axes in figure.axes] == [
        "arithmetic alone",
        "with memory on the chip",
        "with weights off the chip",
    ]
    for axes, memory in zip(figure.axes, MEMORIES, strict=True):
        *borders, network = axes.lines
        # Loihi multiplies nothing: it has no border here.
        assert len(borders) == 4
        for line, name in zip(borders, energy.NAMES, strict=False):
            steps, rates = line.get_data()
            for t, rate in list(zip(steps, rates, strict=True))[::50]:
                expected = energy.break_even_rate(
                    operations, energy.relu_twin(operations), energy.read(name), t, memory
                )
                assert rate == pytest.approx(min(max(expected, 1e-5), 10))
        assert network.get_xdata()[0] == 4
        assert network.get_ydata()[0] == operations.totals.spikes_per_neuron_and_step


def test_a_network_that_even_silence_does_not_save_says_so():
    figure = break_even(counted(encoded=True), "net", "red", plain())
    assert any("even without a spike" in text.get_text() for text in figure.axes[2].texts)


def test_a_network_that_is_cheaper_however_often_it_fires_says_so(operations):
    dear = made_operations.operations([layer("x", passes=both(1), macs=macs(both(1e9)))], 1)
    assert any(
        "at any rate" in text.get_text()
        for text in break_even(operations, "net", "red", dear).axes[0].texts
    )


def test_a_bar_goes_to_where_nothing_is_skipped(results):
    joules, times = pareto.pareto(results, TABLE).axes
    ends = [tuple(line.get_xdata()) for line in joules.lines if line.get_linewidth() == 2.5]
    # Early exit is known with zeros skipped alone.
    assert ends == [
        pytest.approx(pair) for pair in ((4e-6, 8e-6), (6e-6, 12e-6), (6e-6, 12e-6), (8e-6, 16e-6))
    ]
    assert not any(line.get_linewidth() == 2.5 for line in times.lines)


def test_strange_names(operations):
    break_even(operations, "a $name$ " + 60 * "x", "red").canvas.draw()


def drawn(points, logarithmic=False, lines=()):
    figure = style.new_figure(4.0)
    axes = style.quiet(figure.subplots(), "title", x="x", y="y")
    axes.scatter(*zip(*points, strict=True))
    for x, y in lines:
        axes.plot(x, y)
    if logarithmic:
        axes.set_xscale("log")
    axes.margins(0.15)
    labels = label_points(axes, points, [f"network {k}" for k in range(len(points))])
    figure.draw_without_rendering()
    for label in labels:
        label.get_window_extent()
    return axes, [Text.get_window_extent(label) for label in labels]


POINTS = {
    "apart": [(1, 1), (2, 2), (3, 1)],
    "crowded": [(1, 1), (1.01, 1), (1.02, 1.01), (1, 1.02), (4, 4)],
    "the same": [(1, 1)] * 4 + [(2, 2)],
    "at the edge": [(0, 0), (0, 1), (1, 0), (1, 1)],
}


@pytest.mark.parametrize("logarithmic", [False, True])
@pytest.mark.parametrize("name", POINTS)
def test_no_label_covers_another_or_a_point_or_leaves_the_axes(name, logarithmic):
    points = [(x + 0.5, y) for x, y in POINTS[name]]
    axes, boxes = drawn(points, logarithmic)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    for box in boxes:
        assert not any(box.contains(*place) for place in axes.transData.transform(points))
        inside = Bbox.intersection(box, axes.get_window_extent())
        assert inside is not None
        assert inside.width * inside.height > 0.98 * box.width * box.height


def test_labels_keep_off_lines():
    axes, (box,) = drawn([(1, 1)], lines=[([0, 2], [1, 1]), ([1, 1], [0, 2])])
    along = np.linspace(0, 2, 500)
    for line in (np.column_stack([along, np.ones(500)]), np.column_stack([np.ones(500), along])):
        assert not any(box.contains(*place) for place in axes.transData.transform(line))


def test_nothing_to_label():
    axes = style.new_figure(3).subplots()
    assert label_points(axes, [], []) == []


def test_every_point_tells_its_accuracy_and_costs(results):
    rows = told(pareto.pareto(results, TABLE))
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


def test_a_border_tells_its_rates_at_powers_of_two(operations):
    figure = break_even(operations, "net", "red")
    *rows, network = told(figure)
    assert network == told(figure)[len(rows) // 3]
    assert [row["time steps"] for row in rows[:8]] == [1, 2, 4, 8, 16, 32, 64, 128]
    table, twin = energy.read(energy.NAMES[0]), energy.relu_twin(operations)
    for row in rows[:8]:
        rate = energy.break_even_rate(operations, twin, table, row["time steps"], MEMORIES[0])
        assert row["break-even rate"] == (
            "any" if np.isinf(rate) else pytest.approx(rate, rel=1e-5)
        )


def test_where_no_rate_is_low_enough_the_table_says_never(operations, monkeypatch):
    monkeypatch.setattr(energy, "break_even_rate", lambda *_: -6e-6)
    *rows, _ = told(break_even(operations, "net", "red"))
    assert {row["break-even rate"] for row in rows if "break-even rate" in row} == {"never"}


def test_at_a_glance_it_has_the_numbers_of_the_answer(results):
    with_memory = energy_of(8e-6, with_memory=(20e-6, 90e-6))
    rows = told(pareto.at_a_glance(with_trials(results, energy=with_memory)))
    assert [(row["contender"], row["energy, J"], row["energy at most, J"]) for row in rows] == [
        ("dense-snn", pytest.approx(20e-6), pytest.approx(90e-6)),
        ("small-cnn", pytest.approx(20e-6), pytest.approx(90e-6)),
    ]
    assert [row["accuracy, %"] for row in rows] == [pytest.approx(85), pytest.approx(70)]


def test_where_no_energy_is_known_it_has_the_time_of_an_answer(results):
    rows = told(pareto.at_a_glance(with_trials(results, energy=None)))
    assert [(row["contender"], row["time, s"]) for row in rows] == [
        ("dense-snn", 2e-3),
        ("small-cnn", 5e-4),
    ]
    assert pareto.at_a_glance(with_trials(results, energy=None, latency=None)) is None
