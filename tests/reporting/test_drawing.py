"""Charts as SVG for a page and as files: text, tips, colours, labels, ticks."""

import itertools
import re
from typing import get_args
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from PIL import Image

from spikeduel.reporting import charts, drawing
from spikeduel.reporting.charts import Axis, Chart, Key, Look, Marks, Name, Panel, Rule


def lines(x=(1, 2, 3), y=(10.0, 20.0, 15.0), colour=charts.SPIKING_COLOURS[0], **axis):
    """A line through points, each with a row."""
    rows = [{"contender": "a & b", "epoch": a, "loss": b} for a, b in zip(x, y, strict=True)]
    marks = [Marks("line", rows, Look(colour))]
    panel = Panel(Axis("epoch", **axis), Axis("loss"), marks, "a $title$ & more")
    return Chart("a-chart", [panel], [Key("a & b", "line", Look(colour))])


def parts(markup, tag):
    root = ElementTree.fromstring(str(markup).replace(" xlink:href", " href"))
    return [element for element in root.iter() if element.tag.rpartition("}")[2] == tag]


def tips(markup):
    return [mark for mark in parts(markup, "rect") if mark.get("data-tip")]


def texts(markup):
    return {"".join(text.itertext()) for text in parts(markup, "text")}


def test_a_panel_is_xml_with_text_and_a_tip_for_each_row():
    markup = drawing.panels(lines(), "what is seen")
    assert {"a $title$ & more", "epoch", "loss", "10", "20"} <= texts(markup)
    assert [mark.get("data-tip") for mark in tips(markup)] == [
        f"a & b\nepoch: {epoch}\nloss: {loss}" for epoch, loss in ((1, 10), (2, 20), (3, 15))
    ]
    assert 'aria-label="what is seen: a $title$ &amp; more"' in markup


def test_an_axis_of_accuracies_ends_at_all():
    rows = [{charts.ACCURACY: accuracy, "seed": seed} for seed, accuracy in enumerate((80, 100))]
    marks = Marks("points", rows, Look(charts.SPIKING_COLOURS[0]))
    panel = Panel(Axis("seed"), Axis(charts.ACCURACY, least=60), [marks])
    ticks = {text for text in texts(drawing.panels(Chart("x", [panel]), "")) if text.isdigit()}
    assert "100" in ticks
    assert max(map(int, ticks)) == 100


def test_a_tip_lies_on_its_point():
    markup = drawing.panels(lines(y=(0, 2, 1)), "")
    uses = [
        (float(use.get("x")), float(use.get("y")))
        for use in parts(markup, "use")
        if charts.SPIKING_COLOURS[0] in use.get("style", "")
    ]
    assert len(uses) == 3
    extents = (("x", "width"), ("y", "height"))
    middles = [
        [float(mark.get(at)) + float(mark.get(size)) / 2 for at, size in extents]
        for mark in tips(markup)
    ]
    np.testing.assert_allclose(middles, uses, atol=0.15)


def test_rows_outside_the_axes_and_rows_that_are_not_known_have_no_tip():
    assert len(tips(drawing.panels(lines(high=2.5), ""))) == 2
    assert len(tips(drawing.panels(lines(y=(1.0, None, 2.0)), ""))) == 2


@pytest.mark.parametrize("kind", get_args(charts.Kind))
def test_every_kind_of_marks_is_drawn(kind):
    rows = [{"x": k, "y": k**2, "low": k, "high": k + 2.0} for k in range(4)]
    marks = Marks(kind, rows, Look(dashes=(2, 1)), ("low", "high"))
    markup = drawing.panels(Chart("x", [Panel(Axis("x"), Axis("y"), [marks])]), "")
    assert "<path" in markup
    assert drawing.swatch(Key("label", kind, marks.look)).startswith("<svg")


def test_a_span_has_a_tip_along_its_whole_length():
    row = {"low": 2.0, "high": 8.0, "ratio": None}
    marks = [Marks("spans", [row], Look(), ("low", "high"), place=0)]
    x = Axis("ratio", ticks="ratios", low=0, high=10)
    panel = Panel(x, Axis(""), marks, names=[Name("of two", "open", charts.QUIET)])
    markup = drawing.panels(Chart("x", [panel]), "")
    (tip,) = tips(markup)
    width = drawing.WIDTHS[2] * 72 - 0.22 * 72
    assert float(tip.get("width")) - 2 * drawing.REACH == pytest.approx(0.6 * width, rel=0.01)
    assert {"of two", "open", "10×"} <= texts(markup)


def test_colours_follow_the_page_and_files_keep_theirs(tmp_path):
    markup = str(drawing.panels(lines(), ""))
    assert "var(--ink, #1F2933)" in markup
    assert "var(--chart-d55e00, #D55E00)" in markup
    fallbacks = re.sub(r"var\(--[\w-]+, #\w+\)", "", markup).upper()
    assert not any(colour in fallbacks for colour in drawing.VARIABLES)
    drawing.save(lines(), tmp_path)
    written = (tmp_path / "a-chart.svg").read_text()
    assert ElementTree.fromstring(written).tag == "{http://www.w3.org/2000/svg}svg"
    assert "var(" not in written
    assert "data-tip" not in written
    with Image.open(tmp_path / "a-chart.png") as picture:
        assert np.ptp(np.asarray(picture.convert("L"))) > 0


def test_equal_charts_have_equal_markup_and_ids_lead_somewhere():
    markup = str(drawing.panels(lines(), ""))
    assert markup == str(drawing.panels(lines(), ""))
    ids = re.findall(r' id="([^"]+)"', markup)
    assert sorted(ids) == sorted(set(re.findall(r'(?:href="|url\()#([^")]+)', markup)))


def test_figures_have_every_panel_and_leave_matplotlib_as_it_was():
    before = dict(matplotlib.rcParams)
    made = drawing.figure(Chart("x", lines().panels * 8, lines().keys, abreast=4))
    assert len(made.axes) == 8
    assert [text.get_text() for text in made.legends[0].get_texts()] == ["a & b"]
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("low", [1e-9, 3e-5, 0.7])
@pytest.mark.parametrize("ratio", [1.2, 3.0, 40.0, 1e4, 1e9])
def test_an_axis_of_costs_has_a_few_ticks_that_do_not_touch(low, ratio):
    row = {"accuracy, %": 90.0}
    marks = [Marks("points", [row | {"energy, J": low * by} for by in (1, ratio)], Look())]
    x = Axis("energy, J", scale="log")
    axes = drawing.figure(Chart("x", [Panel(x, Axis("accuracy, %"), marks)])).axes[0]
    axes.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text().endswith("J")]
    boxes = [box for box in boxes if box.y1 < axes.bbox.y0][:-1]  # without the title below
    assert 1 <= len(boxes) <= 8
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))


POINTS = {
    "apart": [(1, 1), (2, 2), (3, 1)],
    "crowded": [(1, 1), (1.01, 1), (1.02, 1.01), (1, 1.02), (4, 4)],
    "the same": [(1, 1)] * 4 + [(2, 2)],
    "at the edge": [(0, 0), (0, 1), (1, 0), (1, 1)],
}


@pytest.mark.parametrize("name", POINTS)
def test_no_label_covers_another_or_a_point_or_leaves_the_axes(name):
    marks = [
        Marks("points", charts.rows_of({"x": [x], "y": [y]}), Look(), label=f"network {k}")
        for k, (x, y) in enumerate(POINTS[name])
    ]
    axes = drawing.figure(Chart("x", [Panel(Axis("x"), Axis("y"), marks)])).axes[0]
    boxes = [
        text.get_window_extent() for text in axes.texts if text.get_text().startswith("network")
    ]
    assert len(boxes) == len(marks)
    assert not any(box.overlaps(other) for box, other in itertools.combinations(boxes, 2))
    inside = axes.get_window_extent().padded(10)
    for box in boxes:
        assert not any(box.contains(*place) for place in axes.transData.transform(POINTS[name]))
        assert inside.contains(*box.min)
        assert inside.contains(*box.max)


def test_a_rule_and_a_zone_cross_the_whole_panel():
    rules = [Rule(1.5, "y", row={"who": "all"}), Rule(1.2, until=1.4, look=Look(charts.FAINT))]
    marks = [Marks("line", charts.rows_of({"x": (1, 2), "y": (1.0, 2.0)}), Look(), listed=False)]
    chart = Chart("x", [Panel(Axis("x"), Axis("y"), marks, rules=rules)])
    (tip,) = tips(drawing.panels(chart, ""))
    assert tip.get("data-tip") == "all"
    assert float(tip.get("width")) > 200
    axes = drawing.figure(chart).axes[0]
    assert [1.5, 1.5] in [list(line.get_ydata()) for line in axes.lines]
    zone = axes.patches[0].get_extents().transformed(axes.transData.inverted())
    assert (zone.x0, zone.x1) == pytest.approx((1.2, 1.4))
