"""study.html: the headline first, every pair and duel behind it, links to the duels, nobody shut
out.
"""

import re

import pytest

from browser import opened, violations
from features.study.made_studies import OTHER, SPIKING, make_duel, make_study
from spikeduel.features.study import study_sentences as words
from spikeduel.features.study.study_page import overview, report_study
from spikeduel.features.study.study_results import conclude
from spikeduel.results.findings import finding

LEADS = [0.03, 0.012, -0.04, 0.009, 0.1, 0.011]


def text_of(page):
    return page.read_text(encoding="utf-8")


def test_the_page_has_its_headline_and_charts(tmp_path, unpainted):
    study = make_study(LEADS)
    path = report_study(study, tmp_path)
    assert path == tmp_path / "study.html"
    assert re.findall(r'data-name="([^"]+)"', text_of(path)) == ["study-differences"]
    (heading,) = re.findall(r"<h1[^>]*>(.*?)</h1>", text_of(path), re.S)
    assert heading.strip() == words.headline(study)


def test_every_variant_pair_and_duel_is_in_a_table_and_links_to_its_report(tmp_path, unpainted):
    duels = [
        make_duel(f"set {n}", {SPIKING: [0.7], OTHER: [0.8]}, encoding=encoding)
        for n in range(7)
        for encoding in ("rate", "direct")
    ]
    study = conclude("many", duels, 0.005)
    page = text_of(report_study(study, tmp_path))
    rows = re.findall(r'<th scope="row">', page)
    parts = (study.variants, overview(study), study.across.pairs, study.duels)
    assert len(rows) == sum(map(len, parts))
    links = re.findall(r'href="([^"#]+)"', page)
    assert links == [f"{duel.folder.replace(' ', '%20')}/report.html" for duel in study.duels]


def test_names_are_text_and_leaks_come_first(tmp_path, unpainted):
    leak = [finding("leakage", shared=0.4, official=False)]
    duels = [make_duel("<b>x</b>", {SPIKING: [0.7, 0.7], OTHER: [0.8, 0.8]}, caveats=leak)]
    page = text_of(report_study(conclude("a <i>study", duels, 0.005), tmp_path))
    assert "<b>x</b>" not in page
    assert "<i>study" not in page
    assert 0 < page.index('role="alert"') < page.index("<h1")


@pytest.mark.parametrize("duels", [[], [make_duel("x", {SPIKING: [None], OTHER: [None]})]])
def test_a_study_without_results_has_a_page(tmp_path, unpainted, duels):
    study = conclude("none", duels, 0.005)
    assert words.headline(study) in text_of(report_study(study, tmp_path))


def test_it_opens_in_a_browser_and_shuts_nobody_out(tmp_path, running):
    path = report_study(make_study(LEADS), tmp_path)
    with opened(running, path, 360, 800, "dark", bypass_csp=True) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.locator("#answer-heading").bounding_box()["y"] < 400
        assert page.locator(".drawing").count() == 1
        assert violations(page, ("minor", "moderate", "serious", "critical")) == []


def test_no_table_is_cut_off_on_a_wide_screen(tmp_path, running):
    duels = [
        make_duel(
            f"my_images/camera {n}",
            {SPIKING: [0.7], OTHER: [0.75]},
            encoding=encoding,
            num_steps="25",
        )
        for n in range(7)
        for encoding in ("rate", "direct")
    ]
    path = report_study(conclude("wide", duels, 0.005), tmp_path)
    with opened(running, path, 1280, 800, bypass_csp=True) as page:
        page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true })")
        cut = """[...document.querySelectorAll('.scroll')]
            .filter(box => box.scrollWidth > box.clientWidth).map(box => box.ariaLabel)"""
        assert page.locator(".scroll").count() > 3
        assert page.evaluate(cut) == []
