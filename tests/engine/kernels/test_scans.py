"""The compiled scans against the reference: to the last bit forward, to 1e-4 backward."""

from types import SimpleNamespace

import pytest
import torch

from spikeduel.engine.kernels import RESET_MECHANISMS, cpu, reference
from spikeduel.engine.kernels.reference import Dynamics, resolve_alpha

ADAPTATIONS = {"lif": None, "alif": (0.9, 0.3)}

adaptations = pytest.mark.parametrize("adaptation", ADAPTATIONS.values(), ids=ADAPTATIONS)
constants = pytest.mark.parametrize("constant", [False, True], ids=["sequence", "constant"])


@pytest.fixture
def kernel(monkeypatch):
    """The `forward` and `backward` of the scan; values that they fail to write are NaN."""

    def dirty(shape, dtype=torch.float32):
        return torch.full(shape, torch.nan, dtype=dtype)

    def forward(*operands):
        return cpu.scan_forward(*operands, with_mem=True)

    def backward(*operands):
        return cpu.scan_backward(*operands, needs_beta=True)

    monkeypatch.setattr(cpu, "empty", dirty)
    return SimpleNamespace(forward=forward, backward=backward)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) + 0.3


def dynamics(adaptation=None, reset_mechanism="subtract", surrogate="atan", threshold=0.7):
    return Dynamics(threshold, reset_mechanism, surrogate, resolve_alpha(surrogate), adaptation)


def some_state(neurons, num_neurons):
    """Some membranes above the threshold; adaptations that are not negative."""
    state = normal(1 if neurons.adaptation is None else 2, num_neurons, seed=7)
    state[1:].abs_()
    return state


def by_reference(current, state, beta, neurons, num_steps):
    """`(spk, mem, last)` of plain PyTorch, in `current`'s dtype."""
    sequence = current.expand(num_steps, -1) if len(current) == 1 else current
    return reference.scan(sequence, beta, neurons, state)


def by_autograd(current, state, beta, neurons, num_steps, gradients):
    """The gradients of `current`, `state` and `beta`, by autograd of the reference in float64."""
    if state is None:
        state = torch.zeros(1 if neurons.adaptation is None else 2, current.shape[1])
    leaves = [x.double().requires_grad_() for x in (current, state, beta)]
    results = by_reference(*leaves, neurons, num_steps)
    incoming = [torch.zeros(()) if gradient is None else gradient for gradient in gradients]
    incoming = [
        gradient.double().expand_as(result)
        for result, gradient in zip(results, incoming, strict=True)
    ]
    return torch.autograd.grad(results, leaves, incoming, allow_unused=True, materialize_grads=True)


def some_gradients(results):
    return [normal(*result.shape, seed=seed) for seed, result in enumerate(results, start=1)]


def assert_same(ours, expected):
    for mine, theirs in zip(ours, expected, strict=True):
        assert mine.dtype == torch.float32
        assert torch.equal(mine, theirs)


def assert_close(ours, expected, rtol=1e-4):
    for mine, theirs in zip(ours, expected, strict=True):
        # Relative to the size of the gradients: single elements can cancel.
        scale = theirs.abs().max().item() if theirs.numel() else 1.0
        torch.testing.assert_close(mine.double(), theirs, rtol=rtol, atol=1e-6 * max(scale, 1.0))


def assert_agree(kernel, current, state, neurons, num_steps, beta=0.95):
    beta = torch.tensor(beta)
    exactly = by_reference(
        current.double(), None if state is None else state.double(), beta, neurons, num_steps
    )
    spk, *others = kernel.forward(current, state, beta, neurons, num_steps)
    assert spk.dtype == current.dtype
    results = [spk.float(), *others]
    assert_same(results, by_reference(current.float(), state, beta, neurons, num_steps))
    # Or else the gradients of float64 would be those of other spikes.
    assert torch.equal(results[0].double(), exactly[0])
    gradients = some_gradients(results)
    ours = kernel.backward(gradients, current, state, beta, neurons, num_steps)
    assert ours[0].dtype == current.dtype
    # A gradient in bfloat16 is right to its 8 bits.
    rtol = max(1e-4, torch.finfo(current.dtype).eps)
    assert_close(ours, by_autograd(current, state, beta, neurons, num_steps, gradients), rtol)


@pytest.mark.parametrize("surrogate", reference.SURROGATE_KERNELS)
@adaptations
def test_agrees_with_the_reference(kernel, adaptation, surrogate):
    neurons = dynamics(adaptation, "subtract", surrogate)
    assert_agree(kernel, normal(8, 37), some_state(neurons, 37), neurons, 8)


# More than a thread takes at once, and nothing, too.
SIZES = [(1, 5), (7, 1), (128, 1), (129, 5), (15, 7), (4098, 25), (650, 60), (0, 3)]
sizes = pytest.mark.parametrize(("num_neurons", "num_steps"), SIZES)


@sizes
@constants
@adaptations
@pytest.mark.parametrize(
    ("reset_mechanism", "with_state"), [*zip(RESET_MECHANISMS, (True, False, True), strict=True)]
)
def test_any_size(
    kernel, reset_mechanism, with_state, adaptation, constant, num_neurons, num_steps
):
    neurons = dynamics(adaptation, reset_mechanism, "triangular")
    current = normal(1 if constant else num_steps, num_neurons)
    assert_agree(
        kernel,
        current,
        some_state(neurons, num_neurons) if with_state else None,
        neurons,
        num_steps,
    )


@pytest.mark.parametrize(
    ("reset_mechanism", "beta"), [("subtract", 0.5), ("zero", 1.0), ("none", 0.0)]
)
@constants
@pytest.mark.parametrize("adaptation", [None, (0.5, 0.25)], ids=ADAPTATIONS)
def test_to_the_last_bit_where_floats_are_exact(
    kernel, adaptation, constant, reset_mechanism, beta
):
    neurons = dynamics(adaptation, reset_mechanism, "straight_through_estimator", threshold=1.0)
    generator = torch.Generator().manual_seed(3)
    current = torch.randint(-16, 112, (1 if constant else 4, 50), generator=generator) / 64
    state = torch.randint(0, 160, (1 if adaptation is None else 2, 50), generator=generator) / 64
    beta = torch.tensor(beta)
    results = kernel.forward(current, state, beta, neurons, 4)
    assert 0 < results[0].mean() < 1
    expected = by_reference(current.double(), state.double(), beta.double(), neurons, 4)
    assert_same(results, [x.float() for x in expected])
    gradients = [torch.randint(-8, 9, x.shape, generator=generator) / 8 for x in results]
    ours = kernel.backward(gradients, current, state, beta, neurons, 4)
    assert_same(ours, [x.float() for x in by_autograd(current, state, beta, neurons, 4, gradients)])


@pytest.mark.parametrize("used", [(0,), (1,), (2,), (0, 1), ()], ids=str)
@constants
@adaptations
def test_gradients_of_some_results_only(kernel, adaptation, constant, used):
    neurons = dynamics(adaptation, "zero")
    current, beta = normal(1 if constant else 5, 19), torch.tensor(0.8)
    state = some_state(neurons, 19)
    gradients = some_gradients(kernel.forward(current, state, beta, neurons, 5))
    gradients = [gradient if i in used else None for i, gradient in enumerate(gradients)]
    ours = kernel.backward(gradients, current, state, beta, neurons, 5)
    assert_close(ours, by_autograd(current, state, beta, neurons, 5, gradients))
    assert used or not any(gradient.any() for gradient in ours)


@constants
@adaptations
def test_currents_in_bfloat16(kernel, adaptation, constant):
    neurons = dynamics(adaptation)
    current = normal(1 if constant else 5, 33).bfloat16()
    assert_agree(kernel, current, some_state(neurons, 33), neurons, 5)


def test_nan_is_passed_on(kernel):
    current = normal(4, 3)
    current[1, 2] = float("nan")
    spk, mem, _ = kernel.forward(current, None, torch.tensor(0.9), dynamics(), 4)
    assert mem[1:, 2].isnan().all()
    assert not mem[:, :2].isnan().any()
    assert (spk[1:, 2] == 0).all()
