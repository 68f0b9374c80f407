"""Networks without spikes, time or timing, and recordings without time or polarity."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from spikeduel.data import Prepared
from spikeduel.data.events.recordings import Recordings
from spikeduel.data.loader import EvaluationBatches
from spikeduel.engine.networks.models import Model
from spikeduel.engine.neurons import Neuron
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.evaluation.correctness import classification
from spikeduel.features.ablations import Settings
from spikeduel.inputs.preprocessing import Change
from spikeduel.results.trials import Classification
from spikeduel.system.errors import InputError
from spikeduel.training.contenders import Trial
from spikeduel.training.trial import load_of
from spikeduel.training.twins import (
    QUANTISED,
    QUANTISED_TWIN,
    RELU_TWIN,
    quantised_twin,
    spiking_layers,
)
from spikeduel.training.variants import Predicted, Variant, VariantContext


def variants(trial: Trial, prepared: Prepared) -> dict[str, Variant]:
    """Return the ablations of a trial: of spiking networks on images, of all on recordings."""
    experiment, is_recorded = trial.experiment, isinstance(prepared.images, Recordings)
    is_asked = isinstance(experiment, Settings) and experiment.ablations
    if not (is_asked and (is_recorded or trial.card.num_steps)):
        return {}
    return {
        name: quantised_twin(trial.card) if name == QUANTISED else ablation
        for name, ablation in ABLATIONS.items()
        if ablation.of_recordings == is_recorded
    }


def _shuffled(context: VariantContext) -> Predicted:
    """Return the predictions of a trained network whose spikes are shuffled over time."""
    trial = context.trial

    def predict() -> Classification:
        model = load_of(trial.key, trial, context.store)
        if not spiking_layers(model.module):
            raise InputError(
                f"{trial.card.contender} has no layer of spikeduel's neurons, so its spikes "
                f"cannot be reached."
            )
        batches = EvaluationBatches(*context.prepared.arrays, trial.split.test)
        return shuffled_classification(model, batches)

    return context.cached(trial.key, "shuffled", predict), {}


def shuffled_classification(model: Model, batches: Iterable[Any]) -> Classification:
    """Return the `classification` with each neuron's spikes permuted over time, drawn by image
    index and layer.

    Counts stay, so that the loss of accuracy is what the timing carried. `SpikeCountReadout` does
    not see the last layer permuted.
    """
    from spikeduel.features.ablations.spike_shuffling import shuffled_spikes

    layers = [module for module in model.module.modules() if isinstance(module, Neuron)]
    draw = RandomKeys(np.empty(0))

    def followed() -> Iterator[Any]:
        nonlocal draw
        for images, labels, indices in batches:
            draw = RandomKeys.for_evaluation(indices)
            yield images, labels, indices

    def permute(neuron: Any, inputs: Any, output: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        keys = draw
        # Each layer has its own stream, apart from that of random encodings.
        for _ in range(layers.index(neuron) + 1):
            keys = keys.another()
        return shuffled_spikes(output[0], keys.values), output[1]

    with ExitStack() as stack:
        for layer in layers:
            stack.callback(layer.register_forward_hook(permute).remove)
        return classification(model, followed())


def _on_changed_recordings(context: VariantContext, change: Change) -> Predicted:
    """Return the predictions of a trained network for the test recordings after a `change`."""
    trial = context.trial

    def predict() -> Classification:
        recordings, labels = context.prepared.arrays
        assert isinstance(recordings, Recordings)
        changed = replace(recordings, binning=replace(recordings.binning, change=change))
        model = load_of(trial.key, trial, context.store)
        return classification(model, EvaluationBatches(changed, labels, trial.split.test))

    return context.cached(trial.key, change, predict), {}


def _of_recordings(title: str, meaning: str, change: Change, is_trained: bool = False) -> Variant:
    """Return the ablation that trains on changed recordings, or predicts them without training."""
    return Variant(
        title,
        meaning,
        settings=(lambda context: {}) if is_trained else None,
        predict=None if is_trained else partial(_on_changed_recordings, change=change),
        paired=not is_trained,
        of_recordings=True,
        change=change,
    )


ABLATIONS: dict[str, Variant] = {
    "relu_twin": RELU_TWIN,
    QUANTISED: QUANTISED_TWIN,
    "one_step": Variant(
        "one time step",
        "the same neurons, trained and used with T = 1: spikes without time",
        spikes=True,
        settings=lambda context: {"num_steps": 1},
    ),
    "shuffled": Variant(
        "shuffled in time",
        "the trained network, each neuron's spikes in random order, as many as before",
        spikes=True,
        predict=_shuffled,
        paired=True,
    ),
    "collapsed": _of_recordings(
        "without time",
        "trained on frames that each hold all events of the recording",
        "collapsed",
        is_trained=True,
    ),
    "redrawn": _of_recordings(
        "times redrawn", "the trained network, each event in a random frame", "redrawn"
    ),
    "shuffled_frames": _of_recordings(
        "frames shuffled",
        "the trained network, the frames in random order, another for each recording",
        "shuffled",
    ),
    "reversed": _of_recordings(
        "time reversed", "the trained network, the last frame first", "reversed"
    ),
    "merged": _of_recordings(
        "without polarity",
        "trained on frames in which brighter and darker are one",
        "merged",
        is_trained=True,
    ),
}
"""Ablations by name, in the order of tables."""
