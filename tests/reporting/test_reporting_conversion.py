import numpy as np
import pytest

from spikeduel.reporting import conversion


def trial(contender, seed, accuracy, source=None, accuracies=None):
    return {
        "contender": contender,
        "family": "snn" if source else "cnn",
        "seed": seed,
        "converted_from": source,
        "num_steps": accuracies and len(accuracies),
        "test": {"accuracy": accuracy},
        "anytime": accuracies and {"num_steps": len(accuracies), "accuracies": accuracies},
    }


@pytest.fixture
def results():
    return {
        "trials": [
            trial("dense-relu", 0, 0.80),
            trial("dense-relu", 1, 0.84),
            trial("dense-relu-converted", 0, 0.79, "dense-relu", [0.1, 0.5, 0.6, 0.79]),
            trial("dense-relu-converted", 1, 0.83, "dense-relu", [0.1, 0.7, 0.8, 0.83]),
        ]
    }


def test_each_step_is_a_mean_over_seeds_and_the_source_a_line(results):
    (axes,) = conversion.accuracy_over_steps(results).axes
    curve, source = axes.lines
    assert curve.get_xdata().tolist() == [1, 2, 3, 4]
    assert curve.get_ydata() == pytest.approx([0.1, 0.6, 0.7, 0.81])
    assert np.unique(source.get_ydata()) == pytest.approx([0.82])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["dense-relu-converted", "dense-relu"]
    assert len(axes.collections) == 1
    # Guesses of the first step would take most of the height.
    assert axes.get_ylim()[0] == pytest.approx(0.82 - 0.4)
    assert "converted for 4 steps" in conversion.explained(results)


def test_only_what_was_followed_beside_a_tested_source_is_shown(results):
    assert conversion.contenders(results) == {"dense-relu-converted": "dense-relu"}
    results["trials"][2]["anytime"] = results["trials"][3]["anytime"] = None
    assert conversion.contenders(results) == {}
    assert conversion.contenders({"trials": [trial("a-converted", 0, 0.5, "a", [0.5])]}) == {}
