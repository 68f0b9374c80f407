"""Declared charts: rows and words, colours and names."""

import matplotlib
import numpy as np
import pytest

from factories import trial
from spikeduel.reporting import charts
from spikeduel.reporting.charts import Axis, Chart, Look, Marks, Panel, Rule


def chart(*rows, rule=None):
    marks = [Marks("points", [row], Look()) for row in rows]
    rules = [Rule(1, row=rule)] if rule else []
    return Chart("x", [Panel(Axis("a"), Axis("b, %"), marks, rules=rules)] * 2)


def test_every_row_is_given_once_and_columns_are_those_of_all():
    made = chart({"a": 1, "b, %": 2}, {"a": 1, "who": "x"}, rule={"who": "all"})
    assert made.rows == [{"a": 1, "b, %": 2}, {"a": 1, "who": "x"}, {"who": "all"}]
    assert made.columns == ["a", "b, %", "who"]
    assert made.table == [[1, 2, None], [1, None, "x"], [None, None, "all"]]
    assert made.worded == [False, False, True]
    unlisted = Marks("line", [{"a": 5}], Look(), listed=False)
    assert Chart("x", [Panel(Axis("a"), Axis("b"), [unlisted])]).rows == []


def test_numbers_of_rows_are_plain():
    (row,) = chart({"a": np.float64(1 / 3), "b": np.inf, "c": np.nan, "d": None, "e": 7}).rows
    assert row == {"a": 0.333333, "b": None, "c": None, "d": None, "e": 7}
    assert type(row["a"]) is float


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("accuracy, %", 90.4321, "90.43 %"),
        ("energy, J", 1.75e-6, "1.75 µJ"),
        ("energy, J", 0.9999999, "1.00 J"),
        ("energy, J", 0, "0.00 J"),
        ("time, s", 2e-3, "2.00 ms"),
        ("time, s", 120.0, "120.00 s"),
        ("difference, points", -1.0, "−1 point"),
        ("difference, points", -0.0, "0 points"),
        ("test images", 10000, "10,000"),
        ("contender", "a\u202eb", r"a\u202eb"),
        ("p", None, ""),
    ],
)
def test_values_as_people_read_them(column, value, text):
    assert charts.value_text(column, value) == text


def test_matplotlibs_settings_change_no_value():
    with matplotlib.rc_context({"axes.formatter.use_mathtext": True}):
        assert charts.value_text("energy, J", 1.75e-6) == "1.75 µJ"


def test_a_tip_has_names_alone_and_numbers_after_their_column():
    row = {"contender": "a & b", "accuracy, %": 10.0, "p": None}
    assert charts.tip(row) == "a & b\naccuracy: 10 %"


def luminance(colour):
    values = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(colour, ground):
    low, high = sorted((luminance(colour), luminance(ground)))
    return (high + 0.05) / (low + 0.05)


def test_contenders_differ_on_both_pages():
    for colour, dark in charts.IN_THE_DARK.items():
        assert contrast(colour, "#ffffff") >= 3
        assert contrast(dark, "#1e242b") >= 4.5
    assert set(charts.IN_THE_DARK) >= {*charts.SPIKING_COLOURS, *charts.OTHER_COLOURS}


def test_a_contender_keeps_its_colour_and_spiking_ones_are_warm():
    names = ["snn a", "cnn a", "snn b", "cnn b", *(f"snn {k}" for k in range(9))]
    colours = charts.contender_colours([trial(name, kind=name[:3]) for name in names])
    assert list(colours) == names
    assert [colours[name] for name in ("snn a", "snn b")] == list(charts.SPIKING_COLOURS[:2])
    assert [colours[name] for name in ("cnn a", "cnn b")] == list(charts.OTHER_COLOURS[:2])


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("short", "short", "short"),
        ("a name that is far too long", "a n", "ong"),
        ("two\nlines", r"two\nlines", r"two\nlines"),
    ],
)
def test_long_names_keep_both_ends(text, start, end):
    shown = charts.shortened(text)
    assert len(shown) <= 18
    assert (shown[: len(start)], shown[-len(end) :]) == (start, end)


def test_file_names_hold_no_separators():
    assert charts.file_name("../a b/c.d:e") == "a-b-c.d-e"
    assert charts.file_name("..") == "unnamed"
