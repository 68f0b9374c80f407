"""Charts with a row for each difference: pairs, controls, accountings."""

import statistics
from dataclasses import replace

import pytest
from msgspec import structs

import made_costs
from made_operations import plain, spiking
from made_pages import places, told, told_in
from made_results import make_pair
from spikeduel.measuring.energy.pairwise import compare_run
from spikeduel.reporting import charts, differences, report
from spikeduel.reporting.differences import Interval, intervals, pair_differences
from spikeduel.results.controls import ControlledContender, ControlRow
from spikeduel.results.costs import Range
from spikeduel.results.significance import Conclusion, Difference, Reservation
from spikeduel.results.trials import ControlResult
from spikeduel.results.words.energy_accountings import in_order
from spikeduel.settings.recipes import baseline

# ---- pairs


def of_pair(difference, half, conclusion, **changes):
    return structs.replace(
        make_pair("dense-snn", "small-cnn"),
        difference=difference,
        ci95=(difference - half, difference + half),
        ci90=(difference - 0.8 * half, difference + 0.8 * half),
        conclusion=Conclusion(conclusion),
        **changes,
    )


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
    few = (Reservation.FEW_SEEDS, Reservation.FEW_GROUPS)
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
    row = Interval("a", 0.1, (-0.1, 0.9), (0.0, 0.3), "open", "k", {})
    limits = [intervals("x", [row], 0.005, reach).panels[0].x.high for reach in (0.3, 1.0)]
    assert limits == pytest.approx([32.4, 97.2])
    bare = Interval("a", 0.1, None, None, "not tested", "k", {})
    assert "95 % interval to, points" not in intervals("x", [bare], 0.005).rows[0]


# ---- controls


MEASURED = {"relu_twin": 0.9, "shuffled": 0.6, "of <somebody>'s": 0.45}
SPIKES = {"relu_twin": False, "one_step": True, "shuffled": True, "of <somebody>'s": False}


def a_difference(name, **changes):
    pair = structs.asdict(make_pair("dense-snn", name, **changes))
    return Difference(**{field: pair[field] for field in Difference.__struct_fields__})


def row(name):
    described = {
        "control": name,
        "title": f"the {name}",
        "meaning": f"what {name} is",
        "spikes": SPIKES[name],
    }
    if name not in MEASURED:
        return ControlRow(**described, reason="of a <reason>")
    bits = 3 if name == "relu_twin" else None
    found = a_difference(name, seeds=2)
    return ControlRow(**described, accuracy=MEASURED[name], bits=bits, found=found)


def with_controls(comparison, **changes):
    """The comparison, its spiking trials with `MEASURED`."""
    measured = {
        name: ControlResult(title=name, meaning="", spikes=SPIKES[name], n=20, accuracy=accuracy)
        for name, accuracy in MEASURED.items()
    }
    trials = [
        structs.replace(trial, controls=measured) if trial.spiking else trial
        for trial in comparison.results.trials
    ]
    controlled = ControlledContender(
        contender="dense-snn",
        num_steps=6,
        seeds=2,
        accuracy=0.675,
        rows=[row(name) for name in SPIKES],
    )
    concluded = structs.replace(
        comparison.results.comparison, controls=[structs.replace(controlled, **changes)]
    )
    results = structs.replace(comparison.results, trials=trials, comparison=concluded)
    return replace(comparison, results=results)


@pytest.fixture
def comparison(make_run):
    return with_controls(make_run(seeds=2))


def test_a_stroke_for_each_that_was_measured_warm_where_it_spikes(comparison):
    (panel,) = differences.controls(comparison.results).panels
    strokes = {
        round(places(panel, marks)[0][0], 6): marks.look.colour
        for marks in panel.marks
        if not marks.told
    }
    own = [trial.test.accuracy for trial in comparison.results.of("dense-snn")]
    warm, cool = charts.SPIKING_COLOURS[0], charts.OTHER_COLOURS[0]
    mean = 100 * statistics.fmean(own)
    assert strokes == {round(mean, 6): warm, 90: cool, 60: warm, 45: cool}
    assert [name.concluded for name in panel.names] == ["", "", "not measured", "", ""]
    assert panel.rules[0].at == pytest.approx(mean)
    rows = told_in(panel)
    assert [(row["control"], row["seed"]) for row in rows[2:4]] == [
        ("the relu_twin", 0),
        ("the relu_twin", 1),
    ]
    assert [row["test accuracy, %"] for row in rows[2:]] == [90, 90, 60, 60, 45, 45]


def test_several_contenders_stand_side_by_side(comparison):
    concluded = comparison.results.comparison
    other = structs.replace(concluded.controls[0], contender="small-cnn")
    trials = [
        structs.replace(t, controls=comparison.results.trials[0].controls)
        for t in comparison.results.trials
    ]
    both = structs.replace(concluded, controls=[*concluded.controls, other])
    results = structs.replace(comparison.results, trials=trials, comparison=both)
    titles = [panel.title for panel in differences.controls(results).panels]
    assert titles == ["dense-snn, 6 steps", "small-cnn, 6 steps"]


def test_the_page_has_every_control_from_the_results_alone(comparison, unpainted):
    page = report(comparison).read_text()
    for name in ("relu_twin (3 bits)", "one_step", "shuffled", "of &lt;somebody&gt;&#39;s"):
        assert f"the {name}" in page
    assert page.count("of a &lt;reason&gt;") == 2  # in the sentences and in the table
    assert "−2.00 to +0.10" in page
    assert 'data-name="controls"' in page


def test_too_few_seeds_are_said_in_the_table(comparison, unpainted):
    first, *others = comparison.results.comparison.controls[0].rows
    found = structs.replace(
        first.found, conclusion=Conclusion.INCONCLUSIVE, reservation=Reservation.FEW_SEEDS
    )
    rows = [structs.replace(first, found=found), *others]
    page = report(with_controls(comparison, rows=rows)).read_text()
    assert f"takes {found.fewest_seeds} seeds" in page


def test_a_control_on_recordings_tells_how_much_it_took(make_prepared, make_results):
    results = make_results(make_prepared(), baseline(seeds=1))
    row = ControlRow(
        control="reversed",
        title="time reversed",
        meaning="",
        spikes=True,
        accuracy=0.7,
        found=a_difference("reversed"),
        of_recordings=True,
    )
    controlled = ControlledContender(
        contender="dense-snn", num_steps=2, seeds=1, accuracy=0.7, rows=[row]
    )
    comparison = structs.replace(results.comparison, controls=[controlled])
    chart = differences.time_controls(structs.replace(results, comparison=comparison))
    (told_row,) = told(chart)
    assert told_row["control"] == "time reversed"
    assert told_row["change, points"] == pytest.approx(1.23)
    bounds = [told_row[f"95 % interval {end}, points"] for end in ("from", "to")]
    assert bounds == pytest.approx([-0.1, 2])


# ---- energy accountings


@pytest.fixture
def duel():
    return made_costs.results_of(
        made_costs.trial("snn", operations=spiking()), made_costs.trial("cnn", operations=plain())
    )


def drawn(accounted, accountings, results):
    colours = charts.contender_colours(results.trials)
    return differences.energy_accountings(accounted, accountings, colours)


def test_a_row_for_each_accounting_in_order_in_the_colour_of_who_is_cheaper(duel):
    accountings = compare_run(duel)
    accounted = accountings.pairs[0]
    chart = drawn(accounted, accountings, duel)
    (panel,) = chart.panels
    by_accounting = in_order(accounted)
    labels = [accountings.accounting(result.accounting).label for result in by_accounting]
    assert [name.text for name in panel.names] == labels
    colours = charts.contender_colours(duel.trials)
    expected = {"spiking": colours["snn"], "other": colours["cnn"], None: charts.QUIET}
    assert [marks.look.colour for marks in panel.marks if marks.told] == [
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
    (panel,) = drawn(
        structs.replace(accounted, by_accounting=by_accounting), accountings, duel
    ).panels
    assert len(panel.names) == len(by_accounting) - 1
    row, seen = (marks.rows[0]["snn / cnn from"] for marks in panel.marks[-2:])
    assert (row, seen) == (1e9, 1000)
    assert panel.x.high > 1000
