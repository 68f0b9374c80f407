"""Spiking contenders with ReLU for their neurons in the first quarter of their epochs: no training
in all is longer than another's.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from factories import existing, planned, small_twins
from spikeduel.comparing import compare
from spikeduel.engine.networks import building
from spikeduel.engine.networks.models import Model, WithoutSpikes, neuron_places
from spikeduel.engine.neurons import ReLU
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.experiment.recipes import baseline, matched
from spikeduel.features import FEATURES
from spikeduel.system.progress import Progress
from spikeduel.training import training
from spikeduel.training.jobs import Job, Workers
from spikeduel.training.store import Store
from spikeduel.training.training import Training, stopped
from telling import Telling


@pytest.fixture
def quick():
    return small_twins(limit=100, epochs=4, batch_size=32, dropout=0.2, augmentation="translate")


def relu_epochs(experiment):
    """The epochs with ReLU by contender, as the keys say them."""
    return {
        trial.card.contender: trial.settings["training"].get("relu_epochs", 0)
        for trial in planned(experiment)[1]
    }


def run_all(experiment, store="s", progress=None):
    """The records of all trials, in the order of the plan."""
    prepared, trials = planned(experiment)
    jobs = [Job(trial, prepared, progress or Progress()) for trial in trials]
    return Workers().run(jobs, Store(store))


@pytest.mark.parametrize(
    ("changes", "epochs"),
    [
        ({}, 1),
        ({"epochs": 11}, 2),
        ({"epochs": 3}, 0),
        ({"optimizer": "adam"}, 0),
        ({"optimizer": "adamw"}, 1),
        ({"neuron": "relu"}, 0),
        ({"neuron": "plif"}, 1),
        ({"encoding": "rate"}, 1),
    ],
    ids=str,
)
def test_a_quarter_of_the_epochs_of_whoever_spikes(changes, epochs, quick):
    assert relu_epochs(replace(quick, **changes)) == {"vgg-lif": epochs, "vgg-relu": 0}


def test_the_older_recipes_start_fresh():
    assert {*relu_epochs(matched("digits", limit=100)).values()} == {0}
    assert {*relu_epochs(baseline("digits", limit=100)).values()} == {0}


def test_a_training_does_not_depend_on_who_else_is_a_contender(quick):
    (alone,) = planned(replace(quick, contenders=("vgg-lif",)))[1]
    assert alone.key == planned(quick)[1][0].key


def test_the_first_epochs_are_those_of_the_relu_network(quick):
    spiking, plain = run_all(replace(quick, per_contender={"vgg-relu": {"epochs": 1}}))
    assert (len(spiking.history), len(plain.history)) == (4, 1)
    first, of_relu = spiking.history[0], plain.history[0]
    assert first.train_loss == pytest.approx(of_relu.train_loss, rel=1e-4)
    assert first.val_loss == pytest.approx(of_relu.val_loss, rel=1e-3)
    assert spiking.best_epoch == 3


def test_all_contenders_and_trained_variants_have_the_same_epochs_in_all(
    quick, known_data, unreported
):
    results = compare(replace(quick, folds=2, **existing(ablations=True)), "run", "s").results
    assert {(trial.status, trial.epochs) for trial in results.trials} == {("done", 4)}
    assert results.twins == [("vgg-lif", "vgg-relu")]
    assert {trial.contender: trial.relu_epochs for trial in results.trials} == {
        "vgg-lif": 1,
        "vgg-relu": 0,
    }
    for spiking in results.of("vgg-lif"):
        trained = spiking.variants.keys() & {"relu_twin", "quantised_twin", "one_step"}
        assert len(trained) == (3 if "ablations" in FEATURES else 0)
        assert {spiking.variants[name].epochs for name in trained} <= {4}
    ids = [finding.id for finding in results.comparison.caveats]
    assert "starts_with_relu" in ids
    assert "longer_training" not in ids


@pytest.mark.parametrize("last", [1, 2])
def test_interrupted_it_ends_in_the_same_numbers(last, quick):
    class Killing(Progress):
        def detail(self, text):
            if f"epoch {last}/4" in text:
                raise KeyboardInterrupt

    experiment = replace(quick, contenders=("vgg-lif",))
    (whole,) = run_all(experiment, "whole")
    with pytest.raises(KeyboardInterrupt):
        run_all(experiment, "s", Killing())
    (resumed,) = run_all(experiment, "s", log := Telling())
    assert any(f"goes on after epoch {last}" in line for line in log.lines)
    assert (resumed.key, resumed.model_digest) == (whole.key, whole.model_digest)
    assert resumed.history == whole.history


def test_the_best_epoch_is_one_with_spikes():
    accuracies = [0.9, 0.2, 0.4, 0.3]
    history = [{"val_accuracy": accuracy, "val_loss": 1 - accuracy} for accuracy in accuracies]
    assert Training(history, relu_epochs=1).best_epoch == 2
    assert Training(history, relu_epochs=1, keeps_last=True).best_epoch == 3
    assert Training(history[:1], relu_epochs=1).best_epoch is None
    experiment = baseline("digits", epochs=9, patience=2)
    assert stopped(history, experiment) == "early"
    assert stopped(history, experiment, relu_epochs=1) is None


@pytest.mark.parametrize("encoding", ["direct", "rate"])
def test_a_network_without_spikes_is_asked_once_and_keeps_its_neurons(encoding, quick):
    prepared, (spiking, _) = planned(replace(quick, encoding=encoding, neuron="plif"))
    module = building.build(spiking.card).eval()
    before = [type(layer) for layer in module.modules()], module.state_dict().keys()
    images = torch.as_tensor(prepared.images[:5])
    model = WithoutSpikes(module, spiking.card)
    x = model.encode(images, RandomKeys.for_evaluation(np.arange(5)))
    assert x.shape == (1, *images.shape)
    usual = Model(module, spiking.card)
    if encoding == "direct":
        assert torch.equal(x[0], images.float() / 255)
    output = model.run(x)
    assert output.shape == (1, 5, 10)
    assert ([type(layer) for layer in module.modules()], module.state_dict().keys()) == before
    assert not torch.equal(output, usual.run(x))


def test_networks_of_other_libraries_have_no_neurons_to_replace():
    module = torch.nn.Sequential(torch.nn.Linear(4, 2), ReLU())
    assert neuron_places(module) == []


def test_a_failure_while_it_has_relu_is_recorded(quick, monkeypatch):
    def broken(*given, **named):
        raise RuntimeError("it broke")

    monkeypatch.setattr(training.WithoutSpikes, "run", broken)
    record, _ = run_all(quick)
    assert (record.status, record.history, record.best_epoch) == ("failed", [], None)
    assert not Store("s").model_path(record.key).exists()
