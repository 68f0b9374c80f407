"""Test trained networks in int8, as C code for a microcontroller computes them."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from spikeduel.data import Prepared
from spikeduel.data.loader import EvaluationBatches
from spikeduel.data.splits import evenly
from spikeduel.engine.networks.models import Model
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.exporters.exporting import NUM_EXAMPLES
from spikeduel.features.int8 import Settings
from spikeduel.results.accuracy import classified
from spikeduel.results.trials import INT8, Classification, Int8Result
from spikeduel.training.contenders import Trial
from spikeduel.training.trial import load_of
from spikeduel.training.variants import Predicted, Variant, VariantContext

COST = "int8-cost"


def variants(trial: Trial, prepared: Prepared) -> dict[str, Variant]:
    """Return the network in int8, of every contender on any data."""
    experiment = trial.experiment
    is_asked = isinstance(experiment, Settings) and experiment.int8
    if not is_asked and experiment.target != "cortex-m":
        return {}
    meaning = "the trained network with int8 weights, int32 sums, ReLUs of 8 bits, membranes of 16"
    return {INT8: Variant("in int8", meaning, predict=_predict, paired=True)}


def _predict(context: VariantContext) -> Predicted:
    """Return the predictions in int8, and their cost; both are stored."""
    trial, arrays = context.trial, context.prepared.arrays

    def predict() -> Classification:
        examples = EvaluationBatches(*arrays, evenly(trial.split.train, NUM_EXAMPLES))
        batches = EvaluationBatches(*arrays, trial.split.test)
        model = load_of(trial.key, trial, context.store)
        predictions, cost = int8_classification(model, examples, batches)
        context.store.save_measure(trial.key, COST, cost)
        return predictions

    predictions = context.cached(trial.key, INT8, predict)
    return predictions, {"int8": context.store.measure(trial.key, COST, Int8Result)}


def int8_classification(
    model: Model, examples: Iterable[Any], batches: Iterable[Any]
) -> tuple[Classification, Int8Result]:
    """Return the predictions of `model` in int8, fitted to `examples`, and its cost. Raises
    `InputError`.
    """
    from spikeduel.exporters import c
    from spikeduel.exporters.integers import integer_network

    network = integer_network(model, np.concatenate([images.numpy() for images, *_ in examples]))
    predictions = [
        (labels, *network.predict(images.numpy(), RandomKeys.for_evaluation(indices)))
        for images, labels, indices in batches
    ]
    truth, scores, operations = map(np.concatenate, zip(*predictions, strict=True))
    cost = Int8Result(**c.memory(network), operations=float(operations.mean()))
    return classified(model.card.classes, truth, scores.argmax(1)), cost
