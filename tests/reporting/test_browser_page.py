"""report.html in a real browser: tables, definitions, print, phones and accessibility."""

from dataclasses import replace

import pytest

import factories
from browser import opened, violations
from spikeduel.experiment.recipes import baseline
from spikeduel.reporting import report
from spikeduel.sentences.comparison import Comparison

WIDTHS = {1280: 800, 360: 740}


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_the_page_is_accessible(running, report_path, width, scheme):
    with opened(running, report_path, width, WIDTHS[width], scheme, bypass_csp=True) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("#recommendation-heading").bounding_box()["y"] < WIDTHS[width] / 2
        assert violations(page) == []


def test_tables_sort_by_number(running, report_path):
    with opened(running, report_path) as page:
        table = page.locator("#classes table.sortable").first
        head = table.get_by_role("columnheader").nth(2)

        head.locator(".sort").click()
        for order in ("ascending", "descending"):
            assert head.get_attribute("aria-sort") == order
            column = list(map(float, table.locator("tbody td:nth-child(3)").all_inner_texts()))
            assert column == sorted(column, reverse=order == "descending")
            head.locator(".sort").press("Enter")


def test_definitions_open_by_pointer_key_and_tap(running, report_path):
    with opened(running, report_path) as page:
        word, shown = (
            page.locator("#recommendation .define").first,
            page.locator("[popover]:popover-open"),
        )
        word.hover()
        assert shown.count() == 1
        page.mouse.move(0, 0)
        assert shown.count() == 0
        word.press("Enter")
        assert shown.count() == 1
    with opened(running, report_path, 360, 740, has_touch=True) as page:
        page.locator("#recommendation .define").first.tap()
        assert page.locator("[popover]:popover-open").count() == 1


def test_without_a_script_it_is_complete(running, report_path):
    with opened(running, report_path, java_script_enabled=False) as page:
        assert page.locator(".confusion").count() == 2
        # No button without effect.
        assert page.locator("button:visible:not([popovertarget])").count() == 0


def test_print_keeps_folds_but_for_what_says_in_words_what_was_found(running, report_path):
    with opened(running, report_path) as page:
        numbers, verdict = (
            page.locator(place).first for place in ("#classes details table", "#results .printed p")
        )
        assert not verdict.is_visible()
        page.emulate_media(media="print")
        printed = (verdict, page.locator("#method .printed dl"), numbers, page.locator("nav"))
        assert [part.is_visible() for part in printed] == [True, True, False, False]
        # A fold that a reader has opened is printed.
        page.locator("#classes details").first.evaluate("fold => { fold.open = true; }")
        assert numbers.is_visible()


def test_captions_and_commands_are_whole_on_a_phone(running, report_path):
    cut = """selector => [...document.querySelectorAll(selector)].filter(part =>
        part.scrollWidth > part.clientWidth + 1 || part.getBoundingClientRect().right > innerWidth).length"""
    with opened(running, report_path, 360, 740) as page:
        page.evaluate(
            "document.querySelectorAll('details').forEach((fold) => { fold.open = true; })"
        )
        assert page.locator("caption").count() > 3
        assert page.evaluate(cut, "caption, pre") == 0
        # Of a table that goes on at the side, the first column alone lies over others.
        over = (
            "all => all.filter((one) => getComputedStyle(one).position === 'sticky' && "
            "one.cellIndex > 0).length"
        )
        assert page.locator("td, th").evaluate_all(over) == 0


def test_the_lead_among_three_networks_is_whole_on_a_phone(running, tmp_path, make_prepared):
    contenders = ("dense-snn", "small-cnn", "wide-cnn")
    experiment = replace(baseline("digits"), contenders=contenders, seeds=2)
    results = factories.run_results(make_prepared(), experiment)
    path = report(Comparison(experiment, results, tmp_path))
    ends = "all => all.map((cell) => cell.getBoundingClientRect().right)"
    with opened(running, path, 390, 740) as page:
        box = page.locator(".scroll:has(> .recommendation)")
        assert box.evaluate("box => box.scrollWidth - box.clientWidth") == 0
        leads = page.locator(".recommendation tbody td:last-child")
        assert leads.count() == len(results.recommendation.quantities)
        assert max(leads.evaluate_all(ends)) <= 390
