"""report.html in a real browser: what it answers, what it looks like, whom it shuts out."""

from dataclasses import replace

import numpy as np
import pytest

from browser import browser, opened
from made_results import make_predictions, make_results
from spikeduel.data import Split
from spikeduel.reporting import RunData, report
from spikeduel.results.comparison import Comparison
from spikeduel.results.predictions import Answered
from spikeduel.settings.recipes import baseline
from spikeduel.system import typed

WIDTHS = {1280: 800, 360: 740}


@pytest.fixture(scope="module")
def running():
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def made(tmp_path_factory, make_prepared):
    """A run of two seeds without its models, and the answers that it kept."""
    prepared = make_prepared(
        num_classes=4, num_images=100, classes=("T-shirt", "bag", "boot", "a coat, long")
    )
    experiment = replace(
        baseline("digits", num_steps=6, epochs=5), contenders=("dense-snn", "small-cnn"), seeds=2
    )
    out = tmp_path_factory.mktemp("run")
    results = make_results(prepared, experiment, num_test=60)
    numbers = np.arange(100)
    kept = make_predictions(prepared, results, numbers[40:])
    typed.write_json(out / "predictions.json", kept)
    report(
        Comparison(experiment, results, out),
        held=RunData(prepared, (Split(numbers[:30], numbers[30:40], numbers[40:], "stratified"),)),
    )
    return out / "report.html", kept


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_it_shuts_nobody_out(running, made, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with opened(running, made[0], width, WIDTHS[width], scheme, bypass_csp=True) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("#answer-heading").bounding_box()["y"] < WIDTHS[width] / 2
        page.evaluate(
            "document.querySelectorAll('details').forEach((fold) => { fold.open = true; })"
        )
        found = axe.run(page).response["violations"]
    grave = [each for each in found if each["impact"] in ("serious", "critical")]
    assert [
        (each["id"], [node["html"][:150] for node in each["nodes"][:3]]) for each in grave
    ] == []


def test_a_cell_of_a_matrix_shows_its_pictures(running, made):
    path, kept = made
    cells = Answered(kept).cells("dense-snn")
    (truth, answer), rows = next((cell, rows) for cell, rows in cells.items() if cell[0] != cell[1])
    title = f"{kept.classes[truth]}, answered {kept.classes[answer]} by dense-snn"
    with opened(running, path) as page:
        page.locator(f'.confusion [data-title="{title}"] button').click()
        dialog = page.get_by_role("dialog")
        assert dialog.is_visible()
        assert title in dialog.inner_text()
        shown = dialog.locator("li")
        assert shown.count() == len(rows)
        assert all(kept.classes[truth] in text for text in shown.all_inner_texts())
        # A picture of its own for each, out of the one that the page holds.
        places = shown.locator(".thumb").evaluate_all(
            "all => all.map((one) => getComputedStyle(one).backgroundPosition)"
        )
        assert len(set(places)) == len(rows)
        assert page.evaluate(
            "getComputedStyle(document.querySelector('dialog .thumb')).backgroundImage"
        ).startswith('url("data:image/webp')
        # Twice as large as beside a table.
        sides = [
            page.locator(f"{place} .thumb").first.bounding_box()["width"]
            for place in ("#disagreement", "dialog")
        ]
        assert sides == [64, 128]
        page.keyboard.press("Escape")
        assert not dialog.is_visible()


def test_tables_sort_by_number(running, made):
    with opened(running, made[0]) as page:
        table = page.locator("#classes table.sortable").first
        head = table.get_by_role("columnheader").nth(2)

        def column():
            return [
                float(text) for text in table.locator("tbody td:nth-child(3)").all_inner_texts()
            ]

        head.locator(".sort").click()
        assert head.get_attribute("aria-sort") == "ascending"
        assert column() == sorted(column())
        head.locator(".sort").press("Enter")
        assert head.get_attribute("aria-sort") == "descending"
        assert column() == sorted(column(), reverse=True)


def test_definitions_open_by_pointer_key_and_tap(running, made):
    def shown(page):
        return page.locator("[popover]:popover-open").count()

    with opened(running, made[0]) as page:
        word = page.locator("#answer .define").first
        word.hover()
        assert shown(page) == 1
        page.mouse.move(0, 0)
        assert shown(page) == 0
        word.press("Enter")
        assert shown(page) == 1
    with opened(running, made[0], 360, 740, has_touch=True) as page:
        page.locator("#answer .define").first.tap()
        assert shown(page) == 1


def test_without_a_script_it_is_complete(running, made):
    with opened(running, made[0], java_script_enabled=False) as page:
        assert page.locator(".confusion").count() == 2
        assert page.locator("#disagreement .thumb").count() > 0
        # No button that nothing answers.
        assert page.locator("button:visible:not([popovertarget])").count() == 0


def test_print_keeps_folds_but_for_what_says_in_words_what_was_found(running, made):
    with opened(running, made[0]) as page:
        numbers, verdict = (
            page.locator(place).first for place in ("#classes details table", "#results .printed p")
        )
        assert not verdict.is_visible()
        page.emulate_media(media="print")
        assert verdict.is_visible()
        assert page.locator("#method .printed dl").is_visible()
        assert not numbers.is_visible()
        assert not page.locator("nav").is_visible()
        # A fold that a reader has opened is printed.
        page.locator("#classes details").first.evaluate("fold => { fold.open = true; }")
        assert numbers.is_visible()


def test_captions_and_commands_are_whole_on_a_phone(running, made):
    cut = """selector => [...document.querySelectorAll(selector)].filter(each =>
        each.scrollWidth > each.clientWidth + 1 || each.getBoundingClientRect().right > innerWidth).length"""
    with opened(running, made[0], 360, 740) as page:
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
