"""The operator as PyTorch sees it."""

import pytest
import torch

from spikeduel.engine import kernels
from spikeduel.engine.kernels import Dynamics, scan
from spikeduel.engine.neurons import LIF, PLIF


def arguments(adaptation=(), constant=False, state=False, requires_grad=True):
    generator = torch.Generator().manual_seed(0)
    current = torch.randn(1 if constant else 5, 3, 4, generator=generator)
    before = torch.randn(2 if adaptation else 1, 3, 4, generator=generator) if state else None
    beta = torch.tensor(0.9)
    for x in (current, before, beta):
        if x is not None:
            x.requires_grad_(requires_grad)
    return current, before, beta, 1.0, "subtract", "atan", 2.0, list(adaptation), 5, True


@pytest.mark.parametrize(
    ("adaptation", "constant", "state"),
    [
        ((), False, False),
        ((), True, True),
        ((0.9, 0.2), False, True),
        ((0.9, 0.2), True, False),
    ],
)
# PyTorch's check reads `grad` of its own copies, and newer versions warn of it.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_it_keeps_what_pytorch_asks_of_an_operator(adaptation, constant, state):
    torch.library.opcheck(torch.ops.spikeduel.scan.default, arguments(adaptation, constant, state))


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)
        self.lif, self.plif = LIF(), PLIF()

    def forward(self, x):
        spk, _ = self.lif(self.linear(x), with_mem=False)
        return self.plif(spk)[1]


def test_a_network_compiles_without_a_break():
    network, x = Network(), torch.randn(5, 2, 4, generator=torch.Generator().manual_seed(1))
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    assert torch.equal(compiled(x), network(x))
    weights = list(network.parameters())
    gradients = [torch.autograd.grad(run(x).sum(), weights) for run in (network, compiled)]
    torch.testing.assert_close(*gradients)
    torch._dynamo.reset()


def test_an_exported_network_holds_the_operator():
    network, x = Network(), torch.randn(5, 2, 4, generator=torch.Generator().manual_seed(1))
    exported = torch.export.export(network, (x,))
    assert (
        sum(node.target is torch.ops.spikeduel.scan.default for node in exported.graph.nodes) == 2
    )
    assert torch.equal(exported.module()(x), network(x))


@pytest.mark.parametrize("watched", [False, True], ids=["direct", "through the dispatcher"])
def test_gradients_of_gradients_are_refused(watched, monkeypatch):
    monkeypatch.setattr(kernels, "is_watched", lambda x: watched)
    current = torch.zeros(3, 4).requires_grad_()
    loss = scan(current, 0.9, Dynamics(1.0))[1].square().sum()
    (gradient,) = torch.autograd.grad(loss, current, create_graph=True)
    with pytest.raises(
        RuntimeError, match="no gradient of its gradient" if watched else "once_differentiable"
    ):
        gradient.sum().backward()
    # A float64 current runs on the reference.
    wide = current.detach().double().requires_grad_()
    (gradient,) = torch.autograd.grad(
        scan(wide, 0.9, Dynamics(1.0))[1].square().sum(), wide, create_graph=True
    )
    gradient.sum().backward()
    assert (wide.grad > 0).all()


@pytest.mark.parametrize("adaptation", [(), (0.9, 0.2)])
@pytest.mark.parametrize("constant", [False, True])
def test_the_short_way_is_the_operator(adaptation, constant):
    results = []
    for run in (torch.ops.spikeduel.scan, kernels._Scan.apply):
        inputs = arguments(adaptation, constant, state=True)
        outputs = run(*inputs)
        sum((x * x).sum() for x in outputs).backward()
        results.append([*outputs, *(x.grad for x in inputs[:3])])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)
