"""Sentences and tables on costs at equal accuracy."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from spikeduel.features.compression.frontier_results import (
    BreakEven,
    CompressedVariant,
    Conclusion,
    EqualAccuracy,
    FrontierPair,
    RatioAt,
)
from spikeduel.results.cost_results import GROUPS, Group, Range
from spikeduel.results.run import Results
from spikeduel.results.significance import Measure
from spikeduel.sentences.columns import Column, Row, tenths, thousands
from spikeduel.sentences.cost_sentences import ratio
from spikeduel.statistics import MIN_SEEDS
from spikeduel.system.grouped import grouped
from spikeduel.system.numbers import (
    counted,
    duration,
    hundredths,
    listed,
    named,
    per_cent,
    signed,
)

TITLES: dict[Group, str] = {
    "memory": "energy with memory on both sides",
    "arithmetic": "energy by arithmetic alone",
    "chip": "energy on named chips against a GPU, CPU or arithmetic alone",
    "device": "energy on measured devices",
    "operations": "operations or bits",
    "size": "bytes of weights",
    "measured": "inference time",
}
"""Names of costs."""
FRONTIER: list[Column[CompressedVariant]] = [
    Column("contender", lambda row: row.contender, is_text=True),
    Column("network", lambda row: row.title, is_text=True),
    Column(
        "accuracy %",
        lambda row: (
            f"{hundredths(row.accuracy)} "
            f"({hundredths(row.ci95.low)} to {hundredths(row.ci95.high)})"
        ),
        definition="on test images, with a 95 % interval over seeds and images",
    ),
    Column("validation %", lambda row: row.val_accuracy, hundredths),
    Column("weights, bytes", lambda row: row.amounts["weights"].low, thousands),
    Column(
        "ms",
        lambda row: 1e3 * row.amounts["time"].low if "time" in row.amounts else None,
        "{:.2f}".format,
        "inference time of one image, measured on this machine",
        unknown="–",
    ),
    Column("steps", lambda row: row.num_steps, "{:.3g}".format, unknown="–"),
    Column("spikes per neuron and step", lambda row: row.rate, "{:.3f}".format, unknown="–"),
    Column("training, s", lambda row: row.seconds, "{:.3g}".format),
    Column(
        "lost, points",
        lambda row: row.accuracy_lost,
        signed,
        "by an early exit: accuracy of the network without it, less its own, on test images",
        unknown="–",
    ),
]
RATIOS: list[Column[tuple[FrontierPair, EqualAccuracy, RatioAt, str]]] = [
    Column("networks", lambda row: f"{row[0].spiking} / {row[0].other}", is_text=True),
    Column("at accuracy %", lambda row: row[1].accuracy, tenths),
    Column("accounting", lambda row: row[3], is_text=True),
    Column("counts", lambda row: row[2].group, is_text=True),
    Column("ratio", lambda row: row[2].ratio, ratio),
    Column("95 % from", lambda row: end_of(row[2], row[2].low, row[0].other), is_text=True),
    Column("to", lambda row: end_of(row[2], row[2].high, row[0].spiking), is_text=True),
    Column(
        "cheaper",
        lambda row: {"less": row[0].spiking, "more": row[0].other}.get(
            row[2].result, row[2].result
        ),
        is_text=True,
    ),
]
BREAK_EVEN: list[Column[tuple[FrontierPair, BreakEven, str]]] = [
    Column("network", lambda row: row[0].spiking, is_text=True),
    Column("accounting", lambda row: row[2], is_text=True),
    Column("counts", lambda row: row[1].group, is_text=True),
    Column("measured rate", lambda row: row[1].measured, "{:.3f}".format),
    Column("break-even rate", lambda row: even_rate(row[1]), is_text=True),
    Column("95 %", lambda row: row[1].ci95, ratio, "over seeds, from two on", unknown="–"),
]


def end_of(ratio_at: RatioAt, interval_end: float | None, contender: str) -> str:
    """Return an end of the interval of a ratio; it has none if networks of `contender` do not reach
    the accuracy in too many bootstrap samples.
    """
    if ratio_at.result == "no interval":
        return "–"
    return f"{contender} not reached" if interval_end is None else f"{interval_end:.3g}"


def by_group(at: EqualAccuracy) -> dict[Group, list[RatioAt]]:
    """Return the ratios of each group of accountings."""
    return {
        group: ratios
        for group in GROUPS
        if (ratios := [ratio_at for ratio_at in at.ratios if ratio_at.group == group])
    }


def highest(pair: FrontierPair) -> dict[Group, tuple[EqualAccuracy, list[RatioAt]]]:
    """Return the ratios of each group of accountings at the highest accuracy that has any."""
    facts = grouped(
        (group, (at, ratios)) for at in pair.at for group, ratios in by_group(at).items()
    )
    return {group: at_all[0] for group, at_all in facts.items()}


def whole(ratios: list[RatioAt]) -> Range:
    """Return the range over accountings."""
    return Range(
        low=min(entry.ratio.low for entry in ratios), high=max(entry.ratio.high for entry in ratios)
    )


def label(ratios: list[RatioAt], pair: FrontierPair) -> str:
    """Return "less" or "more" if some accountings show it and none the opposite; else
    "contradict", "open", or why all are "not testable".
    """
    results, number = Counter(ratio_at.result for ratio_at in ratios), len(ratios)
    less, more, untestable = results["less"], results["more"], results["not testable"]
    if less and more:
        return f"contradict ({less} less, {more} more)"
    if untestable == number:
        names = {"spiking": pair.spiking, "other": pair.other}
        shares = [share for entry in ratios for share in entry.reached.items()]
        reached = [(share, names[kind]) for kind, share in shares]
        share, name = min(reached, default=(0.0, ""))
        why = f" ({name} reaches it in {100 * share:.0f} of 100 bootstrap samples)"
        return f"not testable{why if reached else ''}"
    details = [f"{less + more} of {number}"] if number > 1 else []
    details += [f"{untestable} not testable"] if untestable else []
    unclear = "no interval" if results["no interval"] else "open"
    word = "less" if less else "more" if more else unclear
    return f"{word} ({', '.join(details)})" if details else word


def even_rate(even: BreakEven) -> str:
    """Return the break-even rate, over the accounting's ranges."""
    at_any: dict[tuple[float, float], str] = {
        (1, 1): "less at any",
        (0, 0): "more at any",
        (0, 1): "open at any",
    }
    low, high = f"{even.rate.low:.3f}", f"{even.rate.high:.3f}"
    text = low if low == high else f"{low} to {high}"
    return at_any.get((even.rate.low, even.rate.high), text)


def times(bounds: Range) -> str:
    """Return a range of ratios in two digits."""
    low, high = (f"{end:,.0f}" if end >= 100 else f"{end:.2g}" for end in (bounds.low, bounds.high))
    return low if low == high else f"{low} to {high}"


def of_measure(columns: list[Column[Row]], measure: Measure) -> list[Column[Row]]:
    """Return the columns with the measure of accuracy in their titles."""
    return [
        replace(column, title=column.title.replace("accuracy", named(measure)))
        for column in columns
    ]


def at_equal_accuracy(pair: FrontierPair, measure: Measure = "accuracy") -> str:
    """Return the ratios of each group of accountings at the highest accuracy where it has any."""
    if not pair.at:
        return (
            f"No accuracy lies on the curves of both {pair.spiking} and {pair.other}: where one "
            "begins, the other has ended. More images to choose by, and to test on (--folds 5), "
            "make curves longer."
        )
    at = pair.at[0]
    costs = [
        f"{TITLES[group]} {times(whole(ratios))}, {label(ratios, pair)}"
        f"{'' if there is at else f', at {per_cent(there.accuracy)}'}"
        for group, (there, ratios) in highest(pair).items()
    ]
    cheapest = [f"{name} ({network})" for name, network in at.cheapest.items()]
    by_most = f" Cheapest of those that reach it, by most costs: {listed(cheapest)}."
    multiples = (
        f"At {per_cent(at.accuracy)} {named(measure)}, the costs of {pair.spiking} are these "
        f"multiples of the costs of {pair.other}: {'; '.join(costs)}."
    )
    return multiples + (by_most if cheapest else "")


def summary(results: Results, conclusion: Conclusion) -> str:
    """Return a sentence for each pair of contenders, or for all spiking families together where
    there are several, and the times of training their variants.
    """
    seconds = grouped((variant.contender, variant.seconds) for variant in conclusion.variants)
    trained = [
        f"{duration(sum(of_each))} for {name}" for name, of_each in seconds.items() if any(of_each)
    ]
    took = f"The cheaper networks trained for {listed(trained)} a seed."
    alone = f"This holds for these trainings alone ({counted(conclusion.seeds, 'seed')})."
    rule = (
        "More: the whole 95 % interval is above 1.1, by so many accountings, and by none below "
        "1/1.1 (less). Contradict: some show less and others more. Open: none shows either. Not "
        "testable: one contender's variants miss the accuracy in more than 2.5 % of bootstrap "
        "samples."
    )
    untimed = (
        "Inference times of the cheaper networks are missing: the same command takes them on an "
        "idle machine."
    )
    is_compared = any(pair.at and not hardly_cheaper(conclusion, pair) for pair in conclusion.pairs)
    reservations = [
        *([rule] if is_compared else []),
        *([alone] if is_compared and conclusion.seeds < MIN_SEEDS else []),
        *([untimed] if "time" not in conclusion.accountings else []),
    ]
    together = [pair for pair in conclusion.pairs if pair.spiking not in seconds]
    shown = together or conclusion.pairs
    facts = [
        hardly_cheaper(conclusion, pair)
        or (at_equal_accuracy(pair, results.measure) if pair in shown else "")
        for pair in conclusion.pairs
    ]
    return " ".join(filter(None, [*facts, *reservations, took]))


def hardly_cheaper(conclusion: Conclusion, pair: FrontierPair) -> str:
    """Return why a pair is not judged: a contender that lacks most variants; else ""."""
    for name in (pair.spiking, pair.other):
        gaps = len(conclusion.left_out.get(name, ()))
        made = sum(variant.contender == name for variant in conclusion.variants)
        if gaps > made:
            return (
                f"{pair.spiking} beside {pair.other} is not judged: {name} was hardly made "
                f"cheaper, for it lacks {gaps} of {gaps + made} variants."
            )
    return ""


def left_out(conclusion: Conclusion) -> list[str]:
    """Return a sentence for each contender and reason of variants that it lacks."""
    by_reason = grouped(
        ((name, reason), title)
        for name, gaps in conclusion.left_out.items()
        for title, reason in gaps.items()
    )
    return [
        f"{name} lacks {counted(len(titles), 'network')} ({'; '.join(titles)}): {reason}"
        for (name, reason), titles in by_reason.items()
    ]


def tables(conclusion: Conclusion) -> dict[str, Any]:
    """Return the tables of networks, ratios and break-even rates, by title."""
    made: dict[str, tuple[Any, Sequence[Any]]] = {
        "The variants of all contenders": (FRONTIER, conclusion.variants),
        "Ratios at equal accuracy": (RATIOS, ratio_rows(conclusion)),
        "Break-even rates of spikes": (BREAK_EVEN, break_even_rows(conclusion)),
    }
    return {title: table for title, table in made.items() if table[1]}


def ratio_rows(conclusion: Conclusion) -> list[tuple[FrontierPair, EqualAccuracy, RatioAt, str]]:
    """Return the rows of the table of ratios, with the label of each accounting."""
    return [
        (pair, at, ratio_at, conclusion.accountings[ratio_at.accounting].label)
        for pair in conclusion.pairs
        for at in pair.at
        for ratio_at in at.ratios
    ]


def break_even_rows(conclusion: Conclusion) -> list[tuple[FrontierPair, BreakEven, str]]:
    """Return the rates of each spiking contender once."""
    pairs = {pair.spiking: pair for pair in conclusion.pairs}.values()
    return [
        (pair, ratio_at, conclusion.accountings[ratio_at.accounting].label)
        for pair in pairs
        for ratio_at in pair.break_even
        if ratio_at.accounting in conclusion.accountings
    ]
