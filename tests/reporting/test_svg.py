import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from made_pages import told
from spikeduel.reporting import report, style, svg


def drawn(x=(1, 2, 3), y=(10.0, 20.0, 15.0), colour=style.SPIKING_COLOURS[0], told_of=None):
    """A line through some points, each with a row."""
    figure = style.new_figure(2.0)
    axes = style.quiet(figure.subplots(), "a title", x="epoch", y="accuracy", grid=True)
    (line,) = axes.plot(x, y, "o-", color=colour)
    rows = [{"contender": "a & b", "epoch": a, "accuracy, %": b} for a, b in zip(x, y, strict=True)]
    style.told(line, told_of or rows)
    return figure


@pytest.fixture
def chart(tmp_path):
    return svg.chart(drawn, drawn(), tmp_path / "a-chart.svg")


def parts(markup, tag):
    return [element for element in ElementTree.fromstring(markup).iter() if element.tag == tag]


def test_both_widths_are_xml_with_text_and_a_tip_for_each_row(chart):
    for markup, width in ((chart.wide, style.DESKTOP.width), (chart.narrow, style.PHONE.width)):
        root = ElementTree.fromstring(markup)
        assert float(root.get("viewBox").split()[2]) == width * svg.POINTS
        assert {"a title", "epoch", "accuracy"} <= {
            "".join(text.itertext()) for text in parts(markup, "text")
        }
        assert [mark.get("data-tip") for mark in parts(markup, "rect") if mark.get("data-tip")] == [
            "a & b\nepoch: 1\naccuracy: 10 %",
            "a & b\nepoch: 2\naccuracy: 20 %",
            "a & b\nepoch: 3\naccuracy: 15 %",
        ]


def test_a_tip_lies_on_its_point():
    figure = drawn(x=(1, 2, 3), y=(0, 2, 1))
    markup = svg._on_page(svg._drawn(figure, "x"), figure, "wide")
    marks = [mark for mark in parts(markup, "rect") if mark.get("data-tip")]
    uses = [
        (float(use.get("x")), float(use.get("y")))
        for use in parts(markup, "use")
        if "fill" in use.get("style", "")
    ]
    middles = [
        [
            float(mark.get(at)) + float(mark.get(size)) / 2
            for at, size in (("x", "width"), ("y", "height"))
        ]
        for mark in marks
    ]
    assert len(middles) == 3
    for x, y in middles:
        assert min(np.hypot(x - a, y - b) for a, b in uses) < 0.2


def test_what_the_axes_leave_out_and_what_says_nothing_has_no_tip():
    rows = [{"epoch": 1}, None, {"epoch": 3}]
    figure = drawn(told_of=rows)
    figure.axes[0].set_xlim(0, 2.5)
    markup = svg._on_page(svg._drawn(figure, "x"), figure, "wide")
    assert [mark.get("data-tip") for mark in parts(markup, "rect") if mark.get("data-tip")] == [
        "epoch: 1"
    ]


def test_colours_follow_the_page_and_those_of_the_file_do_not(chart, tmp_path):
    assert "var(--ink, #1F2933)" in chart.wide
    assert "var(--chart-d55e00, #D55E00)" in chart.wide
    in_fallbacks = re.sub(r"var\(--[\w-]+, #\w+\)", "", chart.wide + chart.narrow)
    assert not any(colour.lower() in in_fallbacks.lower() for colour in svg._SCHEME)
    written = (tmp_path / "a-chart.svg").read_text()
    assert ElementTree.fromstring(written).tag == "{http://www.w3.org/2000/svg}svg"
    assert "var(" not in written
    assert "data-tip" not in written


def luminance(colour):
    values = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4) @ [
        0.2126,
        0.7152,
        0.0722,
    ]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_a_picture_in_a_chart_has_itself_as_its_address(tmp_path):
    figure = style.new_figure(2)
    axes = style.show_image(figure.subplots(), np.arange(64, dtype=np.uint8).reshape(1, 8, 8))
    style.told(axes.images[0], [{"class": "boot"}])
    shown = svg.chart(lambda: figure, figure, tmp_path / "samples.svg")
    assert all(
        "<image " in each and 'href="data:image/png;base64,' in each
        for each in (shown.wide, shown.narrow)
    )


def test_contenders_can_be_told_from_both_pages():
    for colour, dark in style.IN_THE_DARK.items():
        assert contrast(colour, "#ffffff") >= 3
        assert contrast(dark, "#1e242b") >= 4.5
    assert set(style.IN_THE_DARK) >= {*style.SPIKING_COLOURS, *style.OTHER_COLOURS}


def test_every_row_is_given_once_and_columns_are_those_of_all(tmp_path):
    def twice():
        figure = drawn()
        (again,) = figure.axes[0].plot([1, 4], [1, 1])
        style.told(
            again,
            [
                {"contender": "a & b", "epoch": 1, "accuracy, %": 10.0},
                {"epoch": 4, "energy, J": 2e-6},
            ],
        )
        return figure

    chart = svg.chart(twice, twice(), tmp_path / "x.svg")
    assert chart.columns == ["contender", "epoch", "accuracy, %", "energy, J"]
    assert chart.cells[1:] == [
        ["a & b", 2, 20.0, None],
        ["a & b", 3, 15.0, None],
        [None, 4, None, 2e-6],
    ]
    assert chart.listed[-1] == ["", "4", "", "2.00 µJ"]
    assert chart.worded == [True, False, False, False]


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("accuracy, %", 90.4, "90.4 %"),
        ("difference, points", -0.5, "−0.5 points"),
        ("answers", 1200, "1,200"),
        ("difference, points", -1.0, "−1 point"),
        ("difference, points", -1e-15, "0 points"),
        ("time, s", 0.0021, "2.10 ms"),
        ("p", None, ""),
        ("contender", "a\u202eb", r"a\u202eb"),
    ],
)
def test_values_as_people_read_them(column, value, text):
    assert svg.said(column, value) == text


def test_numbers_of_rows_are_plain(tmp_path):
    figure = drawn(
        told_of=[
            {"a": np.float64(1 / 3), "b": np.int64(2)},
            {"a": float("nan"), "b": 1},
            {"a": 1e10, "b": 3},
        ]
    )
    assert told(figure) == [{"a": 0.333333, "b": 2}, {"a": None, "b": 1}, {"a": 1e10, "b": 3}]


def test_ids_are_unique_on_a_page_and_lead_somewhere(make_run):
    comparison = make_run(seeds=2)
    page = report(comparison).read_text()
    assert page.count('class="chart"') >= 3
    found = re.findall(r'\sid="([^"]+)"', page)
    assert len(found) == len(set(found))
    assert set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+-(?:wide|narrow)-\d+)"', page)) <= {
        pair for name in found for pair in ((name, ""), ("", name))
    }
    assert (comparison.out / "figures" / "learning-curves.svg").is_file()
    assert (comparison.out / "figures" / "learning-curves.png").is_file()


def test_many_rows_are_cut_short_in_the_table_alone(make_run, monkeypatch):
    monkeypatch.setattr(svg, "MOST_LISTED", 4)
    page = report(make_run()).read_text()
    # Two contenders, five epochs, training and validation.
    assert "The first 4 of 20 rows. The download has all." in page
    (data,) = re.findall(
        r'data-name="learning-curves".*?<script type="application/json">(.*?)</script>', page, re.S
    )
    assert len(json.loads(data)["rows"]) == 20
