"""The chart of the court: a row for each accounting, the ratio of what two networks take in
each.
"""

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from spikeduel.reporting import style
from spikeduel.results.court import Case, Court, Side
from spikeduel.results.words.court import in_order

WIDTH = 5.0
"""Inches."""
_ROW = 0.235
_WIDEST = 1e3
"""A ratio further from 1 than this is drawn at the edge."""


def chart(case: Case, court: Court, colours: Mapping[str, str]) -> Figure:
    """A dot or a bar (where the accounting gives a range) for each accounting, by ratio; the line
    is at equal amounts.

    In the colour of who is cheaper; grey where that is open. Accountings without a number are left
    out.
    """
    rulings = [(ruling, ruling.ratio) for ruling in in_order(case) if ruling.ratio]
    spiking = colours.get(case.spiking, style.SPIKING_COLOURS[0])
    by_side: dict[Side | None, str] = {
        "spiking": spiking,
        "other": colours.get(case.other, style.OTHER_COLOURS[0]),
        None: style.QUIET,
    }
    narrow = style.canvas().narrow
    figure = style.new_figure(1.0 + _ROW * len(rulings) * (1.8 if narrow else 1), WIDTH)
    axes = style.quiet(
        figure.subplots(),
        x=f"{style.shortened(case.spiking, 16)} / {style.shortened(case.other, 16)}",
    )
    axes.set_xscale("log")
    low = max(min([0.5, *(ratio.low for _, ratio in rulings)]), 1 / _WIDEST)
    high = min(max([2.0, *(ratio.high for _, ratio in rulings)]), _WIDEST)
    axes.set_xlim(low / 1.5, high * 1.5)
    axes.axvline(1, color=style.INK, linewidth=0.9)
    for row, (ruling, ratio) in enumerate(rulings):
        colour = by_side[ruling.cheaper]
        ends = [min(max(end, low), high) for end in (ratio.low, ratio.high)]
        if ends[0] < ends[1]:
            (mark,) = axes.plot(
                ends, [row, row], color=colour, linewidth=4.5, solid_capstyle="round"
            )
        else:
            (mark,) = axes.plot(ends[:1], [row], "o", color=colour, markersize=6)
        cheaper = {"spiking": case.spiking, "other": case.other, None: None}[ruling.cheaper]
        style.told(
            mark,
            [
                {
                    "accounting": court.accounting(ruling.accounting).label,
                    f"{case.spiking} / {case.other} from": ratio.low,
                    f"{case.spiking} / {case.other} to": ratio.high,
                    "conclusion": f"{cheaper} cheaper" if cheaper else "open",
                }
            ],
        )
    labels = [court.accounting(ruling.accounting).label for ruling, _ in rulings]
    style.name_rows(axes, range(len(rulings)), labels)
    axes.set_ylim(len(rulings) - 0.4, -0.9 if narrow else -0.6)
    axes.grid(axis="x", color=style.FAINT, linewidth=0.6)
    axes.xaxis.set_major_locator(LogLocator())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    for text, place, side in (
        (f"← {style.shortened(case.spiking)}\ncheaper", 0.0, "left"),
        (f"{style.shortened(case.other)} →\ncheaper", 1.0, "right"),
    ):
        axes.text(
            place,
            1.01,
            text,
            transform=axes.transAxes,
            ha=side,
            va="bottom",
            fontsize=style.SMALL,
            color=style.INK,
        )
    return figure
