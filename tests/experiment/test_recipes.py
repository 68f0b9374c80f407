from dataclasses import asdict, replace

import pytest

from spikeduel.experiment.recipes import RECIPES, baseline, for_contenders, matched, strong
from spikeduel.experiment.settings import Experiment, read_experiment, write_experiment
from spikeduel.system.errors import InputError


def test_the_baseline_is_the_studys():
    expected = {
        "contenders": ("dense-snn", "small-cnn"),
        "encoding": "rate",
        "num_steps": 25,
        "neuron": "lif",
        "beta": 0.95,
        "threshold": 1.0,
        "reset_mechanism": "subtract",
        "surrogate": "atan",
        "hidden": 1024,
        "epochs": 20,
        "batch_size": 128,
        "learning_rate": 8.5e-5,
        "patience": 3,
        "seeds": 1,
    }
    settings = asdict(baseline("fashion-mnist"))
    assert {name: settings[name] for name in expected} == expected


def test_the_embedded_set_gets_fewer_epochs_unless_they_are_given():
    assert baseline().dataset == "fashion-mnist-mini"
    assert baseline().epochs == 4
    assert baseline(epochs=7).epochs == 7
    assert replace(baseline(), epochs=20, dataset="mnist") == baseline("mnist")


def test_changes_reach_the_experiment_and_are_checked():
    assert strong("mnist", seeds=6, encoding="rate") == Experiment(
        dataset="mnist", seeds=6, encoding="rate"
    )
    assert baseline("mnist", seeds=6).seeds == 6
    with pytest.raises(InputError, match="seeds must be a whole number from 1"):
        baseline("mnist", seeds=0)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_names_itself_and_is_read_as_it_was_written(name, tmp_path):
    experiment = RECIPES[name]("digits")
    assert (experiment.recipe, experiment.dataset) == (name, "digits")
    assert RECIPES[name].__doc__.strip()
    write_experiment(tmp_path / "e.toml", experiment)
    assert read_experiment(tmp_path / "e.toml") == experiment
    assert replace(experiment, **asdict(experiment)) == experiment


def test_matched_is_two_pairs_of_twins_under_one_rule():
    experiment = matched("my_images", seeds=3, num_steps=6)
    assert experiment.contenders == ("dense-lif", "dense-relu", "conv-lif", "conv-relu")
    assert (experiment.encoding, experiment.num_steps, experiment.seeds) == ("direct", 6, 3)
    assert 4 <= matched().num_steps <= 8
    # Nobody stops before the others.
    assert experiment.patience is None
    assert matched(contenders=("conv-lif",)).contenders == ("conv-lif",)


def test_the_default_is_strong_and_leaves_to_the_set_what_depends_on_it():
    experiment = Experiment(dataset="my_images")
    assert experiment == strong("my_images")
    assert experiment.contenders == ("vgg-lif", "vgg-relu", "resnet-silu")
    # The first run takes a minute: the twins alone.
    assert (strong().contenders, strong().minutes) == (("vgg-lif", "vgg-relu"), 0.7)
    assert (strong(epochs=3).minutes, strong(minutes=2.0).minutes) == (None, 2.0)
    assert (experiment.encoding, experiment.num_steps, experiment.patience) == ("direct", 4, None)
    undecided = experiment.epochs, experiment.minutes, experiment.batch_size, experiment.dropout
    assert undecided == (None, None, None, None)


def test_contenders_named_by_hand_bring_the_settings_of_their_recipe():
    both = ("small-cnn", "dense-snn")
    assert for_contenders(both, "mnist") == baseline("mnist", contenders=both)
    assert for_contenders(("dense-lif",), "mnist") == matched("mnist", contenders=("dense-lif",))
    assert for_contenders(("resnet-silu", "small-cnn")) == strong(
        contenders=("resnet-silu", "small-cnn")
    )
    assert for_contenders(("m:net",), "mnist") == strong("mnist", contenders=("m:net",))
    # The first decides what all have in common; the other brings what a contender may have to
    # itself.
    mixed = for_contenders(("conv-lif", "dense-snn", "small-cnn"), "mnist")
    assert replace(mixed, per_contender=None) == matched(
        "mnist", contenders=("conv-lif", "dense-snn", "small-cnn")
    )
    assert mixed.per_contender == {
        "dense-snn": {"learning_rate": 8.5e-5, "num_steps": 25},
        "small-cnn": {"learning_rate": 8.5e-5},
    }
    mixed = for_contenders(("conv-lif", "dense-snn"), "mnist", chosen=("num_steps",))
    assert mixed.per_contender == {"dense-snn": {"learning_rate": 8.5e-5}}


def test_a_rate_that_suits_another_optimizer_stays_at_home():
    mixed = for_contenders(("vgg-lif", "dense-snn", "small-cnn"), "mnist")
    assert mixed.optimizer == "muon"
    assert mixed.per_contender["dense-snn"]["num_steps"] == 25
    assert not any("learning_rate" in settings for settings in mixed.per_contender.values())


def test_networks_of_libraries_are_fine_tuned_at_a_lower_rate_unless_one_is_given():
    names = ("torchvision:resnet18", "vgg-lif", "vgg-relu")
    assert for_contenders(names, "mnist").per_contender == {names[0]: {"learning_rate": 1e-3}}
    assert for_contenders(names, "mnist", chosen=("learning_rate",)).per_contender is None
