"""Which kernel is used, and that it makes no difference to what is seen."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from spikeduel.engine import ConstantInput, kernels
from spikeduel.engine.kernels import Dynamics, cpu, reference
from spikeduel.engine.networks.architectures import DenseSNN
from spikeduel.engine.neurons import ALIF, LIF, NEURONS, PLIF
from spikeduel.system.errors import InputError


def test_importing_does_not_import_numba():
    code = "import sys, spikeduel.engine.kernels; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


@pytest.mark.parametrize(
    "name", [name for name, neuron in NEURONS.items() if issubclass(neuron, LIF)]
)
@pytest.mark.parametrize("constant", [False, True])
def test_every_neuron_of_ours_trains_on_it(name, constant, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    encoded = torch.rand(5, 2, 1, 4, 4, generator=generator) * 3
    encoded = ConstantInput(encoded[0], 5) if constant else encoded
    calls = []
    run = cpu.run_chunks
    monkeypatch.setattr(cpu, "run_chunks", lambda *a, **k: calls.append(1) or run(*a, **k))
    network = DenseSNN((1, 4, 4), 3, neuron=NEURONS[name], hidden=6)
    network.readout.loss(network(encoded), torch.tensor([0, 2])).backward()
    assert len(calls) == 4  # two layers, forward and backward
    assert all(p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize(
    ("current", "beta", "threshold", "surrogate"),
    [
        (torch.zeros(3, 4, dtype=torch.float64), 0.9, 1.0, "atan"),
        (torch.zeros(3, 4, dtype=torch.float16), 0.9, 1.0, "atan"),
        (torch.zeros(3, 4), torch.full((4,), 0.9), 1.0, "atan"),
        (torch.zeros(3, 4), 0.9, torch.tensor(1.0), "atan"),
        (torch.zeros(3, 4), 0.9, 1.0, "somebody's own"),
    ],
    ids=["float64", "float16", "beta per neuron", "tensor threshold", "surrogate"],
)
def test_the_reference_is_used_for_the_rest(current, beta, threshold, surrogate):
    assert not kernels.is_fused(current, beta, Dynamics(threshold, surrogate=surrogate))


def test_a_surrogate_of_ones_own_works_on_the_reference(tmp_path, monkeypatch):
    (tmp_path / "own_surrogates.py").write_text(
        "from spikeduel import Surrogate\n"
        "def flat(u, alpha):\n    return 0 * u + alpha\n\n"
        "wide = Surrogate(flat, 0.25)\n"
        "number = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name, alpha in (("flat", 1.0), ("wide", 0.25)):
        neuron = LIF(beta=0.5, surrogate=f"own_surrogates:{name}")
        assert neuron.surrogate_alpha == alpha
        current = torch.tensor([[0.5, 2.0]], requires_grad=True)
        neuron(current)[0].sum().backward()
        assert current.grad.tolist() == [[alpha, alpha]]
    with pytest.raises(InputError, match=r"must be a function \(u, alpha\)"):
        LIF(surrogate="own_surrogates:number")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("constant", [False, True])
def test_membranes_are_float32_under_any_precision(dtype, constant):
    values = (torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0)) + 0.3).to(dtype)
    leaf = (values[0] if constant else values).clone().requires_grad_()
    spk, mem, last = kernels.scan(ConstantInput(leaf, 5) if constant else leaf, 0.9, Dynamics(1.0))
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    assert (spk.dtype, mem.dtype, last.dtype) == (dtype, wide, wide)
    sequence = (values[:1].expand(5, -1, -1) if constant else values).to(wide)
    expected = reference.scan(sequence, 0.9, Dynamics(1.0))
    assert all(map(torch.equal, (spk, mem), (expected[0].to(dtype), expected[1])))
    spk.sum().backward()
    assert leaf.grad.dtype == dtype


def test_a_beta_per_neuron_gets_its_gradient():
    beta = torch.full((3,), 0.9, requires_grad=True)
    _, mem, _ = kernels.scan(torch.ones(2, 3), beta, Dynamics(10.0))
    mem[1].sum().backward()
    assert beta.grad.tolist() == [1, 1, 1]


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)
        self.lif, self.plif, self.alif = LIF(), PLIF(), ALIF()

    def forward(self, x):
        spk, _ = self.lif(self.linear(x), with_mem=False)
        return self.alif(self.plif(spk)[0])[1]


SEQUENCE = torch.randn(5, 2, 4, generator=torch.Generator().manual_seed(1)) * 3


# PyTorch warns of what its own compiler does.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_a_network_compiles_without_a_break():
    network = Network()
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    assert torch.equal(compiled(SEQUENCE), network(SEQUENCE))
    weights = list(network.parameters())
    gradients = [torch.autograd.grad(run(SEQUENCE).sum(), weights) for run in (network, compiled)]
    torch.testing.assert_close(*gradients)
    torch._dynamo.reset()


def test_an_exported_network_is_made_of_plain_operations():
    network = Network()
    exported = torch.export.export(network, (SEQUENCE,))
    operators = [
        node.target
        for node in exported.graph.nodes
        if isinstance(node.target, torch._ops.OpOverload)
    ]
    assert {operator.namespace for operator in operators} == {"aten"}
    assert torch.equal(exported.module()(SEQUENCE), network(SEQUENCE))


def test_gradients_of_gradients_are_refused_except_by_the_reference():
    current = torch.zeros(3, 4).requires_grad_()
    loss = kernels.scan(current, 0.9, Dynamics(1.0))[1].square().sum()
    (gradient,) = torch.autograd.grad(loss, current, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
    wide = current.detach().double().requires_grad_()
    loss = kernels.scan(wide, 0.9, Dynamics(1.0))[1].square().sum()
    (gradient,) = torch.autograd.grad(loss, wide, create_graph=True)
    gradient.sum().backward()
    assert (wide.grad > 0).all()


CURRENT, KEYS = torch.zeros(2, 3), np.zeros(2, np.uint64)


@pytest.mark.parametrize(
    ("function", "arguments", "problem"),
    [
        (kernels.scan, (CURRENT, 0.9, Dynamics(1.0, surrogate="atann")), "did you mean 'atan'"),
        (kernels.scan, (ConstantInput(CURRENT, 0), 0.9, Dynamics(1.0)), "at least one time step"),
        (kernels.rate_spikes, (CURRENT, KEYS, 3), "uint8"),
        (kernels.rate_spikes, (CURRENT.byte(), KEYS[:1], 3), "a key for each of 2 images"),
    ],
    ids=range(4),
)
def test_mistakes_are_named(function, arguments, problem):
    with pytest.raises(InputError, match=problem):
        function(*arguments)


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.float16, torch.bfloat16, torch.float32, torch.float64]
)
def test_rate_spikes_in_any_type(dtype):
    generator = np.random.default_rng(0)
    images = torch.from_numpy(generator.integers(0, 256, (3, 1, 5, 5), dtype=np.uint8))
    keys = generator.integers(0, 2**64, 3, dtype=np.uint64)
    spikes = kernels.rate_spikes(images, keys, 4, dtype)
    assert torch.equal(spikes, reference.rate_spikes(images, keys, 4).to(dtype))
