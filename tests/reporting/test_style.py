from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from PIL import Image

from spikeduel.reporting import style
from spikeduel.reporting.spikes import marks


def test_a_contender_keeps_its_colour_and_spiking_ones_are_warm():
    trials = [
        SimpleNamespace(contender=name, family="snn" if "snn" in name else "cnn")
        for name in ("a-snn", "b", "c-snn")
    ]

    colours = style.contender_colours(trials * 2)

    assert colours == {
        "a-snn": style.SPIKING_COLOURS[0],
        "b": style.OTHER_COLOURS[0],
        "c-snn": style.SPIKING_COLOURS[1],
    }


def test_a_mark_is_drawn_for_each_spike_in_its_row(random):
    spikes = random.random((30, 4)) < 0.3
    axes = style.new_figure(2).subplots()

    marks(axes, spikes, np.array([0, 1, 2, 3]), "black")

    (found,) = [part for part in axes.collections if isinstance(part, LineCollection)]
    drawn = {
        (int(segment[0][0]), round(float(segment[:, 1].mean()))) for segment in found.get_segments()
    }
    assert drawn == set(zip(*np.nonzero(spikes), strict=True))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ankle boot", "Ankle boot"),
        ("a very long name of a class 12", "a very long …ss 12"),
        ("5$", r"5\$"),
    ],
)
def test_long_names_keep_both_ends_and_dollars_are_no_math(text, shown):
    assert style.shortened(text, 18) == shown


def test_file_names_hold_no_separators():
    assert style.file_name("my.module:make/../net") == "my.module-make-..-net"
    assert style.file_name("///") == "unnamed"


@pytest.mark.parametrize("shape", [(1, 5, 6), (5, 6), (3, 5, 6), (5, 6, 3), (2, 5, 6), (3, 6, 3)])
def test_every_kind_of_image_becomes_a_picture(shape):
    assert style.as_picture(np.zeros(shape, np.uint8)).shape[:2] in ((5, 6), (6, 3))


def test_figures_leave_matplotlib_as_it_was(tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    figure = style.new_figure(2)
    style.quiet(figure.subplots(), "title", "x", "y", grid=True)

    path = style.save(figure, tmp_path / "deep" / "figure.png")

    assert dict(matplotlib.rcParams) == before
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.width == pytest.approx(style.DESKTOP.width * style.DPI, rel=0.05)
    assert [entry.name for entry in path.parent.iterdir()] == ["figure.png"]


@pytest.mark.parametrize("low", [1e-9, 3.7e-6, 2e-3])
@pytest.mark.parametrize("ratio", [1.2, 2, 4, 30, 200, 5e4])
def test_a_cost_axis_has_a_few_ticks_that_do_not_touch(low, ratio):
    figure = style.new_figure(3, 4)
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.plot([low, low * ratio], [0, 1])
    style.cost_axis(axes, "J")
    figure.draw_without_rendering()
    left, right = axes.get_xlim()
    shown = [tick for tick in axes.xaxis.get_major_ticks() if left <= tick.get_loc() <= right]
    boxes = [tick.label1.get_window_extent() for tick in shown]
    assert 1 <= len(shown) <= 8
    assert all(tick.label1.get_text().endswith("J") for tick in shown)
    assert all(one.x1 < other.x0 for one, other in pairwise(boxes))


@pytest.mark.parametrize(
    "ends",
    [(0.82, 0.98), (0.85, 1.0), (0.0, 1.0), (0.9, 0.91), (0.3, 1.0), (0.999, 1.0), (0.0, 0.03)],
)
def test_a_label_says_where_its_tick_stands(ends):
    axes = style.new_figure(3).subplots()
    axes.plot([1, 2], ends)
    style.accuracy_axis(axes)
    axes.figure.draw_without_rendering()
    low, high = axes.get_ylim()
    shown = [tick for tick in axes.yaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    places, said = [tick.get_loc() for tick in shown], [tick.label1.get_text() for tick in shown]
    assert [float(text.removesuffix(" %")) / 100 for text in said] == pytest.approx(places)
    assert len(set(said)) == len(said) > 1
    # No share is above all or below none, though marks there have room.
    assert min(places) >= 0
    assert max(places) <= 1 + 1e-9
    assert low < ends[0]
    assert ends[1] < high


def test_small_differences_are_not_blown_up():
    axes = style.new_figure(3).subplots()
    axes.plot([1, 2], [0.8765, 0.8784])
    style.accuracy_axis(axes)
    low, high = axes.get_ylim()
    assert high - low == pytest.approx(style.SMALLEST_RANGE)
    assert (low + high) / 2 == pytest.approx((0.8765 + 0.8784) / 2)
    assert axes.yaxis.get_major_formatter()(0.875, 0) == "87.5 %"
