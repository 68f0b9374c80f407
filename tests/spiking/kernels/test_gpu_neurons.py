"""The surrogates in Triton against their formulas; the steps are tested in the scans that they make."""

import pytest
import torch

from spikeduel.spiking.kernels.gpu_neurons import surrogate_gradient
from spikeduel.spiking.surrogates import SURROGATES
from triton_device import DEVICE, tl, triton


@triton.jit
def fill(out, u, size, alpha, SURROGATE: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(out + i, surrogate_gradient(tl.load(u + i, mask=i < size, other=0.0), alpha, SURROGATE), mask=i < size)


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.parametrize("surrogate", SURROGATES)
@pytest.mark.parametrize("alpha", [0.5, 2.0, 25.0])
def test_surrogates_have_a_kernel_that_equals_their_gradient(surrogate, alpha):
    """A new surrogate works without one, through the reference: give it one, or leave it out here."""
    infinity = float("inf")
    ends = torch.tensor([0.0, -0.0, 1e-8, -1e-8, 1e4, -1e4, 1e30, -1e30, infinity, -infinity])
    u = torch.cat([torch.linspace(-30, 30, 2001), ends])
    out = torch.full_like(u, torch.nan, device=DEVICE)
    fill[(1,)](out, u.to(DEVICE), len(u), alpha, SURROGATE=surrogate, BLOCK=2048, enable_fp_fusion=False)
    exact = SURROGATES[surrogate].gradient(u.double(), alpha).float()
    torch.testing.assert_close(out.cpu(), exact, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("surrogate", ["atan", "fast_sigmoid", "sigmoid", "triangular"])
def test_the_gradient_at_nan_is_nan(surrogate):
    out, u = torch.zeros(16, device=DEVICE), torch.full((16,), torch.nan, device=DEVICE)
    fill[(1,)](out, u, 16, 2.0, SURROGATE=surrogate, BLOCK=16, enable_fp_fusion=False)
    assert out.isnan().all()
