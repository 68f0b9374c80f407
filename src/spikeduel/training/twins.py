"""Variants of spiking networks without spikes: ReLU in place of their neurons."""

from dataclasses import replace

from torch import nn

from spikeduel.engine.neurons import LIF, Neuron, ReLU
from spikeduel.system.errors import InputError
from spikeduel.training.contenders import Contender
from spikeduel.training.variants import Variant, VariantContext

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
