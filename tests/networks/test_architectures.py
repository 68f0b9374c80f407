import dataclasses
import inspect
from functools import partial

import pytest
import torch
from torch.nn import functional as F

from spikeduel.networks.architectures import ARCHITECTURES
from spikeduel.networks.building import num_parameters
from spikeduel.settings import Experiment
from spikeduel.settings.fields import setting_of
from spikeduel.spiking import ConstantInput
from spikeduel.spiking.neurons import LIF, QuantisedReLU, ReLU
from spikeduel.system.errors import InputError

SHAPES = [(1, 28, 28), (3, 10, 13), (1, 8, 8), (1, 1, 1), (3, 33, 20)]


def make(name, shape=(1, 28, 28), num_classes=10, **settings):
    """The architecture with those of these settings that it takes; its weights are always the
    same.
    """
    given = {"neuron": LIF, "hidden": 16, **settings}
    taken = inspect.signature(ARCHITECTURES[name]).parameters
    torch.manual_seed(0)
    return ARCHITECTURES[name](
        shape, num_classes, **{key: value for key, value in given.items() if key in taken}
    )


def test_the_registry_holds_the_studys_shapes():
    assert {"dense-snn", "small-cnn"} <= set(ARCHITECTURES)


def test_the_setting_names_all_contenders():
    (setting,) = (each for each in dataclasses.fields(Experiment) if each.name == "contenders")
    about = setting_of(setting.type)
    assert all(name in about.details for name in ARCHITECTURES if name != "sequential")


@pytest.mark.parametrize(
    ("name", "side", "expected"),
    [
        ("dense-snn", 97, 9_646_090),
        ("small-cnn", 97, 15_875_786),
        ("dense-snn", 28, 814_090),
        ("small-cnn", 28, 835_274),
    ],
)
def test_parameter_counts_of_the_study(name, side, expected):
    with torch.device("meta"):
        assert num_parameters(make(name, (1, side, side), hidden=1024)) == expected


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_any_size_channels_and_classes_train(name, shape):
    module = make(name, shape, 3, hidden=8)
    images = torch.rand(4, *shape)
    output = module(ConstantInput(images, 5) if module.family == "snn" else images)
    scores = module.readout.scores(output)
    assert scores.shape == (4, 3)
    assert scores.dtype == torch.float32
    module.readout.loss(output, torch.tensor([0, 1, 2, 0])).backward()
    for parameter in module.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_spiking_network_treats_a_constant_like_its_sequence(name):
    module = make(name, (1, 12, 12), 3)
    if module.family != "snn":
        pytest.skip("takes no sequence")
    images = torch.randint(0, 2, (4, 1, 12, 12)).float()
    # Batch norm in use, not in training: its statistics over one image a step and over the copies
    # differ in rounding.
    module.eval()
    once, again = module(ConstantInput(images, 6)), module(images.expand(6, 4, 1, 12, 12))
    for one, other in zip(once, again, strict=True):
        torch.testing.assert_close(one, other)


def test_dense_snn_is_the_studys_network_as_snntorch_runs_it():
    import snntorch

    torch.manual_seed(0)
    module = ARCHITECTURES["dense-snn"]((1, 6, 6), 4, neuron=partial(LIF, beta=0.95), hidden=20)
    leaky = [snntorch.Leaky(beta=0.95), snntorch.Leaky(beta=0.95)]
    states = [layer.init_leaky() for layer in leaky]
    x = torch.rand(10, 5, 1, 6, 6) * 3
    spikes, membranes = [], []
    for now in x:
        spk, states[0] = leaky[0](module.linear1(now.flatten(1)), states[0])
        spk, states[1] = leaky[1](module.linear2(spk), states[1])
        spikes.append(spk)
        membranes.append(states[1])
    spk, mem = module(x)
    assert 0 < spk.mean() < 1
    torch.testing.assert_close(mem, torch.stack(membranes), atol=1e-5, rtol=0)
    near_threshold = (torch.stack(membranes) - 1).abs() < 1e-5
    assert ((spk == torch.stack(spikes)) | near_threshold).all()


def test_small_cnn_is_the_studys_network_layer_by_layer():
    torch.manual_seed(0)
    module = ARCHITECTURES["small-cnn"]((1, 28, 28), 10)
    layers = [type(layer).__name__ for layer in [*module.features, *module.classifier]]
    # ReLU and pooling change places: see test_relu_after_pooling_is_relu_before_it.
    assert layers == [
        "Conv2d",
        "MaxPool2d",
        "ReLU",
        "Conv2d",
        "MaxPool2d",
        "ReLU",
        "Linear",
        "ReLU",
        "Linear",
    ]
    assert module.classifier[0].in_features == 800
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(module.border(x), x)


def test_relu_after_pooling_is_relu_before_it():
    x = torch.randn(4, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    x[0] = 0  # ties
    results = []
    for layers in (("pool", "relu"), ("relu", "pool")):
        leaf = x.clone().requires_grad_()
        y = leaf
        for layer in layers:
            y = torch.relu(y) if layer == "relu" else torch.nn.functional.max_pool2d(y, 2)
        (y * torch.arange(y.numel()).view(y.shape)).sum().backward()
        results.append((y, leaf.grad))
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


TWINS = [("conv-lif", "conv-relu"), ("dense-lif", "dense-relu")]


@pytest.mark.parametrize("twins", TWINS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_twins_have_the_same_weights_shape_for_shape(twins, shape):
    one, other = (make(name, shape).state_dict() for name in twins)
    assert {name: value.shape for name, value in one.items()} == {
        name: value.shape for name, value in other.items()
    }
    # The same seed even gives them the same numbers.
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize("twins", TWINS, ids=str)
def test_a_spiking_network_with_relu_for_neurons_is_its_twin(twins, pooling):
    spiking, other = make(twins[0], neuron=ReLU, pooling=pooling), make(twins[1], pooling=pooling)
    images = torch.rand(6, 1, 28, 28)
    labels = torch.arange(6)
    outputs = spiking(ConstantInput(images, 1)), other(images)
    torch.testing.assert_close(outputs[0][0], outputs[1])
    losses = [
        module.readout.loss(output, labels)
        for module, output in zip((spiking, other), outputs, strict=True)
    ]
    torch.testing.assert_close(*losses)
    for loss in losses:
        loss.backward()
    others = dict(other.named_parameters())
    for name, parameter in spiking.named_parameters():
        torch.testing.assert_close(
            parameter.grad, others[name].grad, msg=name, rtol=1e-4, atol=1e-5
        )


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


def test_conv_twins_at_28_pixels():
    assert make("conv-lif").linear1.in_features == 64 * 7 * 7


def test_pooling_by_averages_is_another_network_with_the_same_weights():
    images = torch.rand(3, 1, 28, 28)
    for name in ("conv-lif", "conv-relu"):
        lively = partial(LIF, threshold=0.1)
        one, other = (
            make(name, neuron=lively).eval(),
            make(name, neuron=lively, pooling="avg").eval(),
        )
        assert one.state_dict().keys() == other.state_dict().keys()
        given = ConstantInput(images, 4) if one.family == "snn" else images
        assert not torch.allclose(one(given), other(given))
    with pytest.raises(InputError, match="did you mean 'avg'"):
        make("conv-lif", pooling="average")


@pytest.mark.parametrize("name", ["dense-snn", "dense-lif", "conv-lif", "sequential"])
def test_layers_one_after_the_other_are_the_network(name):
    module = make(name, pooling="avg").eval()
    x = torch.rand(5, 3, 1, 28, 28)
    expected = module(x)
    for layer in module.layers():
        x = layer(x)[0] if isinstance(layer, LIF) else layer(x.flatten(0, 1)).unflatten(0, (5, 3))
    torch.testing.assert_close(x, expected[0] if isinstance(expected, tuple) else expected)


def test_a_layer_that_is_replaced_is_the_one_that_runs():
    module, x = make("dense-snn").eval(), torch.rand(5, 3, 1, 28, 28)
    before = module(x)[1]
    module.lif2 = LIF(beta=0.1)
    after = module(x)[1]
    assert not torch.allclose(before, after)
    assert torch.equal(after, module(x)[1])


PLAIN = [
    {"type": "flatten"},
    {"type": "linear", "num_inputs": 16, "num_outputs": 3, "bias": False},
    {"type": "lif", "beta": 0.5, "threshold": 0.25, "reset_mechanism": "subtract"},
]


def sequential(layers, shape=(1, 4, 4), num_classes=3):
    return ARCHITECTURES["sequential"](shape, num_classes, layers=layers)


def test_layers_as_plain_data():
    module = sequential(PLAIN)
    assert (module.chain[2].beta, module.chain[2].threshold) == (0.5, 0.25)
    assert type(module.readout).__name__ == "SpikeCountReadout"
    assert type(sequential(PLAIN[:2]).readout).__name__ == "MeanReadout"
    assert not list(module.chain[1].parameters())[1:]


@pytest.mark.parametrize(
    ("layers", "problem"),
    [
        ([], "a list of 1 to 2000"),
        (PLAIN * 800, "a list of 1 to 2000"),
        ("flatten", "a list of 1 to 2000"),
        ([3], r"layers\[0\] must be an object with a type"),
        ([{"type": "linaer"}], "did you mean 'linear'"),
        ([{"type": "linear"}], r"layers\[0\] \(linear\) cannot be made"),
        ([{"type": "lif", "beta": "x"}], r"layers\[0\] \(lif\) cannot be made"),
        ([{"type": "lif", "threshold": -1}], "threshold must be greater than 0"),
        ([PLAIN[1]], r"layers\[0\] \(linear\) .*does not fit"),
        (PLAIN[:1], "not a score for each of 3 classes"),
        ([*PLAIN[:2], {"type": "lif", "shape": [4]}], "for neurons"),
    ],
)
def test_layers_that_make_no_network_are_named(layers, problem):
    with pytest.raises(InputError, match=problem):
        sequential(layers)


def test_neurons_with_values_of_their_own():
    layer = sequential([*PLAIN[:2], {"type": "lif", "shape": [3]}]).chain[2]
    layer.load_state_dict(
        {"beta": torch.tensor([0.0, 0.5, 1.0]), "thresholds": torch.tensor([0.5, 1.0, 2.6])}
    )
    spk, mem = layer(torch.ones(4, 1, 3))
    # Each on its own: U = beta·U·(1 − R) + 1, spikes where U is above its own threshold.
    assert spk[:, 0].T.tolist() == [[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 1, 0]]
    assert mem[:, 0].T.tolist() == [[1, 1, 1, 1], [1, 1.5, 1, 1.5], [1, 2, 3, 1]]
    assert "shape=[3]" in repr(layer)
