"""The figures of a study tell what was measured, for two variants or ten, one data set or forty."""

import numpy as np
import pytest
from msgspec import structs

from made_pages import told
from made_studies import OTHER, SPIKING, make_duel, make_study
from spikeduel.reporting import across, style
from spikeduel.results.costs import Range
from spikeduel.results.study import conclude

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
    study = make_study(LEADS)
    rows = told(across.overview(study))
    assert len(rows) == 12
    row = next(row for row in rows if (row["data set"], row["variant"]) == ("set 2", OTHER))
    assert (row["accuracy, %"], row["behind the best, points"], row["best"]) == (
        76.1,
        4.0,
        f"{SPIKING}: shown",
    )
    best = next(row for row in rows if (row["data set"], row["variant"]) == ("set 2", SPIKING))
    assert (best["behind the best, points"], best["best"]) == (0, "the best here")
    assert best["standard deviation, points"] == pytest.approx(0.1414, abs=1e-4)


def test_the_darkest_cells_are_farthest_behind_and_the_best_are_bold():
    axes = across.overview(make_study(LEADS)).axes[0]
    alphas = [patch.get_alpha() for patch in axes.patches]
    assert max(alphas) == across.DARKEST
    weights = [text.get_fontweight() for text in axes.texts]
    assert weights == ["normal" if alpha else "bold" for alpha in alphas]
    darkest = axes.texts[alphas.index(max(alphas))]
    assert darkest.get_text() == "80.10"


def test_rows_and_columns_are_sorted():
    axes = across.overview(grid(3, ("1", "4"))).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["set 2", "set 1", "set 0"]
    found = [
        label.get_text().replace("\n", " ").replace("\u00a0", " ")
        for label in axes.get_xticklabels()
    ]
    assert found == [variant.name for variant in grid(3, ("1", "4")).variants]


def test_pairs_of_different_duels_are_marked_as_not_tested():
    rows = told(
        across.overview(
            conclude(
                "x",
                [
                    make_duel("x", {SPIKING: [score], OTHER: [0.5]}, encoding=encoding)
                    for encoding, score in (("rate", 0.7), ("direct", 0.8))
                ],
                0.005,
            )
        )
    )
    assert {row["variant"]: row["best"] for row in rows} == {
        f"{SPIKING} (direct)": "the best here",
        f"{SPIKING} (rate)": f"{SPIKING} (direct): not tested",
        OTHER: f"{SPIKING} (direct): shown",
    }


def test_variants_have_looks_of_their_own_and_spiking_ones_are_warm():
    looks = across.looks(grid(2))
    assert len({(look.colour, look.marker) for look in looks.values()}) == len(looks) == 9
    warm = {look.colour for name, look in looks.items() if name != OTHER}
    assert warm == set(style.SPIKING_COLOURS)
    assert looks[OTHER].colour == style.OTHER_COLOURS[0]


def test_accuracy_against_cost_goes_by_energy_or_else_by_time():
    study = make_study(LEADS)
    assert across.against_cost(study) is None
    for quantity, low, high in (("answer", 3, 3), ("energy", 2, 5)):
        variants = [
            structs.replace(each, costs={**each.costs, quantity: Range(low=low, high=high)})
            for each in study.variants
        ]
        study = structs.replace(study, variants=variants)
        row = told(across.against_cost(study))[0]
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
            each, costs={"energy": Range(low=1 + (k % 3 or 9), high=12)}, behind=0.01 * k
        )
        for k, each in enumerate(study.variants)
    ]
    figure = across.against_cost(structs.replace(study, variants=variants))
    pair = study.across.headline
    # The first is the best, the second is cheaper; all others are behind one as cheap.
    assert {text.get_text() for text in figure.axes[0].texts} == {
        pair.a,
        pair.b,
        variants[0].name,
        variants[1].name,
    }


def test_differences_have_the_intervals_of_duels_and_the_one_over_all():
    study = make_study(LEADS)
    rows = {row["data set"]: row for row in told(across.differences(study)) if "data set" in row}
    assert next(iter(rows)) == "all data sets"
    assert rows["all data sets"]["difference, points"] == pytest.approx(
        100 * study.across.headline.difference
    )
    assert (rows["set 2"]["difference, points"], rows["set 2"]["95 % interval from, points"]) == (
        -4,
        -6,
    )
    assert rows["set 2"]["conclusion"] == f"{SPIKING} better"
    assert rows["set 4"]["conclusion"] == f"{OTHER} better"
    assert rows["set 1"]["conclusion"] == "not shown"
    assert across.differences(make_study([0.1])) is None


@pytest.mark.parametrize("canvas", [style.DESKTOP, style.PHONE])
@pytest.mark.parametrize("datasets", [1, 2, 40])
def test_all_are_drawn_within_their_canvas(datasets, canvas):
    study = grid(datasets)
    with style.drawn_for(canvas):
        for draw in (
            across.overview,
            across.differences,
        ):
            if figure := draw(study):
                figure.draw_without_rendering()
                width, height = figure.get_size_inches()
                assert width <= canvas.width + 1e-6
                assert np.isfinite(height)
                assert height < 24
