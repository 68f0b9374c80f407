import pytest
from msgspec.structs import replace

from factories import results, trial, variant_result
from made_operations import plain, spiking
from spikeduel.energy.accounting import compare_run
from spikeduel.results.cost_results import AccountedPair, AccountingResult, Range, Threshold
from spikeduel.sentences import cost_sentences as words
from spikeduel.sentences.columns import text_rows


@pytest.fixture
def accountings():
    twin = variant_result("ReLU twin", 0.9, operations=plain())
    snn = trial("snn", 0.5, operations=spiking(), variants={"relu_twin": twin})
    return compare_run(results([snn, trial("cnn", 0.5, operations=plain())]))


def result(name, group, low, high=None, cheaper=None, **changes):
    bounds = Range(low=low, high=high or low)
    return AccountingResult(
        accounting=name,
        group=group,
        spiking=bounds,
        other=Range(low=1, high=1),
        ratio=bounds,
        cheaper=cheaper,
        **changes,
    )


@pytest.fixture
def accounted():
    thresholds = [
        Threshold(axis="rate", value=0.1, now=0.2, becomes="spiking", unit="u"),
        Threshold(axis="steps", value=3, now=4, becomes=None, unit="u"),
        Threshold(axis="memory", value=1.5, now=25, becomes="spiking", unit="pJ a byte"),
    ]
    by_accounting = [
        result("lemaire", "memory", 1.5e-9, cheaper="other", thresholds=thresholds),
        result("syops", "arithmetic", 0.5, cheaper="spiking"),
        result("dampfhoffer", "memory", 0.4, 2.0),
        result(
            "fp16",
            "arithmetic",
            0.25,
            cheaper="spiking",
            thresholds=[replace(thresholds[0], value=0.3, becomes="other")],
        ),
        AccountingResult(accounting="int8", group="chip", reason="it finds nothing to count"),
    ]
    return AccountedPair(
        spiking="snn", other="cnn", num_steps=4, rate=0.2, by_accounting=by_accounting
    )


ORDER = ["dampfhoffer", "lemaire", "fp16", "syops", "int8"]


def rows(accounted, accountings):
    return text_rows(words.accounting_table(accounted, accountings), words.in_order(accounted))


def test_the_summary_is_by_the_groups_that_have_a_number(accounted, golden):
    groups = {
        "one": {"memory": ["cnn"]},
        "several": {"memory": ["cnn", None, "cnn"], "arithmetic": ["snn"], "chip": ["snn"]},
        "both ways": {"memory": [None], "arithmetic": ["snn", "cnn"]},
    }
    golden(
        words.summary(accounted),
        words.summary(replace(accounted, by_accounting=accounted.by_accounting[-1:])),
        {name: words.by_groups(by_group) for name, by_group in groups.items()},
    )


def test_the_order_goes_by_group_side_and_ratio(accounted):
    assert [result.accounting for result in words.in_order(accounted)] == ORDER


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (1, "bits of a weight", "1 bit of a weight: snn"),
        (2, "bits", "2 bits: snn"),
        (2, "", "2 bits: snn"),
    ],
)
def test_bits_are_counted(value, unit, shown, accounted, accountings):
    threshold = Threshold(axis="bits", value=value, now=4, becomes="spiking", unit=unit)
    one = replace(
        accounted, by_accounting=[replace(accounted.by_accounting[0], thresholds=[threshold])]
    )
    assert rows(one, accountings)[0]["changes at"] == shown


def test_the_rows_of_the_page(accounted, accountings):
    by_name = {row["accounting"]: row for row in rows(accounted, accountings)}
    assert by_name["Lemaire"] == {
        "accounting": "Lemaire",
        "group": "memory",
        "snn": "1.50 nJ",
        "cnn": "1.00 J",
        "ratio": "1.5e-09",
        "cheaper": "cnn",
        "changes at": "spike rate 10.0 %: snn; T = 3: open; memory at 1.5 pJ a byte: snn",
    }
    assert (by_name["Dampfhoffer"]["snn"], by_name["Dampfhoffer"]["ratio"]) == (
        "0.40 to 2.00",
        "0.4 to 2",
    )
    assert by_name["8-bit integers"]["cheaper"] == "it finds nothing to count"
    assert by_name["8-bit integers"]["ratio"] == "–"


def test_contenders_are_shown_and_variants_where_there_are_no_others(accountings):
    assert [accounted.other for accounted in words.main_pairs(accountings)] == ["cnn"]
    alone = replace(
        accountings, pairs=[accounted for accounted in accountings.pairs if accounted.variant]
    )
    assert [accounted.other for accounted in words.main_pairs(alone)] == ["ReLU twin"]
    assert words.main_pairs(None) == []
