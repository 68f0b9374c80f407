"""Joined layers train as the same layers do one by one, and wherever somebody looks, they are not
joined.
"""

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from spikeduel.engine import ConstantInput, kernels
from spikeduel.engine.networks.architectures import ConvLIF, DenseLIF, DenseSNN
from spikeduel.engine.networks.chains import join_layers, joined
from spikeduel.engine.networks.models import neurons_watched
from spikeduel.engine.neurons import ALIF, LIF, NEURONS, ReLU, carried_state

IMAGE = (1, 9, 8)


@pytest.fixture
def runs(monkeypatch):
    """A list that gets an entry of each run of layers that are computed as one."""
    seen, whole = [], kernels.normalised_scan
    monkeypatch.setattr(
        kernels,
        "normalised_scan",
        lambda *arguments: seen.append(arguments[-1]) or whole(*arguments),
    )
    return seen


def network(neuron=LIF, pooling="max"):
    torch.manual_seed(0)
    net = ConvLIF(IMAGE, 3, neuron, hidden=8, pooling=pooling)
    join_layers(net)
    return net.to(memory_format=torch.channels_last)


def images(constant=True):
    x = torch.rand(4, 5, *IMAGE, generator=torch.Generator().manual_seed(0)) * 2
    return ConstantInput(x[0], 4) if constant else x


def trained(net, x):
    """Return answer, gradients and buffers after a step of training."""
    y = net(x)
    y.square().sum().backward()
    gradients = {name: weights.grad for name, weights in net.named_parameters()}
    return y.detach(), gradients, dict(net.named_buffers())


@pytest.mark.parametrize(
    ("neuron", "constant", "pooling"),
    [
        ("lif", False, "max"),
        ("lif", True, "avg"),
        ("if", True, "max"),
        ("plif", False, "avg"),
        ("plif", True, "max"),
    ],
)
def test_a_network_trains_as_with_its_layers_one_by_one(neuron, constant, pooling, runs):
    net = network(NEURONS[neuron], pooling)
    other = copy.deepcopy(net)
    ours = trained(net, images(constant))
    assert runs == ([2, 2] if pooling == "max" else [1, 1])
    with kernels.unfused():
        theirs = trained(other, images(constant))
    assert len(runs) == 2
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_layers_run_one_by_one_in_evaluation_and_before_they_are_asked_to_join(runs):
    network().eval()(images())
    ConvLIF(IMAGE, 3, LIF, hidden=8)(images())
    assert not runs


@pytest.mark.parametrize("name", ["block2", "block2.1", "lif2"])
@pytest.mark.parametrize("kind", ["forward", "forward_pre", "full_backward", "full_backward_pre"])
def test_a_layer_that_is_watched_is_not_joined(name, kind, runs):
    net, seen = network(), []
    getattr(net.get_submodule(name), f"register_{kind}_hook")(lambda *_: seen.append(1))
    net(images()).sum().backward()
    assert seen == [1]
    assert len(runs) == 1


def test_whoever_watches_neurons_sees_them(runs):
    net = network()
    with neurons_watched(net, with_mem=True) as seen:
        net(images())
    assert not runs
    assert [mem.shape for _, _, mem in seen.values()] == [
        (4, 5, 32, 9, 8),
        (4, 5, 64, 4, 4),
        (4, 5, 8),
    ]


def test_hooks_on_everything_and_operators_are_seen(runs):
    class Watching(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            seen.append(function)
            return function(*args, **(kwargs or {}))

    net, seen = network(), []
    hook = register_module_forward_hook(lambda module, *_: seen.append(type(module)))
    net(images())
    hook.remove()
    with Watching():
        net(images())
    assert {nn.BatchNorm2d, LIF, nn.MaxPool2d, torch.ops.aten.gt.Scalar} <= set(seen)
    assert not runs


def test_a_state_that_is_carried_is_found(runs):
    net = network()
    with carried_state(net, {}) as after:
        net(images())
    assert set(after) == {"lif1", "lif2", "lif3"}
    assert not runs


class OwnLIF(LIF):
    """Somebody's own, which runs in its own way."""

    def over_time(self, current, state, with_mem):
        spk, mem, last = super().over_time(current, state, with_mem)
        return 0 * spk, mem, last


@pytest.mark.parametrize("neuron", [ALIF, ReLU, OwnLIF])
def test_other_neurons_run_by_themselves(neuron, runs):
    y = network(neuron)(images())
    assert not runs
    assert y.isfinite().all()


def run_as(layers):
    """The layers that run, joined ones by the name of what runs them."""
    return [
        layer if isinstance(layer, nn.Module) else layer.func.__name__ for layer in joined(layers)
    ]


def test_only_what_follows_one_another_in_this_way_is_joined():
    norm, neuron, pool, last = nn.BatchNorm2d(16), LIF(), nn.MaxPool2d(2), nn.Flatten()
    first, together = nn.Sequential(nn.Conv2d(1, 16, 3), norm), "_normalised"
    assert run_as([first, neuron, pool, last]) == [together, last]
    assert run_as([norm, neuron, last]) == [together, last]
    assert run_as([nn.Sequential(pool, norm), neuron, last]) == [together, last]
    assert run_as([pool, norm, neuron, last]) == [pool, together, last]
    for other in (
        nn.MaxPool2d(3),
        nn.MaxPool2d(2, 1),
        nn.MaxPool2d(2, padding=1),
        nn.MaxPool2d(2, ceil_mode=True),
    ):
        assert run_as([norm, neuron, other, last]) == [together, other, last]
    # The spikes of neurons that come last are the answer, with their membranes.
    for chain in (
        [norm, neuron],
        [norm, pool, neuron, pool],
        [neuron, pool, last],
        [first, nn.ReLU(), pool],
    ):
        assert joined(chain) == chain
    *layers, neuron, linear = DenseLIF((1, 4, 4), 3, LIF, 8).layers()
    assert run_as([*layers, neuron, linear]) == [*layers, "_projected"]


# PyTorch warns of what its own compiler does.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_it_compiles_without_a_break():
    net = network()
    other = copy.deepcopy(net)
    compiled = torch.compile(other, backend="aot_eager", fullgraph=True)
    expected, (output, *_) = trained(net, images(False)), trained(compiled, images(False))
    gradients = {name: weights.grad for name, weights in other.named_parameters()}
    torch.testing.assert_close((output, gradients, dict(other.named_buffers())), expected)
    torch._dynamo.reset()


# ---- neurons under a constant current, and a linear layer of few outputs

IN, OUT = 48, 5
X = ConstantInput(torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(1)), 5)


@pytest.fixture
def projections(monkeypatch):
    """A list that gets an entry of each run of neurons with their linear layer."""
    calls, run = [], kernels.projected_scan
    monkeypatch.setattr(kernels, "projected_scan", lambda *args: calls.append(1) or run(*args))
    return calls


def dense(**settings):
    torch.manual_seed(0)
    net = DenseSNN((1, 6, 6), OUT, partial(LIF, **settings), hidden=IN)
    join_layers(net)
    return net


def test_neurons_and_their_linear_layer_train_as_one_by_one(projections):
    def results(net):
        output = net(X)
        loss = net.readout.loss(output, torch.tensor([0, 1, 2, 3]))
        return (*output, *torch.autograd.grad(loss, list(net.parameters())))

    apart = dense()
    apart.lif1.register_forward_hook(lambda *_: None)
    torch.testing.assert_close(results(dense()), results(apart))
    assert len(projections) == 1


def test_neurons_and_their_linear_layer_are_seen_one_by_one(projections):
    net = dense()
    with neurons_watched(net) as watched:
        net(X)
    with FlopCounterMode(display=False) as counter:
        net(X)
    with carried_state(net, {}) as states:
        net(X)
    for other, x in ((net.eval(), X), (dense(surrogate="sigmoid"), X), (dense(), X.expand())):
        other(x)
    assert not projections
    assert (watched["lif1"][1].shape, states.keys()) == ((5, 4, IN), {"lif1", "lif2"})
    assert counter.get_total_flops() == 2 * 4 * 36 * IN + 2 * 5 * 4 * IN * OUT
