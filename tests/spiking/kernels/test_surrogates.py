import math

import pytest
import snntorch.surrogate
import torch

from spikeduel.spiking.kernels.reference import SURROGATES, resolve_alpha, spike
from spikeduel.system.errors import InputError

# snnTorch's `triangular` is a sign function, so it is no oracle for ours.
ORACLES = {
    "atan": lambda: snntorch.surrogate.atan(alpha=2.0),
    "fast_sigmoid": lambda: snntorch.surrogate.fast_sigmoid(slope=25),
    "sigmoid": lambda: snntorch.surrogate.sigmoid(slope=25),
    "straight_through_estimator": lambda: snntorch.surrogate.straight_through_estimator(),
}


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


def gradient(function, u):
    u = u.clone().requires_grad_()
    function(u).sum().backward()
    return u.grad


@pytest.mark.parametrize("name", SURROGATES)
def test_the_forward_pass_is_the_step_function(name):
    u = torch.tensor([-2.0, -1e-30, 0.0, 1e-30, 3.0])
    assert spike(u, name).tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("name", ORACLES)
def test_gradients_equal_snntorchs(name):
    u = torch.linspace(-2, 2, 401)
    torch.testing.assert_close(gradient(lambda x: spike(x, name), u), gradient(ORACLES[name](), u))


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
    found = SURROGATES[name].gradient(u, SURROGATES[name].alpha)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found, SURROGATES[name].gradient(-u, SURROGATES[name].alpha))


def test_unknown_names_and_widths_are_refused():
    with pytest.raises(InputError, match="did you mean 'atan'"):
        resolve_alpha("attan")
    with pytest.raises(InputError, match="surrogate_alpha"):
        resolve_alpha("atan", 0.0)
    assert resolve_alpha("atan") == 2.0
    assert resolve_alpha("atan", 3) == 3.0
