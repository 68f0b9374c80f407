"""Batch norm, neurons and pooling in one: against the reference to the last bit, and against
torch's own layers.
"""

import pytest
import torch
from torch import nn

import made_normalised
from spikeduel.engine import ConstantInput, kernels
from spikeduel.engine.kernels import RESET_MECHANISMS, Dynamics, reference
from spikeduel.engine.kernels.reference import SURROGATES
from spikeduel.system import parallel

# T, B, C, H, W and the window; each T up to 8 and each window is compiled anew
SIZES = [
    (4, 3, 16, 6, 6, 2),
    (4, 2, 32, 5, 7, 2),
    (4, 3, 24, 5, 4, 1),
    (9, 1, 47, 2, 3, 2),
    (1, 70, 1, 3, 2, 2),
]
DTYPES = [torch.float32, torch.bfloat16]
CASES = [
    *((size, torch.float32) for size in SIZES[:4]),
    *((SIZES[i], torch.bfloat16) for i in (1, 4)),
]
BETA = 0.9

pytestmark = pytest.mark.usefixtures("buffers_full_of_nan")


def norm_of(channels, **settings):
    """A batch norm whose weights differ by channel."""
    norm = nn.BatchNorm2d(channels, **settings)
    generator = torch.Generator().manual_seed(1)
    norm.weight.data = 1 + 0.3 * torch.randn(channels, generator=generator)
    norm.bias.data = 0.4 + 0.3 * torch.randn(channels, generator=generator)
    return norm


def a_current(size, constant=False, dtype=torch.float32, seed=0):
    num_steps, *shape, _ = size
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(1 if constant else num_steps, *shape, generator=generator) * 1.7 + 0.6).to(
        dtype
    )


def incoming(spk):
    return torch.randn(spk.shape, generator=torch.Generator().manual_seed(2)).to(spk.dtype)


def by_kernel(current, dynamics, size, scan=kernels.normalised_scan):
    """Spikes, and the gradients of current, weight, bias and beta."""
    num_steps, _, channels, *_, window = size
    leaf, norm = current.clone().requires_grad_(), norm_of(channels)
    beta = torch.tensor(BETA, requires_grad=True)
    if scan is kernels.normalised_scan:
        x = ConstantInput(leaf[0], num_steps) if len(current) < num_steps else leaf
        assert kernels.is_normalised(x, norm, beta, dynamics, window)
        spk = scan(x, norm, beta, dynamics, window)
    else:
        affine = norm.weight, norm.bias, beta, norm.eps
        spk, _, _ = scan(leaf, *affine, dynamics, num_steps, window)
    gradients = torch.autograd.grad(spk, (leaf, norm.weight, norm.bias, beta), incoming(spk))
    return spk.detach(), *gradients


def by_reference(current, dynamics, size):
    """Spikes and gradients as `by_kernel` returns them, by the reference."""
    return by_kernel(current, dynamics, size, made_normalised.normalised_scan)


def assert_agree(current, dynamics, size):
    *ours, our_beta = by_kernel(current, dynamics, size)
    *theirs, their_beta = by_reference(current, dynamics, size)
    assert 0 < ours[0].mean() < 1
    for our, their in zip(ours, theirs, strict=True):
        assert our.dtype == their.dtype
        assert torch.equal(our, their)
    torch.testing.assert_close(our_beta, their_beta, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("size", "dtype"), CASES, ids=str)
@pytest.mark.parametrize("constant", [False, True], ids=["sequence", "constant"])
@pytest.mark.parametrize("reset_mechanism", RESET_MECHANISMS)
def test_it_is_the_reference_to_the_last_bit(reset_mechanism, size, constant, dtype):
    assert_agree(a_current(size, constant, dtype), Dynamics(1.0, reset_mechanism), size)


@pytest.mark.parametrize("surrogate", [name for name in SURROGATES if name != "sigmoid"])
def test_under_every_surrogate(surrogate):
    dynamics = Dynamics(1.0, surrogate=surrogate, alpha=SURROGATES[surrogate].alpha)
    assert_agree(a_current(SIZES[0]), dynamics, SIZES[0])


def test_the_kernels_exponential_is_nearly_that_of_torch():
    dynamics, current = Dynamics(1.0, surrogate="sigmoid", alpha=3.0), a_current(SIZES[0])
    ours, theirs = by_kernel(current, dynamics, SIZES[0]), by_reference(current, dynamics, SIZES[0])
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("constant", [False, True], ids=["sequence", "constant"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_number_of_threads_changes_nothing(monkeypatch, dtype, constant):
    monkeypatch.setattr(parallel, "MIN_PART", 1)
    size, results = (4, 40, 16, 9, 6, 2), []
    for num_threads in (1, 2, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda number=num_threads: number)
        results.append(by_kernel(a_current(size, constant, dtype), Dynamics(1.0), size))
    for other in results[1:]:
        for one, another in zip(results[0], other, strict=True):
            assert torch.equal(one, another)


@pytest.mark.parametrize("channels_last", [False, True])
def test_any_layout_in_memory_gives_the_same(channels_last):
    size = SIZES[0]
    current = a_current(size)
    if channels_last:
        current = current.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    spk = kernels.normalised_scan(current, norm_of(16), BETA, Dynamics(1.0), 2)
    assert torch.equal(spk, by_kernel(a_current(size), Dynamics(1.0), size)[0])
    # The next convolution reads it as it lies there.
    assert spk.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_what_is_no_number_stays_none_without_a_word(wrong):
    current = a_current(SIZES[0])
    current[0, 0, 3, 0, 0] = wrong
    spk, gradient, *_ = by_kernel(current, Dynamics(1.0), SIZES[0])
    assert (spk[:, :, 3] == 0).all()
    assert gradient[:, :, 3].isnan().all()
    assert gradient[:, :, :3].isfinite().all()


# ---- against torch's own layers


@pytest.mark.parametrize("constant", [False, True], ids=["sequence", "constant"])
@pytest.mark.parametrize(
    ("size", "reset_mechanism"), [*zip(SIZES, [*RESET_MECHANISMS] * 2, strict=False)], ids=str
)
def test_the_reference_is_what_torchs_layers_give(reset_mechanism, size, constant):
    num_steps, _, channels, *_, window = size
    current, dynamics = a_current(size, constant).double(), Dynamics(1.0, reset_mechanism)
    leaf, norm = current.clone().requires_grad_(), norm_of(channels).double()
    beta = torch.tensor(BETA, dtype=torch.float64, requires_grad=True)
    y = norm(leaf.flatten(0, 1)).unflatten(0, leaf.shape[:2])
    spk = reference.scan(y.expand(num_steps, *leaf.shape[1:]), beta, dynamics)[0]
    spk = nn.MaxPool2d(window)(spk.flatten(0, 1)).unflatten(0, spk.shape[:2])
    affine = norm.weight, norm.bias, beta, norm.eps
    ours, mean, var = made_normalised.normalised_scan(leaf, *affine, dynamics, num_steps, window)
    torch.testing.assert_close(mean, current.mean((0, 1, 3, 4)))
    torch.testing.assert_close(var, current.var((0, 1, 3, 4), correction=0))
    torch.testing.assert_close(ours, spk, rtol=1e-9, atol=1e-9)
    gradients = [
        torch.autograd.grad(result, (leaf, norm.weight, norm.bias, beta), incoming(spk))
        for result in (ours, spk)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("momentum", [0.1, 0.7, None])
@pytest.mark.parametrize("constant", [False, True], ids=["sequence", "constant"])
def test_running_statistics_are_those_of_torch(constant, momentum):
    size = SIZES[0]
    ours, theirs = norm_of(16, momentum=momentum), norm_of(16, momentum=momentum)
    for seed in range(3):
        current = a_current(size, constant, seed=seed)
        x = ConstantInput(current[0], size[0]) if constant else current
        kernels.normalised_scan(x, ours, BETA, Dynamics(1.0), 2)
        theirs(current.flatten(0, 1))
    torch.testing.assert_close(
        dict(ours.named_buffers()), dict(theirs.named_buffers()), rtol=1e-5, atol=1e-6
    )
    assert ours.num_batches_tracked == 3


def test_a_variance_far_from_zero_keeps_its_digits():
    current = a_current((4, 8, 16, 10, 10, 2)) * 0.01 + 300
    _, var = made_normalised.moments(current.flatten(0, 1))
    norm = norm_of(16, momentum=1.0)
    kernels.normalised_scan(current, norm, BETA, Dynamics(1.0), 2)
    expected = current.double().var((0, 1, 3, 4))
    torch.testing.assert_close(norm.running_var.double(), expected, rtol=1e-4, atol=0)
    torch.testing.assert_close(var.double() * 3200 / 3199, expected, rtol=1e-4, atol=0)


def test_the_gradient_of_the_norm_is_that_of_its_numbers():
    generator = torch.Generator().manual_seed(0)
    current, weight, bias = (
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((2, 2, 3, 2, 3), (3,), (3,))
    )
    for rows in (current, current[:1]):
        inputs = rows.detach().requires_grad_(), weight, bias
        assert torch.autograd.gradcheck(
            lambda x, w, b: made_normalised.normalise(x, w, b, 1e-3, 2)[0], inputs
        )


def test_gradients_of_gradients_are_refused():
    norm = norm_of(16)
    spk = kernels.normalised_scan(a_current(SIZES[0]), norm, BETA, Dynamics(1.0), 2)
    (gradient,) = torch.autograd.grad(spk.square().sum(), norm.weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_what_has_no_kernel_is_known():
    current, dynamics = a_current(SIZES[0]), Dynamics(1.0)
    evaluated, frozen = norm_of(16).eval(), nn.BatchNorm2d(16, affine=False)
    untracked, wide = nn.BatchNorm2d(16, track_running_stats=False), norm_of(16).double()
    assert kernels.is_normalised(current, norm_of(16), BETA, dynamics, 2)
    for norm in (evaluated, frozen, untracked, wide, norm_of(32)):
        assert not kernels.is_normalised(current, norm, BETA, dynamics, 2)
    for wrong in (
        current.double(),
        current.half(),
        current[:, :, :, :1],
        current[:0],
        current[0],
        current[:1, :1, :, :1, :1],
        ConstantInput(current[0], 0),
    ):
        norm = norm_of(wrong.shape[-3])
        assert not kernels.is_normalised(wrong, norm, BETA, dynamics, 2)
    for other in (
        dynamics._replace(adaptation=(0.9, 0.1)),
        Dynamics(torch.tensor(1.0)),
        Dynamics(1.0, surrogate="o"),
    ):
        assert not kernels.is_normalised(current, norm_of(16), BETA, other, 2)
    assert not kernels.is_normalised(current, norm_of(16), torch.full((16,), BETA), dynamics, 2)
    with kernels.unfused():
        assert not kernels.is_normalised(current, norm_of(16), BETA, dynamics, 2)


# ---- integer neurons


@pytest.mark.parametrize("with_shortcut", [False, True])
@pytest.mark.parametrize(("size", "dtype"), CASES, ids=str)
def test_shares_are_those_of_the_highest_normalised_current(size, dtype, with_shortcut):
    num_steps, _, channels, *_, window = size
    current, results = a_current(size, constant=True, dtype=dtype)[0], []
    beside = a_current(size, constant=True, dtype=dtype, seed=4)[0] if with_shortcut else None
    for is_fused in (True, False):
        leaf, norm = current.clone().requires_grad_(), norm_of(channels)
        leaves = [leaf] if beside is None else [leaf, beside.clone().requires_grad_()]
        norm.weight.data[::2] *= -1
        if is_fused:
            x = ConstantInput(leaf, num_steps)
            assert kernels.may_normalise(x, norm, window)
            rate = kernels.normalised_rate(x, norm, num_steps, window, *leaves[1:])
        else:
            total = sum((each.float() for each in leaves[1:]), norm(leaf.float()))
            highest = nn.functional.max_pool2d(total, window)
            rate = reference.integer_rate(highest, num_steps).to(dtype)
        learned = *leaves, norm.weight, norm.bias
        gradients = torch.autograd.grad(rate, learned, incoming(rate))
        results.append((rate.detach(), *gradients, norm.running_mean, norm.running_var))
    ours, theirs = results
    assert 0 < ours[0].mean() < 1
    assert torch.equal(ours[0], theirs[0])
    for our, their in zip(ours[1:], theirs[1:], strict=True):
        tolerance = 1e-2 if our.dtype == torch.bfloat16 else 1e-4
        torch.testing.assert_close(our, their, rtol=tolerance, atol=tolerance)
