import torch
from torch import nn

from spikeduel.exchange.exporting.folding import folded


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
    assert not [layer for layer in result.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]


def test_a_norm_that_follows_nothing_linear_stays():
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.BatchNorm1d(4))
    assert isinstance(folded(network)[2], nn.BatchNorm1d)
