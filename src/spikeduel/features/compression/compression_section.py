"""Section of the report on costs at equal accuracy."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import cycle

import numpy as np

from spikeduel.features.compression.frontier_results import CompressedVariant, Conclusion
from spikeduel.features.compression.frontier_sentences import (
    BREAK_EVEN,
    FRONTIER,
    RATIOS,
    TITLES,
    break_even_rows,
    hardly_cheaper,
    highest,
    label,
    left_out,
    of_measure,
    ratio_rows,
    times,
    whole,
)
from spikeduel.reporting import charts
from spikeduel.reporting.charts import (
    ACCURACY,
    SPIKING_COLOURS,
    Axis,
    Chart,
    Key,
    Look,
    Marks,
    Panel,
    Row,
)
from spikeduel.reporting.cost_figures import RANGE, SHOWN_BELOW_BEST, TEST_ACCURACY
from spikeduel.reporting.sections import Page, Section
from spikeduel.results.pareto import front, mixed_front
from spikeduel.results.significance import Measure
from spikeduel.sentences.cost_sentences import GROUP_TITLES
from spikeduel.system.grouped import grouped

_COST, _VALIDATION = "cost, middle of accountings", "validation accuracy, %"


def section(page: Page, conclusion: Conclusion) -> Section:
    """Return the ratios at equal accuracy, the chart of the variants, and their tables."""
    results = page.results
    colours = charts.contender_colours(results.trials)
    content = {
        "text": conclusion.text,
        "pairs": {
            (pair.spiking, pair.other): [
                (TITLES[group], at.accuracy, times(whole(ratios)), label(ratios, pair))
                for group, (at, ratios) in highest(pair).items()
            ]
            for pair in conclusion.pairs
            if pair.at and not hardly_cheaper(conclusion, pair)
        },
        "columns": of_measure(FRONTIER, results.measure),
        "variants": conclusion.variants,
        "left_out": left_out(conclusion),
        "ratio_columns": of_measure(RATIOS, results.measure),
        "ratios": ratio_rows(conclusion),
        "break_even_columns": BREAK_EVEN,
        "break_even": break_even_rows(conclusion),
    }
    drawn = [chart(conclusion, colours, results.measure)]
    return Section(heading="At equal accuracy", after="time", charts=drawn, content=content)


def chart(conclusion: Conclusion, colours: dict[str, str], measure: Measure = "accuracy") -> Chart:
    """Return accuracy against the cost of the variants, a panel for each group of
    accountings; 1 is the cost of the first network, without spikes if there is one.
    """
    usual = min(conclusion.variants, key=lambda variant: variant.spiking)
    of_contenders = grouped((variant.contender, variant) for variant in conclusion.variants)
    colours = _with_first_spikes(colours, of_contenders)
    # The best variant of each contender is seen.
    highest = max(variant.ci95.high for variant in conclusion.variants)
    best = [max(variant.accuracy for variant in of) for of in of_contenders.values()]
    below_best = max(SHOWN_BELOW_BEST, 110 * (highest - min(best)))
    panels = []
    for group in dict.fromkeys(kind.group for kind in conclusion.accountings.values()):
        kinds = {name: kind for name, kind in conclusion.accountings.items() if kind.group == group}
        title, *others = [kind.label for kind in kinds.values()]
        marks: list[Marks] = []
        for contender, variants in of_contenders.items():
            rows = [_relative(variant, usual, list(kinds)) for variant in variants]
            look = Look(colours[contender], size=5)
            shaped = look if variants[0].spiking else replace(look, shape="square")
            marks += _curve(rows, shaped, stored=group == "size")
        x = Axis(_COST, f"cost (1 = {usual.contender}, {usual.title})", "log", "ratios")
        y = Axis(ACCURACY, TEST_ACCURACY[measure], least=charts.MIN_RANGE, most=below_best)
        title = GROUP_TITLES[group] if others else title
        panels.append(Panel(x, y, marks, title.capitalize(), height=3.0))
    keys = charts.contender_keys({name: colours[name] for name in of_contenders})
    keys.append(Key("range over accountings", "line", RANGE))
    return Chart("frontier", panels, keys)


def _with_first_spikes(colours: dict[str, str], families: Iterable[str]) -> dict[str, str]:
    """Return `colours` with warm ones for the families that are no contenders: first spikes."""
    unused = [colour for colour in SPIKING_COLOURS if colour not in colours.values()]
    added = [name for name in families if name not in colours]
    return colours | dict(zip(added, cycle(unused or SPIKING_COLOURS), strict=False))


def _relative(
    variant: CompressedVariant, usual: CompressedVariant, accountings: Sequence[str]
) -> Row:
    """Return a row with the cost of `variant` as a multiple of that of `usual`."""
    multiples = [
        getattr(variant.amounts[name], end) / getattr(usual.amounts[name], end)
        for name in accountings
        for end in ("low", "high")
    ]
    return {
        "contender": variant.contender,
        "network": variant.title,
        _COST: float(np.exp(np.log(multiples).mean())),
        "cost at least": min(multiples),
        "cost at most": max(multiples),
        ACCURACY: 100 * variant.accuracy,
        _VALIDATION: 100 * variant.val_accuracy,
        "from, %": 100 * variant.ci95.low,
        "to, %": 100 * variant.ci95.high,
    }


def _curve(rows: Sequence[Row], look: Look, stored: bool) -> list[Marks]:
    """Return the marks of a contender's variants: points, bars, and a line through those that
    neither a cheaper one nor a mixture of two beats; of `stored` networks a staircase.
    """
    places = [(float(row[_COST] or 0), float(row[ACCURACY] or 0)) for row in rows]
    best = (front if stored else mixed_front)(*zip(*places, strict=True))
    costs, reached = zip(*(places[index] for index in best), strict=True)
    if stored:
        ends = np.repeat([costs, reached], 2, axis=1)
        mixed = [ends[0, 1:].tolist(), ends[1, :-1].tolist()]
    else:
        # Between two networks, images are shared out.
        shares = np.linspace(0, len(best) - 1, 8 * (len(best) - 1) + 1)
        mixed = [np.interp(shares, range(len(best)), ends).tolist() for ends in (costs, reached)]
    line = [{_COST: cost, ACCURACY: accuracy} for cost, accuracy in zip(*mixed, strict=True)]
    bar, thin = replace(RANGE, colour=look.colour), Look(look.colour, width=0.9, opacity=0.6)
    return [
        Marks("spans", rows, bar, ("cost at least", "cost at most"), listed=False),
        Marks("intervals", rows, thin, ("from, %", "to, %"), listed=False),
        Marks("line", line, Look(look.colour, "none", width=1.4), listed=False),
        Marks("points", rows, look),
    ]
