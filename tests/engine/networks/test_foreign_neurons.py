"""Layers of neurons of other libraries, recognised without importing them in the package."""

import pytest
import torch
from torch import nn

from spikeduel.engine.networks.foreign import NeuronCost, kind_of, neuron_type, spiking_layers
from spikeduel.engine.networks.plain import CubaLIF, PooledCounts
from spikeduel.engine.neurons import ALIF, IF, LIF, PLIF, LeakyReadout, QuantisedReLU, ReLU
from spikeduel.system.errors import InputError

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
        (CubaLIF(0.9, 0.8, 1.0), NeuronCost(2, states=2, resets=0, adds=2, multi_step=True)),
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
    assert neuron_type(layer).cost(layer) == cost


@pytest.mark.parametrize(
    ("layer", "by_operators"),
    [
        (snntorch.RLeaky(0.9, linear_features=2), False),
        (neuron.KLIFNode(), False),
        (neuron.SlidingPSN(k=2), True),
    ],
)
def test_neurons_that_compute_more_are_not_taken_for_simple_ones(layer, by_operators):
    assert (bool(neuron_type(layer).by_operators), neuron_type(layer).cost) == (by_operators, None)


def test_layers_without_neurons():
    for layer in (nn.Linear(2, 2), nn.ReLU(), ReLU(), QuantisedReLU()):
        assert neuron_type(layer) is None


def test_a_class_of_ones_own_is_what_it_descends_from():
    class Mine(LIF):
        pass

    class LIFNode(nn.Module):
        """A name alone proves nothing."""

    assert neuron_type(Mine(0.5)) == neuron_type(LIF(0.5))
    assert neuron_type(LIFNode()) is None


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (nn.Sequential(nn.Linear(3, 3), snntorch.Leaky(beta=0.5)), ["1"]),
        (snntorch.Leaky(beta=0.5), [""]),
        (neuron.SlidingPSN(k=2), [""]),
        (nn.Sequential(neuron.NonSpikingIFNode(), nn.ReLU()), []),
        (nn.Sequential(LIF(), nn.ReLU(), ReLU()), ["0"]),
        # A neuron with layers inside is one layer.
        (nn.Sequential(snntorch.RLeaky(beta=0.5, linear_features=3)), ["0"]),
        # A layer that only integrates is spikeduel's neuron without a threshold.
        (LeakyReadout(), ["integrator"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_which_layers_spike(module, names):
    assert list(spiking_layers(module)) == names


def test_norses_cells_spike_and_its_integrators_do_not():
    norse = pytest.importorskip("norse.torch")
    assert list(spiking_layers(nn.Sequential(norse.LIFCell(), norse.LICell()))) == ["0"]


@pytest.mark.parametrize(
    ("layers", "kind"),
    [
        ((nn.Conv2d(1, 1, 3), snntorch.Leaky(beta=0.5)), "snn"),
        ((nn.Conv2d(1, 1, 3), nn.ReLU()), "cnn"),
        ((nn.Linear(2, 2), nn.ReLU()), "ann"),
    ],
)
def test_kinds(layers, kind):
    module = nn.Sequential(*layers)
    assert kind_of(module) == kind
    module.kind = "ann"
    assert kind_of(module) == "ann"
    module.kind = "resnet"
    with pytest.raises(InputError, match="unknown kind of Sequential 'resnet'"):
        kind_of(module)
