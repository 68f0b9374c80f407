"""The figures of a study show what was measured."""

import pytest

from features.study.made_studies import OTHER, SPIKING, make_duel, make_study
from made_pages import listed_rows
from spikeduel.features.study import study_page
from spikeduel.features.study.study_results import conclude

LEADS = [0.03, 0.012, -0.04, 0.009, 0.1, 0.011]


def test_the_overview_has_every_score_and_how_far_it_is_behind():
    cells = study_page.overview(make_study(LEADS))
    assert [len(row) for row in cells.values()] == [2] * 6
    behind, best = cells["set 2"][OTHER], cells["set 2"][SPIKING]
    assert behind.score.mean == pytest.approx(0.761)
    assert (behind.is_behind, behind.description) == (
        True,
        f"4.00 points behind {SPIKING}: significant",
    )
    assert (best.shade, best.is_behind, best.description) == (0, False, "the best here")


def test_the_darkest_cells_are_farthest_behind_and_the_most_accurate_sets_come_first():
    cells = study_page.overview(make_study(LEADS))
    shades = {name: row[SPIKING].shade for name, row in cells.items()}
    assert [name for name, shade in shades.items() if shade == max(shades.values())] == ["set 4"]
    assert (shades["set 4"], shades["set 2"]) == (1, 0)
    duels = [make_duel(f"set {n}", {SPIKING: [0.6], OTHER: [0.7 + 0.005 * n]}) for n in range(3)]
    assert list(study_page.overview(conclude("x", duels, 0.005))) == ["set 2", "set 1", "set 0"]


def test_pairs_of_different_duels_are_marked_as_not_tested():
    duels = [
        make_duel("x", {SPIKING: [score], OTHER: [0.5]}, encoding=encoding)
        for encoding, score in (("rate", 0.7), ("direct", 0.8))
    ]
    cells = study_page.overview(conclude("x", duels, 0.005))["x"]
    assert {name: cell.is_behind for name, cell in cells.items()} == {
        f"{SPIKING} (direct)": False,
        f"{SPIKING} (rate)": None,
        OTHER: True,
    }


def test_differences_have_the_intervals_of_duels_and_the_one_over_all():
    study = make_study(LEADS)
    rows = {
        row["data set"]: row
        for row in listed_rows(study_page.headline_differences(study))
        if "data set" in row
    }
    assert next(iter(rows)) == "all data sets"
    assert rows["all data sets"]["difference, points"] == pytest.approx(
        100 * study.across.headline.difference
    )
    row = rows["set 2"]
    assert row["difference, points"] == pytest.approx(-4)
    assert row["95 % interval from, points"] == pytest.approx(-6)
    concluded = {
        "set 2": f"{SPIKING} better",
        "set 4": f"{OTHER} better",
        "set 1": "not significant",
    }
    assert {name: rows[name]["conclusion"] for name in concluded} == concluded
    assert study_page.headline_differences(make_study([0.1])) is None
