from dataclasses import asdict, replace

import pytest

from spikeduel.errors import InputError
from spikeduel.recipes import RECIPES, baseline, matched
from spikeduel.settings import Experiment


def test_the_baseline_is_the_studys():
    experiment = baseline("fashion-mnist")
    assert experiment.contenders == ("dense-snn", "small-cnn")
    assert (experiment.encoding, experiment.num_steps, experiment.neuron) == ("rate", 25, "lif")
    assert (experiment.beta, experiment.threshold, experiment.reset_mechanism) == (0.95, 1.0, "subtract")
    assert (experiment.surrogate, experiment.hidden) == ("atan", 1024)
    assert (experiment.epochs, experiment.batch_size, experiment.learning_rate) == (20, 128, 8.5e-5)
    assert (experiment.patience, experiment.min_delta) == (3, 0.01)
    assert experiment.seeds == 1


def test_the_embedded_set_gets_fewer_epochs_unless_told_otherwise():
    assert baseline().dataset == "fashion-mnist-mini"
    assert baseline().epochs == 4
    assert baseline(epochs=7).epochs == 7
    assert replace(baseline(), epochs=20, dataset="mnist") == baseline("mnist")


def test_changes_reach_the_experiment_and_are_checked():
    assert baseline("mnist", seeds=6, encoding="direct") == Experiment(dataset="mnist", seeds=6, encoding="direct")
    with pytest.raises(InputError, match="seeds must be at least 1"):
        baseline("mnist", seeds=0)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_names_itself_and_says_what_it_is(name):
    recipe = RECIPES[name]
    assert recipe("digits").recipe == name
    assert asdict(recipe("digits"))["dataset"] == "digits"
    assert recipe.__doc__.strip()


def test_matched_is_two_pairs_of_twins_under_one_rule():
    experiment = matched("my_images", seeds=3, num_steps=6)
    assert experiment.contenders == ("dense-lif", "dense-relu", "conv-lif", "conv-relu")
    assert (experiment.encoding, experiment.num_steps, experiment.seeds) == ("direct", 6, 3)
    assert 4 <= matched().num_steps <= 8
    # Nobody stops before the others.
    assert experiment.patience >= experiment.epochs
    assert matched(contenders=("conv-lif",)).contenders == ("conv-lif",)
