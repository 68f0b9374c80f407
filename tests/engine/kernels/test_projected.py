"""Neurons and the narrow layer behind them in one: what the reference and a product give."""

import pytest
import torch
from torch.nn import functional as F

from spikeduel.engine import ConstantInput, kernels
from spikeduel.engine.kernels import Dynamics, reference, unfused
from spikeduel.system import parallel

BETA, STEPS = 0.9, 7


def made_operands(num_images=5, num_neurons=48, num_outputs=3, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    current = torch.randn(num_images, num_neurons, generator=generator).to(dtype)
    weight = torch.randn(num_outputs, num_neurons, generator=generator).to(dtype)
    bias = torch.randn(num_outputs, generator=generator).to(dtype)
    return [operand.requires_grad_() for operand in (current, weight, bias)]


def both(operands, dynamics, num_steps=STEPS, beta=BETA):
    """`[T, B, K]` in one, and by the reference in float32; each with gradients for the same one."""
    current, weight, bias = operands
    ours = kernels.projected_scan(ConstantInput(current, num_steps), beta, dynamics, weight, bias)
    wide = [operand.detach().float().requires_grad_() for operand in operands]
    spk, _, _ = reference.scan(wide[0].expand(num_steps, *current.shape), beta, dynamics)
    theirs = F.linear(spk, wide[1], wide[2])
    grad = torch.randn(theirs.shape, generator=torch.Generator().manual_seed(1)).to(ours.dtype)
    return (ours, *torch.autograd.grad(ours, operands, grad)), (
        theirs,
        *torch.autograd.grad(theirs, wide, grad.float()),
    )


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("num_steps", "num_neurons", "num_outputs"), [(1, 16, 1), (7, 48, 5), (8, 528, 12)]
)
def test_it_gives_what_the_reference_and_a_product_give(
    reset, dtype, num_steps, num_neurons, num_outputs
):
    operands = made_operands(5, num_neurons, num_outputs, dtype)
    ours, theirs = both(operands, Dynamics(0.7, reset, alpha=1.5), num_steps)
    near = {"rtol": 1e-2, "atol": 1e-1} if dtype == torch.bfloat16 else {"rtol": 1e-4, "atol": 1e-4}
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == dtype
        torch.testing.assert_close(one.float(), other, **near)


def test_its_spikes_are_the_references_to_the_last_bit():
    """Weights of 1 for one neuron each show its spikes."""
    current, _, _ = made_operands(64, 16)
    (ours, *_), (theirs, *_) = both(
        [current, torch.eye(16).requires_grad_(), torch.zeros(16, requires_grad=True)],
        Dynamics(0.7),
        40,
    )
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("num_images", [1, 16, 33])
def test_the_number_of_threads_changes_nothing(num_images, monkeypatch):
    monkeypatch.setattr(parallel, "MIN_PART", 16)
    before, results = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(both(made_operands(num_images), Dynamics(0.7))[0])
    torch.set_num_threads(before)
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_what_it_does_not_take():
    current, weight, _ = made_operands()
    constant, usual = ConstantInput(current, STEPS), Dynamics(0.7)
    assert kernels.is_projected(constant, BETA, usual, weight)
    for other in (
        (current.expand(STEPS, -1, -1), BETA, usual, weight),
        (ConstantInput(current[:, :40], STEPS), BETA, usual, weight),
        (ConstantInput(current.double(), STEPS), BETA, usual, weight),
        (constant, torch.tensor(BETA), usual, weight),
        (constant, BETA, usual._replace(surrogate="sigmoid"), weight),
        (constant, BETA, usual._replace(adaptation=(0.9, 0.1)), weight),
        (constant, BETA, usual._replace(threshold=torch.ones(48)), weight),
        (constant, BETA, usual, torch.zeros(21, 48)),
    ):
        assert not kernels.is_projected(*other)
    with unfused():
        assert not kernels.is_projected(constant, BETA, usual, weight)
