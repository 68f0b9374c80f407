"""ReLU of the max-pooling of a convolution in one pass: PyTorch's numbers but for rounding."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from spikeduel.engine.kernels import cpu
from spikeduel.engine.networks import pooling_kernels
from spikeduel.engine.networks.architectures import SmallCNN
from spikeduel.engine.networks.chains import join_layers, relu_of_max_pool_of_conv
from spikeduel.system import parallel

pytestmark = pytest.mark.numeric

DTYPES = (torch.bfloat16, torch.float32)


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    monkeypatch.setattr(parallel, "MIN_PART", 16)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "channels"), [((3, 1, 8, 6), 16), ((2, 3, 7, 9), 48), ((1, 4, 4, 5), 16)]
)
def test_a_first_convolution_and_its_pooling_are_one(shape, channels, dtype, monkeypatch):
    """Numbers and gradients are PyTorch's but for rounding; those in bf16 are those in float32,
    rounded once.
    """
    monkeypatch.setattr(
        cpu, "empty", lambda shape, dtype=torch.float32: torch.full(shape, math.nan, dtype=dtype)
    )
    torch.manual_seed(0)
    conv, x = nn.Conv2d(shape[1], channels, 3), torch.rand(shape).to(dtype).float()
    conv.to(dtype).float()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        ours = relu_of_max_pool_of_conv(conv, x)
    assert ours.dtype == dtype
    assert ours.is_contiguous(memory_format=torch.channels_last)
    expected = F.relu(F.max_pool2d(conv(x), 2))
    grad = torch.randn(expected.shape).to(dtype)
    rtol, atol = (8e-3, 1e-2) if dtype == torch.bfloat16 else (1e-5, 1e-5)
    torch.testing.assert_close(ours.float(), expected, rtol=rtol, atol=atol)
    gradients = (
        torch.autograd.grad(result, (conv.weight, conv.bias), grad.to(result.dtype))
        for result in (ours, expected)
    )
    torch.testing.assert_close(*gradients, rtol=rtol, atol=atol)


def test_what_a_first_convolution_does_not_fit_takes_pytorchs_way(monkeypatch):
    monkeypatch.setattr(pooling_kernels, "ReluOfMaxPoolOfConv", None)
    x, followed = torch.rand(2, 1, 6, 6), nn.Conv2d(1, 16, 3)
    followed.register_forward_hook(lambda *images: None)
    for conv, images in (
        (followed, x),
        (nn.Conv2d(1, 16, 3).double(), x.double()),
        (nn.Conv2d(1, 16, 2), x),
        (nn.Conv2d(1, 16, 3, padding=1), x),
        (nn.Conv2d(1, 16, 3, stride=2), x.repeat(1, 1, 2, 2)),
        (nn.Conv2d(2, 16, 3, groups=2), x.repeat(1, 2, 1, 1)),
        (nn.Conv2d(1, 15, 3), x),
        (nn.Conv2d(5, 16, 3), x.expand(-1, 5, -1, -1)),
        (nn.Conv2d(1, 16, 3), x.clone().requires_grad_()),
    ):
        assert torch.equal(
            relu_of_max_pool_of_conv(conv, images), F.relu(F.max_pool2d(conv(images), 2))
        )


def test_the_number_of_threads_changes_no_gradient(monkeypatch):
    torch.manual_seed(0)
    conv, x, results = nn.Conv2d(1, 16, 3), torch.rand(9, 1, 12, 12), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        y = relu_of_max_pool_of_conv(conv, x)
        results.append((y, *torch.autograd.grad(y.square().sum(), [conv.weight, conv.bias])))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_a_network_trains_by_it_and_predicts_without(monkeypatch):
    network, x = SmallCNN((1, 12, 12), 4), torch.rand(2, 1, 12, 12)
    network(x)
    monkeypatch.setattr(pooling_kernels, "ReluOfMaxPoolOfConv", None)
    network(x)
    join_layers(network)
    network.eval()(x)
    with pytest.raises(AttributeError):
        network.train()(x)
