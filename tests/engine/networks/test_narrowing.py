import copy

import pytest
import torch
from torch import nn

from made_models import make
from spikeduel.engine import ConstantInput
from spikeduel.engine.networks.narrowing import can_narrow, inherit
from spikeduel.system.errors import InputError

SHAPE = (1, 28, 28)


def vgg(name, width, **settings):
    spiking = {"kind": "snn", "num_steps": 3, "encoding": "direct"} if name == "vgg-lif" else {}
    neuron = {"neuron": "lif", "beta": 0.5, "threshold": 0.5} if spiking else {}
    card = {"image_shape": SHAPE, "network": {"width": width, **neuron, **settings}, **spiking}
    return make(name, **card).module.eval()


def outputs(module, images):
    given = ConstantInput(images, 3) if module.kind == "snn" else images
    with torch.no_grad():
        return module(given)


@pytest.mark.parametrize("name", ["vgg-lif", "vgg-relu"])
def test_channels_that_do_nothing_are_left_out_first(name):
    """Half of the channels give 0, and the narrow network outputs as the wide one does."""
    torch.manual_seed(0)
    wide, narrow = vgg(name, 16), vgg(name, 8)
    norms = [part for part in wide.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm, narrow_norm in zip(
        norms, [part for part in narrow.modules() if isinstance(part, nn.BatchNorm2d)], strict=True
    ):
        idle = torch.randperm(len(norm.weight))[len(narrow_norm.weight) :]
        norm.weight.data.uniform_(1.0, 2.0)
        norm.running_mean.uniform_(-0.1, 0.1)
        norm.weight.data[idle] = 0.0
        norm.bias.data[idle] = 0.0
    images = torch.rand(4, *SHAPE)
    before = outputs(wide, images)
    assert before.abs().max() > 0
    inherit(narrow, wide)
    assert torch.allclose(outputs(narrow, images), before, atol=1e-5)


def test_the_same_shapes_take_all_weights():
    source, module = vgg("vgg-lif", 8), vgg("vgg-lif", 8)
    expected = copy.deepcopy(source.state_dict())
    inherit(module, source)
    assert all(torch.equal(value, expected[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize(("bits", "of_source"), [(8, None), (4, 8), (8, 4), (8, 8)])
def test_few_levels_of_activations_span_their_own_range(bits, of_source):
    """Batch norm takes the range of the new levels, and the last layer gives it back. With many
    levels, the outputs differ by rounding alone.
    """
    torch.manual_seed(0)
    source = vgg("vgg-relu", 8, **({"activation_bits": of_source} if of_source else {}))
    module = vgg("vgg-relu", 8, activation_bits=bits)
    for norm in (part for part in source.modules() if isinstance(part, nn.BatchNorm2d)):
        norm.running_mean.uniform_(-0.1, 0.1)
    images = torch.rand(16, *SHAPE)
    source.train()
    with torch.no_grad():
        for _ in range(50):  # statistics of these images
            source(images)
    source.eval()
    inherit(module, source)
    expected, found = outputs(source, images), outputs(module, images)
    assert torch.equal(found, outputs(module, images))
    assert torch.corrcoef(torch.stack([expected.flatten(), found.flatten()]))[0, 1] > 0.9
    assert torch.equal(expected, found) == (bits == of_source)
    if bits == 8:
        tolerance = 0.05 if of_source is None else 0.3
        assert (expected - found).abs().max() < tolerance * expected.std()


def test_other_networks_than_chains_are_refused():
    wide, narrow = (
        make("resnet-silu", kind="cnn", image_shape=SHAPE, network={"width": width}).module
        for width in (16, 8)
    )
    assert not can_narrow(wide)
    with pytest.raises(InputError, match="chain"):
        inherit(narrow, wide)
