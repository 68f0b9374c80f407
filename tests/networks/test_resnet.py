import pytest
import torch

from spikeduel.networks.architectures import ARCHITECTURES
from spikeduel.networks.building import num_parameters
from spikeduel.networks.resnet import LARGEST_FIRST_MAP, ResNetSiLU
from spikeduel.networks.vgg import first_layers


def maps(side):
    """The sides of what each convolution gives."""
    network, found = ResNetSiLU((1, side, side), 10, width=2).eval(), []
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(
                lambda layer, inputs, output: found.append(output.shape[-1])
            )
    network(torch.zeros(1, 1, side, side))
    return found


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        (4, [4, 4, 4, 4, 4, 4, 4]),
        (8, [8, 8, 4, 4, 4, 4, 4]),
        (28, [28, 28, 14, 14, 14, 7, 7]),
        (64, [64, 32, 16, 16, 16, 8, 8]),
        (97, [97, 48, 24, 24, 24, 12, 12, 12, 6, 6]),
        (224, [112, 56, 28, 14, 14, 14, 7, 7]),
    ],
)
def test_maps_of_customary_sides(side, expected):
    assert maps(side) == expected


def test_no_side_has_a_large_or_an_empty_map_before_its_stages():
    for side in range(4, 225):
        num_first = len(first_layers((1, side, side), 2, LARGEST_FIRST_MAP)[0])
        # One more where the stride rounds up.
        assert 4 <= maps(side)[num_first] <= LARGEST_FIRST_MAP + 1


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 33, 70), (1, 97, 40)], ids=str)
def test_every_weight_learns(shape):
    torch.manual_seed(0)
    network = ResNetSiLU(shape, 3, width=4)
    loss = network.readout.loss(network(torch.rand(4, *shape)), torch.tensor([0, 1, 2, 0]))
    loss.backward()
    for name, weights in network.named_parameters():
        assert torch.isfinite(weights.grad).all(), name
        assert weights.grad.any(), name


def test_without_its_convolutions_a_block_still_passes_what_it_gets():
    network = ResNetSiLU((1, 8, 8), 3, width=4).eval()
    block = network.features[-1]
    torch.nn.init.zeros_(block.inner[-1].weight)
    x = torch.rand(2, 16, 4, 4)
    assert torch.equal(block(x), torch.nn.functional.silu(x))


def test_dropout_is_for_training_only():
    network = ResNetSiLU((1, 8, 8), 3, width=4, dropout=0.5)
    images = torch.rand(32, 1, 8, 8)
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


def test_it_is_entered_and_its_width_scales_every_layer():
    assert ARCHITECTURES["resnet-silu"] is ResNetSiLU
    small, large = (num_parameters(ResNetSiLU((1, 28, 28), 10, width=width)) for width in (8, 16))
    assert 3.5 < large / small < 4.1
