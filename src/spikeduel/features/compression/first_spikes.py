"""Networks without spikes as networks in which a neuron spikes at most once.

The time of a spike is the activation: of 2^bits − 1 steps, a neuron with the level n spikes in the
n-th from the end, and never if it is 0. A synapse adds its weight to a slope when the spike comes,
and a neuron adds the slope to its potential at each step: it ends at the sum of weights times
levels. So scores and labels are those of the network without spikes (Stanojevic et al. 2024,
"High-performance deep spiking neural networks with 0.3 spikes per neuron", Nature Communications
15:6793), and the number of steps is what few levels cost.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from msgspec.structs import replace
from torch import nn

from spikeduel.data.loader import EvaluationBatches
from spikeduel.engine.counting.operations import Layer, Macs, Operations, OverTime, Ways, totals
from spikeduel.engine.networks.models import Model
from spikeduel.engine.neurons import IntegerIF
from spikeduel.evaluation.costing import cost_entry
from spikeduel.evaluation.predictions_of_model import Counting, predict_in_one_pass
from spikeduel.features.compression.validating import validated_in_float32
from spikeduel.results.cost_results import Counted
from spikeduel.results.trials import Classification
from spikeduel.system.errors import InputError
from spikeduel.training.trial import load_of
from spikeduel.training.variants import Predicted, Variant, VariantContext

STATES = 2
"""Numbers that a neuron keeps: potential and slope."""


def first_spikes(source: str, title: str) -> Variant:
    """Return the variant `source`, called `title`, with at most one spike a neuron."""
    return Variant(
        f"{title}, first spikes",
        "the same network: a neuron spikes at most once, the earlier the higher its activation",
        spikes=True,
        predict=partial(_predict, source=source),
        compressed=True,
    )


def _predict(context: VariantContext, source: str) -> Predicted:
    """Return the predictions of the variant `source`, and its operations with first spikes."""
    trial, key = context.trial, context.key_of(source)
    tested = context.store.measure(key, "classification", Classification)
    if tested is None:
        raise InputError("the network that it builds on was not tested.")

    def count() -> Counted:
        model = load_of(key, trial, context.store)
        images = EvaluationBatches(*context.prepared.arrays, trial.split.test)
        return Counted(operations=with_first_spikes(model, images))

    counted = context.cached(key, "first-spikes", count, Counted)
    record = context.records[trial.key, source]
    bits = record.settings["training"].get("weight_bits")
    return tested, {
        **cost_entry(counted, bits),
        "num_steps": counted.operations and counted.operations.num_steps,
        "weight_bits": bits,
        "parameters": record.parameters,
        **validated_in_float32(context, key),
    }


def with_first_spikes(model: Model, images: EvaluationBatches) -> Operations:
    """Return means per image of the operations of `model`, with at most one spike a neuron. Raises
    `InputError` for activations without levels.
    """
    layers = [layer for layer in model.module.modules() if isinstance(layer, IntegerIF)]
    if not layers or not all(layer.levels for layer in layers):
        raise InputError("its activations have no levels that times could stand for.")
    neurons, spikes = [0] * len(layers), [0.0] * len(layers)

    def note(index: int, layer: nn.Module, inputs: Any, output: Any) -> None:
        sent = output[0][0]
        neurons[index] = sent[0].numel()
        spikes[index] += float((sent > 0).sum()) / len(images.indices)

    counting = Counting(model)
    with ExitStack() as hooks:
        for index, layer in enumerate(layers):
            hooks.enter_context(layer.register_forward_hook(partial(note, index)))
        predict_in_one_pass(model, images, counting=counting)
    counted = counting.result()
    if counted.operations is None:
        raise InputError(counted.reason or "its operations are unknown.")
    num_steps = layers[0].levels or 1
    made = list(_layers(counted.operations.layers, neurons, spikes, num_steps))
    return replace(
        counted.operations, layers=made, num_steps=num_steps, totals=totals(made, num_steps)
    )


def _layers(
    layers: Sequence[Layer], neurons: Sequence[int], spikes: Sequence[float], num_steps: int
) -> Iterator[Layer]:
    """Yield layers with neurons before all synapses but the first, which take the image. A mean
    over places passes spikes on, and costs nothing.
    """
    fired = zip(neurons, spikes, strict=True)
    seen_image = False
    for layer in layers:
        if layer.kind == "synapses" and seen_image:
            number, fires = next(fired)
            yield _neurons(layer, number, fires, num_steps)
            yield _reached(layer, number, fires, num_steps)
        elif layer.kind == "synapses" or layer.folded_into:
            seen_image |= layer.kind == "synapses"
            yield layer


def _reached(layer: Layer, number: int, fires: float, num_steps: int) -> Layer:
    """Return synapses that spikes reach, at most one from each of `number` neurons."""
    acs = layer.macs.effective.hoisted
    if number != layer.inputs:  # a mean over places lies between
        acs = fires * layer.macs_a_pass / layer.inputs
    none = Ways.same(0.0)
    return replace(
        layer,
        input="spikes",
        input_bits=None,
        passes=Ways.same(num_steps),
        macs=Macs(dense=none, effective=none),
        acs=OverTime(total=acs, by_step=[]),
        events=OverTime(total=fires, by_step=[]),
    )


def _neurons(layer: Layer, number: int, fires: float, num_steps: int) -> Layer:
    """Return the neurons before `layer`, which add their slope to their potential at each step."""
    none, updates = Ways.same(0.0), float(number * num_steps)
    nothing = OverTime(total=0.0, by_step=[])
    return Layer(
        name=f"neurons before {layer.name}",
        type="first spikes",
        kind="neurons",
        input="real",
        input_bits=None,
        input_encoded=False,
        input_zeros=None,
        passes=none,
        inputs=0.0,
        outputs=0.0,
        weights=0,
        biases=0,
        macs=Macs(dense=none, effective=none),
        macs_a_pass=0.0,
        acs=nothing,
        events=nothing,
        additions=none,
        multiplications=none,
        functions=none,
        bias_additions=none,
        neurons=number,
        spikes=OverTime(total=fires, by_step=[]),
        spikes_per_neuron_and_step=fires / number / num_steps,
        state_variables=STATES,
        leaks=0.0,
        integrations=STATES * updates,
        resets=fires,
        threshold_comparisons=updates,
        membrane_reads=STATES * updates,
        membrane_writes=STATES * updates,
        folded_into=None,
        note=None,
    )
