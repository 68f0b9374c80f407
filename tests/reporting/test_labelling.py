import itertools

import numpy as np
import pytest
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from spikeduel.reporting import style
from spikeduel.reporting.labelling import label_points


def drawn(points, logarithmic=False, lines=()):
    figure = style.new_figure(4.0)
    axes = style.quiet(figure.subplots(), "title", x="x", y="y")
    axes.scatter(*zip(*points, strict=True))
    for x, y in lines:
        axes.plot(x, y)
    if logarithmic:
        axes.set_xscale("log")
    axes.margins(0.15)
    labels = label_points(axes, points, [f"network {k}" for k in range(len(points))], ["#000000"] * len(points))
    figure.draw_without_rendering()
    for label in labels:
        label.get_window_extent()
    return axes, [Text.get_window_extent(label) for label in labels]


POINTS = {
    "apart": [(1, 1), (2, 2), (3, 1)],
    "crowded": [(1, 1), (1.01, 1), (1.02, 1.01), (1, 1.02), (4, 4)],
    "the same": [(1, 1)] * 4 + [(2, 2)],
    "at the edge": [(0, 0), (0, 1), (1, 0), (1, 1)],
}


@pytest.mark.parametrize("logarithmic", [False, True])
@pytest.mark.parametrize("name", POINTS)
def test_no_label_covers_another_or_a_point_or_leaves_the_axes(name, logarithmic):
    points = [(x + 0.5, y) for x, y in POINTS[name]]
    axes, boxes = drawn(points, logarithmic)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    for box in boxes:
        assert not any(box.contains(*place) for place in axes.transData.transform(points))
        inside = Bbox.intersection(box, axes.get_window_extent())
        assert inside is not None
        assert inside.width * inside.height > 0.98 * box.width * box.height


def test_labels_keep_off_lines():
    axes, (box,) = drawn([(1, 1)], lines=[([0, 2], [1, 1]), ([1, 1], [0, 2])])
    along = np.linspace(0, 2, 500)
    for line in (np.column_stack([along, np.ones(500)]), np.column_stack([np.ones(500), along])):
        assert not any(box.contains(*place) for place in axes.transData.transform(line))


def test_nothing_to_label():
    axes = style.new_figure(3).subplots()
    assert label_points(axes, [], [], []) == []
