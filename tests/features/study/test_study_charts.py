"""The figures of a study tell what was measured, for two variants or ten, one data set or forty."""

import pytest
from msgspec import structs

from features.study.made_studies import OTHER, SPIKING, make_duel, make_study
from made_pages import told
from spikeduel.features.study import study_page
from spikeduel.features.study.study_results import conclude
from spikeduel.reporting import charts
from spikeduel.results.cost_results import Range

LEADS = [0.03, 0.012, -0.04, 0.009, 0.1, 0.011]


def grid(datasets, steps=("1", "2", "4", "8")):
    """A study of so many data sets in which a spiking network is more accurate, the more steps it
    makes.
    """
    duels = [
        make_duel(
            f"set {n}",
            {
                SPIKING: [0.6 + 0.02 * k + 0.005 * n, 0.61 + 0.02 * k],
                OTHER: [0.7 + 0.005 * n, 0.71],
            },
            encoding=encoding,
            num_steps=step,
        )
        for n in range(datasets)
        for encoding in ("rate", "direct")
        for k, step in enumerate(steps)
    ]
    return conclude("grid", duels, 0.005)


def test_the_overview_tells_every_score_and_how_far_it_is_behind():
    cells = study_page.overview(make_study(LEADS))
    assert [len(row) for row in cells.values()] == [2] * 6
    behind, best = cells["set 2"][OTHER], cells["set 2"][SPIKING]
    assert behind.score.mean == pytest.approx(0.761)
    assert (behind.is_behind, behind.description) == (True, f"4.00 points behind {SPIKING}: shown")
    assert (best.shade, best.is_behind, best.description) == (0, False, "the best here")


def test_the_darkest_cells_are_farthest_behind_and_the_most_accurate_sets_come_first():
    cells = study_page.overview(make_study(LEADS))
    shades = {name: row[SPIKING].shade for name, row in cells.items()}
    assert [name for name, shade in shades.items() if shade == max(shades.values())] == ["set 4"]
    assert (shades["set 4"], shades["set 2"]) == (1, 0)
    assert list(study_page.overview(grid(3, ("1", "4")))) == ["set 2", "set 1", "set 0"]


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


def test_variants_have_looks_of_their_own_and_spiking_ones_are_warm():
    looks = study_page.looks_of(grid(2))
    assert len({(look.colour, look.shape) for look in looks.values()}) == len(looks) == 9
    warm = {look.colour for name, look in looks.items() if name != OTHER}
    assert warm == set(charts.SPIKING_COLOURS)
    assert looks[OTHER].colour == charts.OTHER_COLOURS[0]


def test_accuracy_against_cost_goes_by_energy_or_else_by_time():
    study = make_study(LEADS)
    assert study_page.against_cost(study) is None
    for quantity, low, high in (("latency", 3, 3), ("energy", 2, 5)):
        variants = [
            structs.replace(variant, costs={**variant.costs, quantity: Range(low=low, high=high)})
            for variant in study.variants
        ]
        study = structs.replace(study, variants=variants)
        row = told(study_page.against_cost(study))[0]
        assert (row["times the least"], row["times the least, at most"]) == (
            low,
            high if high > low else None,
        )
        assert row["behind the best, points"] == pytest.approx(
            100 * study.variants[0].behind, abs=1e-4
        )


def test_of_many_variants_the_best_for_their_cost_are_named():
    study = grid(3)
    variants = [
        structs.replace(
            variant, costs={"energy": Range(low=1 + (k % 3 or 9), high=12)}, behind=0.01 * k
        )
        for k, variant in enumerate(study.variants)
    ]
    (panel,) = study_page.against_cost(structs.replace(study, variants=variants)).panels
    pair = study.across.headline
    # The first is the best, the second is cheaper; all others are behind one as cheap.
    assert {marks.label for marks in panel.marks if marks.label} == {
        pair.a,
        pair.b,
        variants[0].name,
        variants[1].name,
    }


def test_differences_have_the_intervals_of_duels_and_the_one_over_all():
    study = make_study(LEADS)
    rows = {
        row["data set"]: row
        for row in told(study_page.headline_differences(study))
        if "data set" in row
    }
    assert next(iter(rows)) == "all data sets"
    assert rows["all data sets"]["difference, points"] == pytest.approx(
        100 * study.across.headline.difference
    )
    row = rows["set 2"]
    assert row["difference, points"] == pytest.approx(-4)
    assert row["95 % interval from, points"] == pytest.approx(-6)
    concluded = {"set 2": f"{SPIKING} better", "set 4": f"{OTHER} better", "set 1": "not shown"}
    assert {name: rows[name]["conclusion"] for name in concluded} == concluded
    assert study_page.headline_differences(make_study([0.1])) is None
