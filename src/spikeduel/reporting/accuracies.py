"""Charts of accuracy: differences and trainings."""

from collections.abc import Sequence

import numpy as np

from spikeduel.reporting import charts
from spikeduel.reporting.charts import (
    ACCURACY,
    DASHES,
    FAINT,
    INK,
    QUIET,
    RIGHT,
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
from spikeduel.results.run import Pair, Results
from spikeduel.results.significance import Conclusion, Measure
from spikeduel.results.trials import Trial
from spikeduel.sentences.verdict import reserved
from spikeduel.system.numbers import named

CONCLUSION_COLOURS = {Conclusion.EQUIVALENT: RIGHT, Conclusion.INCONCLUSIVE: QUIET}
_DIFFERENCE = "difference, points"
CI95 = ("95 % interval from, points", "95 % interval to, points")
_CI90 = ("90 % interval from, points", "90 % interval to, points")
_THIN, _THICK = Look(width=1.2), Look(width=3.4)
_DOTTED = Look(width=0.8, dashes=(2.0, 2.0))
_EPOCHS = Axis("epoch", ticks="whole")
Ends = tuple[float, float] | None


def with_intervals(difference: float, ci95: Ends, ci90: Ends, conclusion: str, **text: str) -> Row:
    """Return a row, in points, of a difference (a fraction) and its known intervals."""
    row: dict[str, charts.Value] = {**text, _DIFFERENCE: 100 * difference}
    for columns, ends in ((CI95, ci95), (_CI90, ci90)):
        row |= {column: 100 * end for column, end in zip(columns, ends or (), strict=False)}
    return row | {"conclusion": conclusion}


def pair_differences(pairs: Sequence[Pair]) -> Chart:
    """Return the differences in accuracy of all pairs, with 95 % and 90 % intervals."""
    rows = list[tuple[Name, Row]]()
    for pair in pairs:
        concluded = reserved(pair) or pair.conclusion.value
        if pair.conclusion.better:
            within = " (within the margin)" if pair.negligible else ""
            concluded = f"{charts.shortened(pair.leader, 24)} better{within}"
        name = f"{charts.shortened(pair.a, 22)} − {charts.shortened(pair.b, 22)}"
        row = with_intervals(
            pair.difference, pair.ci95, pair.ci90, concluded, pair=f"{pair.a} − {pair.b}"
        )
        colour = CONCLUSION_COLOURS.get(pair.conclusion, INK)
        rows.append((Name(name, concluded, colour), {**row, "p": pair.p_value}))
    margin, measure = min(pair.margin for pair in pairs), pairs[0].measure
    return intervals("differences", rows, margin, measure=measure)


def intervals(
    chart: str,
    rows: Sequence[tuple[Name, Row]],
    margin: float,
    reach: float = float("inf"),
    measure: Measure = "accuracy",
) -> Chart:
    """Return a chart of rows of `with_intervals`, with the margin shaded, up to `reach` (a
    fraction).
    """
    marks = []
    for number, (name, row) in enumerate(rows):
        marks += [
            Marks("spans", [row], Look(name.colour, width=_THIN.width), CI95, number),
            Marks(
                "spans", [row], Look(name.colour, width=_THICK.width), _CI90, number, listed=False
            ),
            Marks("points", [row], Look(name.colour), place=number),
        ]
    bounds = [
        abs(float(row.get(column) or 0)) for _, row in rows for column in (_DIFFERENCE, *CI95)
    ]
    farthest = 1.08 * min(100 * reach, max(100 * margin, *bounds))
    title = f"{named(measure)} difference, points"
    x = Axis(_DIFFERENCE, title, ticks="signed", low=-farthest, high=farthest)
    lines = [Key("95 % interval", "line", _THIN), Key("90 % interval", "line", _THICK)]
    return beside_margin(chart, x, marks, [name for name, _ in rows], margin, lines)


def beside_margin(
    chart: str,
    x: Axis,
    marks: Sequence[Marks],
    names: Sequence[Name],
    margin: float,
    keys: Sequence[Key],
    row_height: float = 0.31,
) -> Chart:
    points = 100 * margin
    zone = Rule(-points, until=points, look=Look(FAINT, opacity=0.6))
    rules = [zone, Rule(-points, look=_DOTTED), Rule(points, look=_DOTTED), Rule(0.0)]
    panel = Panel(x, Axis(""), marks, rules=rules, names=names, row_height=row_height)
    return Chart(chart, [panel], [Key(f"margin, ±{points:.2g} points", "line", _DOTTED), *keys])


def learning_curves(results: Results) -> Chart:
    """Return loss and accuracy after each epoch, on training (dashed) and validation images: means
    over trainings, with a dot at each kept epoch.
    """
    colours = charts.contender_colours(results.trials)
    panels = []
    for quantity in ("loss", ACCURACY):
        marks = []
        for name, colour in colours.items():
            trained = [trial for trial in results.of(name, tested=False) if trial.history]
            trials = [trial for trial in trained if trial.status == "done"] or trained
            if not trials:
                continue
            for images, look in (
                ("training", Look(colour, "none", dashes=DASHES)),
                ("validation", Look(colour, "none")),
            ):
                curves = [_curve(trial, images, quantity) for trial in trials]
                epochs = range(1, min(map(len, curves)) + 1)
                common = [curve[: len(epochs)] for curve in curves]
                listed: Row = {"contender": name, "images": images}
                marks += charts.averaged("epoch", epochs, quantity, common, look, listed)
            cached = [
                {"epoch": trial.best_epoch + 1, quantity: curve[trial.best_epoch]}
                for curve, trial in zip(curves, trials, strict=True)
                if trial.best_epoch is not None and trial.best_epoch < len(curve)
            ]
            marks.append(Marks("points", cached, Look(colour, size=4), listed=False))
        lowest = 0.0 if quantity == "loss" else None
        panels.append(Panel(_EPOCHS, Axis(quantity, low=lowest), marks))
    keys = [
        *charts.contender_keys(colours),
        Key("validation", "line", Look()),
        Key("training", "line", Look(dashes=DASHES)),
        Key("weights kept", "points", Look(size=4)),
    ]
    return Chart("learning-curves", panels, keys)


def _curve(trial: Trial, images: str, quantity: str) -> list[float]:
    """Return loss, or accuracy in per cent, after each epoch; NaN where not known."""
    part = "train" if images == "training" else "val"
    name, size = ("loss", 1) if quantity == "loss" else ("accuracy", 100)
    values = [getattr(epoch, f"{part}_{name}") for epoch in trial.history]
    return (size * np.array(values, dtype=float)).tolist()
