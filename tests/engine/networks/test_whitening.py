"""A first layer that whitens: what its filters give has the same variance in every direction, and
stands twice.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from spikeduel.engine.networks.building import whiten


def images(*shape):
    """Noise that is smooth along rows, so that some directions vary much more than others."""
    noise = torch.randn(60, *shape, generator=torch.Generator().manual_seed(0))
    return (128 + 50 * F.avg_pool2d(noise, (1, 3), 1, (0, 1))).clamp(0, 255).byte()


@pytest.mark.parametrize("kernel", [(2, 2), (2, 3), (3, 1)])
def test_directions_have_one_variance_and_do_not_go_together(kernel):
    torch.manual_seed(0)
    layer, x = nn.Conv2d(2, 20, kernel, stride=kernel, bias=False), images(2, 12, 12)
    whiten(nn.Sequential(nn.Identity(), layer), x)
    size = 2 * kernel[0] * kernel[1]
    assert torch.equal(layer.weight[1 : 2 * size : 2], -layer.weight[: 2 * size : 2])
    with torch.no_grad():
        covariance = torch.cov(layer(x / 255)[:, : 2 * size : 2].movedim(1, 0).flatten(1))
    torch.testing.assert_close(
        covariance / covariance[0, 0], torch.eye(len(covariance)), rtol=1e-3, atol=1e-3
    )


def test_filters_are_as_large_as_before_and_those_too_many_stay():
    torch.manual_seed(0)
    layer = nn.Conv2d(1, 11, 2)
    before = layer.weight.detach().clone()
    whiten(layer, images(1, 9, 8))
    assert torch.equal(layer.weight[8:], before[8:])
    size = before.flatten(1).square().sum(1).mean().sqrt()
    torch.testing.assert_close(layer.weight[:8].flatten(1).norm(dim=1).mean(), size)


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Linear(4, 2), (1, 2, 2)),
        (nn.Conv2d(3, 4, 2), (1, 5, 5)),
        (nn.Conv2d(2, 4, 2, groups=2), (2, 5, 5)),
        (nn.Conv2d(1, 4, 3, padding=1), (1, 2, 5)),
    ],
    ids=str,
)
def test_where_there_are_no_such_patches_nothing_changes(module, shape):
    before = module.weight.detach().clone()
    whiten(module, images(*shape))
    assert torch.equal(module.weight, before)
