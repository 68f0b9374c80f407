"""Names beside points of a chart, each where it covers least."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from spikeduel.reporting import style

_ROUND = [(1, 0), (1, 1), (1, -1), (-1, 0), (-1, 1), (-1, -1), (0, 1), (0, -1)]
_AWAY = (6.0, 11.0, 18.0, 27.0, 38.0)
"""Points of distance that are tried, the nearest first."""
_LINE = 3.0
"""Half the width, in pixels, of what a label should leave free along a line."""
_LONGEST = 3000.0
"""Pixels of a line that are looked at: more than a figure has."""
_SIDES = {-1: "right", 0: "center", 1: "left"}
_HEIGHTS = {-1: "top", 0: "center", 1: "bottom"}


def label_points(
    axes: Axes, points: Sequence[tuple[float, float]], names: Sequence[str]
) -> list[Annotation]:
    """Writes each of `names` beside its point, where it covers least; a thin line leads to those
    that had to move away.

    Call it last: it lays the figure out, and whatever changes the axes afterwards moves the points.
    """
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    place = (
        axes.transData.transform(np.array(points, dtype=float)) if len(points) else np.empty((0, 2))
    )
    size = axes.figure.dpi * 4.5 / 72
    taken = [_around(x, y, size) for x, y in place] + _along(axes)
    labels = []
    for point, name in zip(points, names, strict=True):
        label, box = _best(axes, point, name, taken)
        taken.append(box)
        labels.append(label)
    return labels


def _around(x: float, y: float, reach: float) -> Bbox:
    return Bbox.from_bounds(x - reach, y - reach, 2 * reach, 2 * reach)


def _along(axes: Axes) -> list[Bbox]:
    """Small boxes along all lines of `axes`."""
    boxes: list[Bbox] = []
    for line in axes.lines:
        corners = axes.transData.transform(np.column_stack([line.get_xdata(), line.get_ydata()]))
        for start, end in pairwise(corners):
            number = 2 + int(min(np.hypot(*(end - start)), _LONGEST) / (2 * _LINE))
            boxes += [_around(x, y, _LINE) for x, y in np.linspace(start, end, number)]
    return boxes


def _best(
    axes: Axes, point: tuple[float, float], name: str, taken: Sequence[Bbox]
) -> tuple[Annotation, Bbox]:
    label = axes.annotate(
        name,
        point,
        (0, 0),
        textcoords="offset points",
        fontsize=style.SMALL,
        color=style.INK,
        annotation_clip=False,
        arrowprops={
            "arrowstyle": "-",
            "color": style.QUIET,
            "linewidth": 0.6,
            "shrinkA": 0,
            "shrinkB": 3,
        },
    )
    # Whatever lies outside would be laid out again, or cut off.
    label.set_in_layout(False)
    best = (float("inf"), (0.0, 0.0), (0, 0))
    for away in _AWAY:
        for side, height in _ROUND:
            diagonal = 0.7 if side and height else 1.0
            offset = (side * away * diagonal, height * away * diagonal)
            covered = _covered(axes, _put(label, offset, (side, height)), taken)
            if covered < best[0] - 1:
                best = (covered, offset, (side, height))
        if best[0] < 1:
            break
    box = _put(label, *best[1:])
    if label.arrow_patch is not None:
        label.arrow_patch.set_visible(float(np.hypot(*best[1])) > _AWAY[1])
    return label, box


def _put(label: Annotation, offset: tuple[float, float], towards: tuple[int, int]) -> Bbox:
    label.set_position(offset)
    label.set(horizontalalignment=_SIDES[towards[0]], verticalalignment=_HEIGHTS[towards[1]])
    # This puts it where it says, and would have the line that leads to it be a part of it: of that,
    # the text alone.
    label.get_window_extent()
    return Text.get_window_extent(label)


def _covered(axes: Axes, box: Bbox, taken: Sequence[Bbox]) -> float:
    """Square pixels of `box` that lie on what is `taken`, or outside the axes, which count more."""
    inside = Bbox.intersection(box, axes.get_window_extent().padded(-2 * _LINE))
    outside = box.width * box.height - (inside.width * inside.height if inside is not None else 0)
    overlaps = [Bbox.intersection(box, other) for other in taken]
    return 3 * outside + sum(each.width * each.height for each in overlaps if each is not None)
