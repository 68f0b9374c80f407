"""Charts of accuracy against cost, and of where spiking pays, from declared data."""

import numpy as np
import pytest
import torch
from msgspec import structs
from msgspec.structs import replace

import made_operations
from factories import (
    control,
    energy_of,
    latency,
    run_results,
    with_accuracy,
    with_trial,
    with_trials,
)
from made_exits import followed, leaving
from made_operations import both, layer, macs, plain, spiking
from made_pages import places, told, told_in
from spikeduel import energy
from spikeduel.analysis.answer import answered
from spikeduel.energy.rescaling import relu_twin
from spikeduel.engine import ConstantInput
from spikeduel.engine.counting.counter import Counter
from spikeduel.engine.networks.architectures import DenseSNN
from spikeduel.engine.neurons import LIF
from spikeduel.experiment.recipes import baseline
from spikeduel.reporting import charts, cost_figures as costs, drawing
from spikeduel.reporting.cost_figures import POWERS, break_even
from spikeduel.results.cost_results import MEMORIES, Range
from spikeduel.results.trials import Received

TABLE = energy.read("45nm-fp32")


@pytest.fixture
def results(make_prepared, monkeypatch):
    """Two seeds with accuracies 0.8 and 0.9 (spiking), 0.7 and 0.7; 4 and 8 µJ with zeros skipped,
    2 and 0.5 ms.
    """
    made = run_results(make_prepared(), baseline(seeds=2))
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
    by_step = [Range(low=low, high=2 * low) for low in (1e-6, 4e-6)]
    monkeypatch.setattr(costs, "joules_over_time", lambda trial, table: by_step)
    return with_trial(made, 1, latency=latency(0.5))


def test_points_by_hand(results):
    rows = [charts.plain(row) for row in costs.points(results, TABLE)]
    networks = ["spiking", "early exit", "ReLU twin", "quantised twin (3 bits)", "without spikes"]
    assert [row["network"] for row in rows] == networks
    snn, early, twin, _, cnn = rows
    assert snn == {
        "contender": "dense-snn",
        "network": "spiking",
        "accuracy, %": 85,
        "standard deviation, points": pytest.approx(7.07107),
        "energy, J": 4e-6,
        "energy at most, J": 8e-6,
        "time, s": 2e-3,
    }
    # Three of four images leave after the first of two steps.
    assert early["energy, J"] == pytest.approx((3 * 1e-6 + 4e-6) / 4)
    assert early["time, s"] == pytest.approx(1e-3 * (3 * 1 + 5) / 4)
    assert (twin["energy, J"], twin["time, s"]) == (6e-6, None)
    assert early["energy at most, J"] == pytest.approx((3 * 2e-6 + 8e-6) / 4)
    assert cnn["time, s"] == 5e-4


def test_what_one_seed_lacks_is_left_out(results):
    networks = [row["network"] for row in costs.points(with_trial(results, 0, controls={}), TABLE)]
    assert "ReLU twin" not in networks
    assert costs.points(with_trial(results, 2, energy=None), TABLE)[0]["energy, J"] is None
    for index in (0, 2):
        nobody = followed([0.8, 0.85], [leaving(None, 0.85, [0, 20])])
        results = with_trial(results, index, anytime=nobody)
    assert "early exit" not in [row["network"] for row in costs.points(results, TABLE)]


def test_the_front_joins_the_points_that_nobody_beats(results):
    joules, times = costs.pareto(results, TABLE).panels
    # Early exit is a little better than the network itself, and cheaper; the ReLU twin is better
    # for more.
    front = (pytest.approx([1.75e-6, 6e-6]), pytest.approx([85.1, 86]))
    assert places(joules, joules.marks[0]) == front
    named = ["dense-snn", "early exit", "ReLU twin", "quantised twin (3 bits)", "small-cnn"]
    assert [marks.label for marks in joules.marks if marks.label] == named
    assert [marks.label for marks in times.marks if marks.label] == [named[0], named[1], named[4]]
    shown = [(row["time, s"], row["accuracy, %"]) for row in told_in(times)]
    assert shown == [pytest.approx(place) for place in ((2e-3, 85), (2e-3, 85.1), (5e-4, 70))]


def test_without_times_there_is_one_panel_and_without_both_no_chart(results, monkeypatch):
    results = with_trials(results, latency=None)
    assert len(costs.pareto(results, TABLE).panels) == 1
    monkeypatch.setattr(costs, "joules_over_time", lambda trial, table: None)
    assert costs.pareto(with_trials(results, energy=None, controls={}), TABLE) is None


def test_a_report_has_one_scale_of_energy(results):
    trials = [
        replace(trial, controls={}, energy=energy_of(8e-6, with_memory=(20e-6, 90e-6)))
        for trial in results.trials
    ]
    results = answered(replace(results, trials=trials))
    answer = results.answer.lead("energy").values
    glance, pareto = costs.at_a_glance(results).panels[0], costs.pareto(results, TABLE).panels[0]
    assert glance.x == pareto.x
    for panel in (glance, pareto):
        for row in told_in(panel):
            if row["network"] != "early exit":
                ends = (row["energy, J"], row["energy at most, J"])
                assert ends == pytest.approx(structs.astuple(answer[row["contender"]]))
    assert {row["contender"] for row in told_in(pareto)} == {*answer}


def test_a_table_without_memory_has_arithmetic_alone(results):
    table = replace(TABLE, memory=energy.Memory())
    for with_memory in (9e-6, 90e-6):
        changed = with_trials(results, energy=energy_of(8e-6, with_memory=with_memory))
        panel = costs.pareto(changed, table).panels[0]
        assert "arithmetic alone" in panel.x.title
        assert told_in(panel)[0]["energy, J"] == pytest.approx(4e-6)


def test_a_bar_goes_to_the_dearest_way(results):
    joules, times = costs.pareto(results, TABLE).panels
    spans = [marks for marks in joules.marks if marks.kind == "spans"]
    ends = [[marks.rows[0][end] for end in marks.ends] for marks in spans]
    expected = [[4e-6, 8e-6], [1.75e-6, 3.5e-6], *2 * [[6e-6, 12e-6]], [8e-6, 16e-6]]
    np.testing.assert_allclose(ends, expected)
    assert [marks for marks in times.marks if marks.kind == "spans"] == []


def counted(encoded):
    torch.manual_seed(0)
    module = DenseSNN((64,), 4, lambda: LIF(0.9, threshold=0.1), 16)
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
            table, twin = energy.read(name), relu_twin(operations)
            expected = [
                energy.break_even_rate(operations, twin, table, steps, memory) for steps in POWERS
            ]
            assert places(panel, line) == (list(POWERS), [max(r, 1e-5) for r in expected])
            told = [row["break-even rate"] for row in line.rows]
            assert told == [{0: "never", 1: "any"}.get(rate, rate) for rate in expected]
        assert places(panel, network) == (
            [4],
            [operations.totals.spikes_per_neuron_and_step],
        )
    assert drawing.panels(chart, "").count("<svg") == 3


def test_a_rate_that_does_not_matter_is_told_in_words(operations):
    dear = made_operations.operations([layer("x", passes=both(1), macs=macs(both(1e9)))], 1)
    for network, twin, word in ((counted(True), plain(), "never"), (operations, dear, "any")):
        rows = told_in(break_even(network, "net", "#D55E00", twin).panels[2])
        assert word in {row.get("break-even rate") for row in rows}


def test_at_a_glance_it_has_the_numbers_of_the_answer(results):
    with_memory = energy_of(8e-6, with_memory=(20e-6, 90e-6))
    for changes, expected in (
        ({"energy": with_memory}, {"energy, J": [20e-6] * 2, "energy at most, J": [90e-6] * 2}),
        # Where no energy is known, it has the time of an answer.
        ({"energy": None}, {"time, s": [2e-3, 5e-4]}),
    ):
        rows = told(costs.at_a_glance(with_trials(results, **changes)))
        assert [row["contender"] for row in rows] == ["dense-snn", "small-cnn"]
        for column, numbers in {"accuracy, %": [85, 70], **expected}.items():
            assert [row[column] for row in rows] == pytest.approx(numbers)
    assert costs.at_a_glance(with_trials(results, energy=None, latency=None)) is None


# ---- over time

STEPS = [0.4, 0.6, 0.7, 0.75]


def made_anytime(shift=0.0):
    """Three thresholds: all leave at once, half at once and half at the end, nobody early; the
    second was chosen.
    """
    curve = [
        leaving(0.5, 0.4 + shift, [20, 0, 0, 0]),
        leaving(0.9, 0.7 + shift, [10, 0, 0, 10]),
        leaving(None, 0.75 + shift, [0, 0, 0, 20]),
    ]
    return followed([accuracy + shift for accuracy in STEPS], curve, chosen=1)


@pytest.fixture
def timed(make_prepared, monkeypatch):
    """Two seeds; each step of the spiking network costs a microjoule, the CNN ten."""
    made = with_trials(run_results(make_prepared(), baseline(seeds=2)), energy=energy_of(1e-5))
    for seed in (0, 1):
        made = with_trial(made, 2 * seed, anytime=made_anytime(0.1 * seed))
    # Only the last training was timed.
    made = with_trial(made, 2, latency=latency(1.5, stream=[1.0, 2.0, 3.0, 4.0]))
    by_step = [Range(low=low, high=1e-5) for low in (1e-6, 2e-6, 3e-6, 4e-6)]
    monkeypatch.setattr(costs, "joules_over_time", lambda trial, table: by_step)
    return with_trial(made, 1, latency=latency(0.5))


def panels(results):
    """Return the panels by the column of their y axis, or by x where that is accuracy."""
    chart = costs.over_time(results, TABLE)
    return {(p.x if p.y.column.startswith("accuracy") else p.y).column: p for p in chart.panels}


def test_the_curves_are_means_over_seeds(timed):
    panel = panels(timed)["time steps"]
    line, band, star = panel.marks
    assert line.look.colour == charts.SPIKING_COLOURS[0]
    assert places(panel, line) == (
        [1, 2, 3, 4],
        pytest.approx([100 * (accuracy + 0.05) for accuracy in STEPS]),
    )
    last = band.rows[-1]
    assert last["high"] - last["low"] == pytest.approx(200 * np.std([0, 0.1], ddof=1))
    assert places(panel, star) == ([2.5], [pytest.approx(75)])
    assert star.look.shape == "star"
    accuracy = 100 * np.mean([trial.test.accuracy for trial in timed.trials[1::2]])
    assert [rule.at for rule in panel.rules] == [pytest.approx(accuracy)]


def test_energy_is_that_up_to_each_step_and_of_leaving_its_mean(timed):
    panel = panels(timed)["energy, J"]
    line, _, star, square = panel.marks
    assert places(panel, line)[0] == pytest.approx([1e-6, 2e-6, 3e-6, 4e-6])
    assert places(panel, star) == ([pytest.approx(2.5e-6)], [pytest.approx(75)])
    # The network without time stands at its own energy, computed in the cheapest way as well.
    accuracy = 100 * np.mean([trial.test.accuracy for trial in timed.trials[1::2]])
    assert places(panel, square) == ([pytest.approx(0.5e-5)], [pytest.approx(accuracy)])
    assert panel.x.scale == "log"


def test_an_answer_takes_so_long(timed):
    panel = panels(timed)["time, ms"]
    stream, whole = panel.marks
    assert places(panel, stream)[1] == [1, 2, 3, 4]
    assert places(panel, whole) == ([4], [1.5])
    (rule,) = panel.rules
    assert (rule.at, rule.row["contender"]) == (0.5, "small-cnn")


def test_panels_of_what_is_not_known_are_left_out(timed, monkeypatch):
    results = with_trials(timed, latency=None, energy=None)
    results = with_trial(results, 0, anytime=replace(results.trials[0].anytime, early_exit=None))
    monkeypatch.setattr(costs, "joules_over_time", lambda trial, table: None)
    drawn = panels(results)
    assert set(drawn) == {"time steps"}
    assert not [marks for marks in drawn["time steps"].marks if marks.look.shape == "star"]


@pytest.mark.parametrize("num_steps", [1, 300])
def test_one_step_and_many(make_prepared, num_steps):
    exits = leaving(None, 0.5, [0] * (num_steps - 1) + [20])
    made = run_results(make_prepared(), baseline())
    followed_over = with_trial(made, 0, anytime=followed([0.5] * num_steps, [exits]))
    chart = costs.over_time(followed_over, TABLE)
    assert drawing.panels(chart, "").count("<svg") == len(chart.panels)


def test_followed_are_those_with_as_many_steps_as_the_first(timed):
    assert {name: len(trials) for name, trials in costs.followed(timed).items()} == {"dense-snn": 2}
    shorter = followed([0.5], [leaving(None, 0.5, [20])])
    assert len(costs.followed(with_trial(timed, 2, anytime=shorter))["dense-snn"]) == 1


def test_energy_up_to_each_step(make_prepared):
    (trial, *_) = with_trials(run_results(make_prepared(), baseline()), operations=spiking()).trials
    # A table without memory is asked for arithmetic.
    table = replace(energy.read("45nm-int8"), memory=energy.Memory())
    # 20 MACs whose input is not zero at once, then 15 and 5 ACs.
    spent = [1e-12 * (20 * 0.3 + acs * 0.1) for acs in (15, 20)]
    joules = costs.joules_over_time(trial, table)
    assert [bounds.low for bounds in joules] == pytest.approx(spent)
    (trial, *_) = run_results(make_prepared(), baseline()).trials
    assert costs.joules_over_time(trial, table) is None


@pytest.fixture
def recorded(make_prepared):
    """A spiking network that was followed over two frames, and another that needs all."""
    made = run_results(make_prepared(), baseline(seeds=1))
    early = followed([0.4, 0.8], [leaving(0.9, 0.7, [15, 5])])
    received = Received(milliseconds=[10.0, 30.0], events=[100.0, 500.0])
    early = structs.replace(early, received=received)
    return with_accuracy(with_trial(made, 0, anytime=early), 1, 0.6)


def test_accuracy_is_told_by_what_had_come(recorded):
    drawn = panels(recorded)
    for column, came, on_leaving in (("recording, ms", (10, 30), 15), ("events", (100, 500), 200)):
        first, second, star = told_in(drawn[column])
        accuracies = [(row["accuracy, %"], row[column]) for row in (first, second)]
        assert accuracies == [(40, came[0]), (80, came[1])]
        # Three of four leave after the first frame.
        assert (star["accuracy, %"], star[column]) == (pytest.approx(70), on_leaving)
        assert [rule.at for rule in drawn[column].rules] == [pytest.approx(60)]
