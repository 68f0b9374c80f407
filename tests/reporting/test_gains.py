import pytest

from spikeduel.reporting import gains, report
from spikeduel.results.words.controls import conclude


def classification(num_right, **more):
    return {
        "accuracy": num_right / 20,
        "truth": [0] * 20,
        "predicted": [0] * num_right + [1] * (20 - num_right),
        **more,
    }


@pytest.fixture
def comparison(make_run):
    made = make_run(seeds=2)
    found = {
        "relu_twin": classification(18),
        "quantised_twin": classification(17, bits=3),
        "one_step": None,
        "shuffled": classification(12),
        "nearest_neighbour": classification(9),
    }
    for trial in made.results["trials"]:
        if trial["family"] == "snn":
            trial["controls"] = {**found, "reasons": {"one_step": "of a <reason>"}}
    own = [classification(13), classification(14)]
    made.results["comparison"]["controls"] = [
        conclude("dense-snn", 6, own, {k: [v, v] for k, v in found.items()}, {"one_step": "of a <reason>"})
    ]
    return made


def test_rows_are_told_in_words_and_points(comparison):
    (shown,) = gains.contenders(comparison.results)
    rows = {row["name"]: row for row in shown["rows"]}
    assert list(rows) == [
        "ReLU twin",
        "quantised twin (3 bits)",
        "one time step",
        "shuffled in time",
        "nearest neighbour",
    ]
    assert rows["ReLU twin"]["accuracy"] == "90.00"
    assert rows["ReLU twin"]["difference"] == "−22.50"
    assert " to " in rows["ReLU twin"]["interval"]
    assert rows["one time step"]["reason"] == "of a <reason>"
    assert rows["one time step"]["accuracy"] == rows["one time step"]["interval"] == ""


def test_the_figure_has_a_stroke_for_each_that_was_measured(comparison):
    figure = gains.accuracies(comparison.results)
    (axes,) = [axes for axes in figure.axes if axes.get_visible()]
    strokes = [collection for collection in axes.collections if type(collection).__name__ == "LineCollection"]
    means = sorted(stroke.get_segments()[0][0][0] for stroke in strokes)
    own = [100 * t["test"]["accuracy"] for t in comparison.results["trials"] if t["family"] == "snn"]
    assert means == pytest.approx(sorted([sum(own) / 2, 90, 85, 60, 45]))
    assert "not to be had" in [text.get_text() for text in axes.texts]


def test_the_page_has_the_section(comparison):
    page = report(comparison).read_text()
    assert "What spiking buys" in page
    assert comparison.results["comparison"]["controls"][0]["text"].replace("'", "&#39;")[:60] in page
    assert "of a &lt;reason&gt;" in page
    assert (comparison.out / "figures" / "controls.png").is_file()


def test_without_controls_there_is_none(make_run):
    made = make_run()
    assert "What spiking buys" not in report(made).read_text()
    assert gains.contenders(made.results) == []


def test_the_table_says_what_was_tested_and_what_too_few_seeds_hold_back(comparison):
    n = 400
    own, twin = ({"truth": [0] * n, "predicted": [0] * k + [1] * (n - k), "accuracy": k / n} for k in (300, 390))
    names = ("relu_twin", "quantised_twin", "one_step", "shuffled", "nearest_neighbour")
    given = {name: [None, None] for name in names} | {"relu_twin": [twin, twin], "shuffled": [own, own]}
    comparison.results["comparison"]["controls"] = [conclude("dense-snn", 6, [own, own], given, {})]
    (shown,) = gains.contenders(comparison.results)
    rows = {row["name"]: row for row in shown["rows"]}
    assert rows["ReLU twin"]["conclusion"] == "inconclusive: too few seeds"
    assert rows["shuffled in time"]["conclusion"] == "equivalent"
    assert shown["note"].startswith("Test: t test over seeds and images, and exact permutation of the seeds, each")
    assert "Better: p is at most 0.05" in shown["note"]
    assert shown["note"].count("the interval excludes 0, yet with 2 seeds nobody can be called better") == 1
    page = report(comparison).read_text()
    assert "inconclusive: too few seeds" in page
    assert "each control apart. Better: p is at most 0.05." in page
