"""Variants of spiking networks without spikes: ReLU in place of their neurons."""

from dataclasses import replace

from torch import nn

from spikeduel.data.loader import EvaluationBatches
from spikeduel.engine.networks.cards import ModelCard
from spikeduel.engine.networks.models import computed_once
from spikeduel.engine.neurons import LIF, IntegerIF, Neuron, ReLU
from spikeduel.evaluation.costing import cost_entry
from spikeduel.evaluation.predictions_of_model import Counting, predict_in_one_pass
from spikeduel.results.accuracy import classified
from spikeduel.results.cost_results import Counted
from spikeduel.results.trials import Classification
from spikeduel.system.errors import InputError
from spikeduel.system.typed import Frozen
from spikeduel.training.contenders import Contender, outline
from spikeduel.training.trial import load_of
from spikeduel.training.variants import Predicted, Variant, VariantContext

QUANTISED = "quantised_twin"


def bits_of(num_steps: int) -> int:
    """Return ⌈log2(T + 1)⌉: the bits of a number of spikes in T steps."""
    return num_steps.bit_length()


def spiking_layers(module: nn.Module) -> list[Neuron]:
    """Return the layers of spikeduel's neurons that can spike."""
    return [
        layer
        for layer in module.modules()
        if isinstance(layer, Neuron)
        and not isinstance(layer, ReLU)
        and not (isinstance(layer, LIF) and layer.threshold == float("inf"))
    ]


def _without_spikes(context: VariantContext, contender: Contender) -> Contender:
    """Refuse a network with other neurons than the one that it is given."""
    others = sorted({type(neuron).__name__ for neuron in spiking_layers(contender.outline)})
    if others or not any(isinstance(layer, ReLU) for layer in contender.outline.modules()):
        layers = (
            f"layers of {' and '.join(others)}" if others else "no layer of spikeduel's neurons"
        )
        raise InputError(
            f"a twin cannot be built: {contender.name} has {layers} whatever neuron it is given. "
            "Let its build function take `neuron` and make each layer of neurons by neuron()."
        )
    return contender


def _with_few_bits(context: VariantContext, contender: Contender) -> Contender:
    """Give activations the bits of a count of spikes."""
    card = _without_spikes(context, contender).card
    network = {**card.network, "activation_bits": bits_of(context.num_steps)}
    return replace(contender, card=replace(card, network=network))


class _ComputedOnce(Frozen):
    """Predictions of a network of `IntegerIF` neurons, computed once, and their cost."""

    predictions: Classification
    counted: Counted


def _computed_once(context: VariantContext) -> Predicted:
    """Return the predictions of a trained network of `IntegerIF` neurons without spikes."""
    trial = context.trial

    def predict() -> _ComputedOnce:
        counting = Counting(computed_once(load_of(trial.key, trial, context.store)))
        batches = EvaluationBatches(*context.prepared.arrays, trial.split.test)
        predictions = predict_in_one_pass(counting.model, batches, counting=counting)
        tested = classified(trial.card.classes, predictions.truth, predictions.predicted)
        return _ComputedOnce(predictions=tested, counted=counting.result())

    once = context.cached(trial.key, "computed-once", predict, _ComputedOnce)
    bits = bits_of(context.num_steps)
    return once.predictions, {**cost_entry(once.counted), "num_steps": 1, "bits": bits}


def quantised_twin(card: ModelCard) -> Variant:
    """Return the quantised twin: of a network of `IntegerIF` neurons, the trained network."""
    is_integer = any(isinstance(layer, IntegerIF) for layer in outline(card).modules())
    return COMPUTED_ONCE if is_integer else QUANTISED_TWIN


RELU_TWIN = Variant(
    "ReLU twin",
    "the same network with ReLU for its neurons: one pass, no spikes, no time",
    settings=lambda context: {"neuron": "relu", "encoding": "direct", "num_steps": 1},
    network=_without_spikes,
)
QUANTISED_TWIN = Variant(
    "quantised twin",
    "the ReLU twin, trained with activations as coarse as a count of spikes",
    settings=lambda context: {"neuron": "quantised-relu", "encoding": "direct", "num_steps": 1},
    network=_with_few_bits,
)
COMPUTED_ONCE = Variant(
    "quantised twin",
    "the trained network, computed once: a number in place of the spikes of a neuron",
    predict=_computed_once,
    paired=True,
)
