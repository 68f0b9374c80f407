"""A made-up run: data, models with random weights, and results by the schema of results.json."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from spikeduel.data import Prepared, Preprocessing, Split
from spikeduel.networks.model_files import save_model
from spikeduel.networks.models import Model, ModelCard, build
from spikeduel.results.comparison import Comparison
from spikeduel.settings import write_experiment
from spikeduel.settings.recipes import baseline

FAMILIES = {"dense-snn": "snn", "small-cnn": "cnn"}


@pytest.fixture
def make_prepared():
    """Makes a data set of random images, whose classes differ in brightness."""

    def make(num_classes=3, shape=(1, 8, 8), num_images=60, classes=None, samples=True):
        random = np.random.default_rng(7)
        labels = np.arange(num_images) % num_classes
        brightest = (labels + 1) * 255 // num_classes
        images = (random.random((num_images, *shape)) * brightest.reshape(-1, 1, 1, 1)).astype(np.uint8)
        channels, height, width = shape
        original = random.integers(0, 256, (height + 4, width + 2) + ((3,) if channels == 3 else ()), dtype=np.uint8)
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
        spiking = FAMILIES[contender] == "snn"
        card = ModelCard(
            contender=contender,
            family=FAMILIES[contender],
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
    """Makes the content of results.json for a prepared set and an experiment."""

    def make(prepared, experiment, num_test=20):
        trials = [
            _trial(contender, seed, prepared, experiment, num_test)
            for seed in range(experiment.seeds)
            for contender in experiment.contenders
        ]
        return {
            "schema": 1,
            "spikeduel": "0.1.0",
            "created": "2025-01-01T00:00:00+00:00",
            "environment": {"python": "3.11", "torch": "2.13", "cpu": "a <fast> one", "threads": 2, "gpu": None},
            "dataset": {
                "name": prepared.name,
                "fingerprint": prepared.fingerprint,
                "classes": list(prepared.classes),
                "counts": {"train": 30, "val": 10, "test": num_test},
                "split": "stratified",
                "groups": None,
                "audit": None,
            },
            "experiment": asdict(experiment),
            "trials": trials,
            "comparison": {
                "pairs": [
                    {
                        "a": experiment.contenders[0],
                        "b": experiment.contenders[-1],
                        "measure": "accuracy",
                        "difference": -0.0123,
                        "ci95": None,
                        "p_value": None,
                        "test": None,
                        "n": num_test,
                        "seeds": experiment.seeds,
                        "conclusion": None,
                    }
                ],
                "verdict": "These two trained models are close.",
                "caveats": ["One seed: part of it can be luck."],
            },
        }

    return make


def _trial(contender, seed, prepared, experiment, num_test):
    random = np.random.default_rng([seed, *contender.encode()])
    num_classes = len(prepared.classes)
    truth = np.arange(num_test) % num_classes
    predicted = np.where(random.random(num_test) < 0.7, truth, random.integers(0, num_classes, num_test))
    confusion = np.zeros((num_classes, num_classes), int)
    np.add.at(confusion, (truth, predicted), 1)
    spiking = FAMILIES[contender] == "snn"
    ahead = 0.04 * spiking
    return {
        "contender": contender,
        "family": FAMILIES[contender],
        "seed": seed,
        "encoding": experiment.encoding if spiking else None,
        "num_steps": experiment.num_steps if spiking else None,
        "parameters": 1234,
        "status": "done",
        "error": None,
        "epochs": 5,
        "best_epoch": 3,
        "stopped": "limit",
        "epoch_seconds": [2.0, 1.0, 1.0, 1.0, 1.5],
        "history": [
            {
                "train_loss": 1 / (epoch + 1) + 0.02 * seed,
                "train_accuracy": 0.8 - 0.3 / (epoch + 1) + ahead,
                "val_loss": 1.1 / (epoch + 1) + 0.02 * seed,
                "val_accuracy": 0.75 - 0.3 / (epoch + 1) + 0.01 * seed + ahead,
            }
            for epoch in range(5)
        ],
        "validation": {"accuracy": 0.6, "loss": 0.3},
        "test": {
            "n": num_test,
            "accuracy": float((truth == predicted).mean()),
            "precision": 0.71,
            "recall": 0.72,
            "f1": 0.73,
            "per_class": [
                {"class": name, "precision": 0.5, "recall": 0.25, "f1": 1 / 3, "support": int((truth == k).sum())}
                for k, name in enumerate(prepared.classes)
            ],
            "confusion": confusion.tolist(),
            "ece": None,
            "tie_share": 0.05 if spiking else 0.0,
        },
        "operations": None,
        "energy": None,
        "latency": None,
        "controls": None,
        "model": f"models/{contender}-seed{seed}.safetensors",
    }


@pytest.fixture
def make_run(tmp_path, make_prepared, make_model, make_results, monkeypatch):
    """Makes a run's folder with models, for data that `spikeduel.data.load` then gives."""

    def make(prepared=None, contenders=("dense-snn", "small-cnn"), **changes):
        prepared = prepared or make_prepared()
        experiment = replace(baseline("digits", num_steps=6, epochs=5), contenders=contenders, **changes)
        run = tmp_path / "run"
        results = make_results(prepared, experiment)
        for trial in results["trials"]:
            model = make_model(trial["contender"], prepared, experiment.encoding, seed=trial["seed"])
            save_model(run / trial["model"], model)
        write_experiment(run / "experiment.toml", experiment)
        numbers = np.arange(len(prepared))
        monkeypatch.setattr("spikeduel.data.load", lambda experiment, track=None, say=None: prepared)
        monkeypatch.setattr(
            "spikeduel.data.splits",
            lambda prepared, experiment: (Split(numbers[:30], numbers[30:40], numbers[40:], "stratified"),),
        )
        return Comparison(experiment, results, run)

    return make
