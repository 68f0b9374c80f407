import pytest
import torch
from torch import nn

from spikeduel.exchange.agreement import folded, rounded_to_int8


@pytest.mark.parametrize(
    ("pooling", "folds"),
    [
        (nn.AvgPool2d(2), True),
        (nn.AvgPool2d(3, 2), True),
        (nn.AvgPool2d(2, padding=1), False),
        (nn.MaxPool2d(2), False),
    ],
    ids=str,
)
def test_a_norm_is_folded_over_averages_and_over_nothing_else(pooling, folds):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), pooling, nn.BatchNorm2d(3))
    for _ in range(3):
        network(torch.randn(8, 2, 9, 9) * 2 + 1)
    images = torch.randn(4, 2, 9, 9)
    expected = network.eval()(images)
    found = folded(network)
    torch.testing.assert_close(found(images), expected)
    assert isinstance(found[2], nn.Identity) == folds


def test_a_folded_network_computes_the_same():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3)),
        nn.Flatten(),
        nn.Sequential(nn.Linear(48, 5), nn.BatchNorm1d(5)),
    )
    for norm in (network[0][2], network[2][1]):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 3)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    x = torch.rand(6, 2, 4, 4)
    expected = network.eval()(x)
    result = folded(network)
    torch.testing.assert_close(result(x), expected)
    assert not [
        layer for layer in result.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)
    ]


def test_weights_by_hand():
    layer = nn.Linear(2, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.27, -0.504], [0.0, 0.0], [-2.54, 0.021]]))
    bias = layer.bias.clone()
    rounded_to_int8(layer)
    # Scales 0.01, none, 0.02: values 127 and −50, 0 and 0, −127 and 1.
    torch.testing.assert_close(
        layer.weight, torch.tensor([[1.27, -0.5], [0.0, 0.0], [-2.54, 0.02]])
    )
    assert torch.equal(layer.bias, bias)
