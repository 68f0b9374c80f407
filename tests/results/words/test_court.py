import re

import pytest
from msgspec.structs import replace

from made_costs import control, results_of, trial
from made_operations import plain, spiking
from spikeduel.counting.amounts import MEANINGS
from spikeduel.measuring.energy.pairwise import compare_run
from spikeduel.results.costs import Range
from spikeduel.results.court import Case, Flip, Ruling
from spikeduel.results.words import court as words


@pytest.fixture
def court():
    twin = control("ReLU twin", 0.9, operations=plain())
    snn = trial("snn", operations=spiking(), controls={"relu_twin": twin})
    return compare_run(results_of(snn, trial("cnn", operations=plain())))


def ruling(name, low, high=None, cheaper=None, **given):
    bounds = Range(low=low, high=high or low)
    return Ruling(
        accounting=name,
        spiking=bounds,
        other=Range(low=1, high=1),
        ratio=bounds,
        cheaper=cheaper,
        **given,
    )


def test_every_name_of_a_formula_is_told(court):
    told = dict(words.amounts(court.accountings))
    assert set(told) <= set(MEANINGS)
    for law in court.accountings:
        assert set(re.findall("[A-Za-z_0-9]+", f"{law.spiking} {law.other}")) & set(
            MEANINGS
        ) <= set(told)


@pytest.fixture
def case():
    flips = [
        Flip(axis="rate", value=0.1, now=0.2, becomes="spiking", unit="u"),
        Flip(axis="steps", value=3, now=4, becomes=None, unit="u"),
        Flip(axis="memory", value=1.5, now=25, becomes="spiking", unit="pJ a byte"),
    ]
    rulings = [
        ruling("lemaire", 1.5e-9, cheaper="other", flips=flips),
        ruling("syops", 0.5, cheaper="spiking"),
        ruling("dampfhoffer", 0.4, 2.0),
        ruling(
            "fp16", 0.25, cheaper="spiking", flips=[replace(flips[0], value=0.3, becomes="other")]
        ),
        Ruling(accounting="int8", reason="it finds nothing to count"),
    ]
    return Case(spiking="snn", other="cnn", num_steps=4, rate=0.2, rulings=rulings)


def test_the_summary_counts_those_that_have_a_number(case):
    assert words.summary(case) == (
        "snn is cheaper than cnn in 2 of 4 published accountings of energy, dearer in 1, 1 leaves "
        "it open."
    )
    sure = replace(case, rulings=case.rulings[1:2])
    assert words.summary(sure).endswith("in 1 of 1 published accountings of energy, dearer in 0.")
    with_own = replace(case, rulings=[*case.rulings[:3], replace(case.rulings[3], own=True)])
    assert "in 2 of 4 accountings of energy" in words.summary(with_own)


def test_the_order_goes_by_side_then_by_ratio(case):
    assert [each.accounting for each in words.in_order(case)] == [
        "fp16",
        "syops",
        "dampfhoffer",
        "lemaire",
        "int8",
    ]


def test_who_says_what(case, court):
    assert words.by_side(case, court) == [
        ("snn is cheaper", "MAC and AC and 16-bit floats"),
        ("cnn is cheaper", "Lemaire"),
        ("open", "Dampfhoffer"),
    ]


def test_the_nearest_change_along_each_axis(case, court):
    assert words.nearest(case, court) == (
        "The nearest changes of an answer, all else as it is: spike rate 30.0 % instead of 20.0 % "
        "(16-bit floats); T = 3 instead of 4 (Lemaire); memory at 1.5 pJ a byte instead of 25 "
        "(Lemaire)."
    )
    assert words.nearest(replace(case, rulings=case.rulings[1:2]), court) is None


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (1, "bits of a weight", "1 bit of a weight: snn"),
        (2, "bits", "2 bits: snn"),
        (2, "", "2 bits: snn"),
    ],
)
def test_bits_are_counted(value, unit, shown, case, court):
    flip = Flip(axis="bits", value=value, now=4, becomes="spiking", unit=unit)
    one = replace(case, rulings=[replace(case.rulings[0], flips=[flip])])
    assert words.rows(one, court)[0]["changes"] == shown


def test_a_case_alone_is_printed_with_its_rulings_by_name(case):
    first, *table = words.text(case).splitlines()
    assert first == f"{words.summary(case)} Ratio: snn / cnn."
    assert [line.split()[0] for line in table[2:]] == [
        each.accounting for each in words.in_order(case)
    ]


def test_the_rows_of_the_page(case, court):
    rows = {row["accounting"]: row for row in words.rows(case, court)}
    assert rows["Lemaire"] == {
        "accounting": "Lemaire",
        "spiking": "1.50 nJ",
        "other": "1000 mJ",
        "ratio": "1.5e-09",
        "cheaper": "cnn",
        "changes": "spike rate 10.0 %: snn; T = 3: open; memory at 1.5 pJ a byte: snn",
    }
    assert (rows["Dampfhoffer"]["spiking"], rows["Dampfhoffer"]["ratio"]) == (
        "0.40 to 2.00",
        "0.4 to 2",
    )
    assert rows["8-bit integers"]["cheaper"] == "it finds nothing to count"
    assert rows["8-bit integers"]["ratio"] == ""


def test_the_numbers_of_an_accounting_with_unit_and_place(court):
    numbers = dict(words.constants(court.accounting("digital-chips")))
    assert numbers["sop = 5.3 to 12.7 pJ"].startswith("ReckOn")
    assert "mac = 4.6 pJ" in numbers


def test_a_contender_that_is_the_twin_stands_for_the_control(court):
    assert [case.other for case in words.tabled(court, [])] == ["cnn", "ReLU twin"]
    assert [case.other for case in words.tabled(court, [("snn", "cnn")])] == ["cnn"]
    assert [case.other for case in words.tabled(court, [("another", "cnn")])] == [
        "cnn",
        "ReLU twin",
    ]


def test_contenders_are_shown_and_controls_where_there_are_no_others(court):
    assert [case.other for case in words.shown(court)] == ["cnn"]
    alone = replace(court, cases=[case for case in court.cases if case.control])
    assert [case.other for case in words.shown(alone)] == ["ReLU twin"]
    assert words.shown(None) == words.lines(None) == []
    assert len(words.lines(court)) == 1
