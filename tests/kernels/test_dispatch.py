"""Which kernel is used, and that it makes no difference to what is seen."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from spikeduel import kernels
from spikeduel.constant import Constant
from spikeduel.errors import InputError
from spikeduel.kernels import cpu, reference
from spikeduel.surrogates import SURROGATES, SurrogateChoice


def test_importing_does_not_import_numba():
    code = "import sys, spikeduel.kernels; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


@pytest.mark.parametrize("surrogate", cpu.SURROGATE_KERNELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("constant", [False, True])
def test_the_fused_kernel_is_used(surrogate, dtype, constant):
    value = torch.zeros(3, 4, dtype=dtype)
    current = Constant(value, 3) if constant else value
    assert kernels.choose_lif(current, 0.9, 1.0, surrogate) is cpu.lif_scan
    assert kernels.choose_lif(current, 1, 1, surrogate) is cpu.lif_scan


@pytest.mark.parametrize(
    ("current", "beta", "threshold", "surrogate"),
    [
        (torch.zeros(3, 4, dtype=torch.float64), 0.9, 1.0, "atan"),
        (torch.zeros(3, 4, device="meta"), 0.9, 1.0, "atan"),
        (torch.zeros(3, 4), torch.tensor(0.9, requires_grad=True), 1.0, "atan"),
        (torch.zeros(3, 4), torch.full((4,), 0.9), 1.0, "atan"),
        (torch.zeros(3, 4), 0.9, torch.tensor(1.0), "atan"),
        (torch.zeros(3, 4), 0.9, 1.0, "somebody's own"),
    ],
    ids=["float64", "device", "learned beta", "beta per neuron", "tensor threshold", "surrogate"],
)
def test_the_reference_is_used_for_the_rest(current, beta, threshold, surrogate):
    assert kernels.choose_lif(current, beta, threshold, surrogate) is not cpu.lif_scan


def test_a_surrogate_without_a_kernel_works(monkeypatch):
    monkeypatch.setitem(SURROGATES, "flat", SurrogateChoice(lambda u, alpha: torch.full_like(u, alpha), 0.25))
    value = torch.ones(2, 3, requires_grad=True)
    spk, _ = kernels.lif(Constant(value, 1), 0.9, 1.0, surrogate="flat")
    spk.sum().backward()
    assert (value.grad == 0.25).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("constant", [False, True])
def test_membranes_are_float32_under_any_precision(dtype, constant):
    values = (torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0)) + 0.3).to(dtype)
    leaf = (values[0] if constant else values).clone().requires_grad_()
    spk, mem = kernels.lif(Constant(leaf, 5) if constant else leaf, 0.9, 1.0)
    assert spk.dtype == mem.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    wide = values if dtype == torch.float64 else values.float()
    expected = reference.lif_scan(wide[:1].expand(5, -1, -1) if constant else wide, 0.9, 1.0)
    assert torch.equal(spk, expected[0])
    assert torch.equal(mem, expected[1])
    spk.sum().backward()
    assert leaf.grad.dtype == dtype


def test_a_learned_beta_gets_its_gradient():
    beta = torch.tensor(0.9, requires_grad=True)
    _, mem = kernels.lif(torch.ones(2, 1), beta, 10.0)
    mem[1].sum().backward()
    assert beta.grad == 1


def test_alpha_defaults_to_the_customary_one():
    gradients = []
    for alpha in (None, 25.0):
        value = torch.full((1, 1), 0.9, requires_grad=True)
        kernels.lif(value, 0.9, 1.0, surrogate="fast_sigmoid", alpha=alpha)[0].sum().backward()
        gradients.append(value.grad)
    assert torch.equal(*gradients)


def test_mistakes_are_named():
    current = torch.zeros(2, 3)
    with pytest.raises(InputError, match="did you mean 'subtract'"):
        kernels.lif(current, 0.9, 1.0, reset_mechanism="substract")
    with pytest.raises(InputError, match="did you mean 'atan'"):
        kernels.lif(current, 0.9, 1.0, surrogate="atann")
    with pytest.raises(InputError, match="at least one time step"):
        kernels.lif(Constant(current, 0), 0.9, 1.0)
    with pytest.raises(InputError, match="uint8"):
        kernels.rate_spikes(current, np.zeros(2, np.uint64), 3)
    with pytest.raises(InputError, match="a key for each of 2 images"):
        kernels.rate_spikes(current.byte(), np.zeros(3, np.uint64), 3)


@pytest.mark.parametrize("dtype", [torch.bool, torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_rate_spikes_in_any_type(dtype):
    generator = np.random.default_rng(0)
    images = torch.from_numpy(generator.integers(0, 256, (3, 1, 5, 5), dtype=np.uint8))
    keys = generator.integers(0, 2**64, 3, dtype=np.uint64)
    spikes = kernels.rate_spikes(images, keys, 4, dtype)
    assert torch.equal(spikes, reference.rate_spikes(images, keys, 4).to(dtype))
