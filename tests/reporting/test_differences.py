import pytest

from spikeduel.reporting import differences, style


def pair(difference, half, conclusion, **changes):
    made = {
        "a": "dense-snn",
        "b": "small-cnn",
        "difference": difference,
        "ci95": [difference - half, difference + half],
        "ci90": [difference - 0.8 * half, difference + 0.8 * half],
        "margin": 0.005,
        "conclusion": conclusion,
        "negligible": False,
    }
    return {**made, **changes}


PAIRS = [
    pair(0.02, 0.01, "a_better"),
    pair(-0.001, 0.003, "equivalent"),
    pair(0.002, 0.02, "inconclusive"),
    pair(-0.002, 0.001, "b_better", negligible=True),
]


def test_a_row_a_pair_with_both_intervals_and_the_dot():
    figure = differences.forest(PAIRS)
    figure.draw_without_rendering()

    axes = figure.axes[0]
    drawn = [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines[1:]]
    for row, one in enumerate(PAIRS):
        wide, narrow, dot = drawn[3 * row : 3 * row + 3]
        assert wide == (pytest.approx([100 * x for x in one["ci95"]]), [row, row])
        assert narrow == (pytest.approx([100 * x for x in one["ci90"]]), [row, row])
        assert dot == (pytest.approx([100 * one["difference"]]), [row])
    assert [text.get_text() for text in axes.texts] == [
        "dense-snn better",
        "equivalent",
        "inconclusive",
        "small-cnn better (by less than counts)",
    ]
    assert axes.get_yticklabels()[0].get_text() == "dense-snn − small-cnn"


def test_too_few_seeds_are_said_beside_an_interval_that_excludes_0():
    held_back = pair(0.1, 0.01, "inconclusive", seeds=2, p_value_raw=0.001, p_permutation=1 / 3)
    axes = differences.forest([held_back, {**held_back, "seeds": 1, "groups": 5}]).axes[0]
    assert [text.get_text() for text in axes.texts] == ["too few seeds", "too few groups"]


def test_the_margin_is_shaded_and_nothing_is_cut_off():
    axes = differences.forest(PAIRS).axes[0]

    band = axes.patches[0].get_extents().transformed(axes.transData.inverted())
    assert (band.x0, band.x1) == pytest.approx((-0.5, 0.5))
    low, high = axes.get_xlim()
    assert low < -1.8 - 0.01
    assert high > 3.0


def test_the_margin_is_in_sight_where_intervals_are_short():
    assert differences.forest([pair(0.0, 0.0001, "equivalent")]).axes[0].get_xlim()[1] > 0.5


def test_dollars_are_no_formulas():
    figure = differences.forest([pair(0.01, 0.02, "a_better", a="my_code:$x^2$")])
    figure.draw_without_rendering()
    assert figure.axes[0].texts[0].get_text() == r"my_code:\$x^2\$ better"
    assert figure.get_size_inches()[0] == style.WIDTH
