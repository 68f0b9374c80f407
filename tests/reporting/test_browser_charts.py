"""Charts of a page in a real browser: values at the pointer and by keys, what can be downloaded, a
phone.
"""

import csv
from xml.etree import ElementTree

import pytest

from browser import opened

OVERFLOWING = """
    [...document.querySelectorAll(".chart, .chart .drawing")]
        .filter(part => part.scrollWidth > part.clientWidth).map(part => part.className)
"""
OUTSIDE = """
    [...document.querySelectorAll(".chart .panels svg")].filter(svg => svg.getClientRects().length).flatMap(svg => {
        const whole = svg.getBoundingClientRect();
        return [...svg.querySelectorAll("text")].filter(text => {
            const box = text.getBoundingClientRect();
            return box.left < whole.left - 1 || box.right > whole.right + 1;
        }).map(text => text.textContent);
    })
"""


def test_a_tip_follows_the_pointer_and_the_keys(running, report_path):
    with opened(running, report_path) as shown:
        chart, tip = shown.locator("[data-name=learning-curves]"), shown.locator(".tip")
        # The last one lies above all others.
        mark = chart.locator("[data-tip]").last
        assert tip.is_hidden()
        mark.hover()
        assert tip.inner_text() == mark.get_attribute("data-tip")
        shown.mouse.move(1, 1)
        assert tip.is_hidden()

        chart.locator(".drawing").focus()
        marks = chart.locator("[data-tip]")
        for key, place in (
            ("ArrowRight", 0),
            ("ArrowRight", 1),
            ("ArrowLeft", 0),
            ("ArrowLeft", -1),
        ):
            shown.keyboard.press(key)
            assert tip.inner_text() == marks.nth(place).get_attribute("data-tip")
        shown.keyboard.press("Escape")
        assert tip.is_hidden()


def test_data_and_drawing_can_be_downloaded(running, report_path, tmp_path):
    with opened(running, report_path) as shown:
        chart = shown.locator("[data-name=learning-curves]")
        chart.locator(".data summary").click()

        def downloaded(kind):
            with chart.page.expect_download() as waiting:
                chart.locator(f"[data-download={kind}]").click()
            waiting.value.save_as(tmp_path / waiting.value.suggested_filename)
            return (tmp_path / f"learning-curves.{kind}").read_text()

        rows = list(csv.DictReader(downloaded("csv").splitlines()))
        assert len(rows) == 40
        # The panel of losses comes first.
        for row, column in ((rows[0], "loss"), (rows[20], "accuracy, %")):
            labels = [row[name] for name in ("contender", "images", "epoch")]
            assert labels == ["dense-snn", "training", "1"]
            assert float(row[column]) > 0
        assert float(rows[20]["accuracy, %"]) == 54
        drawing = downloaded("svg")
        assert ElementTree.fromstring(drawing).tag == "{http://www.w3.org/2000/svg}svg"
        assert "var(" not in drawing
        assert "data-tip" not in drawing
        assert drawing.count("<svg") > 3  # panels, and the swatches of a legend
        assert "weights kept" in drawing


@pytest.mark.parametrize(("width", "abreast"), [(1280, True), (360, False)])
def test_nothing_is_cut_off_at_either_width(running, report_path, width, abreast):
    with opened(running, report_path, width) as shown:
        panels = shown.locator("[data-name=learning-curves] .panels svg").all()
        left, right = (panel.bounding_box()["y"] for panel in panels)
        assert (left == right) == abreast
        assert shown.evaluate(OVERFLOWING) == []
        assert shown.evaluate(OUTSIDE) == []


def test_a_finger_finds_the_nearest_value_and_a_dark_page_has_its_own_colours(running, report_path):
    with opened(running, report_path, 360, scheme="dark") as shown:
        chart = shown.locator("[data-name=learning-curves]")
        chart.scroll_into_view_if_needed()
        mark = chart.locator("[data-tip]").last
        box = mark.bounding_box()
        beside = {
            "clientX": box["x"] + box["width"] + 10,
            "clientY": box["y"] + box["height"] / 2,
            "pointerType": "touch",
        }
        chart.locator(".drawing").dispatch_event("pointerdown", beside)
        assert shown.locator(".tip").inner_text() == mark.get_attribute("data-tip")
        fill = "getComputedStyle(document.querySelector('.panels text')).fill"
        assert (
            sum(map(int, shown.evaluate(fill).removeprefix("rgb(").removesuffix(")").split(",")))
            > 384
        )
