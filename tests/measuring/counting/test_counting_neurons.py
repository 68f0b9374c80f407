"""Layers of neurons of other libraries, recognised and counted without importing them in the package."""

import pytest
import torch
from torch import nn

from spikeduel.measuring.counting.neurons import NeuronCost, activation_bits, cost_of, is_neuron
from spikeduel.networks.architectures.conv import PooledCounts
from spikeduel.spiking.neurons import ALIF, IF, LIF, PLIF, LeakyReadout, QuantisedReLU, ReLU

snntorch = pytest.importorskip("snntorch")
neuron = pytest.importorskip("spikingjelly.activation_based.neuron")


@pytest.mark.parametrize(
    ("layer", "cost"),
    [
        (LIF(0.9), NeuronCost(1, multi_step=True)),
        (LIF(0.0), NeuronCost(0, multi_step=True)),
        (LIF(0.9, reset_mechanism="zero"), NeuronCost(1, resets=0, multi_step=True)),
        (IF(), NeuronCost(0, multi_step=True)),
        (PLIF(0.9), NeuronCost(1, multi_step=True)),
        # The level falls by a factor, and rises with every spike.
        (ALIF(0.9), NeuronCost(2, states=2, resets=2, multi_step=True)),
        (LeakyReadout(0.9).integrator, NeuronCost(1, resets=0, multi_step=True, spikes=False)),
        (PooledCounts(), NeuronCost(0, states=4, resets=0, adds=4, multi_step=True)),
        (snntorch.Leaky(beta=0.9), NeuronCost(1)),
        (snntorch.Leaky(beta=1.0), NeuronCost(0)),
        (snntorch.Leaky(beta=torch.tensor([0.9, 1.0])), NeuronCost(1)),
        (snntorch.Leaky(beta=0.9, reset_mechanism="zero"), NeuronCost(1, resets=0)),
        (snntorch.Leaky(beta=0.9, graded_spikes_factor=2.0), NeuronCost(1, unit=2.0)),
        (snntorch.Synaptic(alpha=0.9, beta=0.8), NeuronCost(2, states=2, adds=2)),
        (neuron.IFNode(), NeuronCost(0, resets=0)),
        (neuron.IFNode(v_reset=None), NeuronCost(0, resets=1)),
        (neuron.LIFNode(step_mode="m"), NeuronCost(1, resets=0, multi_step=True)),
        (neuron.ParametricLIFNode(v_reset=None), NeuronCost(1)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_neuron_does_in_a_step(layer, cost):
    assert is_neuron(layer)
    assert cost_of(layer) == cost


@pytest.mark.parametrize("layer", [snntorch.RLeaky(0.9, linear_features=2), neuron.KLIFNode()])
def test_neurons_that_compute_more_are_not_taken_for_simple_ones(layer):
    assert is_neuron(layer)
    assert cost_of(layer) is None


def test_layers_without_neurons():
    for layer in (nn.Linear(2, 2), nn.ReLU(), ReLU(), QuantisedReLU()):
        assert not is_neuron(layer)


def test_the_bits_of_what_stands_for_neurons():
    assert activation_bits(ReLU()) == 0
    assert activation_bits(QuantisedReLU(activation_bits=5)) == 5
    assert activation_bits(nn.ReLU()) is None
    assert activation_bits(LIF()) is None


def test_a_class_of_ones_own_is_what_it_descends_from():
    class Mine(LIF):
        pass

    class LIFNode(nn.Module):
        """A name alone proves nothing."""

    assert cost_of(Mine(0.5)) == cost_of(LIF(0.5))
    assert not is_neuron(LIFNode())
