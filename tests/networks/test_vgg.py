import math
from functools import partial

import pytest
import torch

from spikeduel.networks.architectures import ARCHITECTURES
from spikeduel.networks.building import num_parameters
from spikeduel.networks.vgg import (
    GROWTH,
    LARGEST_FIRST_MAP,
    SMALLEST_MAP,
    VGGLIF,
    VGGReLU,
    first_layers,
)
from spikeduel.spiking import ConstantInput
from spikeduel.spiking.neurons import LIF, PLIF, ReLU
from spikeduel.system.errors import InputError

NEURON = partial(LIF, beta=0.5, threshold=0.5)
SHAPES = [(1, 8, 8), (3, 9, 9), (1, 28, 28), (3, 24, 70), (1, 97, 40), (3, 25, 224)]


def make(kind, shape=(1, 28, 28), num_classes=3, **settings):
    torch.manual_seed(0)
    if kind is VGGLIF:
        settings = {"neuron": NEURON, **settings}
    return kind(shape, num_classes, **{"width": 6, **settings})


@torch.no_grad()
def maps(side, other=None):
    """The shapes of what each block gives for an image, and the shape of the answer."""
    found = []
    network = VGGReLU((1, side, other or side), 10, width=3).eval()
    for block in network.blocks:
        block.register_forward_hook(
            lambda block, inputs, output: found.append(tuple(output.shape[1:]))
        )
    answer = network(torch.zeros(1, 1, side, other or side))
    return found, tuple(answer.shape)


@pytest.mark.parametrize("other", [None, 8, 224])
def test_every_side_has_maps_that_end_neither_empty_nor_large(other):
    for side in range(8, 225, 1 if other is None else 12):
        found, answer = maps(side, other)
        assert answer == (1, 10)
        smaller = [min(each[1:]) for each in found]
        num_first = len(first_layers((1, side, other or side), 3, LARGEST_FIRST_MAP)[0])
        if other is None:
            # One more where the stride rounds up, and a few more of what three halvings leave of
            # the largest.
            assert (
                SMALLEST_MAP
                <= smaller[num_first - 1]
                <= (LARGEST_FIRST_MAP + 1 if side < 200 else 28)
            )
        # What would leave less than the smallest map is not halved, and all else is.
        assert smaller[-1] >= SMALLEST_MAP
        assert smaller[-1] // 2 < SMALLEST_MAP or len(found) == num_first + 2 * (len(GROWTH) - 1)
        # From layer to layer, no map grows.
        assert smaller == sorted(smaller, reverse=True)


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        (8, [8, 8, 4]),
        (28, [14, 14, 7, 7, 3]),
        (32, [16, 16, 8, 8, 4]),
        (64, [32, 16, 16, 8, 8, 4]),
        (97, [48, 24, 24, 12, 12, 6, 6, 3]),
        (224, [56, 28, 28, 14, 14, 7, 7, 3]),
    ],
)
def test_maps_of_customary_sides(side, expected):
    found, _ = maps(side)
    assert [each[1] for each in found] == expected
    first = [3, 3] if side > 48 else [3]
    assert [each[0] for each in found] == [*first, 6, 6, 8, 8, 12, 12][: len(expected)]


def test_a_side_that_no_halving_leaves_anything_of_still_has_a_layer():
    found, answer = maps(4)
    assert ([each[1] for each in found], answer) == ([4], (1, 10))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_twins_have_weights_of_the_same_names_and_shapes_and_start_from_the_same_numbers(shape):
    spiking, plain = make(VGGLIF, shape).state_dict(), make(VGGReLU, shape).state_dict()
    assert list(spiking) == list(plain)
    assert all(torch.equal(value, plain[name]) for name, value in spiking.items())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", [VGGLIF, VGGReLU])
def test_every_weight_learns(kind, shape):
    network = make(kind, shape)
    images = torch.rand(4, *shape)
    output = network(ConstantInput(images, 3) if kind is VGGLIF else images)
    assert network.readout.scores(output).shape == (4, 3)
    network.readout.loss(output, torch.tensor([0, 1, 2, 0])).backward()
    for name, weights in network.named_parameters():
        assert weights.grad is not None, name
        assert torch.isfinite(weights.grad).all(), name
        assert weights.grad.any(), name


@pytest.mark.parametrize("pooling", ["max", "avg"])
def test_with_relu_for_its_neurons_the_spiking_one_is_its_twin(pooling):
    spiking, plain = make(VGGLIF, neuron=ReLU, pooling=pooling), make(VGGReLU, pooling=pooling)
    images = torch.rand(5, 1, 28, 28)
    torch.testing.assert_close(spiking(ConstantInput(images, 1))[0], plain(images))
    other = make(VGGReLU, pooling="avg" if pooling == "max" else "max")
    assert not torch.allclose(other(images), plain(images))


def test_a_neuron_that_learns_numbers_of_its_own_has_them_beside_the_twins():
    learning, plain = make(VGGLIF, neuron=PLIF).state_dict(), make(VGGReLU).state_dict()
    assert set(plain) < set(learning)
    assert all(torch.equal(value, learning[name]) for name, value in plain.items())


def test_every_layer_but_the_first_gets_spikes():
    network, seen = make(VGGLIF, (3, 28, 28)), []
    for layer in [*network.blocks, network.linear]:
        layer.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    network(ConstantInput(torch.rand(4, 3, 28, 28), 3))
    first, *others = [getattr(each, "value", each) for each in seen]
    assert len(first.unique()) > 2
    for each in others:
        assert set(each.unique().tolist()) == {0.0, 1.0}


def test_dropout_is_for_training_only_and_hides_its_share_of_the_last_layers_inputs():
    network = make(VGGReLU, dropout=0.3)
    seen = []
    network.linear[-1].register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    network.linear[1].register_forward_hook(lambda layer, inputs, output: seen.append(output))
    images = torch.rand(64, 1, 28, 28)
    network(images)
    whole, left = seen
    hidden = (left == 0) & (whole != 0)
    assert float(hidden.sum() / (whole != 0).sum()) == pytest.approx(0.3, abs=0.06)
    network.eval()
    seen.clear()
    assert torch.equal(network(images), network(images))
    assert torch.equal(*seen[:2])


@pytest.mark.parametrize("dropout", [None, 0.0])
def test_without_dropout_training_hides_nothing(dropout):
    network = make(VGGLIF, dropout=dropout)
    images = ConstantInput(torch.rand(4, 1, 28, 28), 2)
    assert torch.equal(network(images), network(images))


def test_dropout_changes_no_weight():
    assert make(VGGLIF, dropout=0.5).state_dict().keys() == make(VGGLIF).state_dict().keys()


def test_width_scales_every_layer():
    small, large = (num_parameters(make(VGGReLU, width=width)) for width in (6, 12))
    assert 3 < large / small < 4.1
    for width, expected in (
        (24, [24, 48, 48, 64, 64]),
        (32, [32, 64, 64, 80, 80]),
        (20, [20, 40, 40, 53, 53]),
    ):
        assert [block[0].out_channels for block in make(VGGReLU, width=width).blocks] == expected


def test_they_are_entered_and_a_wrong_pooling_is_named():
    assert (ARCHITECTURES["vgg-lif"], ARCHITECTURES["vgg-relu"]) == (VGGLIF, VGGReLU)
    with pytest.raises(InputError, match="did you mean 'avg'"):
        make(VGGReLU, pooling="avgg")


def test_large_images_are_made_smaller_before_there_is_time():
    network = make(VGGLIF, (3, 224, 224))
    first = network.blocks[0][0]
    assert (first.stride, first.kernel_size) == ((2, 2), (5, 5))
    assert math.prod(first(torch.rand(1, 3, 224, 224)).shape[2:]) == 112 * 112
