"""A narrow linear layer gives what a linear layer gives, in training too, and is one to whoever
looks.
"""

from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from spikeduel.networks import narrow
from spikeduel.networks.architectures import ARCHITECTURES, DenseSNN
from spikeduel.networks.models import neurons_watched
from spikeduel.networks.narrow import NarrowLinear
from spikeduel.spiking import ConstantInput
from spikeduel.spiking.neurons import LIF, carried_state

IN, OUT = 48, 5


@pytest.fixture(autouse=True)
def few_rows_are_many(monkeypatch):
    monkeypatch.setattr(narrow, "_MANY", 8)


def twins(kind=torch.float32):
    torch.manual_seed(0)
    ours, theirs = NarrowLinear(IN, OUT), nn.Linear(IN, OUT)
    theirs.load_state_dict(ours.state_dict())
    return ours.to(kind), theirs.to(kind)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_its_numbers_and_gradients_are_those_of_a_linear_layer(kind):
    x, grad = (torch.rand(12, IN) < 0.2).to(kind), torch.randn(12, OUT).to(kind)
    results = []
    for layer in twins(kind):
        leaf = x.clone().requires_grad_()
        y = layer(leaf)
        results.append((y, *torch.autograd.grad(y, (leaf, layer.weight, layer.bias), grad)))
    assert results[0][0].stride() == (1, 12)
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_under_autocast_it_multiplies_in_bf16():
    layer, _ = twins()
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.rand(12, IN)).dtype == torch.bfloat16


def test_few_rows_an_answer_and_a_watcher_have_a_linear_layer():
    layer, other = twins()
    x = torch.rand(12, IN)
    assert layer(x[:7]).is_contiguous()
    with FlopCounterMode(display=False) as counter:
        assert layer(x).is_contiguous()
    assert counter.get_total_flops() == 2 * 12 * IN * OUT
    assert torch.equal(layer.eval()(x), other(x))


@pytest.mark.parametrize("name", [name for name, made in ARCHITECTURES.items() if made is DenseSNN])
def test_in_a_network_nothing_else_changes(name, monkeypatch):
    torch.manual_seed(0)
    network = ARCHITECTURES[name]((1, 6, 6), OUT, LIF, hidden=IN)
    x, results = ConstantInput(torch.rand(4, 1, 6, 6), 5), []
    for many in (8, 1000):
        monkeypatch.setattr(narrow, "_MANY", many)
        output = network(x)
        loss = network.readout.loss(output, torch.tensor([0, 1, 2, 3]))
        results.append((output[1], *torch.autograd.grad(loss, list(network.parameters()))))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.fixture
def seen(monkeypatch):
    calls, run = [], narrow.projected.projected_scan
    monkeypatch.setattr(
        narrow.projected, "projected_scan", lambda *given: calls.append(1) or run(*given)
    )
    return calls


def dense(**settings):
    torch.manual_seed(0)
    return DenseSNN((1, 6, 6), OUT, partial(LIF, **settings), hidden=IN)


X = ConstantInput(torch.rand(4, 1, 6, 6), 5)


def test_in_training_neurons_and_what_follows_them_are_one(seen):
    network, apart = dense(), dense()
    apart.lif1.register_forward_hook(lambda *given: None)
    results = []
    for each in (network, apart):
        output = each(X)
        loss = each.readout.loss(output, torch.tensor([0, 1, 2, 3]))
        results.append((*output, *torch.autograd.grad(loss, list(each.parameters()))))
    assert len(seen) == 1
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_whoever_looks_sees_neurons_and_layer(seen):
    network = dense()
    with neurons_watched(network) as watched:
        network(X)
    assert watched["lif1"][1].shape == (5, 4, IN)
    with FlopCounterMode(display=False) as counter:
        network(X)
    assert counter.get_total_flops() == 2 * 4 * 36 * IN + 2 * 5 * 4 * IN * OUT
    with carried_state(network, {}) as states:
        network(X)
    assert states.keys() == {"lif1", "lif2"}
    network.eval()(X)
    dense(surrogate="sigmoid")(X)
    network.train()(X.expand())
    assert not seen
