"""A made-up run: data, models with random weights, and results."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import factories
from made_models import card
from spikeduel.data import Split
from spikeduel.engine.networks.building import build
from spikeduel.engine.networks.models import Model, save_model
from spikeduel.experiment.recipes import baseline
from spikeduel.experiment.settings import write_experiment
from spikeduel.reporting import RunData, report
from spikeduel.sentences.comparison import Comparison
from spikeduel.system import typed


@pytest.fixture
def make_model():
    """Makes a model with random weights for a prepared set."""

    def make(contender, prepared, encoding="rate", num_steps=6, seed=0, **neuron):
        spiking = factories.NETWORK_KINDS[contender] == "snn"
        made = card(
            contender,
            prepared.image_shape,
            prepared.classes,
            num_steps if spiking else None,
            preprocessing=prepared.preprocessing,
            network={"hidden": 16, **({"neuron": "lif", **neuron} if spiking else {})},
            encoding=encoding if spiking else None,
            seed=seed,
        )
        torch.manual_seed(seed)
        model = Model(build(made), made)
        if spiking:
            # Fresh weights barely reach the threshold on few pixels.
            with torch.no_grad():
                for parameter in model.module.parameters():
                    parameter *= 3
        return model

    return make


@pytest.fixture
def make_run(tmp_path, make_prepared, make_model, monkeypatch):
    """Makes a run's folder with models, for data that `spikeduel.data.load` then gives."""

    def make(prepared=None, contenders=("dense-snn", "small-cnn"), **changes):
        prepared = prepared or make_prepared()
        experiment = replace(
            baseline("digits", num_steps=6, epochs=5), contenders=contenders, **changes
        )
        run = tmp_path / "run"
        results = factories.run_results(prepared, experiment)
        for trial in results.trials:
            save_model(
                run / trial.model,
                make_model(trial.contender, prepared, experiment.encoding, seed=trial.seed),
            )
        write_experiment(run / "experiment.toml", experiment)
        numbers = np.arange(len(prepared))
        typed.write_json(
            run / "predictions.json", factories.run_predictions(prepared, results, numbers[40:])
        )
        monkeypatch.setattr(
            "spikeduel.data.load", lambda experiment, track=None, say=None: prepared
        )
        split = Split(numbers[:30], numbers[30:40], numbers[40:], "stratified")
        monkeypatch.setattr("spikeduel.data.splits", lambda prepared, experiment: (split,))
        return Comparison(experiment, results, run)

    return make


@pytest.fixture(scope="session")
def report_path(tmp_path_factory, make_prepared):
    """The path of the page of a run with two seeds."""
    prepared = make_prepared(
        num_classes=4, num_images=100, classes=("T-shirt", "bag", "boot", "a coat, long")
    )
    experiment = replace(
        baseline("digits", num_steps=6, epochs=5), contenders=("dense-snn", "small-cnn"), seeds=2
    )
    results = factories.run_results(prepared, experiment, num_test=60)
    out, numbers = tmp_path_factory.mktemp("run"), np.arange(100)
    predictions = factories.run_predictions(prepared, results, numbers[40:])
    typed.write_json(out / "predictions.json", predictions)
    split = Split(numbers[:30], numbers[30:40], numbers[40:], "stratified")
    return report(Comparison(experiment, results, out), run_data=RunData(prepared, (split,)))


@pytest.fixture
def planted(make_prepared):
    """A set with an image of class 1 that stands once more in test, as class 2."""
    prepared = make_prepared(classes=["a<b", "two", "three"])
    prepared.images[50] = prepared.images[1]
    return prepared
