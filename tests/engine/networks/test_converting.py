import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from made_models import card, make
from made_operations import Written
from spikeduel.engine import ConstantInput
from spikeduel.engine.networks import models
from spikeduel.engine.networks.cards import CallConvention
from spikeduel.engine.networks.converting import (
    activation_scales,
    converted,
    require_convertible,
    traced,
)
from spikeduel.engine.networks.foreign import ExternalNetwork
from spikeduel.engine.networks.models import Model
from spikeduel.engine.networks.plain import Affine, AsPretrained, PooledCounts
from spikeduel.engine.neurons import LIF, ReLU
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.system.errors import InputError

IMAGES = torch.randint(
    0, 256, (40, 1, 10, 10), generator=torch.Generator().manual_seed(2), dtype=torch.uint8
)


class Block(nn.Module):
    """A block of a residual network, whose ReLU is called twice."""

    def __init__(self, num_inputs, num_outputs):
        super().__init__()
        self.conv1 = nn.Conv2d(num_inputs, num_outputs, 3, padding=1, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(num_outputs), nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(num_outputs, num_outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(num_outputs)
        self.down = nn.Conv2d(num_inputs, num_outputs, 1) if num_inputs != num_outputs else None

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x if self.down is None else self.down(x)
        return self.relu(out)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.front = AsPretrained(12, [0.4, 0.5, 0.6], [0.2, 0.3, 0.4])
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.blocks = nn.Sequential(Block(6, 6), Block(6, 8), Block(8, 8))
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(8, 3)

    def forward(self, x):
        return self.fc(torch.flatten(self.pool(self.blocks(self.stem(self.front(x)))), 1))


class Branches(nn.Module):
    """Concatenation, a batch norm of what branches give, ReLU6, and all of it called as
    functions.
    """

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(1, 3, 1)
        self.norm, self.c = nn.BatchNorm2d(7), nn.Conv2d(7, 6, 3, groups=1)
        self.fc = nn.Linear(6 * 4, 3)

    def forward(self, x):
        both = torch.cat([self.a(x).relu(), F.relu6(self.b(x))], 1)
        both = F.relu(self.norm(F.avg_pool2d(both, 2, padding=1)))
        # The ReLU comes after the pooling.
        x = F.relu(F.max_pool2d(self.c(both), 2))
        return F.log_softmax(
            self.fc(F.dropout(x, training=self.training).reshape(x.size(0), -1)), dim=1
        )


class Preactivated(nn.Module):
    """A sum that two layers take before its ReLU, zeros around what has come from neurons, and sums
    with numbers.
    """

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(n, 4, 3, padding=1) for n in (1, 4, 4))
        self.n1, self.n2 = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        x = self.a(1 - (2 * x - 1) / 0.5)
        x = x + self.b(self.n1(x).relu()) * 0.5
        x = x + self.c(self.n2(x).relu())
        return self.fc(F.pad(x.relu(), (1, 0, 1, 0)).mean((2, 3)))


def trained(source):
    """A source, by name or as a module, whose batch norm has statistics of its own, as after a
    training.
    """
    if isinstance(source, str):
        model = make(source)
    else:
        torch.manual_seed(1)
        model = Model(source(), card("mine:net"))
    generator = torch.Generator().manual_seed(4)
    for name, value in model.module.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
        elif name.endswith("running_mean") or (value.is_floating_point() and value.dim() == 1):
            value.copy_(0.3 * torch.randn(value.shape, generator=generator))
    model.module.eval()
    return model


@torch.no_grad()
def scores(model, images=IMAGES):
    return model.readout.scores(model.run(model.encode(images, RandomKeys.for_content(images))))


SOURCES = ["dense-relu", "conv-relu", "small-cnn", Residual, Branches, Preactivated]
sources = pytest.mark.parametrize("source", SOURCES, ids=str)


class Exact(ReLU):
    """The rate of a neuron of this threshold after infinitely many steps."""

    def __init__(self, threshold):
        super().__init__()
        self.threshold = threshold

    def activation(self, current):
        return current.relu() / self.threshold


@sources
def test_where_neurons_are_exact_it_is_the_source(source):
    model = trained(source)
    expected = scores(model).log_softmax(1)
    # So many steps that half a threshold, spread over them, is nothing.
    module = converted(model, IMAGES, 100_000, 100.0).module
    for index, layer in enumerate(module.chain):
        if isinstance(layer, LIF):
            module.chain[index] = Exact(layer.threshold)
    with torch.no_grad():
        rates = module(ConstantInput(IMAGES / 255, 1))[0]
    torch.testing.assert_close(rates.log_softmax(1), expected, rtol=1e-3, atol=1e-3)


@sources
def test_with_more_steps_the_scores_come_nearer_to_the_sources(source):
    model = trained(source)
    expected = scores(model).log_softmax(1)
    # Of all activations, so that nothing is cut off but by rounding.
    few, more, most = (
        (scores(converted(model, IMAGES, steps, 100.0)).log_softmax(1) - expected).abs().mean()
        for steps in (4, 32, 256)
    )
    assert few > 2 * more > 4 * most
    assert most < 0.05 * (expected - expected.mean(0)).abs().mean() + 0.01


@pytest.mark.parametrize("source", ["small-cnn", Residual], ids=str)
def test_it_is_an_ordinary_model_without_the_sources_code(source, tmp_path):
    snn, state = converted(trained(source), IMAGES, 5, 99.0), None
    card = snn.card
    assert (card.contender, card.kind) == ("sequential", "snn")
    assert (card.encoding, card.num_steps) == ("direct", 5)
    models.save_model(tmp_path / "m.safetensors", snn)
    again = models.load_model(tmp_path / "m.safetensors")
    assert np.array_equal(again.predict(IMAGES)[1], snn.predict(IMAGES)[1])
    for frame in again.frames(IMAGES):
        streamed, state = again.step(frame, state)
    torch.testing.assert_close(streamed, scores(again))
    for name, spk in again.trace(IMAGES[:3]).spk.items():
        assert "pool" in name or set(spk.unique().tolist()) <= {0.0, 1.0}


def test_a_dense_layer_by_hand():
    source = trained("dense-relu")
    network, weights = source.module, copy.deepcopy(source.module.state_dict())
    with torch.no_grad():
        first = network.block1(IMAGES.flatten(1) / 255).relu()
        second = network.block2(first).relu()
    layers = traced(network, (1, 10, 10))
    a, b = activation_scales(source, IMAGES, 100.0, layers).values()
    assert (a, b) == pytest.approx((float(first.max()), float(second.max())), rel=1e-6)
    positive = np.percentile(first[first > 0].numpy(), 90.0)
    lower, _ = activation_scales(source, IMAGES, 90.0, layers).values()
    assert lower == pytest.approx(float(positive), rel=1e-6)
    model = converted(source, IMAGES, 10, 100.0)
    described = model.card.network["layers"]
    expected = ["Flatten", "Linear", "LIF", "Scale", "Linear", "LIF", "Scale", "Linear"]
    assert [layer["type"] for layer in described] == expected
    assert [layer["threshold"] for layer in described if layer["type"] == "LIF"] == [a, b]
    assert [layer["factor"] for layer in described if layer["type"] == "Scale"] == [a, b]
    made = model.module.state_dict()
    for block, index, shift in (("block1", 1, 0.05 * a), ("block2", 4, 0.05 * b)):
        std = (weights[f"{block}.1.running_var"] + network.block1[1].eps).sqrt()
        gain = weights[f"{block}.1.weight"] / std
        bias = weights[f"{block}.1.bias"] - gain * weights[f"{block}.1.running_mean"]
        torch.testing.assert_close(
            made[f"chain.{index}.weight"], weights[f"{block}.0.weight"] * gain[:, None]
        )
        torch.testing.assert_close(made[f"chain.{index}.bias"], bias + shift)
    assert torch.equal(made["chain.7.weight"], weights["linear.weight"])
    torch.testing.assert_close(network.state_dict(), weights, rtol=0, atol=0)


def test_pooling_of_joined_branches_pools_each_branchs_spikes():
    def pooled(net, x):
        both = torch.cat([net.a(x).relu(), (net.b(x) * 3).relu()], 1)
        return net.fc(F.max_pool2d(both, 3).flatten(1))

    layers = {"a": nn.Conv2d(1, 2, 1), "b": nn.Conv2d(1, 3, 1), "fc": nn.Linear(45, 3)}
    model = trained(lambda: Written(pooled, **layers))
    layers = converted(model, IMAGES, 8, 100.0).card.network["layers"]
    pools = [layer for layer in layers if layer["type"] == "PooledCounts"]
    assert [layers[pool["inputs"][0]]["type"] for pool in pools] == ["LIF", "LIF"]
    steps = scores(converted(model, IMAGES, 500, 100.0))
    torch.testing.assert_close(steps, scores(model), rtol=0.02, atol=0.02)


def test_in_a_sum_a_branch_takes_the_shift():
    layers = converted(trained(Residual), IMAGES, 8, 100.0).card.network["layers"]
    assert not any(layer["type"] == "Scale" and layer["shift"] for layer in layers)


def test_a_network_that_takes_flat_images_is_converted_with_a_flattening_before():
    net = nn.Sequential(nn.Linear(100, 8), nn.ReLU(), nn.Linear(8, 3))
    own = card("mine:net", kind="ann")
    model = Model(ExternalNetwork(net, CallConvention("once", True, "scores"), "ann"), own)
    snn = converted(model, IMAGES, 300, 100.0)
    torch.testing.assert_close(scores(snn), scores(model), rtol=0.05, atol=0.02)


@pytest.mark.parametrize(
    ("module", "named"),
    [
        (
            nn.Sequential(nn.Conv2d(1, 3, 3), nn.Sequential(nn.SiLU())),
            r"1\.0 \(SiLU\): it has no counterpart",
        ),
        (nn.Sequential(nn.Conv2d(1, 3, 3), nn.LeakyReLU()), r"1 \(LeakyReLU\)"),
        (
            Written(
                lambda net, x: (net.body(x).relu() * torch.sigmoid(net.gate(x))).mean((2, 3)),
                body=nn.Conv2d(1, 3, 3),
                gate=nn.Conv2d(1, 3, 3),
            ),
            "sigmoid: it has no counterpart",
        ),
        (
            Written(lambda net, x: F.pad(x, (0, 0, 0, 0, 1, 1)).relu()),
            "pad: it pads with something else than zeros, or other axes",
        ),
        (Written(lambda net, x: x if x.sum() > 0 else -x), "sum: it has no counterpart"),
        (nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten()), "it has no ReLU"),
        (
            nn.Sequential(
                nn.Conv2d(1, 3, 3),
                nn.ReLU(),
                nn.Conv2d(3, 3, 3),
                nn.MaxPool2d(2),
                nn.Conv2d(3, 3, 2),
            ),
            r"3 \(MaxPool2d\) pools what are no spikes, .* Put a ReLU before it",
        ),
        (
            nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), nn.ReLU()),
            r"0 \(BatchNorm2d\): it keeps no",
        ),
        (nn.Sequential(nn.MaxPool2d(2, dilation=2), nn.ReLU()), r"0 \(MaxPool2d\): it is dilated"),
        (nn.Sequential(nn.Hardtanh(), nn.ReLU()), r"0 \(Hardtanh\): it cuts off at other values"),
        (nn.Sequential(nn.ReLU(), nn.Softmax(1)), r"1 \(Softmax\): it has no counterpart"),
        (
            Written(lambda net, x: x.relu() + net.bias, bias=nn.Parameter(torch.ones(1))),
            "joins what comes from the images with something",
        ),
    ],
    ids=str,
)
def test_what_has_no_counterpart_is_named(module, named):
    with pytest.raises(InputError, match=named):
        require_convertible(module, (1, 10, 10))


def test_an_affine_in_front_stays():
    # A batch norm of images cannot go into the weights after it, since zeros surround its output.
    model = trained(
        lambda: nn.Sequential(
            nn.BatchNorm2d(1),
            nn.Conv2d(1, 3, 3, padding=1),
            nn.ReLU(),
            nn.AvgPool2d(10),
            nn.Flatten(),
        )
    )
    snn = converted(model, IMAGES, 500, 100.0)
    assert isinstance(snn.module.chain[0], Affine)
    torch.testing.assert_close(scores(snn), scores(model), rtol=0.02, atol=0.01)


def test_overlapping_windows_pool_counts_too():
    spk = (torch.rand(9, 2, 3, 7, 6, generator=torch.Generator().manual_seed(0)) > 0.6).float()
    pooled, _ = PooledCounts(3, 2, 1, ceil_mode=True)(spk)
    assert torch.equal(pooled.sum(0), F.max_pool2d(spk.sum(0), 3, 2, 1, ceil_mode=True))
    assert set(pooled.unique().tolist()) <= {0.0, 1.0}
