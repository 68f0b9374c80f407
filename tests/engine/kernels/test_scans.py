"""The compiled scan against the reference: to the last bit forward, to 1e-4 backward."""

import pytest
import torch
from hypothesis import given, settings, strategies as st

from spikeduel.engine import ConstantInput, kernels
from spikeduel.engine.kernels import RESET_MECHANISMS, Dynamics, reference
from spikeduel.engine.kernels.reference import SURROGATES, resolve_alpha

# Numbers that float32 has.
ADAPTATIONS = {"lif": None, "alif": (0.875, 0.25)}

adaptations = pytest.mark.parametrize("adaptation", ADAPTATIONS.values(), ids=ADAPTATIONS)
constants = pytest.mark.parametrize("constant", [False, True], ids=["sequence", "constant"])
pytestmark = pytest.mark.usefixtures("buffers_full_of_nan")


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) + 0.3


def dynamics(adaptation=None, reset_mechanism="subtract", surrogate="atan", threshold=0.75):
    return Dynamics(threshold, reset_mechanism, surrogate, resolve_alpha(surrogate), adaptation)


def some_state(neurons, *shape):
    """Some membranes above the threshold; adaptations that are not negative."""
    state = normal(neurons.state_size, *shape, seed=7)
    state[1:].abs_()
    return state


def results_and_gradients(scan, current, state, beta, neurons, used=(0, 1, 2)):
    """`(spk, mem, last)`, and the gradients of current, state and beta by those `used`."""
    constant = isinstance(current, ConstantInput)
    leaf = (current.value if constant else current).detach().clone().requires_grad_()
    before, decay = state.clone().requires_grad_(), torch.tensor(beta, dtype=state.dtype)
    decay.requires_grad_()
    x = ConstantInput(leaf, current.num_steps) if constant else leaf
    if constant and scan is reference.scan:
        x = x.expand()
    results = scan(x, decay, neurons, before)
    # Numbers that all types have, and whose sums are exact.
    incoming = [
        (normal(*x.shape, seed=seed) * 8).round().to(x.dtype) / 8
        for seed, x in enumerate(results, 1)
    ]
    gradients = torch.autograd.grad(
        [results[i] for i in used],
        (leaf, before, decay),
        [incoming[i] for i in used],
        allow_unused=True,
        materialize_grads=True,
    )
    return [x.detach() for x in results], gradients


def assert_agree(current, state, neurons, beta=0.9375, used=(0, 1, 2)):
    constant = isinstance(current, ConstantInput)
    wide = (
        ConstantInput(current.value.double(), current.num_steps) if constant else current.double()
    )
    ours, our_gradients = results_and_gradients(kernels.scan, current, state, beta, neurons, used)
    exactly, gradients = results_and_gradients(
        reference.scan, wide, state.double(), beta, neurons, used
    )
    dtype = (current.value if constant else current).dtype
    sequence = current.expand() if constant else current
    theirs = reference.scan(sequence.float(), torch.tensor(beta), neurons, state)
    assert [x.dtype for x in ours] == [dtype, torch.float32, torch.float32]
    assert all(torch.equal(one.float(), other) for one, other in zip(ours, theirs, strict=True))
    # Or else the gradients of float64 would be those of other spikes.
    assert torch.equal(ours[0].double(), exactly[0])
    # A gradient in bfloat16 is right to its 8 bits.
    rtol = max(1e-4, torch.finfo(dtype).eps)
    for one, other in zip(our_gradients, gradients, strict=True):
        # Relative to the size of the gradients: single elements can cancel.
        scale = other.abs().max().item() if other.numel() else 1.0
        torch.testing.assert_close(one.double(), other, rtol=rtol, atol=1e-6 * max(scale, 1.0))


def a_current(constant, num_steps, *shape):
    return ConstantInput(normal(*shape), num_steps) if constant else normal(num_steps, *shape)


@pytest.mark.parametrize("surrogate", SURROGATES)
@adaptations
def test_every_surrogate(adaptation, surrogate):
    neurons = dynamics(adaptation, "subtract", surrogate)
    assert_agree(normal(8, 37), some_state(neurons, 37), neurons)


@pytest.mark.parametrize("surrogate", SURROGATES)
@pytest.mark.parametrize("alpha", [0.5, 2.0, 25.0])
def test_surrogates_over_their_whole_range(surrogate, alpha):
    ends = torch.tensor([1.0, 1 + 1e-7, float("inf"), -float("inf")])
    current = torch.cat([torch.linspace(-30, 30, 2001), ends]).unsqueeze(0).requires_grad_()
    spk, _, _ = kernels.scan(current, 0.5, Dynamics(1.0, surrogate=surrogate, alpha=alpha))
    (ours,) = torch.autograd.grad(spk.sum(), current)
    exact = SURROGATES[surrogate].gradient((current.detach() - 1).double(), alpha).float()
    torch.testing.assert_close(ours, exact, rtol=1e-5, atol=1e-7)


# More than a thread takes at once, several axes, and nothing, too.
SIZES = [(5, 1), (1, 7), (5, 129), (7, 15), (25, 4098), (60, 650), (6, 3, 2, 5, 7), (3, 0)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@constants
@adaptations
@pytest.mark.parametrize("reset_mechanism", RESET_MECHANISMS)
def test_any_size(reset_mechanism, adaptation, constant, size):
    neurons = dynamics(adaptation, reset_mechanism, "triangular")
    assert_agree(a_current(constant, *size), some_state(neurons, *size[1:]), neurons)


@constants
@adaptations
def test_neurons_without_a_state_begin_at_zero(adaptation, constant):
    neurons, current = dynamics(adaptation), a_current(constant, 5, 19)
    at_rest = torch.zeros(neurons.state_size, 19)
    for one, other in zip(
        kernels.scan(current, 0.9, neurons),
        kernels.scan(current, 0.9, neurons, at_rest),
        strict=True,
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("reset_mechanism", "beta"), [("subtract", 0.5), ("zero", 1.0), ("none", 0.0)]
)
@constants
@pytest.mark.parametrize("adaptation", [None, (0.5, 0.25)], ids=ADAPTATIONS)
def test_gradients_to_the_last_bit_where_floats_are_exact(
    adaptation, constant, reset_mechanism, beta
):
    neurons = dynamics(adaptation, reset_mechanism, "straight_through_estimator", threshold=1.0)
    values = (a_current(False, 4, 50) * 16).round() / 16
    state = (some_state(neurons, 50) * 16).round() / 16
    current = ConstantInput(values[0], 4) if constant else values
    wide = ConstantInput(values[0].double(), 4) if constant else values.double()
    (spk, *_), ours = results_and_gradients(kernels.scan, current, state, beta, neurons)
    _, exactly = results_and_gradients(reference.scan, wide, state.double(), beta, neurons)
    assert 0 < spk.mean() < 1
    for one, other in zip(ours, exactly, strict=True):
        assert torch.equal(one.double(), other)


@pytest.mark.parametrize("used", [(0,), (1,), (2,), (0, 1)], ids=str)
@constants
@adaptations
def test_gradients_of_some_results_only(adaptation, constant, used):
    neurons = dynamics(adaptation, "zero")
    assert_agree(a_current(constant, 5, 19), some_state(neurons, 19), neurons, 0.8125, used)


@constants
@adaptations
def test_currents_in_bfloat16(adaptation, constant):
    neurons, current = dynamics(adaptation), normal(5, 33).bfloat16()
    current = ConstantInput(current[0], 5) if constant else current
    assert_agree(current, some_state(neurons, 33), neurons)


@given(st.lists(st.floats(width=32), min_size=1, max_size=40))
@settings(deadline=None)
def test_gradients_are_rounded_to_bfloat16_as_torch_rounds_them(values):
    gradient = torch.tensor([values])
    current = torch.zeros_like(gradient, dtype=torch.bfloat16).requires_grad_()
    _, mem, _ = kernels.scan(current, 0.5, Dynamics(1.0))
    (ours,) = torch.autograd.grad(mem, current, gradient)
    assert torch.equal(ours.nan_to_num(nan=7.0), gradient.bfloat16().nan_to_num(nan=7.0))


def test_nan_is_passed_on():
    current = normal(4, 3)
    current[1, 2] = float("nan")
    spk, mem, _ = kernels.scan(current, 0.9, dynamics())
    assert mem[1:, 2].isnan().all()
    assert not mem[:, :2].isnan().any()
    assert (spk[1:, 2] == 0).all()


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(lambda x: x.transpose(1, 2), id="transposed"),
        pytest.param(lambda x: x[:, :, ::2], id="strided"),
        pytest.param(lambda x: x.transpose(0, 1), id="batch first"),
        pytest.param(lambda x: x[:, :1].expand(-1, 5, -1), id="expanded"),
    ],
)
def test_inputs_that_are_not_contiguous(view):
    current, neurons = view(normal(6, 7, 8)), dynamics()
    assert_agree(current, view(normal(6, 7, 8, seed=1))[:1], neurons)


def test_channels_last_stays_channels_last():
    current = normal(12, 3, 5, 4).contiguous(memory_format=torch.channels_last).unflatten(0, (6, 2))
    spk, mem, _ = kernels.scan(current, 0.9, dynamics())
    for result in (spk, mem):
        assert result.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    assert_agree(current, some_state(dynamics(), *current.shape[1:]), dynamics())
