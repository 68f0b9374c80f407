import numpy as np
import pytest

from made_costs import followed, leaving, with_accuracy, with_trial
from spikeduel.reporting import gains
from spikeduel.settings.recipes import baseline


@pytest.fixture
def results(make_prepared, make_results):
    """Two seeds of small-cnn, at 0.8 and 0.84, and what they were converted to."""
    made = make_results(make_prepared(), baseline(seeds=2))
    for index, accuracies in ((0, [0.1, 0.5, 0.6, 0.79]), (2, [0.1, 0.7, 0.8, 0.83])):
        anytime = followed(accuracies, [leaving(None, accuracies[-1], [0, 0, 0, 20])])
        made = with_trial(made, index, contender="converted", converted_from="small-cnn", anytime=anytime)
    return with_accuracy(with_accuracy(made, 1, 0.8), 3, 0.84)


def test_each_step_is_a_mean_over_seeds_and_the_source_a_line(results):
    (axes,) = gains.accuracy_over_steps(results).axes
    curve, source = axes.lines
    assert curve.get_xdata().tolist() == [1, 2, 3, 4]
    assert curve.get_ydata() == pytest.approx([0.1, 0.6, 0.7, 0.81])
    assert np.unique(source.get_ydata()) == pytest.approx([0.82])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["converted", "small-cnn"]
    assert len(axes.collections) == 1
    # Guesses of the first step would take most of the height.
    assert axes.get_ylim()[0] == pytest.approx(0.82 - 0.4)


def test_only_what_was_followed_beside_a_tested_source_is_shown(results, with_trials):
    assert gains.sources(results) == {"converted": "small-cnn"}
    assert gains.sources(with_trials(results, anytime=None)) == {}
    assert gains.sources(with_trials(results, test=lambda t: t.test if t.converted_from else None)) == {}
