"""Figures of a study: what each variant got on each data set, and what that says over all of
them.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from spikeduel.reporting import figures, style
from spikeduel.reporting.figures import Interval
from spikeduel.reporting.labels import label_points
from spikeduel.reporting.pareto import front
from spikeduel.results.run import Quantity
from spikeduel.results.study import Score, StudyResults
from spikeduel.results.words import study as words

MARKERS = ("o", "s", "^", "D")
"""Those of the first four variants of a kind, of the next four, and so on."""
DARKEST = 0.62
LEAST_SHADED = 0.01
"""The darkest cell of an overview is at least so far behind, that chance does not look like a
difference.
"""
MOST_NAMED = 6
"""Variants that all have their names beside them."""
MOST_REACH = 3
"""How many times as far as the largest difference a chart of differences goes."""
MOST_ROOMY = 12
"""Data sets whose rows have room to spare."""
_COSTS: dict[Quantity, str] = {
    "energy": "energy of an answer, times the least (estimate)",
    "answer": "time of an answer, times the least",
}


@dataclass(frozen=True)
class Look:
    """How a variant is drawn, the same in every figure."""

    colour: str
    marker: str


def looks(study: StudyResults) -> dict[str, Look]:
    """Warm colours for variants that spike, cool ones for others; then other markers."""
    palettes = {True: style.SPIKING_COLOURS, False: style.OTHER_COLOURS}
    every = {kind: itertools.cycle(itertools.product(MARKERS, palettes[kind])) for kind in palettes}
    drawn = {variant.name: next(every[variant.spiking]) for variant in study.variants}
    return {name: Look(colour, marker) for name, (marker, colour) in drawn.items()}


# ---- what each got where


def overview(study: StudyResults) -> Figure:
    """Data sets × variants: the accuracy, the darker the farther behind the best of the data set;
    the best in bold.

    Columns in the order of the study's variants, rows in that of the best accuracy. A triangle: a duel shows
    it to be behind.
    """
    narrow, names = style.canvas().narrow, [variant.name for variant in study.variants]
    best = _best(study)
    datasets = sorted(best, key=lambda dataset: -best[dataset].mean)
    room = style.canvas().width - (0.95 if narrow else 1.75)
    side = min(1.1, room / len(names))
    row = 0.27 if len(datasets) <= MOST_ROOMY else 0.21
    upright = side < 0.5
    heads = [style.shortened(name, 30) if upright else _in_lines(name, side) for name in names]
    above = (
        0.07 * max(map(len, heads))
        if upright
        else 0.14 * (1 + max(head.count("\n") for head in heads))
    )
    figure = style.new_figure(
        0.45 + above + row * len(datasets), style.canvas().width - room + side * len(names)
    )
    axes = style.quiet(figure.subplots())
    behind = [best[score.dataset].mean - score.mean for score in study.scores]
    darkest = max(LEAST_SHADED, float(np.quantile(behind, 0.9)))
    marks: dict[str, list[tuple[float, float]]] = {"v": [], "o": []}
    for score in study.scores:
        x, y = names.index(score.variant), datasets.index(score.dataset)
        away = max(0.0, round(best[score.dataset].mean - score.mean, 12))
        tested = study.test(score.variant, best[score.dataset].variant, score.dataset)
        cell = Rectangle(
            (x - 0.5, y - 0.5),
            1,
            1,
            facecolor=style.WRONG,
            alpha=DARKEST * min(1.0, away / darkest),
            linewidth=0,
        )
        style.told(
            axes.add_patch(cell),
            [_of_cell(score, away, _tested(study, score, best[score.dataset].variant))],
        )
        if away:
            is_behind = tested is not None and tested.conclusion.better
            marks["v"] += [(x + 0.38, y)] * is_behind
            marks["o"] += [(x + 0.38, y)] * (tested is None)
        if side > 0.33:
            weight = "normal" if away else "bold"
            digits = 1 if side < 0.62 else 2
            axes.text(
                x - 0.05,
                y,
                f"{100 * score.mean:.{digits}f}",
                ha="center",
                va="center",
                color=style.INK,
                fontsize=style.SMALL if side > 0.45 else 6.5,
                fontweight=weight,
            )
    _marked(axes, marks, side)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylim(len(datasets) - 0.5, -0.5)
    axes.xaxis.tick_top()
    axes.set_xticks(range(len(names)), heads, rotation=90 if upright else 0, fontsize=style.SMALL)
    shown = [style.shortened(dataset, 13 if narrow else 26) for dataset in datasets]
    axes.set_yticks(range(len(datasets)), shown, fontsize=7 if narrow else style.SMALL)
    axes.tick_params(length=0, labelcolor=style.INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    scale = [
        style.key(
            f"{100 * share * darkest:.2g}{' or more' if share == 1 else ''} points behind",
            style.WRONG,
            marker="s",
            linestyle="none",
            markersize=8,
            alpha=DARKEST * share,
            markeredgewidth=0,
        )
        for share in (0.25, 1)
    ]
    entries = [("v", "shown to be behind"), ("o", "not tested against the best")]
    scale += [
        style.key(
            label,
            style.INK,
            marker=mark,
            linestyle="none",
            markersize=4,
            fillstyle="full" if mark == "v" else "none",
        )
        for mark, label in entries
        if marks[mark]
    ]
    style.legend(figure, scale, place="outside lower center")
    return figure


def _in_lines(name: str, inches: float) -> str:
    """A variant's name over a column: broken at spaces, but not within "T = 4"."""
    return fill(
        words.whole(name),
        max(7, int(inches / 0.068)),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _marked(axes: Axes, marks: Mapping[str, Sequence[tuple[float, float]]], side: float) -> None:
    """Small marks at the right of cells; in narrow ones, which have no number, in their middle."""
    shift = 0.0 if side > 0.33 else -0.38
    for marker, places in marks.items():
        for x, y in places:
            face = style.INK if marker == "v" else "none"
            axes.plot(
                x + shift,
                y,
                marker,
                markersize=3.2,
                markerfacecolor=face,
                markeredgecolor=style.INK,
                markeredgewidth=0.6,
            )


def _best(study: StudyResults) -> dict[str, Score]:
    """The score of the best variant on each data set."""
    found: dict[str, Score] = {}
    for score in study.scores:
        if score.dataset not in found or score.mean > found[score.dataset].mean + 1e-12:
            found[score.dataset] = score
    return found


def _of_cell(score: Score, away: float, tested: str) -> style.Row:
    seeds = np.asarray(score.accuracies)
    return {
        "data set": score.dataset,
        "variant": score.variant,
        "accuracy, %": 100 * score.mean,
        "standard deviation, points": 100 * float(seeds.std(ddof=1)) if len(seeds) > 1 else None,
        "seeds": len(seeds),
        "test images": score.images,
        "behind the best, points": 100 * away,
        "best": tested,
    }


def _tested(study: StudyResults, score: Score, best: str) -> str:
    """What is known of a variant beside the best one, in words."""
    if score.variant == best:
        return "the best here"
    return f"{best}: {words.sure(study.test(score.variant, best, score.dataset))}"


# ---- over all data sets


def against_cost(study: StudyResults) -> Figure | None:
    """How far each variant is behind the best, on average, against energy, or where that is not
    known against time.

    Of many, those have their names beside them that no other is better than for less, and the two
    of the headline.
    """
    colours = looks(study)
    costs = [each for each in _COSTS if all(each in variant.costs for variant in study.variants)]
    if not costs or not study.variants:
        return None
    quantity = costs[0]
    figure, (axes,) = style.new_panels(1, 3.0 + 0.1 * max(0, len(study.variants) - 4))
    style.quiet(axes, x=_COSTS[quantity], y="mean points behind the best", grid=True)
    places = []
    for variant in study.variants:
        look, spent, y = colours[variant.name], variant.costs[quantity], 100 * variant.behind
        if spent.high > spent.low:
            axes.plot(
                [spent.low, spent.high],
                [y, y],
                color=look.colour,
                linewidth=2.5,
                alpha=0.3,
                zorder=1,
            )
        dot = axes.scatter(
            spent.low, y, color=look.colour, marker=look.marker, s=40, zorder=3, linewidths=0
        )
        style.told(
            dot,
            [
                {
                    "variant": variant.name,
                    "behind the best, points": y,
                    "times the least": spent.low,
                    "times the least, at most": spent.high if spent.high > spent.low else None,
                    "mean accuracy, %": 100 * variant.accuracy,
                    "data sets": len(variant.datasets),
                }
            ],
        )
        places.append((spent.low, y))
    axes.margins(x=0.16, y=0.14)
    style.cost_axis(axes, "")
    axes.invert_yaxis()
    named = set(range(len(places)))
    if len(places) > MOST_NAMED:
        pair = study.across.headline
        of_headline = {
            k for k, each in enumerate(study.variants) if pair and each.name in (pair.a, pair.b)
        }
        named = of_headline | set(
            front([cost for cost, _ in places], [-behind for _, behind in places])
        )
    shown = sorted(named)
    label_points(
        axes,
        [places[k] for k in shown],
        [style.shortened(study.variants[k].name, 30) for k in shown],
    )
    return figure


def differences(study: StudyResults) -> Figure | None:
    """The two variants of the headline on each data set, with the intervals of their duels, and
    over all of them.
    """
    pair = study.across.headline
    if pair is None or len(pair.differences) < 2:
        return None
    rows = []
    for dataset, difference in sorted(pair.differences.items(), key=lambda each: -each[1]):
        tested = study.test(pair.a, pair.b, dataset)
        sign = 1 if tested is None or tested.a == pair.a else -1
        ci95, ci90 = (
            (_turned(tested.ci95, sign), _turned(tested.ci90, sign)) if tested else (None, None)
        )
        if tested is None:
            concluded = "not tested: in different duels"
        elif tested.conclusion.better:
            concluded = f"{style.shortened(pair.a if difference > 0 else pair.b, 24)} better"
        else:
            concluded = words.sure(tested)
        colour = style.QUIET
        if tested:
            colour = figures.CONCLUSION_COLOURS.get(tested.conclusion, style.INK)
        rows.append(_interval(dataset, difference, ci95, ci90, concluded, colour))
    colour = figures.CONCLUSION_COLOURS.get(pair.conclusion, style.INK)
    rows.insert(
        0,
        _interval(
            "all data sets", pair.difference, pair.ci95, pair.ci90, words.conclusion(pair), colour
        ),
    )
    # A few test images give intervals beside which nothing else would be seen.
    reach = MOST_REACH * max(
        study.margin, *map(abs, [*pair.differences.values(), *(pair.ci95 or ())])
    )
    figure = figures.intervals(rows, study.margin, 0.3 if len(rows) <= MOST_ROOMY else 0.2, reach)
    figure.axes[0].axhline(0.25 if style.canvas().narrow else 0.5, color=style.QUIET, linewidth=0.6)
    return figure


def _turned(ends: tuple[float, float], sign: int) -> tuple[float, float]:
    low, high = sorted(sign * end for end in ends)
    return low, high


def _interval(
    name: str,
    difference: float,
    ci95: tuple[float, float] | None,
    ci90: tuple[float, float] | None,
    concluded: str,
    colour: str,
) -> Interval:
    low, high = ci95 or (None, None)
    row: dict[str, Any] = {
        "data set": name,
        "difference, points": 100 * difference,
        "95 % interval from, points": style.percent(low),
        "95 % interval to, points": style.percent(high),
        "conclusion": concluded,
    }
    return Interval(style.shortened(name, 30), difference, ci95, ci90, concluded, colour, row)
