import pytest
from msgspec.structs import replace

from made_costs import results_of, trial
from made_operations import plain, spiking
from made_pages import told
from spikeduel.measuring.energy.pairwise import compare_run
from spikeduel.reporting import style
from spikeduel.reporting.court import chart
from spikeduel.results.costs import Range
from spikeduel.results.words.court import in_order


@pytest.fixture
def results():
    return results_of(trial("snn", operations=spiking()), trial("cnn", operations=plain()))


@pytest.fixture
def court(results):
    return compare_run(results)


def drawn(case, court, results):
    (axes,) = chart(case, court, style.contender_colours(results.trials)).axes
    return axes, axes.lines[1:]


def test_a_row_for_each_accounting_in_order_in_the_colour_of_who_is_cheaper(court, results):
    case = court.cases[0]
    axes, lines = drawn(case, court, results)
    rulings = in_order(case)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [court.accounting(ruling.accounting).label for ruling in rulings]
    colours = style.contender_colours(results.trials)
    expected = {"spiking": colours["snn"], "other": colours["cnn"], None: style.QUIET}
    assert [line.get_color() for line in lines] == [expected[ruling.cheaper] for ruling in rulings]
    for line, ruling in zip(lines, rulings, strict=True):
        ends = {ruling.ratio.low, ruling.ratio.high}
        assert set(line.get_xdata()) == ends


def test_what_has_no_number_is_left_out_and_what_is_far_away_stands_at_the_edge(court, results):
    case = court.cases[0]
    far, none, *rest = case.rulings
    rulings = [
        replace(far, ratio=Range(low=1e9, high=1e9), cheaper="other"),
        replace(none, ratio=None),
        *rest,
    ]
    axes, lines = drawn(replace(case, rulings=rulings), court, results)
    assert len(lines) == len(rulings) - 1
    assert max(x for line in lines for x in line.get_xdata()) == 1000
    assert axes.get_xlim()[1] > 1000


def test_every_row_tells_its_ratio(court, results):
    case = court.cases[0]
    rows = told(chart(case, court, style.contender_colours(results.trials)))
    for row, ruling in zip(rows, in_order(case), strict=True):
        assert (row["snn / cnn from"], row["snn / cnn to"]) == pytest.approx(
            (ruling.ratio.low, ruling.ratio.high), rel=1e-5
        )
        assert (
            row["conclusion"]
            == {"spiking": "snn cheaper", "other": "cnn cheaper", None: "open"}[ruling.cheaper]
        )
