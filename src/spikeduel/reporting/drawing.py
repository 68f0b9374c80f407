"""Draw charts with matplotlib, without pyplot: an SVG a panel for a page, and figures."""

import io
import math
import re
from collections.abc import Iterator, Sequence
from html import escape
from itertools import repeat
from numbers import Real
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator
from matplotlib.transforms import Bbox, Transform, offset_copy

from spikeduel.reporting import charts
from spikeduel.reporting.charts import FAINT, INK, PAPER, QUIET, Axis, Chart, Key, Marks, Panel
from spikeduel.system import files

WIDTHS = {1: 4.0, 2: 4.0, 3: 2.9, 4: 2.2}
"""Inches of a panel by the number in a row: text has nearly one size on a page."""
DPI = 140
TEXT, TITLE = 8.5, 9.5
"""Points."""
REACH = 4.0
"""Half the side, in points, of the place of a tip."""
AWAY = (6.0, 10.0, 16.0, 26.0, 40.0, 56.0)
"""Distances of a label from its point, in points."""
BEHIND = {"facecolor": PAPER, "alpha": 0.8, "edgecolor": "none", "pad": 0.5}
"""Background of text over marks."""
NARROWEST = 2.0
"""Least ratio of the ends of a logarithmic axis, so that ticks have few digits."""
SHAPES = {
    "circle": "o",
    "square": "s",
    "triangle": "^",
    "diamond": "D",
    "star": "*",
    "none": "",
}
VARIABLES = {
    INK: "--ink",
    QUIET: "--quiet",
    FAINT: "--line",
    PAPER: "--card",
    **{colour: f"--chart-{colour[1:].lower()}" for colour in charts.IN_THE_DARK},
}
"""The page's variable for each colour."""
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


def panels(chart: Chart, label: str) -> Markup:
    """Return each panel's SVG in the page's colours, with a mark for each tip; `label` says what is
    seen.
    """
    with matplotlib.rc_context(SETTINGS):
        drawn = [_markup(panel, WIDTHS[chart.abreast], label) for panel in chart.panels]
    return Markup("\n".join(drawn))


def figure(chart: Chart) -> Figure:
    columns = min(len(chart.panels), chart.abreast)
    rows = -(-len(chart.panels) // columns)
    width = WIDTHS[chart.abreast] * (1 if columns > 1 else 1.4)
    height = max(map(_height, chart.panels)) * rows + 0.3
    with matplotlib.rc_context(SETTINGS):
        made = Figure((width * columns, height), 72, facecolor=PAPER, layout="constrained")
        FigureCanvasAgg(made)
        grid = list(made.subplots(rows, columns, squeeze=False).flat)
        for axes in grid[len(chart.panels) :]:
            axes.set_visible(False)
        for axes, panel in zip(grid, chart.panels, strict=False):
            _draw_panel(axes, panel, width)
        made.draw_without_rendering()
        for axes, panel in zip(grid, chart.panels, strict=False):
            _add_labels(axes, panel)
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
    drawn = figure(chart)
    for kind in ("png", "svg"):
        with (
            files.atomic_path(folder / f"{chart.name}.{kind}") as temporary,
            matplotlib.rc_context(SETTINGS),
        ):
            drawn.savefig(temporary, format=kind, dpi=DPI, bbox_inches="tight", pad_inches=0.06)


def swatch(key: Key) -> Markup:
    """Return a legend's entry for a page."""
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
    "square": "M7 2h8v8h-8z",
    "triangle": "M11 1.5l5 8.5h-10z",
    "diamond": "M11 1.5l4.5 4.5l-4.5 4.5l-4.5-4.5z",
    "star": "M11 .5l1.5 4h4l-3.2 2.5l1.2 4l-3.5-2.4l-3.5 2.4l1.2-4l-3.2-2.5h4z",
    "none": "",
}


def coloured(colour: str) -> str:
    """Return a colour as the page's variable, if there is one."""
    variable = VARIABLES.get(colour.upper())
    return f"var({variable}, {colour.upper()})" if variable else colour


def _markup(panel: Panel, width: float, label: str) -> str:
    height = _height(panel)
    # A unit of the SVG is a point.
    drawn = Figure((width, height), 72, facecolor=PAPER)
    axes = drawn.add_axes((0, 0, 1, 1))
    left, right = (_draw_panel(axes, panel, width) / 72 or 0.08), 0.14
    above = 0.1 + 0.19 * bool(panel.title) + 0.17 * bool(_title(panel.y)) * (not panel.names)
    axes.set_position(
        (left / width, 0.42 / height, 1 - (left + right) / width, 1 - (0.42 + above) / height)
    )
    _add_labels(axes, panel)
    written = io.StringIO()
    unwanted = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    drawn.savefig(written, format="svg", metadata=unwanted)
    tips = "".join(_tips(axes, panel, height * 72))
    text = written.getvalue()
    body = text[text.index(">", text.index("<svg")) + 1 : text.rindex("</svg>")]
    # Unused ids would stand on the page several times.
    used = set(re.findall(r"#([\w-]+)", body))
    body = re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in used else "", body)
    style = r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>|\s*\n\s*"
    body = re.sub(style, " ", body, flags=re.DOTALL)
    body = re.sub(r"#[0-9A-Fa-f]{6}\b", lambda colour: coloured(colour[0]), body)
    named = escape(f"{label}: {panel.title}" if panel.title else label)
    return (
        f'<svg class="panel" role="img" aria-label="{named}" viewBox="0 0 {width * 72:g} '
        f'{height * 72:g}" stroke-linejoin="round">{body}<g class="tips">{tips}</g></svg>'
    )


def _height(panel: Panel) -> float:
    return 0.75 + panel.row_height * len(panel.names) if panel.names else panel.height


def _tips(axes: Axes, panel: Panel, height: float) -> Iterator[str]:
    limits = axes.get_window_extent().padded(REACH)
    for row, corners, reach in _listed(axes, panel):
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


def _listed(axes: Axes, panel: Panel) -> Iterator[tuple[charts.Row, Any, float]]:
    """Yield rows with a tip, two corners of each, and the reach around them."""
    for rule in panel.rules:
        if rule.row:
            ends = axes.get_xlim() if rule.axis == "y" else axes.get_ylim()
            corners = [(end, rule.at) if rule.axis == "y" else (rule.at, end) for end in ends]
            yield rule.row, corners, REACH / 2
    for marks in panel.marks:
        x, y, low, high = _values(panel, marks)
        first, last, reach = (x, y), (x, y), REACH
        if marks.kind == "spans":
            first, last = (low, y), (high, y)
        elif marks.kind == "bars":
            half, reach = (x[1] - x[0]) / 2, 0.0
            first, last = (x - half, np.zeros_like(y)), (x + half, y)
        if marks.listed:
            both = np.stack([np.column_stack(first), np.column_stack(last)], axis=1)
            yield from zip(marks.rows, both, repeat(reach), strict=False)


def _draw_panel(axes: Axes, panel: Panel, width: float) -> float:
    """Draw a panel `width` inches wide; return the points that labels at its left take.

    Ticks are lines and texts: matplotlib's are slow.
    """
    axes.set_axis_off()
    for axis, name in ((panel.x, "x"), (panel.y, "y")):
        if axis.scale != "linear":
            getattr(axes, f"set_{name}scale")("log", base=2 if "two" in axis.scale else 10)
    for marks in panel.marks:
        _mark(axes, marks, *_values(panel, marks))
    for rule in panel.rules:
        _rule(axes, rule)
    axes.margins(x=0.05, y=0.08)
    across, up, whole = axes.get_yaxis_transform(), axes.get_xaxis_transform(), axes.transAxes
    ticks = _scale(axes, "x", panel.x, int(2 + 1.1 * width))
    axes.plot([0, 1], [0, 0], color=QUIET, linewidth=0.8, transform=whole, clip_on=False)
    for tick, text in ticks.items():
        axes.plot([tick, tick], [0, -0.02], "-", c=QUIET, lw=0.8, transform=up, clip_on=False)
        _text(axes, text, (tick, 0), (0, -5), up, ha="center", va="top", color=QUIET)
    _text(axes, _title(panel.x), (0.5, 0), (0, -17), whole, ha="center", va="top", color=QUIET)
    left = 0.0
    if panel.names:
        axes.vlines(list(ticks), 0, 1, FAINT, linewidth=0.8, zorder=0, transform=up)
        _name_rows(axes, panel.names)
    else:
        ticks = _scale(axes, "y", panel.y, 5)
        left = 10 + 0.61 * TEXT * max(map(len, ticks.values()), default=0)
        axes.plot([0, 0], [0, 1], color=QUIET, linewidth=0.8, transform=whole)
        axes.hlines(list(ticks), 0, 1, FAINT, linewidth=0.8, zorder=0, transform=across)
        for tick, text in ticks.items():
            _text(axes, text, (0, tick), (-5, 0), across, ha="right", va="center", color=QUIET)
        # A turned title is hard to read.
        _text(axes, _title(panel.y), (0, 1), (4 - left, 5), whole, va="bottom", color=QUIET)
    above = (4 - left, 17) if not panel.names and _title(panel.y) else (0.0, 5)
    title = {"fontsize": TITLE, "fontweight": "bold"}
    _text(axes, panel.title, (0, 1), above, whole, va="bottom", color=INK, **title)
    return left


def _text(
    axes: Axes,
    text: str,
    position: tuple[float, float],
    offset: tuple[float, float],
    transform: Transform,
    **look: Any,
) -> None:
    if text:
        moved = offset_copy(transform, axes.get_figure(root=True), *offset, units="points")
        axes.text(*position, text, transform=moved, **{"fontsize": TEXT, **look})


def _title(axis: Axis) -> str:
    return axis.column if axis.title is None else axis.title


def _values(panel: Panel, marks: Marks) -> tuple[np.ndarray, ...]:
    """Return x, y and both ends of all rows; NaN where missing."""
    columns = (panel.x.column, panel.y.column, *marks.ends)
    columns_of_rows = [[row.get(column) for row in marks.rows] for column in columns]
    x, y, low, high = (
        np.array([value if isinstance(value, Real) else math.nan for value in values], dtype=float)
        for values in columns_of_rows
    )
    return x, y if marks.place is None else np.full(len(x), marks.place), low, high


def _stroke(look: charts.Look) -> dict[str, Any]:
    style = (0, look.dashes) if look.dashes else "solid"
    return {"color": look.colour, "linewidth": look.width, "linestyle": style}


def _mark(axes: Axes, marks: Marks, x: Any, y: Any, low: Any, high: Any) -> None:
    look, shape = marks.look, SHAPES[marks.look.shape]
    stroke = {**_stroke(look), "alpha": look.opacity}
    match marks.kind:
        case "line":
            face = look.colour if look.filled else PAPER
            axes.plot(x, y, marker=shape, markersize=look.size, markerfacecolor=face, **stroke)
        case "points":
            axes.scatter(
                x,
                y,
                look.size**2,
                marker=shape,
                facecolors=look.colour if look.filled else "none",
                edgecolors=look.colour,
                linewidths=0 if look.filled else look.width,
                alpha=look.opacity,
                zorder=3,
            )
        case "bars":
            axes.bar(x, y, 0.92 * (x[1] - x[0]), color=look.colour, alpha=look.opacity)
        case "spans":
            axes.hlines(y, low, high, zorder=2, **stroke)
        case "intervals":
            axes.vlines(x, low, high, zorder=2, **stroke)
        case "band":
            axes.fill_between(x, low, high, color=look.colour, alpha=0.18, linewidth=0)


def _rule(axes: Axes, rule: charts.Rule) -> None:
    if rule.until is None:
        draw = axes.axvline if rule.axis == "x" else axes.axhline
        draw(rule.at, zorder=1, **_stroke(rule.look))
    else:
        fill, look = axes.axvspan if rule.axis == "x" else axes.axhspan, rule.look
        fill(rule.at, rule.until, color=look.colour, alpha=look.opacity, linewidth=0, zorder=0)


def _name_rows(axes: Axes, names: Sequence[charts.Name]) -> None:
    across = axes.get_yaxis_transform()
    axes.set_ylim(len(names) - 0.6, -0.9)
    axes.hlines(range(len(names)), 0, 1, FAINT, linewidth=0.8, zorder=0, transform=across)
    for number, name in enumerate(names):
        _text(axes, name.text, (0, number), (0, 4), across, va="bottom", color=INK, bbox=BEHIND)
        concluded = {"ha": "right", "va": "bottom", "color": name.colour, "bbox": BEHIND}
        _text(axes, name.concluded, (1, number), (0, 4), across, **concluded)


def _scale(axes: Axes, name: str, axis: Axis, most: int) -> dict[float, str]:
    low, high = getattr(axes, f"get_{name}lim")()
    missing = max(0.0, axis.least - (high - low)) / 2
    high = high + missing if axis.high is None else axis.high
    if axis.column == charts.ACCURACY:
        high = min(high, 101.0)
    low = max(low - missing, high - axis.most) if axis.low is None else axis.low
    if axis.scale == "log" and high < NARROWEST * low:
        middle, reach = math.sqrt(low * high), math.sqrt(NARROWEST)
        low, high = middle / reach, middle * reach
    getattr(axes, f"set_{name}lim")(low, high)
    locator: Any = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10], integer=axis.ticks == "whole")
    if axis.scale == "powers of two":
        locator = FixedLocator([2.0**power for power in range(math.ceil(math.log2(high)) + 1)])
    elif axis.scale == "log":
        decades = math.log10(high / low)
        few = (1, 2, 5) if decades < 1.3 else (1, 3) if decades < 2.2 else (1,)
        locator = LogLocator(subs=(1, 1.5, 2, 3, 4, 5, 7) if decades < 0.7 else few, numticks=most)
    ticks = locator.tick_values(low, high).tolist()
    return {tick: _tick(tick, axis) for tick in ticks if low <= tick <= high}


def _tick(value: float, axis: Axis) -> str:
    unit = charts.unit_of(axis.column)
    if axis.ticks == "ratios":
        return f"{value:g}×"
    if axis.ticks == "signed":
        return f"{value:+.4g}".replace("-", "−") if value else "0"
    if unit in ("J", "s") and axis.scale == "log":
        return charts.engineering(float(f"{value:.4g}"), unit)
    return f"{value:,.4g}" if abs(value) < 10_000 else charts.engineering(value, "")


def _handle(key: Key) -> Any:
    look = key.look
    if key.kind in ("bars", "band"):
        return Patch(color=look.colour, alpha=look.opacity, label=key.label)
    marked = key.kind == "points"
    return Line2D(
        [],
        [],
        **{**_stroke(look), **({"linestyle": "none"} if marked else {})},
        alpha=look.opacity,
        marker=SHAPES[look.shape] if marked else "",
        markersize=look.size,
        markerfacecolor=look.colour if look.filled else "none",
        label=key.label,
    )


def _add_labels(axes: Axes, panel: Panel) -> None:
    """Write labels beside their points, each where it covers least, preferably near."""
    points = [
        (position, charts.shortened(marks.label, 30))
        for marks in panel.marks
        if marks.label
        for position in axes.transData.transform(np.column_stack(_values(panel, marks)[:2]))
    ]
    taken = [(x - 5, y - 5, x + 5, y + 5) for (x, y), _ in points]
    for marks in panel.marks:
        if marks.kind == "spans":
            _, y, low, high = _values(panel, marks)
            starts, ends = (axes.transData.transform(np.column_stack([x, y])) for x in (low, high))
            taken += [
                (x0, y0 - 2, x1, y0 + 2) for (x0, y0), (x1, _) in zip(starts, ends, strict=True)
            ]
    x0, y0, x1, y1 = axes.get_window_extent().extents
    for (x, y), text in points:
        width, height = 0.62 * TEXT * len(text), 1.3 * TEXT
        best: tuple[float, Any] = (math.inf, None)
        for away in AWAY:
            for horizontal, up in _AROUND:
                offset = np.array([horizontal, up]) * away * (0.7 if horizontal and up else 1.0)
                left = x + offset[0] - width * (1 - horizontal) / 2
                below = y + offset[1] - height * (1 - up) / 2
                box = (left, below, left + width, below + height)
                outside = width * height - _shared(box, (x0, y0, x1 + 8, y1 + 2))
                covered = 3 * outside + sum(_shared(box, other) for other in taken) + away / 4
                if covered < best[0]:
                    best = covered, (box, offset, horizontal, up)
        box, offset, horizontal, up = best[1]
        taken.append(box)
        alignment = {
            "ha": ("center", "left", "right")[horizontal],
            "va": ("center", "bottom", "top")[up],
        }
        at = tuple(axes.transData.inverted().transform((x, y)))
        _text(axes, text, at, tuple(offset), axes.transData, color=INK, bbox=BEHIND, **alignment)


def _shared(box: Sequence[float], other: Sequence[float]) -> float:
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    return max(0.0, width) * max(0.0, height)
