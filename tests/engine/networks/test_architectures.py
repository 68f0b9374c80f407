import inspect
from functools import partial

import pytest
import snntorch
import torch
from torch.nn import functional as F

from spikeduel.engine import ConstantInput
from spikeduel.engine.networks.architectures import (
    ARCHITECTURES,
    GROWTH,
    MAX_FIRST_MAP,
    MAX_FIRST_MAP_OF_RESNET,
    MIN_MAP,
    first_layers,
)
from spikeduel.engine.networks.building import num_parameters
from spikeduel.engine.networks.chains import join_layers
from spikeduel.engine.neurons import LIF, PLIF, IntegerIF, QuantisedReLU, ReLU

SHAPES = [(1, 28, 28), (3, 10, 13), (1, 8, 8), (1, 1, 1), (3, 33, 20)]
LARGER = [(3, 24, 70), (1, 97, 40), (3, 25, 224)]
NAMES = [name for name in ARCHITECTURES if name != "sequential"]
TWINS = [("conv-lif", "conv-relu"), ("dense-lif", "dense-relu"), ("vgg-lif", "vgg-relu")]


def make(name, shape=(1, 28, 28), num_classes=10, **settings):
    """The architecture with those of these settings that it takes; its weights are always the
    same.
    """
    settings = {"neuron": LIF, "hidden": 16, "width": 4, **settings}
    taken = inspect.signature(ARCHITECTURES[name]).parameters
    torch.manual_seed(0)
    return ARCHITECTURES[name](
        shape, num_classes, **{key: value for key, value in settings.items() if key in taken}
    )


@pytest.mark.parametrize(
    ("name", "edge", "expected"),
    [
        ("dense-snn", 97, 9_646_090),
        ("small-cnn", 97, 15_875_786),
        ("dense-snn", 28, 814_090),
        ("small-cnn", 28, 835_274),
    ],
)
def test_parameter_counts_of_the_study(name, edge, expected):
    with torch.device("meta"):
        assert num_parameters(make(name, (1, edge, edge), hidden=1024)) == expected


@pytest.mark.parametrize(
    ("name", "shape"),
    [(name, shape) for name in NAMES for shape in (SHAPES[0], SHAPES[1], SHAPES[3])]
    + [(name, shape) for name in ("vgg-lif", "resnet-silu") for shape in LARGER],
    ids=str,
)
def test_any_size_channels_and_classes_train(name, shape):
    module = make(name, shape, 3, neuron=partial(LIF, beta=0.5, threshold=0.5), hidden=8)
    images = torch.rand(4, *shape)
    output = module(ConstantInput(images, 5) if module.kind == "snn" else images)
    scores = module.readout.scores(output)
    assert (scores.shape, scores.dtype) == ((4, 3), torch.float32)
    module.readout.loss(output, torch.tensor([0, 1, 2, 0])).backward()
    for parameter in module.parameters():
        assert torch.isfinite(parameter.grad).all()
        # A single frame teaches a recurrent unit nothing of its state.
        assert name == "vgg-gru" or min(shape[1:]) < 8 or parameter.grad.any()


@pytest.mark.parametrize("name", ["dense-snn", "dense-lif", "conv-lif", "vgg-lif"])
def test_a_spiking_network_treats_a_constant_like_its_sequence_and_runs_layer_by_layer(name):
    # Batch norm in use, not in training: its statistics over one image a step and over the copies
    # differ in rounding.
    module = make(name, (1, 12, 12), 3, pooling="avg").eval()
    images = torch.randint(0, 2, (4, 1, 12, 12)).float()
    x = images.expand(6, 4, 1, 12, 12)
    once, again = module(ConstantInput(images, 6)), module(x)
    for one, other in zip(once, again, strict=True):
        torch.testing.assert_close(one, other)
    for layer in module.layers():
        x = layer(x)[0] if isinstance(layer, LIF) else layer(x.flatten(0, 1)).unflatten(0, (6, 4))
    torch.testing.assert_close(x, again[0] if isinstance(again, tuple) else again)


def test_dense_snn_is_the_studys_network_as_snntorch_runs_it():
    module = make("dense-snn", (1, 6, 6), 4, neuron=partial(LIF, beta=0.95), hidden=20)
    first, second = (snntorch.Leaky(beta=0.95) for _ in range(2))
    hidden, steps = first.init_leaky(), [(None, second.init_leaky())]
    x = torch.rand(10, 5, 1, 6, 6) * 3
    for now in x:
        spk, hidden = first(module.linear1(now.flatten(1)), hidden)
        steps.append(second(module.linear2(spk), steps[-1][1]))
    spikes, membranes = map(torch.stack, zip(*steps[1:], strict=True))
    spk, mem = module(x)
    assert 0 < spk.mean() < 1
    torch.testing.assert_close(mem, membranes, atol=1e-5, rtol=0)
    assert ((spk == spikes) | ((membranes - 1).abs() < 1e-5)).all()


@pytest.mark.parametrize("twins", TWINS, ids=str)
@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[3], LARGER[0]], ids=str)
@pytest.mark.parametrize("neuron", [LIF, PLIF])
def test_twins_have_weights_of_the_same_names_shapes_and_first_numbers(neuron, twins, shape):
    spiking, other = (make(name, shape, neuron=neuron).state_dict() for name in twins)
    # Numbers that neurons learn are beside them.
    learned = {name for name in spiking if name.endswith("beta_logit")}
    assert (list(spiking.keys() - other.keys() - learned), bool(learned)) == ([], neuron is PLIF)
    assert all(torch.equal(value, spiking[name]) for name, value in other.items())


@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize("twins", TWINS, ids=str)
def test_a_spiking_network_with_relu_for_neurons_is_its_twin(twins, pooling):
    spiking, other = make(twins[0], neuron=ReLU, pooling=pooling), make(twins[1], pooling=pooling)
    images, gradients = torch.rand(6, 1, 28, 28), []
    outputs = spiking(ConstantInput(images, 1)), other(images)
    torch.testing.assert_close(outputs[0][0], outputs[1])
    for module, output in zip((spiking, other), outputs, strict=True):
        module.readout.loss(output, torch.arange(6)).backward()
        gradients.append({name: weights.grad for name, weights in module.named_parameters()})
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("neuron", [ReLU, QuantisedReLU])
def test_the_studys_network_with_relu_decides_by_the_output_current_and_its_loss_is_plain(neuron):
    torch.manual_seed(0)
    module = ARCHITECTURES["dense-snn"]((1, 6, 6), 4, neuron=neuron, hidden=20)
    images, labels = torch.rand(200, 1, 6, 6) * 4 - 2, torch.arange(200) % 4
    output = module(ConstantInput(images, 1))
    current = module.linear2(module.lif1.activation(module.linear1(images.flatten(1))))
    assert torch.equal(module.readout.scores(output).argmax(1), current.argmax(1))
    assert len(current.argmax(1).unique()) > 1
    torch.testing.assert_close(
        module.readout.loss(output, labels), F.cross_entropy(current, labels)
    )


@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[4], LARGER[0]], ids=str)
@pytest.mark.parametrize("name", ["vgg-integer", "resnet-integer"])
def test_spikes_of_an_integer_network_give_the_scores_of_one_pass(name, shape):
    module = make(name, shape, width=8)
    images = torch.rand(32, *shape)
    for _ in range(20):  # statistics with which all layers spike
        module(ConstantInput(images, 4))
    # In float32, sums in another order could pass a threshold.
    module, images = module.double().eval(), images.double()
    spikes = module(ConstantInput(images, 4))
    for part in module.modules():
        if isinstance(part, IntegerIF):
            part.levels = 4
    once = module(ConstantInput(images, 1))
    torch.testing.assert_close(spikes, once, rtol=0, atol=1e-6)
    assert torch.equal(spikes.argmax(1), once.argmax(1))
    assert len(once.unique(dim=0)) > 16


@pytest.mark.parametrize("name", ["vgg-integer", "resnet-integer"])
def test_an_integer_network_trains_in_one_pass_joined_or_not_as_it_spikes(name):
    images, module, seen = torch.rand(6, 1, 28, 28), make(name, width=8), []
    convolutions = [part for part in module.modules() if isinstance(part, torch.nn.Conv2d)]
    for part in convolutions:
        part.register_forward_hook(lambda part, inputs, output: seen.append(len(output)))
    apart = module(ConstantInput(images, 4))
    join_layers(module)
    torch.testing.assert_close(module(ConstantInput(images, 4)), apart, rtol=1e-4, atol=1e-4)
    assert seen == [6] * 2 * len(convolutions)
    seen.clear()
    module.eval()(ConstantInput(images, 4))
    assert seen == [6, *[24] * (len(convolutions) - 1)]


@pytest.mark.parametrize("name", ["vgg-integer", "resnet-integer"])
def test_an_integer_network_learns_all_frames_in_one_pass_as_it_spikes(name):
    frames, module, seen = torch.rand(5, 6, 2, 28, 28), make(name, (2, 28, 28), width=8), []
    for part in module.modules():
        if isinstance(part, torch.nn.Conv2d):
            part.register_forward_hook(lambda part, inputs, output: seen.append(len(output)))
    for _ in range(20):  # statistics with which all layers spike
        module(frames)
    assert set(seen) == {6}
    module, frames = module.double().eval(), frames.double()
    spikes = module(frames)
    module.train()
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.eval()
    torch.testing.assert_close(module(frames), spikes, rtol=0, atol=1e-6)
    assert len(spikes.unique(dim=0)) == 6


# ---- the strong networks


@torch.no_grad()
def maps(name, edge, other=None):
    """The shapes of what each block of a VGG, or each convolution, gives for an image."""
    network, shapes = make(name, (1, edge, other or edge), width=3).eval(), []
    convolutions = [part for part in network.modules() if isinstance(part, torch.nn.Conv2d)]
    for part in network.blocks if name == "vgg-relu" else convolutions:
        part.register_forward_hook(lambda part, inputs, output: shapes.append(output.shape[1:]))
    assert network(torch.zeros(1, 1, edge, other or edge)).shape == (1, 10)
    return shapes


@pytest.mark.parametrize("other", [None, 8, 224])
def test_every_side_has_maps_that_end_neither_empty_nor_large(other):
    for edge in range(8, 225, 4 if other is None else 24):
        smaller = [min(shape[1:]) for shape in maps("vgg-relu", edge, other)]
        num_first = len(first_layers((1, edge, other or edge), 3, MAX_FIRST_MAP)[0])
        if other is None:
            # One more where the stride rounds up, and a few more of what three halvings leave of
            # the largest.
            largest = MAX_FIRST_MAP + 1 if edge < 200 else 28
            assert MIN_MAP <= smaller[num_first - 1] <= largest
            resnet = maps("resnet-silu", edge)
            num_first = len(first_layers((1, edge, edge), 2, MAX_FIRST_MAP_OF_RESNET)[0])
            assert 4 <= resnet[num_first][1] <= MAX_FIRST_MAP_OF_RESNET + 1
        # What would leave less than the smallest map is not halved, and all else is.
        assert smaller[-1] >= MIN_MAP
        assert smaller[-1] // 2 < MIN_MAP or len(smaller) == num_first + 2 * len(GROWTH)
        assert smaller == sorted(smaller, reverse=True)


@pytest.mark.parametrize(
    ("edge", "vgg", "resnet"),
    [
        (4, [4], [4, 4, 4, 4, 4, 4, 4]),
        (8, [8, 8, 4], [8, 8, 4, 4, 4, 4, 4]),
        (28, [14, 14, 7, 7, 3], [28, 28, 14, 14, 14, 7, 7]),
        (64, [32, 16, 16, 8, 8, 4], [64, 32, 16, 16, 16, 8, 8]),
        (97, [48, 24, 24, 12, 12, 6, 6, 3], [97, 48, 24, 24, 24, 12, 12, 12, 6, 6]),
        (224, [56, 28, 28, 14, 14, 7, 7, 3], [112, 56, 28, 14, 14, 14, 7, 7]),
    ],
)
def test_maps_of_customary_sides(edge, vgg, resnet):
    shapes = maps("vgg-relu", edge)
    assert [shape[1] for shape in shapes] == vgg
    first = [3, 3] if edge > 48 else [3]
    assert [shape[0] for shape in shapes] == [*first, 6, 6, 8, 8, 12, 12][: len(vgg)]
    assert [shape[1] for shape in maps("resnet-silu", edge)] == resnet


def test_every_layer_but_the_first_gets_spikes():
    network, seen = make("vgg-lif", (3, 28, 28), neuron=partial(LIF, threshold=0.5)), []
    for layer in [*network.blocks, network.linear]:
        layer.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    network(ConstantInput(torch.rand(4, 3, 28, 28), 3))
    first, *others = [set(getattr(x, "value", x).unique().tolist()) for x in seen]
    assert len(first) > 2
    assert others == [{0.0, 1.0}] * len(network.blocks)


def test_dropout_is_for_training_only_and_hides_its_share_of_the_last_layers_inputs():
    network, seen, images = make("vgg-relu", dropout=0.3, width=6), [], torch.rand(64, 1, 28, 28)
    network.linear[-1].register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    network.linear[1].register_forward_hook(lambda layer, inputs, output: seen.append(output))
    network(images)
    network.eval()(images)
    whole, left, *evaluated = seen
    hidden = (left == 0) & (whole != 0)
    assert float(hidden.sum() / (whole != 0).sum()) == pytest.approx(0.3, abs=0.06)
    assert torch.equal(*evaluated)


@pytest.mark.parametrize(
    ("width", "expected"),
    [(24, [24, 48, 48, 64, 64]), (32, [32, 64, 64, 80, 80]), (20, [20, 40, 40, 53, 53])],
)
def test_width_scales_every_layer(width, expected):
    assert [block[0].out_channels for block in make("vgg-relu", width=width).blocks] == expected
    small, large = (num_parameters(make("resnet-silu", width=edge)) for edge in (width, 2 * width))
    assert 2.8 < large / small < 6


def test_without_its_convolutions_a_residual_block_still_passes_what_it_gets():
    block = make("resnet-silu", (1, 8, 8)).eval().features[-1]
    torch.nn.init.zeros_(block.inner[-1].weight)
    x = torch.rand(2, 16, 4, 4)
    assert torch.equal(block(x), torch.nn.functional.silu(x))
