"""Charts with a row for each difference: pairs, variants, accountings."""

import pytest
from msgspec import structs

import factories
from made_operations import plain, spiking
from spikeduel.energy.accounting import compare_run
from spikeduel.reporting import charts, cost_figures as costs
from spikeduel.reporting.accuracies import intervals, pair_differences, with_intervals
from spikeduel.reporting.charts import Name
from spikeduel.results.cost_results import Range
from spikeduel.results.significance import Conclusion, Reservation
from spikeduel.sentences.cost_sentences import in_order

# ---- pairs


def of_pair(difference, half, conclusion, **changes):
    changes |= {"a": "dense-snn", "b": "small-cnn", "conclusion": Conclusion(conclusion)}
    return factories.pair(difference, half=half, **changes)


PAIRS = [
    of_pair(0.02, 0.01, "a_better"),
    of_pair(-0.001, 0.003, "equivalent"),
    of_pair(0.002, 0.02, "inconclusive"),
    of_pair(-0.002, 0.001, "b_better", negligible=True),
]


def test_a_row_a_pair_with_both_intervals_and_what_was_concluded():
    chart = pair_differences(PAIRS)
    (panel,) = chart.panels
    assert len(chart.rows) == len(PAIRS)
    for place, (row, pair) in enumerate(zip(chart.rows, PAIRS, strict=True)):
        assert (row["pair"], row["p"]) == (f"{pair.a} − {pair.b}", pair.p_value)
        assert row["difference, points"] == pytest.approx(100 * pair.difference)
        bounds = [
            row[f"{level} % interval {end}, points"] for level in (95, 90) for end in ("from", "to")
        ]
        assert bounds == pytest.approx([100 * bound for bound in (*pair.ci95, *pair.ci90)])
        assert {marks.place for marks in panel.marks[3 * place : 3 * place + 3]} == {place}
    assert [name.concluded for name in panel.names] == [
        "dense-snn better",
        "equivalent",
        "inconclusive",
        "small-cnn better (within the margin)",
    ]
    assert panel.names[0].text == "dense-snn − small-cnn"


def test_too_few_seeds_are_said_beside_an_interval_that_excludes_0():
    few = (Reservation.TOO_FEW_SEEDS, Reservation.TOO_FEW_GROUPS)
    pairs = [of_pair(0.1, 0.01, "inconclusive", reservation=reason) for reason in few]
    names = pair_differences(pairs).panels[0].names
    assert [name.concluded for name in names] == ["too few seeds", "too few groups"]


def test_the_margin_is_shaded_and_in_sight_and_no_interval_is_cut_off():
    (panel,) = pair_differences(PAIRS).panels
    zone = panel.rules[0]
    assert (zone.at, zone.until) == (-0.5, 0.5)
    assert panel.x.low < -1.8
    assert panel.x.high > 3.0
    assert pair_differences([of_pair(0.0, 0.0001, "equivalent")]).panels[0].x.high > 0.5


def test_an_axis_ends_at_its_reach():
    row = with_intervals(0.1, (-0.1, 0.9), (0.0, 0.3), "open")
    rows = [(Name("a"), row)]
    limits = [intervals("x", rows, 0.005, reach).panels[0].x.high for reach in (0.3, 1.0)]
    assert limits == pytest.approx([32.4, 97.2])
    assert "95 % interval to, points" not in with_intervals(0.1, None, None, "not tested")


# ---- energy accountings


@pytest.fixture
def duel():
    counts = {"snn": spiking(), "cnn": plain()}
    return factories.results(
        [factories.trial(name, 0.5, operations=counted) for name, counted in counts.items()]
    )


def test_a_panel_for_each_family_and_a_row_for_each_accounting_in_the_cheaper_ones_colour(duel):
    accountings = compare_run(duel)
    accounted = accountings.pairs[0]
    colours = charts.contender_colours(duel.trials)
    chart = costs.energy_accountings(accounted, accountings, colours)
    by_accounting = in_order(accounted)
    labels = [accountings.accounting(result.accounting).label for result in by_accounting]
    assert [name.text for panel in chart.panels for name in panel.names] == labels
    assert [panel.title for panel in chart.panels] == [
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
    for told_row, result in zip(chart.rows, by_accounting, strict=True):
        ends = (told_row["snn / cnn from"], told_row["snn / cnn to"])
        assert ends == pytest.approx((result.ratio.low, result.ratio.high), rel=1e-5)
        assert told_row["conclusion"] == concluded[result.cheaper]


def test_an_accounting_without_a_number_is_left_out_and_a_far_one_stands_at_the_edge(duel):
    accountings = compare_run(duel)
    accounted = accountings.pairs[0]
    far, none, *rest = accounted.by_accounting
    by_accounting = [
        structs.replace(far, ratio=Range(low=1e9, high=1e9), cheaper="other"),
        structs.replace(none, ratio=None),
        *rest,
    ]
    changed = structs.replace(accounted, by_accounting=by_accounting)
    colours = charts.contender_colours(duel.trials)
    memory, *_ = panels = costs.energy_accountings(changed, accountings, colours).panels
    assert sum(len(panel.names) for panel in panels) == len(by_accounting) - 1
    row, seen = (marks.rows[0]["snn / cnn from"] for marks in memory.marks[-2:])
    assert (row, seen) == (1e9, 1000)
    assert all(panel.x.high > 1000 for panel in panels)
