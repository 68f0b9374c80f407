"""Words for what groups of accountings show."""

import pytest
from msgspec import structs

from spikeduel.features.compression.frontier_results import (
    BreakEven,
    Conclusion,
    CostKind,
    EqualAccuracy,
    FrontierPair,
    RatioAt,
)
from spikeduel.features.compression.frontier_sentences import (
    FRONTIER,
    RATIOS,
    at_equal_accuracy,
    even_rate,
    label,
    of_measure,
    summary,
    tables,
)
from spikeduel.results.cost_results import Range
from spikeduel.sentences.columns import text_rows

PAIR = FrontierPair(spiking="lif", other="relu", at=[])


def ratio(cheaper, group="arithmetic", low=0.5, high=0.5):
    return RatioAt(
        accounting="some",
        group=group,
        ratio=Range(low=low, high=high),
        low=0.1,
        high=9.0,
        cheaper=cheaper,
        reached={"spiking": 1.0, "other": 1.0},
    )


def missed(spiking=0.9, other=1.0, cheaper=None):
    """A ratio whose interval has no end, because a side misses the accuracy."""
    ends = {"low": 0.1 if other > 0.975 else None, "high": 9.0 if spiking > 0.975 else None}
    return structs.replace(ratio(cheaper), reached={"spiking": spiking, "other": other}, **ends)


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ([ratio("spiking"), ratio("spiking")], "less (2 of 2)"),
        ([ratio("other")], "more"),
        ([ratio("other"), ratio("other"), ratio(None)], "more (2 of 3)"),
        ([ratio("spiking"), ratio(None)], "less (1 of 2)"),
        ([ratio(None), ratio(None)], "open (0 of 2)"),
        ([ratio(None)], "open"),
        ([ratio("spiking"), ratio("other")], "contradict (1 less, 1 more)"),
        ([ratio("other"), ratio(None), ratio("spiking")], "contradict (1 less, 1 more)"),
        (
            [missed(0.96), missed(0.9)],
            "not testable (lif reaches it in 90 of 100 bootstrap samples)",
        ),
        ([missed(1, 0.5)], "not testable (relu reaches it in 50 of 100 bootstrap samples)"),
        # The other end of the interval can still show that the spiking contender takes more.
        ([missed(cheaper="other"), missed()], "more (1 of 2, 1 not testable)"),
        ([ratio(None), missed()], "open (0 of 2, 1 not testable)"),
        # An earlier version did not keep the share of samples, or an interval.
        ([structs.replace(missed(), reached={})], "not testable"),
        ([structs.replace(missed(0.9, 0.9), reached={})], "no interval"),
    ],
)
def test_a_label_counts_the_accountings_that_show_it(ratios, expected):
    assert str(label(ratios, PAIR)) == expected


def test_the_costs_at_equal_accuracy(golden):
    several = [
        ratio("other", "memory", 1.98, 15.8),
        ratio("spiking", low=0.53, high=0.6),
        ratio("other", low=4.2, high=4.21),
        ratio("spiking", "chip", 0.01, 0.02),
        ratio("other", "operations", 3, 3),
        ratio("other", "size", 5.95, 5.95),
    ]
    cheapest = {"lif": "4 bits", "relu": "half the channels"}
    pairs = {
        "several groups": [EqualAccuracy(accuracy=0.99, ratios=several, cheapest=cheapest)],
        "one begins above": [
            EqualAccuracy(accuracy=0.94, ratios=[ratio("other", low=2, high=2)]),
            EqualAccuracy(accuracy=0.97, ratios=[ratio("other", "measured", 4, 4)]),
        ],
        "they meet nowhere": [],
    }
    golden({name: at_equal_accuracy(structs.replace(PAIR, at=at)) for name, at in pairs.items()})


def test_balanced_accuracy_is_named():
    at = [EqualAccuracy(accuracy=0.9, ratios=[ratio("other", low=2, high=2)])]
    pair = FrontierPair(spiking="lif", other="relu", at=at)
    assert at_equal_accuracy(pair, measure="balanced_accuracy").startswith(
        "At 90.0 % balanced accuracy, the costs of lif"
    )
    for columns, title in ((FRONTIER, "balanced accuracy %"), (RATIOS, "at balanced accuracy %")):
        assert title in [one.title for one in of_measure(columns, "balanced_accuracy")]
        assert of_measure(columns, "accuracy") == columns


def test_a_contender_that_lacks_most_variants_is_not_judged(results, cheaper, golden):
    at = EqualAccuracy(accuracy=0.9, ratios=[ratio("spiking", low=0.01, high=0.01)])
    found = Conclusion(
        seeds=4,
        accountings={},
        variants=[cheaper(name) for name in ("lif", "relu", "net")],
        pairs=[FrontierPair(spiking="lif", other=other, at=[at]) for other in ("relu", "net")],
        left_out={"net": {"4 bits": "why", "2 bits": "why"}, "relu": {"2 bits": "why"}},
    )
    golden(summary(results, found))
    assert "More:" not in summary(results, structs.replace(found, pairs=found.pairs[1:]))


def test_several_spiking_families_share_a_sentence(results, cheaper):
    at = EqualAccuracy(accuracy=0.9, ratios=[ratio("spiking", low=0.01, high=0.01)])
    found = Conclusion(
        seeds=4,
        accountings={},
        variants=[cheaper(name) for name in ("lif", "integer", "relu")],
        pairs=[
            FrontierPair(spiking=spiking, other="relu", at=[at])
            for spiking in ("all of them", "lif", "integer")
        ],
    )
    text = summary(results, found)
    assert text.count("At 90.0 % accuracy") == 1
    assert "the costs of all of them" in text


def test_the_terminal_has_the_tables_that_have_rows(cheaper):
    at = EqualAccuracy(accuracy=0.9, ratios=[ratio("other", low=2, high=2)])
    found = Conclusion(
        seeds=4,
        accountings={"some": CostKind(label="Some", group="arithmetic")},
        variants=[cheaper("relu")],
        pairs=[structs.replace(PAIR, at=[at])],
    )
    made = {title: text_rows(*table) for title, table in tables(found).items()}
    (network,) = made.pop("The variants of all contenders")
    assert (network["contender"], network["validation %"]) == ("relu", "90.00")
    ((row,),) = made.values()
    assert (row["accounting"], row["ratio"], row["cheaper"]) == ("Some", "2", "relu")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.2, 0.2, "0.200"),
        (0.03, 0.35, "0.030 to 0.350"),
        (1, 1, "less at any"),
        (0, 0, "more at any"),
        (0, 1, "open at any"),
        (0, 0.4, "0.000 to 0.400"),
    ],
)
def test_break_even_rates_over_ranges(low, high, expected):
    rate = Range(low=low, high=high)
    found = BreakEven(accounting="a", group="chip", measured=0.1, rate=rate, ci95=None)
    assert even_rate(found) == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (ratio(None), ["0.1", "9", "open"]),
        (ratio("other"), ["0.1", "9", "relu"]),
        (missed(), ["0.1", "lif not reached", "not testable"]),
        (structs.replace(missed(0.9, 0.9), reached={}), ["–", "–", "no interval"]),
    ],
)
def test_an_interval_without_an_end_says_why(found, expected):
    at = EqualAccuracy(accuracy=0.9, ratios=[found])
    (row,) = text_rows(RATIOS, [(PAIR, at, found, "some")])
    assert [row["95 % from"], row["to"], row["cheaper"]] == expected
