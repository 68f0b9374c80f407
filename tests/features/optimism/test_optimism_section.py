import pytest

from factories import run_results, with_trials
from made_pages import listed_rows, places
from spikeduel.experiment.recipes import baseline
from spikeduel.features.optimism.optimism_conclusion import conclude
from spikeduel.features.optimism.optimism_section import chart


def test_the_chart_marks_the_chosen_and_the_best_epoch_of_every_training(make_prepared):
    made = run_results(make_prepared(num_images=200), baseline(seeds=1), num_test=100)
    right, chosen = iter([[10, 30, 20, 25, 28], [50, 60, 70, 80, 90]]), iter([3, 4])
    made = with_trials(
        made,
        measured=lambda trial: {"optimism": next(right)},
        best_epoch=lambda trial: next(chosen),
    )
    drawn = chart(made, conclude(made, None))
    left, right = drawn.panels
    assert [left.title, right.title] == ["dense-snn", "small-cnn"]
    line, best, chosen = (places(left, marks) for marks in left.marks)
    assert line == ([1, 2, 3, 4, 5], pytest.approx([10, 30, 20, 25, 28]))
    assert (best, chosen) == (([2], [30]), ([4], [25]))
    _, best, chosen = (places(right, marks) for marks in right.marks)
    assert best == chosen == ([5], [90])
    assert [row["epoch"] for row in listed_rows(drawn) if row["chosen"]] == [4, 5]
