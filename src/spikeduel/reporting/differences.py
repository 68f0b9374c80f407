"""Charts with a row for each difference: pairs of contenders, controls, energy accountings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spikeduel.reporting import charts
from spikeduel.reporting.charts import (
    DASHES,
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
from spikeduel.results.significance import Conclusion, Reservation
from spikeduel.results.words import energy_accountings as accounting_words
from spikeduel.results.words.numbers import counted
from spikeduel.results.words.verdict import BRIEF

CONCLUSION_COLOURS = {Conclusion.EQUIVALENT: RIGHT, Conclusion.INCONCLUSIVE: QUIET}
WIDEST_RATIO = 1e3
"""A ratio further from 1 is drawn at the edge."""
_NARROW = {
    **BRIEF,
    Reservation.FEW_GROUPS: "too few groups",
    Reservation.COMPARISONS: "not after adjusting",
    Reservation.EXACT_TEST: "inconclusive",
}
_DIFFERENCE = "difference, points"
_CI95 = ("95 % interval from, points", "95 % interval to, points")
_CI90 = ("90 % interval from, points", "90 % interval to, points")
_THIN, _THICK = Look(width=1.2), Look(width=3.4)
_DOTTED = Look(width=0.8, dashes=(2.0, 2.0))


@dataclass(frozen=True)
class Interval:
    """A row of differences: a fraction with its intervals, None where there are none."""

    name: str
    difference: float
    ci95: tuple[float, float] | None
    ci90: tuple[float, float] | None
    concluded: str
    colour: str
    said: Row

    @property
    def row(self) -> Row:
        """Return the difference and its intervals in points, beside what the row says."""
        row: dict[str, charts.Value] = dict(self.said) | {_DIFFERENCE: 100 * self.difference}
        for columns, ends in ((_CI95, self.ci95), (_CI90, self.ci90)):
            row |= {column: 100 * end for column, end in zip(columns, ends or (), strict=False)}
        return row | {"conclusion": self.concluded}


def pair_differences(pairs: Sequence[Pair]) -> Chart:
    """Return the differences in accuracy of all pairs, with 95 % and 90 % intervals."""
    rows = [
        Interval(
            f"{charts.shortened(pair.a, 22)} − {charts.shortened(pair.b, 22)}",
            pair.difference,
            pair.ci95,
            pair.ci90,
            _concluded(pair),
            CONCLUSION_COLOURS.get(pair.conclusion, INK),
            {"pair": f"{pair.a} − {pair.b}", "p": pair.p_value},
        )
        for pair in pairs
    ]
    return intervals("differences", rows, pairs[0].margin)


def intervals(
    name: str, rows: Sequence[Interval], margin: float, reach: float = float("inf")
) -> Chart:
    """Return a chart of differences, a row each, with the margin of equivalence shaded.

    `margin` is a fraction. The axis ends at `reach`, where intervals may go on.
    """
    marks = []
    for place, interval in enumerate(rows):
        row, colour = interval.row, interval.colour
        marks += [
            Marks("spans", [row], Look(colour, width=_THIN.width), _CI95, place),
            Marks("spans", [row], Look(colour, width=_THICK.width), _CI90, place, told=False),
            Marks("points", [row], Look(colour), place=place),
        ]
    bounds = [bound for row in rows for bound in (row.difference, *(row.ci95 or ()))]
    farthest = 108 * min(reach, max(margin, *map(abs, bounds)))
    x = Axis(
        _DIFFERENCE, "accuracy difference, points", ticks="signed", low=-farthest, high=farthest
    )
    names = [Name(row.name, row.concluded, row.colour) for row in rows]
    panel = Panel(x, Axis(""), marks, rules=margin_rules(100 * margin), names=names)
    keys = [
        margin_key(100 * margin),
        Key("95 % interval", "line", _THIN),
        Key("90 % interval", "line", _THICK),
    ]
    return Chart(name, [panel], keys)


def margin_rules(points: float) -> list[Rule]:
    """Return the shaded zone of ±`points` around 0, with lines that show where it is narrow."""
    zone = Rule(-points, until=points, look=Look(FAINT, opacity=0.6))
    return [zone, Rule(-points, look=_DOTTED), Rule(points, look=_DOTTED), Rule(0.0)]


def margin_key(points: float) -> Key:
    """Return the legend's entry of a margin of ±`points`."""
    return Key(f"margin, ±{points:g} points", "line", _DOTTED)


def _concluded(pair: Pair) -> str:
    if pair.reservation:
        return _NARROW[pair.reservation]
    if not pair.conclusion.better:
        return pair.conclusion.value
    within = " (within the margin)" if pair.negligible else ""
    return f"{charts.shortened(pair.leader, 24)} better{within}"


def controls(results: Results) -> Chart:
    """Return a panel for each spiking contender: its accuracy and that of each control.

    A dot is a training, a stroke the mean. Warm colours spike, cool ones do not.
    """
    colours, column = charts.contender_colours(results.trials), "test accuracy, %"
    panels = []
    for controlled in results.comparison.controls:
        warm = colours[controlled.contender]
        trials = [trial for trial in results.of(controlled.contender) if trial.controls]
        shown = [("itself", warm, [(t, t.test.accuracy) for t in trials if t.test])]
        for control in controlled.rows:
            measured = [
                (trial, trial.controls[control.control].accuracy)
                for trial in trials
                if control.control in trial.controls
            ]
            shown.append((control.title, warm if control.spikes else OTHER_COLOURS[0], measured))
        marks, names, means = [], [], []
        for place, (title, colour, measured) in enumerate(shown):
            names.append(Name(title, "" if measured else "not measured", QUIET))
            if not measured:
                continue
            rows = [
                charts.training_row(trial) | {"control": title, column: 100 * accuracy}
                for trial, accuracy in measured
            ]
            means.append(100 * float(np.mean([accuracy for _, accuracy in measured])))
            stroke = Look(colour, "tick", 11, 2.4)
            marks += [
                Marks("points", rows, Look(colour, size=4, opacity=0.45), place=place),
                Marks("points", [{column: means[-1]}], stroke, place=place, told=False),
            ]
        itself = Rule(means[0], look=Look(warm, width=0.9, dashes=DASHES))
        steps = counted(controlled.num_steps or 1, "step")
        title = f"{charts.shortened(controlled.contender, 30)}, {steps}"
        panels.append(Panel(Axis(column), Axis(""), marks, title, [itself], names))
    return Chart("controls", panels)


def time_controls(results: Results) -> Chart:
    """Return the points of accuracy that each control on recordings took or gave.

    A row is a control, a dot a contender, with the 95 % interval; the margin is shaded.
    """
    controlled = [control for control in results.comparison.controls if control.of_recordings]
    colours = charts.contender_colours(results.trials)
    titles = [row.title for row in controlled[0].rows]
    margin, apart = 100 * results.experiment.equivalence_margin, 0.55 / len(controlled)
    marks = []
    for number, control in enumerate(controlled):
        colour = colours[control.contender]
        for row in control.rows:
            if row.found is None or row.title not in titles:
                continue
            high, low = (-100 * bound for bound in row.found.ci95)
            told: Row = {
                "contender": control.contender,
                "control": row.title,
                "change, points": -100 * row.found.difference,
                _CI95[0]: low,
                _CI95[1]: high,
            }
            place = titles.index(row.title) + apart * number
            marks += [
                Marks("spans", [told], Look(colour), _CI95, place, told=False),
                Marks("points", [told], Look(colour, size=5), place=place),
            ]
    x = Axis("change, points", "change in accuracy, points", ticks="signed")
    panel = Panel(
        x,
        Axis(""),
        marks,
        rules=margin_rules(margin),
        names=[Name(title) for title in titles],
        row_height=0.26 + 0.1 * len(controlled),
    )
    shown = {control.contender: colours[control.contender] for control in controlled}
    keys = [*charts.contender_keys(shown, "points"), margin_key(margin)]
    return Chart("controls", [panel], keys)


def energy_accountings(
    accounted: AccountedPair, accountings: EnergyAccountings, colours: dict[str, str]
) -> Chart:
    """Return the ratio of what two networks take, a row for each accounting that has a number.

    A bar is an accounting that gives a range. The colour is that of the cheaper network, grey where
    that is open.
    """
    by_accounting = [
        (result, result.ratio) for result in accounting_words.in_order(accounted) if result.ratio
    ]
    sides = {
        "spiking": (accounted.spiking, colours.get(accounted.spiking, SPIKING_COLOURS[0])),
        "other": (accounted.other, colours.get(accounted.other, OTHER_COLOURS[0])),
    }
    low = max(min([0.5, *(ratio.low for _, ratio in by_accounting)]), 1 / WIDEST_RATIO)
    high = min(max([2.0, *(ratio.high for _, ratio in by_accounting)]), WIDEST_RATIO)
    ends = tuple(f"{accounted.spiking} / {accounted.other} {end}" for end in ("from", "to"))
    marks, names = [], []
    for place, (result, ratio) in enumerate(by_accounting):
        cheaper, colour = sides[result.cheaper] if result.cheaper else (None, QUIET)
        label = accountings.accounting(result.accounting).label
        row: Row = {
            "accounting": label,
            ends[0]: ratio.low,
            ends[1]: ratio.high,
            "conclusion": f"{cheaper} cheaper" if cheaper else "open",
        }
        names.append(Name(label, charts.shortened(cheaper) if cheaper else "open", colour))
        columns = (ends[0], ends[1])
        marks.append(Marks("spans", [row], Look(colour, width=4.5), columns, place))
        if ratio.low == ratio.high:
            seen: Row = {ends[0]: min(max(ratio.low, low), high)}
            marks.append(Marks("points", [seen], Look(colour), place=place, told=False))
    title = f"{charts.shortened(accounted.spiking, 16)} / {charts.shortened(accounted.other, 16)}"
    x = Axis(ends[0], title, "log", "ratios", low / 1.5, high * 1.5)
    panel = Panel(
        x,
        Axis(""),
        marks,
        "Accounting, and who is cheaper",
        [Rule(1.0, look=Look(INK, width=0.9))],
        names,
    )
    return Chart(accounting_words.figure_name(accounted), [panel])
