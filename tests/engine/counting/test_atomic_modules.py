"""Modules that are counted as one."""

import numpy as np
import pytest
import torch
from torch import nn

import made_operations
from made_operations import Odd
from spikeduel.engine import ConstantInput
from spikeduel.engine.counting.counter import Counter
from spikeduel.engine.counting.ledger import NotCounted
from spikeduel.engine.counting.operations import OverTime, Ways
from spikeduel.engine.networks.architectures import DenseSNN
from spikeduel.engine.networks.chains import SpikingChain
from spikeduel.engine.neurons import LIF, IntegerIF, Neuron, QuantisedReLU, ReLU


def counted(module, declared=None, x=None, kind="image", steps=1, num_steps=None):
    x = torch.ones(2, 3) if x is None else x
    operations = made_operations.counted(module, x, 2, kind, steps, num_steps, declared)
    return {layer.name: layer for layer in operations.layers}


def test_what_is_declared_is_taken_by_name_or_class():
    module = nn.Sequential(nn.Linear(3, 4), Odd(), nn.Linear(4, 1))

    def says(part, inputs, output):
        assert isinstance(part, Odd)
        return {"macs": 10 * len(output), "functions": 6, "output": "spikes"}

    for key in ("1", Odd):
        layers = counted(module, {key: says})
        odd = layers["1"]
        assert (odd.kind, odd.type, odd.weights) == ("declared", "Odd", 5)
        assert odd.macs.dense == odd.macs.effective == Ways(per_step=10, hoisted=10)
        assert odd.functions.per_step == 3
        assert layers["2"].input == "spikes"
    assert (
        counted(module, {Odd: lambda *_: {"macs": 8, "effective_macs": 2}})[
            "1"
        ].macs.effective.hoisted
        == 1
    )
    assert counted(module, {Odd: lambda *_: {}})["2"].input == "real"
    for six in (np.int64(6), np.float64(6), torch.tensor(6)):
        assert (
            counted(module, {Odd: lambda *_, n=six: {"functions": n}})["1"].functions.per_step == 3
        )


def test_declared_work_is_spread_over_the_steps_and_hoisted_like_any():
    module = nn.Sequential(Odd(), nn.Flatten(0, 1))
    odd = counted(module, {Odd: lambda *_: {"acs": 12}}, torch.ones(3, 2, 4), "spikes", 3, 3)["0"]
    assert odd.acs == OverTime(total=6, by_step=[2, 2, 2])
    assert odd.passes.per_step == 3


@pytest.mark.parametrize(
    ("counts", "problem"),
    [
        (None, "Expected object"),
        ({"mac": 3}, "unknown key 'mac': did you mean 'macs'"),
        ({"macs": -1}, "macs: expected float >= 0"),
        ({"acs": float("nan")}, "acs: expected float >= 0"),
        ({"acs": float("inf")}, "acs: expected float <="),
        ({"macs": True}, "macs: expected float, got bool"),
        ({"output": "image"}, "output: invalid enum value 'image'"),
    ],
)
def test_a_wrong_declaration_is_refused(counts, problem):
    with pytest.raises(NotCounted, match=problem):
        counted(nn.Sequential(Odd()), {Odd: lambda *_: counts})


def test_neurons_that_are_not_known_have_to_be_declared():
    snntorch = pytest.importorskip("snntorch")
    module = nn.Sequential(
        nn.Linear(3, 2), snntorch.RLeaky(0.9, linear_features=2, init_hidden=True)
    )
    with pytest.raises(
        NotCounted, match=r"'1' \(RLeaky\) is a layer of neurons, which is not known here"
    ):
        counted(module)


class Own(Neuron):
    """A neuron of the user's, by spikeduel's base class alone."""

    def step(self, current, state):
        return (current > 0.5).float(), {"mem": state["mem"] + current}


def test_a_neuron_of_ones_own_is_counted_by_what_it_does():
    layers = counted(
        nn.Sequential(nn.Linear(3, 2, bias=False), Own()),
        x=torch.ones(4, 2, 3),
        steps=4,
        num_steps=4,
    )
    # Its membranes are added up at each step, by two neurons.
    assert layers["1"].additions.per_step == 8


def test_the_twin_of_a_network_is_counted_as_a_network_without_time():
    for neuron, bits in ((ReLU, None), (lambda: QuantisedReLU(1.0, 3), 3)):
        module = DenseSNN((4,), 2, neuron, 3)
        layers = counted(module, x=ConstantInput(torch.rand(2, 1, 2, 2), 1), num_steps=1)
        assert [layer.kind for layer in layers.values()] == ["synapses", "synapses"]
        assert layers["linear2"].input == "real"
        assert layers["linear2"].input_bits == bits
        assert layers["linear2"].macs.dense == Ways(per_step=6, hoisted=6)


class IntegerChain(SpikingChain):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(3, 5, bias=False), nn.Linear(5, 2, bias=False)
        self.neurons = IntegerIF()

    def layers(self):
        return [self.one, self.neurons, self.two]


def test_integer_neurons_are_counted_by_their_spikes_or_once_as_numbers():
    torch.manual_seed(0)
    module, x = IntegerChain().eval(), torch.randn(2, 3) * 3
    counts = module.neurons(ConstantInput(module.one(x), 4))[0].sum(0)
    assert len(counts.unique()) > 2
    layers = counted(module, x=ConstantInput(x, 4), num_steps=4)
    assert layers["neurons"].spikes.total == counts.sum() / 2
    assert layers["two"].acs.total == 2 * counts.sum() / 2
    assert (layers["neurons"].leaks, layers["neurons"].threshold_comparisons) == (0, 4 * 5)
    module.neurons.levels = 4
    once = counted(module, x=ConstantInput(x, 1), num_steps=1)
    assert list(once) == ["one", "two"]
    assert (once["two"].input, once["two"].input_bits) == ("real", 3)
    assert once["two"].macs.dense == Ways(per_step=10, hoisted=10)
    assert once["two"].macs.effective.hoisted == 2 * (counts > 0).sum() / 2


def test_time_begins_anew_with_every_pass():
    module = DenseSNN((4,), 2, lambda: LIF(0.9, threshold=1e-6), 3)
    counter = Counter(module, 2)
    for _ in range(3):
        x = ConstantInput(torch.rand(2, 1, 2, 2), 2)
        counter.run(lambda x=x: module(x), x, 2)
    hidden = next(layer for layer in counter.operations().layers if layer.name == "lif1")
    assert len(hidden.spikes.by_step) == 2
    assert hidden.leaks == 2 * 3
