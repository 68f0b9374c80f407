"""Draw declared charts with matplotlib: SVG for a page, a figure for files.

A page gets one SVG per panel, which style sheets scale and arrange, so a panel is drawn once.
Figures are made without pyplot and leave the user's plots as they are.
"""

import io
import math
import re
from collections.abc import Callable, Iterator, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.axis import Axis as PlotAxis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox, ScaledTranslation

from spikeduel.reporting import charts
from spikeduel.reporting.charts import FAINT, INK, PAPER, QUIET, Axis, Chart, Key, Marks, Panel
from spikeduel.system import files

WIDTHS = {1: 4.0, 2: 4.0, 3: 2.9, 4: 2.2}
"""Inches of a panel by the number of panels in a row: text has nearly one size on a page."""
DPI = 140
"""Pixels to the inch of a picture file."""
TEXT, TITLE = 8.5, 9.5
"""Points."""
REACH = 4.0
"""Half the side, in points, of the place where a tip is found."""
SHAPES = {
    "circle": "o",
    "square": "s",
    "triangle": "^",
    "diamond": "D",
    "star": "*",
    "tick": "|",
    "none": "",
}
VARIABLES = {
    INK: "--ink",
    QUIET: "--quiet",
    FAINT: "--line",
    PAPER: "--card",
    **{colour: f"--chart-{colour[1:].lower()}" for colour in charts.IN_THE_DARK},
}
"""The page's variable for each colour of a chart."""
DARK = {VARIABLES[colour]: dark for colour, dark in charts.IN_THE_DARK.items()}
"""Variables that a dark page sets for marks."""
SETTINGS: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana"],
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "spikeduel",
    "path.simplify": True,
}
_AROUND = [(1, 0), (1, 1), (1, -1), (-1, 0), (-1, 1), (-1, -1), (0, 1), (0, -1)]
_SIDES = {-1: "right", 0: "center", 1: "left"}
_HEIGHTS = {-1: "top", 0: "center", 1: "bottom"}


def panels(chart: Chart, label: str) -> Markup:
    """Return the SVG of each panel in the page's colours, with a mark for each tip.

    `label` says what the chart shows to those who do not see it.
    """
    with matplotlib.rc_context(SETTINGS):
        drawn = [_markup(panel, WIDTHS[chart.abreast], label) for panel in chart.panels]
    return Markup("\n".join(drawn))


def figure(chart: Chart) -> Figure:
    """Return a figure of all panels with their legend."""
    columns = min(len(chart.panels), chart.abreast)
    rows = -(-len(chart.panels) // columns)
    width = WIDTHS[chart.abreast] * (1 if columns > 1 else 1.4)
    height = sum(
        max(map(_height, chart.panels[first : first + columns]))
        for first in range(0, len(chart.panels), columns)
    )
    with matplotlib.rc_context(SETTINGS):
        made = Figure((width * columns, height + 0.3), 72, facecolor=PAPER, layout="constrained")
        FigureCanvasAgg(made)
        grid = list(made.subplots(rows, columns, squeeze=False).flat)
        for axes in grid[len(chart.panels) :]:
            axes.set_visible(False)
        for axes, panel in zip(grid, chart.panels, strict=False):
            _draw(axes, panel, width)
        made.draw_without_rendering()
        for axes, panel in zip(grid, chart.panels, strict=False):
            _label(axes, panel)
        if chart.keys:
            made.legend(
                handles=[_handle(key) for key in chart.keys],
                loc="outside upper center",
                ncols=max(1, int(width * columns / 1.7)),
                frameon=False,
                fontsize=TEXT,
                labelcolor=INK,
            )
    return made


def save(chart: Chart, folder: Path) -> None:
    """Write `folder`/name.png and name.svg."""
    drawn = figure(chart)
    for kind in ("png", "svg"):
        with (
            files.atomic_path(folder / f"{chart.name}.{kind}") as temporary,
            matplotlib.rc_context(SETTINGS),
        ):
            drawn.savefig(temporary, format=kind, dpi=DPI, bbox_inches="tight", pad_inches=0.06)


def swatch(key: Key) -> Markup:
    """Return the small drawing of a legend's entry for a page."""
    look, colour = key.look, coloured(key.look.colour)
    if key.kind in ("bars", "band"):
        body = f'<rect x="4" y="1" width="14" height="10" fill="{colour}"/>'
    elif key.kind == "points":
        fill = colour if look.filled else "var(--card)"
        body = f'<path d="{_OUTLINES[look.shape]}" fill="{fill}" stroke="{colour}"/>'
    else:
        dashes = f' stroke-dasharray="{" ".join(map(str, look.dashes))}"' if look.dashes else ""
        body = (
            f'<path d="M0 6H22" stroke="{colour}" stroke-width="{max(look.width, 1.5)}"{dashes}/>'
        )
    return Markup(
        f'<svg class="swatch" viewBox="0 0 22 12" width="22" height="12" aria-hidden="true" '
        f'opacity="{look.opacity}">{body}</svg>'
    )


_OUTLINES = {
    "circle": "M7 6a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "tick": "M11 1v10",
    "square": "M7 2h8v8h-8z",
    "triangle": "M11 1.5l5 8.5h-10z",
    "diamond": "M11 1.5l4.5 4.5l-4.5 4.5l-4.5-4.5z",
    "star": "M11 .5l1.5 4h4l-3.2 2.5l1.2 4l-3.5-2.4l-3.5 2.4l1.2-4l-3.2-2.5h4z",
    "none": "",
}


def coloured(colour: str) -> str:
    """Return a colour as the page's variable, with the colour itself where there is none."""
    variable = VARIABLES.get(colour.upper())
    return f"var({variable}, {colour.upper()})" if variable else colour


# ---- a panel as a part of a page


def _markup(panel: Panel, width: float, label: str) -> str:
    height = _height(panel)
    # One unit of the SVG is one point.
    drawn = Figure((width, height), 72, facecolor=PAPER)
    axes = drawn.subplots()
    _draw(axes, panel, width)
    _place(axes, panel, width, height)
    written = io.StringIO()
    drawn.savefig(
        written, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"))
    )
    tips = "".join(_tips(axes, panel, height * 72))
    text = written.getvalue()
    body = text[text.index(">", text.index("<svg")) + 1 : text.rindex("</svg>")]
    # Ids that nothing refers to would stand on the page several times.
    used = set(re.findall(r"#([\w-]+)", body))
    body = re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in used else "", body)
    body = re.sub(
        r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>|\s*\n\s*", " ", body, flags=re.DOTALL
    )
    body = re.sub(r"#[0-9A-Fa-f]{6}\b", lambda colour: coloured(colour[0]), body)
    named = escape(f"{label}: {panel.title}" if panel.title else label)
    return (
        f'<svg class="panel" role="img" aria-label="{named}" viewBox="0 0 {width * 72:g} '
        f'{height * 72:g}" stroke-linejoin="round">{body}<g class="tips">{tips}</g></svg>'
    )


def _height(panel: Panel) -> float:
    return 0.75 + panel.row_height * len(panel.names) if panel.names else panel.height


def _place(axes: Axes, panel: Panel, width: float, height: float) -> None:
    """Give the axes all of the figure that titles and ticks leave."""
    left = 0.08 if panel.names else _left(axes) / 72
    above = 0.1 + 0.19 * bool(panel.title) + 0.17 * bool(_title(panel.y)) * (not panel.names)
    right = 0.14
    axes.set_position(
        (left / width, 0.42 / height, 1 - (left + right) / width, 1 - (0.42 + above) / height)
    )
    _label(axes, panel)


def _tips(axes: Axes, panel: Panel, height: float) -> Iterator[str]:
    limits = axes.get_window_extent().padded(REACH)
    for row, corners, reach in _told(axes, panel):
        (x0, y0), (x1, y1) = np.sort(axes.transData.transform(corners), axis=0)
        if not np.isfinite(corners).all() or not limits.overlaps(Bbox([[x0, y0], [x1, y1]])):
            continue
        tip = escape(charts.tip(row)).replace("\n", "&#10;")
        x0, x1 = max(x0, limits.x0) - reach, min(x1, limits.x1) + reach
        y0, y1 = max(y0, limits.y0) - reach, min(y1, limits.y1) + reach
        yield (
            f'<rect x="{x0:.4g}" y="{height - y1:.4g}" width="{x1 - x0:.4g}" '
            f'height="{y1 - y0:.4g}" rx="4" data-tip="{tip}"/>'
        )


def _told(axes: Axes, panel: Panel) -> Iterator[tuple[charts.Row, Any, float]]:
    """Yield the rows that have a tip, two corners of each, and how far around them it is found."""
    for rule in panel.rules:
        if rule.row:
            ends = axes.get_xlim() if rule.axis == "y" else axes.get_ylim()
            corners = [(end, rule.at) if rule.axis == "y" else (rule.at, end) for end in ends]
            yield rule.row, corners, REACH / 2
    for marks in panel.marks:
        if marks.told:
            for row, corners in zip(marks.rows, _reaches(panel, marks), strict=True):
                yield row, corners, 0 if marks.kind == "bars" else REACH


def _reaches(panel: Panel, marks: Marks) -> Iterator[list[tuple[float, float]]]:
    """Yield two corners of each mark, as values of both axes."""
    x, y, low, high = _values(panel, marks)
    for k in range(len(marks.rows)):
        if marks.kind == "spans":
            yield [(low[k], y[k]), (high[k], y[k])]
        elif marks.kind == "bars":
            half = (x[1] - x[0]) / 2
            yield [(x[k] - half, 0.0), (x[k] + half, y[k])]
        else:
            yield [(x[k], y[k])] * 2


# ---- a panel on axes


def _draw(axes: Axes, panel: Panel, width: float) -> None:
    axes.set_facecolor(PAPER)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom" or (side == "left" and not panel.names))
        spine.set(color=QUIET, linewidth=0.8)
    axes.tick_params(colors=QUIET, labelsize=TEXT, length=3, width=0.8, pad=2)
    axes.set_axisbelow(True)
    axes.grid(axis="x" if panel.names else "y", color=FAINT, linewidth=0.8)
    for axis, name in ((panel.x, "x"), (panel.y, "y")):
        if axis.scale != "linear":
            getattr(axes, f"set_{name}scale")("log", base=2 if "two" in axis.scale else 10)
    for marks in panel.marks:
        DRAW[marks.kind](axes, marks, *_values(panel, marks))
    for rule in panel.rules:
        _rule(axes, rule)
    axes.margins(x=0.05, y=0.08)
    _scaled(axes, axes.xaxis, panel.x, int(2 + 1.1 * width))
    if panel.names:
        _named(axes, panel.names)
    else:
        _scaled(axes, axes.yaxis, panel.y, 5)
    if panel.note:
        axes.text(
            0.96, 0.06, panel.note, transform=axes.transAxes, ha="right", fontsize=TEXT, color=QUIET
        )
    # Titles stand upright above the axis: a turned one is hard to read.
    beside = 0.0 if panel.names else 4 - _left(axes)
    second = "" if panel.names else _title(panel.y)
    for text, offset, size, colour, weight in (
        (panel.title, 17 if second else 5, TITLE, INK, "bold"),
        (second, 5, TEXT, QUIET, "normal"),
    ):
        axes.annotate(
            text,
            (0, 1),
            (beside, offset),
            "axes fraction",
            "offset points",
            va="bottom",
            fontsize=size,
            color=colour,
            fontweight=weight,
        )
    axes.set_xlabel(_title(panel.x), fontsize=TEXT, color=QUIET, labelpad=2)


def _left(axes: Axes) -> float:
    """Return the points that the labels of y ticks take."""
    places = axes.yaxis.get_majorticklocs().tolist()
    ticks = axes.yaxis.get_major_formatter().format_ticks(places)
    return 10 + 0.61 * TEXT * max(map(len, ticks), default=0)


def _title(axis: Axis) -> str:
    return axis.column if axis.title is None else axis.title


def _values(panel: Panel, marks: Marks) -> tuple[np.ndarray, ...]:
    """Return x, y and both ends of all rows; not a number where a row lacks them."""
    columns = (panel.x.column, panel.y.column, *marks.ends)
    x, y, low, high = (
        np.array([_number(row.get(column)) for row in marks.rows], dtype=float)
        for column in columns
    )
    return x, y if marks.place is None else np.full(len(x), marks.place), low, high


def _number(value: Any) -> float:
    return math.nan if value is None or isinstance(value, str) else float(value)


def _stroke(marks: Marks) -> dict[str, Any]:
    look = marks.look
    style = (0, look.dashes) if look.dashes else "solid"
    return {
        "color": look.colour,
        "linewidth": look.width,
        "alpha": look.opacity,
        "linestyle": style,
    }


def _line(axes: Axes, marks: Marks, x: np.ndarray, y: np.ndarray, *_: np.ndarray) -> None:
    shape, look = SHAPES[marks.look.shape], marks.look
    face = look.colour if look.filled else PAPER
    axes.plot(x, y, marker=shape, markersize=look.size, markerfacecolor=face, **_stroke(marks))


def _points(axes: Axes, marks: Marks, x: np.ndarray, y: np.ndarray, *_: np.ndarray) -> None:
    look = marks.look
    axes.scatter(
        x,
        y,
        s=look.size**2,
        marker=SHAPES[look.shape],
        facecolors=look.colour if look.filled or look.shape == "tick" else "none",
        edgecolors=None if look.shape == "tick" else look.colour,
        linewidths=0 if look.filled and look.shape != "tick" else look.width,
        alpha=look.opacity,
        zorder=3,
    )


def _bars(axes: Axes, marks: Marks, x: np.ndarray, y: np.ndarray, *_: np.ndarray) -> None:
    axes.bar(x, y, 0.92 * (x[1] - x[0]), color=marks.look.colour, alpha=marks.look.opacity)


def _stairs(axes: Axes, marks: Marks, x: np.ndarray, y: np.ndarray, *_: np.ndarray) -> None:
    axes.plot(x, y, drawstyle="steps-mid", **_stroke(marks))


def _spans(
    axes: Axes, marks: Marks, x: np.ndarray, y: np.ndarray, low: np.ndarray, high: np.ndarray
) -> None:
    axes.hlines(y, low, high, zorder=2, **_stroke(marks))


def _intervals(
    axes: Axes, marks: Marks, x: np.ndarray, y: np.ndarray, low: np.ndarray, high: np.ndarray
) -> None:
    axes.vlines(x, low, high, zorder=2, **_stroke(marks))


def _band(
    axes: Axes, marks: Marks, x: np.ndarray, y: np.ndarray, low: np.ndarray, high: np.ndarray
) -> None:
    axes.fill_between(x, low, high, color=marks.look.colour, alpha=0.18, linewidth=0)


DRAW: dict[str, Callable[..., None]] = {
    "line": _line,
    "points": _points,
    "bars": _bars,
    "stairs": _stairs,
    "spans": _spans,
    "intervals": _intervals,
    "band": _band,
}


def _rule(axes: Axes, rule: charts.Rule) -> None:
    look = rule.look
    style = (0, look.dashes) if look.dashes else "solid"
    if rule.until is None:
        draw = axes.axvline if rule.axis == "x" else axes.axhline
        draw(rule.at, color=look.colour, linewidth=look.width, linestyle=style, zorder=1)
    else:
        fill = axes.axvspan if rule.axis == "x" else axes.axhspan
        fill(rule.at, rule.until, color=look.colour, alpha=look.opacity, linewidth=0, zorder=0)


def _named(axes: Axes, names: Sequence[charts.Name]) -> None:
    """Write names above their rows, and conclusions at the right."""
    axes.set_yticks([])
    axes.set_ylim(len(names) - 0.6, -0.9)
    axes.hlines(
        range(len(names)),
        0,
        1,
        FAINT,
        linewidth=0.8,
        transform=axes.get_yaxis_transform(),
        zorder=0,
    )
    scale = axes.get_figure().dpi_scale_trans  # type: ignore[union-attr]
    for place, name in enumerate(names):
        for text, x, side, colour in (
            (name.text, 0, "left", INK),
            (name.concluded, 1, "right", name.colour),
        ):
            axes.text(
                x,
                place,
                text,
                transform=axes.get_yaxis_transform() + ScaledTranslation(0, 4 / 72, scale),
                ha=side,
                va="bottom",
                fontsize=TEXT,
                color=colour,
                bbox={"facecolor": PAPER, "alpha": 0.8, "edgecolor": "none", "pad": 0.5},
            )


def _scaled(axes: Axes, plotted: PlotAxis, axis: Axis, most: int) -> None:
    """Set the limits and few round ticks."""
    limits = axes.set_xlim if axis is not None and plotted is axes.xaxis else axes.set_ylim
    low, high = plotted.get_view_interval()
    missing = max(0.0, axis.least - (high - low)) / 2
    low = low - missing if axis.low is None else axis.low
    high = high + missing if axis.high is None else axis.high
    limits((high, low) if axis.falling else (low, high))
    unit = charts.unit_of(axis.column)
    locator: Any = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10], integer=axis.ticks == "whole")
    if axis.scale == "powers of two":
        locator = FixedLocator([2.0**power for power in range(math.ceil(math.log2(high)) + 1)])
    elif axis.scale == "log":
        decades = math.log10(high / low)
        few = (1, 2, 5) if decades < 1.3 else (1, 3) if decades < 2.2 else (1,)
        locator = LogLocator(subs=(1, 1.5, 2, 3, 4, 5, 7) if decades < 0.7 else few, numticks=most)
    plotted.set_major_locator(locator)
    plotted.set_minor_locator(NullLocator())

    def text(value: float, _: Any = None) -> str:
        if axis.ticks == "ratios":
            return f"{value:g}×"
        if axis.ticks == "signed":
            return f"{value:+.4g}".replace("-", "−") if value else "0"
        if unit in ("J", "s") and axis.scale == "log":
            return charts.engineering(float(f"{value:.4g}"), unit)
        return f"{value:,.4g}" if abs(value) < 10_000 else charts.engineering(value, "")

    plotted.set_major_formatter(FuncFormatter(text))


def _handle(key: Key) -> Any:
    look = key.look
    if key.kind in ("bars", "band"):
        return Patch(color=look.colour, alpha=look.opacity, label=key.label)
    marked = key.kind == "points"
    return Line2D(
        [],
        [],
        color=look.colour,
        alpha=look.opacity,
        linewidth=look.width,
        linestyle="none" if marked else (0, look.dashes) if look.dashes else "solid",
        marker=SHAPES[look.shape] if marked else "",
        markersize=look.size,
        markerfacecolor=look.colour if look.filled else "none",
        label=key.label,
    )


# ---- names beside points


def _label(axes: Axes, panel: Panel) -> None:
    """Write labels beside their points, each where it covers least."""
    labelled = [marks for marks in panel.marks if marks.label]
    if not labelled:
        return
    points = [
        (place, charts.shortened(marks.label, 30))
        for marks in labelled
        for corners in _reaches(panel, marks)
        for place in axes.transData.transform(corners[:1])
    ]
    taken = [(x - 5, y - 5, x + 5, y + 5) for (x, y), _ in points]
    taken += [box for marks in panel.marks for box in _strokes(axes, panel, marks)]
    inside = axes.get_window_extent()
    room = (inside.x0, inside.y0, inside.x1 + 8, inside.y1 + 8)
    for (x, y), text in points:
        width, height = 0.6 * TEXT * len(text), 1.3 * TEXT
        best: tuple[float, Any] = (math.inf, None)
        for away in (7.0, 12.0, 20.0, 30.0, 42.0, 56.0):
            for side, up in _AROUND:
                diagonal = 0.7 if side and up else 1.0
                left = x + side * away * diagonal - width * (1 - side) / 2
                below = y + up * away * diagonal - height * (1 - up) / 2
                box = (left, below, left + width, below + height)
                covered = 3 * (width * height - _shared(box, room))
                covered += sum(_shared(box, other) for other in taken) + away / 100
                if covered < best[0]:
                    best = covered, (box, (side * away * diagonal, up * away * diagonal), side, up)
        box, offset, side, up = best[1]
        taken.append(box)
        axes.annotate(
            text,
            tuple(axes.transData.inverted().transform((x, y))),
            offset,
            textcoords="offset points",
            ha=_SIDES[side],
            va=_HEIGHTS[up],
            fontsize=TEXT,
            color=INK,
            annotation_clip=False,
        )


def _strokes(axes: Axes, panel: Panel, marks: Marks) -> Iterator[tuple[float, float, float, float]]:
    """Yield boxes along lines, spans and intervals, which a label should leave free."""
    x, y, low, high = _values(panel, marks)
    if marks.kind == "line":
        corners = axes.transData.transform(np.column_stack([x, y]))
        for start, end in pairwise(corners):
            for left, below in np.linspace(start, end, 12):
                yield left - 2, below - 2, left + 2, below + 2
    if marks.kind in ("spans", "intervals"):
        ends = ((low, y), (high, y)) if marks.kind == "spans" else ((x, low), (x, high))
        first, last = (axes.transData.transform(np.column_stack(end)) for end in ends)
        for (left, below), (right, above) in zip(first, last, strict=True):
            if np.isfinite([left, below, right, above]).all():
                yield left - 2, below - 2, right + 2, above + 2


def _shared(box: Sequence[float], other: Sequence[float]) -> float:
    """Return the area that two boxes share."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    return max(0.0, width) * max(0.0, height)
