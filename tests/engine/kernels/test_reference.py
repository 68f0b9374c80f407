"""The reference against hand-computed values, published vectors, and snnTorch."""

import math
import warnings

import numpy as np
import pytest
import snntorch.surrogate
import torch

from spikeduel.engine.kernels import RESET_MECHANISMS, reference
from spikeduel.engine.kernels.reference import SURROGATES, resolve_alpha, spike
from spikeduel.system.errors import InputError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import snntorch

# snnTorch's `triangular` is a sign function, so it is no oracle for ours.
SNNTORCH_SURROGATES = {
    "atan": (2.0, snntorch.surrogate.atan(alpha=2.0)),
    "fast_sigmoid": (25.0, snntorch.surrogate.fast_sigmoid(slope=25)),
    "sigmoid": (25.0, snntorch.surrogate.sigmoid(slope=25)),
    "straight_through_estimator": (1.0, snntorch.surrogate.straight_through_estimator()),
}


def lif_scan(current, beta, threshold, reset_mechanism="subtract", surrogate="atan", alpha=2.0):
    dynamics = reference.Dynamics(threshold, reset_mechanism, surrogate, alpha)
    return reference.scan(current, beta, dynamics)[:2]


def alif_scan(current, beta, threshold, adaptation, reset_mechanism, surrogate="atan", alpha=2.0):
    dynamics = reference.Dynamics(threshold, reset_mechanism, surrogate, alpha, adaptation)
    return reference.scan(current, beta, dynamics)[:2]


def snntorch_scan(current, beta, threshold, reset_mechanism, spike_grad):
    neuron = snntorch.Leaky(
        beta=beta, threshold=threshold, reset_mechanism=reset_mechanism, spike_grad=spike_grad
    )
    mem = neuron.init_leaky()
    steps = []
    for now in current.unbind(0):
        spk, mem = neuron(now, mem)
        steps.append((spk, mem))
    return tuple(torch.stack(x) for x in zip(*steps, strict=True))


@pytest.mark.parametrize(
    ("reset_mechanism", "expected_mem", "expected_spk"),
    [
        # Input 1.5, 0, 0.75, 0.75; beta 0.5; threshold 1. A reset acts one step after its spike.
        ("subtract", [1.5, -0.25, 0.625, 1.0625], [1, 0, 0, 1]),
        ("zero", [1.5, 0.0, 0.75, 1.125], [1, 0, 0, 1]),
        ("none", [1.5, 0.75, 1.125, 1.3125], [1, 0, 1, 1]),
    ],
)
def test_four_steps_by_hand(reset_mechanism, expected_mem, expected_spk):
    current = torch.tensor([1.5, 0.0, 0.75, 0.75]).view(4, 1)
    spk, mem = lif_scan(current, 0.5, 1.0, reset_mechanism)
    assert mem.flatten().tolist() == expected_mem
    assert spk.flatten().tolist() == expected_spk


def test_gradient_by_hand():
    # Straight through, beta 0.5, reset to zero: a step's gradient reaches back until the last
    # spike.
    current = torch.tensor([1.5, 0.25, 0.25]).view(3, 1).requires_grad_()
    spk, _ = lif_scan(current, 0.5, 1.0, "zero", "straight_through_estimator")
    spk[2].sum().backward()
    assert current.grad.flatten().tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("reset_mechanism", "expected_mem", "expected_spk"),
    [
        # Input 1.5, 1, 0.75, 1; beta 0.5; threshold 1; decay 0.5; gain 0.5. After the first spike
        # the adaptation is 1, 0.5, 0.25, hence the threshold 1.5, 1.25, 1.125.
        ("subtract", [1.5, 0.75, 1.125, 1.5625], [1, 0, 0, 1]),
        ("zero", [1.5, 1.0, 1.25, 1.625], [1, 0, 0, 1]),
        # A second spike at once: 1, 1.5, 0.75, hence 1.5, 1.75, 1.375.
        ("none", [1.5, 1.75, 1.625, 1.8125], [1, 1, 0, 1]),
    ],
)
def test_four_adaptive_steps_by_hand(reset_mechanism, expected_mem, expected_spk):
    current = torch.tensor([1.5, 1.0, 0.75, 1.0]).view(4, 1)
    spk, mem = alif_scan(current, 0.5, 1.0, (0.5, 0.5), reset_mechanism)
    assert mem.flatten().tolist() == expected_mem
    assert spk.flatten().tolist() == expected_spk


def test_adaptive_gradient_by_hand():
    # Straight through, beta b = 0.5, decay d = 0.5, gain g = 0.25: a step back, the membrane counts
    # through the next one and through the adaptation of the spike: b − g; two steps back: b·(b − g)
    # − g·d + g².
    current = torch.full((3, 1), 0.5, requires_grad=True)
    spk, _ = alif_scan(current, 0.5, 1.0, (0.5, 0.25), "subtract", "straight_through_estimator")
    spk[2].sum().backward()
    assert current.grad.flatten().tolist() == [0.0625, 0.25, 1.0]


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("reset_mechanism", RESET_MECHANISMS)
@pytest.mark.parametrize("surrogate", SNNTORCH_SURROGATES)
def test_agrees_with_snntorch(surrogate, reset_mechanism, beta):
    alpha, spike_grad = SNNTORCH_SURROGATES[surrogate]
    generator = torch.Generator().manual_seed(1)
    # Multiples of 1/64: every sum and product is exact, so that nothing may differ in the last bit.
    # Not below −1/4: snnTorch's sigmoid gradient is NaN where exp(−25·u) overflows, at u < −3.55.
    x = (torch.randint(-16, 112, (8, 3, 17), generator=generator) / 64).requires_grad_()
    weights = list(torch.randn(2, 8, 3, 17, generator=generator))
    ours = lif_scan(x, beta, 1.0, reset_mechanism, surrogate, alpha)
    theirs = snntorch_scan(x, beta, 1.0, reset_mechanism, spike_grad)
    assert 0 < ours[0].mean() < 1
    assert all(map(torch.equal, ours, theirs))
    gradients = [torch.autograd.grad(results, x, weights) for results in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("surrogate", ["atan", "straight_through_estimator"])
def test_membrane_gradient_equals_finite_differences(surrogate):
    # Without a reset the membrane is linear in the current, so that finite differences apply.
    current = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    assert torch.autograd.gradcheck(
        lambda x: lif_scan(x, 0.9, 1.0, "none", surrogate)[1], current.requires_grad_()
    )


@pytest.mark.parametrize(
    ("word", "rounds", "expected"),
    [
        (0x00000000, 10, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (0xFFFFFFFF, 10, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (0x00000000, 7, (0x5F6FB709, 0x0D893F64, 0x4F121F81, 0x4F730A48)),
    ],
)
def test_philox_gives_the_published_words(word, rounds, expected):
    """The vectors published with Random123 (`kat_vectors`)."""
    words = reference.philox(np.full(4, word, np.uint32), np.full(2, word, np.uint32), rounds)
    assert tuple(words.tolist()) == expected


@pytest.mark.parametrize("axis", [0, 1, 2], ids=["steps", "images", "pixels"])
@pytest.mark.parametrize("lag", [1, 2, 4])
def test_levels_do_not_correlate(axis, lag):
    # Keys differ in their lowest bits only, as those of neighbouring images may.
    levels = reference.draw_levels(np.arange(32, dtype=np.uint64), 32, 400).astype(np.float64) - 127
    levels = np.moveaxis(levels, axis, 0)
    products = levels[lag:] * levels[:-lag]
    z = products.sum() / (np.sqrt(products.size) * levels.var())
    assert abs(z) < 4


@pytest.mark.parametrize("alpha", [1.0, 25.0])
def test_sigmoid_keeps_its_digits_over_the_whole_range(alpha):
    # s·(1 − s) as it stands has two digits left at alpha·u = 10, and none at 17.
    u = torch.linspace(-80, 80, 20_001) / alpha
    exact = SURROGATES["sigmoid"].gradient(u.double(), alpha)
    from_logistic = alpha * torch.sigmoid(alpha * u.double()) * torch.sigmoid(-alpha * u.double())
    torch.testing.assert_close(exact, from_logistic, rtol=1e-12, atol=0)
    torch.testing.assert_close(
        SURROGATES["sigmoid"].gradient(u, alpha).double(), exact, rtol=2e-5, atol=0
    )


@pytest.mark.parametrize("name", SURROGATES)
def test_the_forward_pass_is_the_step_function(name):
    u = torch.tensor([-2.0, -1e-30, 0.0, 1e-30, 3.0])
    assert spike(u, name).tolist() == [0, 0, 0, 1, 1]


def test_hand_computed_gradients():
    u = torch.tensor([0.0, 0.5])
    assert SURROGATES["atan"].gradient(u, 2.0)[1] == pytest.approx(1 / (1 + (math.pi / 2) ** 2))
    assert SURROGATES["fast_sigmoid"].gradient(u, 2.0).tolist() == [1, 0.25]
    assert SURROGATES["sigmoid"].gradient(u, 4.0)[0] == 1
    assert SURROGATES["triangular"].gradient(u, 1.0).tolist() == [1, 0.5]
    assert SURROGATES["straight_through_estimator"].gradient(u, 1.0).tolist() == [1, 1]


@pytest.mark.parametrize("name", ["atan", "sigmoid", "triangular"])
def test_gradients_of_smoothed_steps_integrate_to_one(name):
    u = torch.linspace(-500, 500, 1_000_001, dtype=torch.float64)
    area = torch.trapezoid(SURROGATES[name].gradient(u, SURROGATES[name].alpha), u)
    assert float(area) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", SURROGATES)
def test_gradients_are_finite_and_even(name):
    u = torch.tensor([0.0, 1e-8, 1.0, 1e4])
    gradients = SURROGATES[name].gradient(u, SURROGATES[name].alpha)
    assert torch.isfinite(gradients).all()
    torch.testing.assert_close(gradients, SURROGATES[name].gradient(-u, SURROGATES[name].alpha))


def test_unknown_names_and_widths_are_refused():
    with pytest.raises(InputError, match="did you mean 'atan'"):
        resolve_alpha("attan")
    with pytest.raises(InputError, match="surrogate_alpha"):
        resolve_alpha("atan", 0.0)
    assert resolve_alpha("atan") == 2.0
    assert resolve_alpha("atan", 3) == 3.0
