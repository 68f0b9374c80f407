"""Charts of accuracy against cost, and of energies by accounting."""

import numpy as np
import pytest
from msgspec import structs
from msgspec.structs import replace

from factories import (
    energy_of,
    latency,
    results as made_results,
    run_results,
    trial,
    variant_result,
    with_accuracy,
    with_trial,
    with_trials,
)
from made_operations import plain, spiking
from made_pages import listed_rows, places, rows_in
from spikeduel import energy
from spikeduel.analysis.recommending import with_recommendation
from spikeduel.energy.accounting import compare_run
from spikeduel.experiment.recipes import baseline
from spikeduel.reporting import charts, cost_figures as costs
from spikeduel.results.cost_results import Range
from spikeduel.sentences.cost_sentences import in_order

TABLE = energy.read("45nm-fp32")


@pytest.fixture
def results(make_prepared):
    """Two seeds with accuracies 0.8 and 0.9 (spiking), 0.7 and 0.7; 4 and 8 µJ with zeros skipped,
    2 and 0.5 ms.
    """
    made = run_results(make_prepared(), baseline(seeds=2))
    for index, accuracy in enumerate((0.8, 0.7, 0.9, 0.7)):
        made = with_accuracy(made, index, accuracy)
        made = with_trial(made, index, energy=energy_of(16e-6 if index % 2 else 8e-6))
    variants = {
        "relu_twin": variant_result("ReLU twin", 0.86, energy=energy_of(12e-6)),
        "quantised_twin": variant_result("quantised twin", 0.84, energy=energy_of(12e-6), bits=3),
        "one_step": variant_result("one time step", 0.5, spikes=True, energy=energy_of(2e-6)),
    }
    for index in (0, 2):
        made = with_trial(made, index, variants=variants)
    made = with_trial(made, 0, latency=latency(2.0))
    return with_trial(made, 1, latency=latency(0.5))


def test_points_by_hand(results):
    rows = [charts.plain(row) for row in costs.points(results, TABLE)]
    networks = ["spiking", "ReLU twin", "quantised twin (3 bits)", "without spikes"]
    assert [row["network"] for row in rows] == networks
    snn, twin, _, cnn = rows
    assert snn == {
        "contender": "dense-snn",
        "network": "spiking",
        "accuracy, %": 85,
        "standard deviation, points": pytest.approx(7.07107),
        "energy, J": 4e-6,
        "energy at most, J": 8e-6,
        "time, s": 2e-3,
    }
    assert (twin["energy, J"], twin["time, s"]) == (6e-6, None)
    assert cnn["time, s"] == 5e-4


def test_what_one_seed_lacks_is_left_out(results):
    networks = [row["network"] for row in costs.points(with_trial(results, 0, variants={}), TABLE)]
    assert "ReLU twin" not in networks
    assert costs.points(with_trial(results, 2, energy=None), TABLE)[0]["energy, J"] is None


def test_the_front_joins_the_points_that_nobody_beats(results):
    joules, times = costs.pareto(results, TABLE).panels
    # The ReLU twin is better for more.
    front = (pytest.approx([4e-6, 6e-6]), pytest.approx([85, 86]))
    assert places(joules, joules.marks[0]) == front
    named = ["dense-snn", "ReLU twin", "quantised twin (3 bits)", "small-cnn"]
    assert [marks.label for marks in joules.marks if marks.label] == named
    assert [marks.label for marks in times.marks if marks.label] == [named[0], named[3]]
    shown = [(row["time, s"], row["accuracy, %"]) for row in rows_in(times)]
    assert shown == [pytest.approx(place) for place in ((2e-3, 85), (5e-4, 70))]


def test_without_times_there_is_one_panel_and_without_both_no_chart(results):
    results = with_trials(results, latency=None)
    assert len(costs.pareto(results, TABLE).panels) == 1
    assert costs.pareto(with_trials(results, energy=None, variants={}), TABLE) is None


def test_a_report_has_one_scale_of_energy(results):
    trials = [
        replace(trial, variants={}, energy=energy_of(8e-6, with_memory=(20e-6, 90e-6)))
        for trial in results.trials
    ]
    results = with_recommendation(replace(results, trials=trials))
    joules = results.recommendation.quantity("energy").values
    glance, pareto = costs.at_a_glance(results).panels[0], costs.pareto(results, TABLE).panels[0]
    assert glance.x == pareto.x
    for panel in (glance, pareto):
        for row in rows_in(panel):
            ends = (row["energy, J"], row["energy at most, J"])
            assert ends == pytest.approx(structs.astuple(joules[row["contender"]]))
    assert {row["contender"] for row in rows_in(pareto)} == {*joules}


def test_a_table_without_memory_has_arithmetic_alone(results):
    table = replace(TABLE, memory=energy.Memory())
    for with_memory in (9e-6, 90e-6):
        changed = with_trials(results, energy=energy_of(8e-6, with_memory=with_memory))
        panel = costs.pareto(changed, table).panels[0]
        assert "arithmetic alone" in panel.x.title
        assert rows_in(panel)[0]["energy, J"] == pytest.approx(4e-6)


def test_a_bar_goes_to_the_highest_energy(results):
    joules, times = costs.pareto(results, TABLE).panels
    spans = [marks for marks in joules.marks if marks.kind == "spans"]
    ends = [[marks.rows[0][end] for end in marks.ends] for marks in spans]
    expected = [[4e-6, 8e-6], *2 * [[6e-6, 12e-6]], [8e-6, 16e-6]]
    np.testing.assert_allclose(ends, expected)
    assert [marks for marks in times.marks if marks.kind == "spans"] == []


def test_the_glance_has_times_if_no_energy_is_known(results):
    results = with_trials(results, energy=None)
    rows = listed_rows(costs.at_a_glance(results))
    shown = [(row["contender"], row["accuracy, %"], row["time, s"]) for row in rows]
    assert shown == [("dense-snn", pytest.approx(85), 2e-3), ("small-cnn", pytest.approx(70), 5e-4)]
    assert costs.at_a_glance(with_trials(results, latency=None)) is None


# ---- energy accountings


@pytest.fixture
def duel():
    counts = {"snn": spiking(), "cnn": plain()}
    return made_results([trial(name, 0.5, operations=counted) for name, counted in counts.items()])


def test_a_panel_for_each_family_and_a_row_for_each_accounting_in_the_cheaper_ones_colour(duel):
    accountings = compare_run(duel)
    accounted = accountings.pairs[0]
    colours = charts.contender_colours(duel.trials)
    chart = costs.energy_accountings(accounted, accountings, colours)
    by_accounting = in_order(accounted)
    labels = [accountings.accounting(result.accounting).label for result in by_accounting]
    assert [name.text for panel in chart.panels for name in panel.names] == labels
    titles = [panel.title for panel in chart.panels]
    assert [title for title in titles if title != "On measured devices"] == [
        "With memory on both sides",
        "By arithmetic alone",
        "On named chips",
        "In operations or bits",
    ]
    assert len({panel.x for panel in chart.panels}) == 1
    expected = {"spiking": colours["snn"], "other": colours["cnn"], None: charts.QUIET}
    marked = [marks for panel in chart.panels for marks in panel.marks]
    assert [marks.look.colour for marks in marked if marks.listed] == [
        expected[result.cheaper] for result in by_accounting
    ]
    concluded = {"spiking": "snn cheaper", "other": "cnn cheaper", None: "open"}
    for row, result in zip(chart.rows, by_accounting, strict=True):
        ends = (row["snn / cnn from"], row["snn / cnn to"])
        assert ends == pytest.approx((result.ratio.low, result.ratio.high), rel=1e-5)
        assert row["conclusion"] == concluded[result.cheaper]


def test_an_accounting_without_a_number_is_left_out_and_a_far_one_stands_at_the_edge(duel):
    accountings = compare_run(duel)
    accounted = accountings.pairs[0]
    far, none, *rest = accounted.by_accounting
    by_accounting = [
        replace(far, ratio=Range(low=1e9, high=1e9), cheaper="other"),
        replace(none, ratio=None),
        *rest,
    ]
    changed = replace(accounted, by_accounting=by_accounting)
    colours = charts.contender_colours(duel.trials)
    memory, *_ = panels = costs.energy_accountings(changed, accountings, colours).panels
    assert sum(len(panel.names) for panel in panels) == len(by_accounting) - 1
    row, seen = (marks.rows[0]["snn / cnn from"] for marks in memory.marks[-2:])
    assert (row, seen) == (1e9, 1000)
    assert all(panel.x.high > 1000 for panel in panels)
