"""Charts with a row for each difference: pairs of contenders, controls, energy accountings."""

from collections.abc import Sequence

from spikeduel.reporting import charts
from spikeduel.reporting.charts import (
    FAINT,
    INK,
    OTHER_COLOURS,
    QUIET,
    RIGHT,
    SPIKING_COLOURS,
    Axis,
    Chart,
    Key,
    Look,
    Marks,
    Name,
    Panel,
    Row,
    Rule,
)
from spikeduel.results.costs import AccountedPair, EnergyAccountings
from spikeduel.results.run import Pair, Results
from spikeduel.results.significance import Conclusion
from spikeduel.results.words.costs import figure_name, in_order
from spikeduel.results.words.verdict import reserved

CONCLUSION_COLOURS = {Conclusion.EQUIVALENT: RIGHT, Conclusion.INCONCLUSIVE: QUIET}
WIDEST_RATIO = 1e3
"""A ratio further from 1 is drawn at the edge."""
_DIFFERENCE = "difference, points"
_CI95 = ("95 % interval from, points", "95 % interval to, points")
_CI90 = ("90 % interval from, points", "90 % interval to, points")
_THIN, _THICK = Look(width=1.2), Look(width=3.4)
_DOTTED = Look(width=0.8, dashes=(2.0, 2.0))
Ends = tuple[float, float] | None


def with_intervals(difference: float, ci95: Ends, ci90: Ends, conclusion: str, **said: str) -> Row:
    """Return a row, in points, of a difference (a fraction) and its known intervals."""
    row: dict[str, charts.Value] = {**said, _DIFFERENCE: 100 * difference}
    for columns, ends in ((_CI95, ci95), (_CI90, ci90)):
        row |= {column: 100 * end for column, end in zip(columns, ends or (), strict=False)}
    return row | {"conclusion": conclusion}


def pair_differences(pairs: Sequence[Pair]) -> Chart:
    """Return the differences in accuracy of all pairs, with 95 % and 90 % intervals."""
    rows = list[tuple[Name, Row]]()
    for pair in pairs:
        concluded = _concluded(pair)
        name = f"{charts.shortened(pair.a, 22)} − {charts.shortened(pair.b, 22)}"
        row = with_intervals(
            pair.difference, pair.ci95, pair.ci90, concluded, pair=f"{pair.a} − {pair.b}"
        )
        colour = CONCLUSION_COLOURS.get(pair.conclusion, INK)
        rows.append((Name(name, concluded, colour), {**row, "p": pair.p_value}))
    return intervals("differences", rows, pairs[0].margin)


def intervals(
    chart: str, rows: Sequence[tuple[Name, Row]], margin: float, reach: float = float("inf")
) -> Chart:
    """Return a chart of rows of `with_intervals`, with the margin shaded; the axis ends at `reach`,
    a fraction.
    """
    marks = []
    for place, (name, row) in enumerate(rows):
        marks += [
            Marks("spans", [row], Look(name.colour, width=_THIN.width), _CI95, place),
            Marks("spans", [row], Look(name.colour, width=_THICK.width), _CI90, place, told=False),
            Marks("points", [row], Look(name.colour), place=place),
        ]
    bounds = [
        abs(float(row.get(column) or 0)) for _, row in rows for column in (_DIFFERENCE, *_CI95)
    ]
    farthest = 1.08 * min(100 * reach, max(100 * margin, *bounds))
    title = "accuracy difference, points"
    x = Axis(_DIFFERENCE, title, ticks="signed", low=-farthest, high=farthest)
    keys = [
        _margin_key(margin),
        Key("95 % interval", "line", _THIN),
        Key("90 % interval", "line", _THICK),
    ]
    panel = Panel(x, Axis(""), marks, rules=_margin_rules(margin), names=[name for name, _ in rows])
    return Chart(chart, [panel], keys)


def _margin_rules(margin: float) -> list[Rule]:
    points = 100 * margin
    zone = Rule(-points, until=points, look=Look(FAINT, opacity=0.6))
    return [zone, Rule(-points, look=_DOTTED), Rule(points, look=_DOTTED), Rule(0.0)]


def _margin_key(margin: float) -> Key:
    return Key(f"margin, ±{100 * margin:g} points", "line", _DOTTED)


def _concluded(pair: Pair) -> str:
    if not pair.conclusion.better:
        return reserved(pair) or pair.conclusion.value
    within = " (within the margin)" if pair.negligible else ""
    return f"{charts.shortened(pair.leader, 24)} better{within}"


def controls(results: Results) -> Chart:
    """Return the points of accuracy that each control (a row) took or gave each contender (a
    dot).
    """
    controlled, margin = results.comparison.controls, results.experiment.equivalence_margin
    colours = charts.contender_colours(results.trials)
    titles = list(dict.fromkeys(row.title for control in controlled for row in control.rows))
    marks, column = [], "change, points"
    for number, control in enumerate(controlled):
        colour = colours[control.contender]
        for row in control.rows:
            if row.found is None:
                continue
            high, low = (-100 * bound for bound in row.found.ci95)
            told: Row = {
                "contender": control.contender,
                "control": row.title,
                column: -100 * row.found.difference,
                _CI95[0]: low,
                _CI95[1]: high,
            }
            place = titles.index(row.title) + 0.55 / len(controlled) * number
            marks += [
                Marks("spans", [told], Look(colour), _CI95, place, told=False),
                Marks("points", [told], Look(colour, size=5), place=place),
            ]
    panel = Panel(
        Axis(column, "change in accuracy, points", ticks="signed"),
        Axis(""),
        marks,
        rules=_margin_rules(margin),
        names=[Name(title) for title in titles],
        row_height=0.26 + 0.1 * len(controlled),
    )
    shown = {control.contender: colours[control.contender] for control in controlled}
    keys = [*charts.contender_keys(shown, "points"), _margin_key(margin)]
    return Chart("controls", [panel], keys)


def energy_accountings(
    accounted: AccountedPair, accountings: EnergyAccountings, colours: dict[str, str]
) -> Chart:
    """Return the ratio of two networks' energies: a row for each accounting with a number, in the
    cheaper network's colour.
    """
    known = [(result, result.ratio) for result in in_order(accounted) if result.ratio]
    sides = {
        "spiking": (accounted.spiking, colours.get(accounted.spiking, SPIKING_COLOURS[0])),
        "other": (accounted.other, colours.get(accounted.other, OTHER_COLOURS[0])),
        None: ("", QUIET),
    }
    low = max(min([0.5, *(ratio.low for _, ratio in known)]), 1 / WIDEST_RATIO)
    high = min(max([2.0, *(ratio.high for _, ratio in known)]), WIDEST_RATIO)
    start, end = (f"{accounted.spiking} / {accounted.other} {side}" for side in ("from", "to"))
    marks, names = [], []
    for place, (result, ratio) in enumerate(known):
        cheaper, colour = sides[result.cheaper]
        label = accountings.accounting(result.accounting).label
        row: Row = {
            "accounting": label,
            start: ratio.low,
            end: ratio.high,
            "conclusion": f"{cheaper} cheaper" if cheaper else "open",
        }
        names.append(Name(label, charts.shortened(cheaper) or "open", colour))
        marks.append(Marks("spans", [row], Look(colour, width=4.5), (start, end), place))
        if ratio.low == ratio.high:
            seen: Row = {start: min(max(ratio.low, low), high)}
            marks.append(Marks("points", [seen], Look(colour), place=place, told=False))
    title = f"{charts.shortened(accounted.spiking, 16)} / {charts.shortened(accounted.other, 16)}"
    x = Axis(start, title, "log", "ratios", low / 1.5, high * 1.5)
    rule, heading = Rule(1.0, look=Look(INK, width=0.9)), "Accounting, and who is cheaper"
    panel = Panel(x, Axis(""), marks, heading, [rule], names)
    return Chart(figure_name(accounted), [panel])
