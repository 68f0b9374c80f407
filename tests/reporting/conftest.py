"""A made-up run: data, models with random weights, and results."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import made_results
from spikeduel.data import Prepared, Preprocessing, Split
from spikeduel.networks.building import build
from spikeduel.networks.cards import ModelCard
from spikeduel.networks.models import Model, save_model
from spikeduel.results.comparison import Comparison
from spikeduel.settings import write_experiment
from spikeduel.settings.recipes import baseline
from spikeduel.system import typed


@pytest.fixture(scope="session")
def make_prepared():
    """Makes a data set of random images, whose classes differ in brightness."""

    def make(num_classes=3, shape=(1, 8, 8), num_images=60, classes=None, samples=True):
        random = np.random.default_rng(7)
        labels = np.arange(num_images) % num_classes
        brightest = (labels + 1) * 255 // num_classes
        images = (random.random((num_images, *shape)) * brightest.reshape(-1, 1, 1, 1)).astype(
            np.uint8
        )
        channels, height, width = shape
        original = random.integers(
            0, 256, (height + 4, width + 2) + ((3,) if channels == 3 else ()), dtype=np.uint8
        )
        return Prepared(
            name="made-up",
            images=images,
            labels=labels,
            classes=tuple(classes or (f"class {k}" for k in range(num_classes))),
            preprocessing=Preprocessing(channels, height, width, crop=(1, 2, 1, 2), invert=True),
            groups=None,
            official=None,
            samples=[(k, original) for k in range(num_classes)] if samples else [],
            fingerprint="f" * 64,
        )

    return make


@pytest.fixture
def make_model():
    """Makes a model with random weights for a prepared set."""

    def make(contender, prepared, encoding="rate", num_steps=6, seed=0, **neuron):
        spiking = made_results.FAMILIES[contender] == "snn"
        card = ModelCard(
            contender=contender,
            family=made_results.FAMILIES[contender],
            image_shape=prepared.image_shape,
            classes=prepared.classes,
            preprocessing=prepared.preprocessing,
            network={"hidden": 16, **({"neuron": "lif", **neuron} if spiking else {})},
            encoding=encoding if spiking else None,
            num_steps=num_steps if spiking else None,
            seed=seed,
        )
        torch.manual_seed(seed)
        model = Model(build(card), card)
        if spiking:
            # Fresh weights barely reach the threshold on few pixels.
            with torch.no_grad():
                for parameter in model.module.parameters():
                    parameter *= 3
        return model

    return make


@pytest.fixture
def make_results():
    """`made_results.make_results`."""
    return made_results.make_results


@pytest.fixture
def with_trials():
    """`made_results.with_trials`."""
    return made_results.with_trials


@pytest.fixture
def with_pair():
    """`made_results.with_pair`."""
    return made_results.with_pair


@pytest.fixture
def make_run(tmp_path, make_prepared, make_model, make_results, monkeypatch):
    """Makes a run's folder with models, for data that `spikeduel.data.load` then gives."""

    def make(prepared=None, contenders=("dense-snn", "small-cnn"), **changes):
        prepared = prepared or make_prepared()
        experiment = replace(
            baseline("digits", num_steps=6, epochs=5), contenders=contenders, **changes
        )
        run = tmp_path / "run"
        results = make_results(prepared, experiment)
        for trial in results.trials:
            save_model(
                run / trial.model,
                make_model(trial.contender, prepared, experiment.encoding, seed=trial.seed),
            )
        write_experiment(run / "experiment.toml", experiment)
        numbers = np.arange(len(prepared))
        typed.write_json(
            run / "predictions.json", made_results.make_predictions(prepared, results, numbers[40:])
        )
        monkeypatch.setattr(
            "spikeduel.data.load", lambda experiment, track=None, say=None: prepared
        )
        monkeypatch.setattr(
            "spikeduel.data.splits",
            lambda prepared, experiment: (
                Split(numbers[:30], numbers[30:40], numbers[40:], "stratified"),
            ),
        )
        return Comparison(experiment, results, run)

    return make
