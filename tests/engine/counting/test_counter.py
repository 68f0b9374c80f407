"""Whole networks, counted by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from made_operations import Odd, Written, both, counted, macs, macs_of_padding, over_time
from spikeduel.engine import ConstantInput
from spikeduel.engine.counting.counter import Counter
from spikeduel.engine.counting.ledger import NotCounted
from spikeduel.engine.networks.architectures import ConvLIF, DenseSNN
from spikeduel.engine.neurons import IF, LIF


def rows(operations):
    return {(layer.name, layer.kind): layer for layer in operations.layers}


def constant_weights(module, value):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(value)
    return module


def test_the_studys_network_by_hand():
    # Four pixels of 1 through weights of 0.25: a current of 1.25 with the bias, at every step. With
    # beta 1 and reset by subtraction (one step late), the membranes are 1.25, 1.5, 1.75: three
    # spikes each of the three hidden neurons.
    module = constant_weights(DenseSNN((4,), 2, lambda: IF(), 3), 0.25)
    images = torch.ones(5, 1, 2, 2)
    operations = counted(module, ConstantInput(images, 3), 5, num_steps=3)
    layers = rows(operations)
    first = layers["linear1", "synapses"]
    assert first.input == "image"
    assert first.passes == both(3, 1)
    assert first.macs == macs(both(36, 12))
    assert first.bias_additions == both(9, 3)
    assert (first.inputs, first.outputs, first.weights, first.biases) == (4, 3, 12, 3)
    hidden = layers["lif1", "neurons"]
    assert hidden.neurons == 3
    assert hidden.spikes == over_time(3, 3, 3)
    assert hidden.spikes_per_neuron_and_step == 1
    # An IF neuron leaks nothing.
    assert (hidden.leaks, hidden.integrations, hidden.resets, hidden.threshold_comparisons) == (
        0,
        9,
        9,
        9,
    )
    assert (hidden.membrane_reads, hidden.membrane_writes) == (9, 9)
    second = layers["linear2", "synapses"]
    assert second.input == "spikes"
    assert second.passes == both(3)
    assert second.macs == macs(both(0))
    assert second.events == over_time(3, 3, 3)
    assert second.acs == over_time(6, 6, 6)
    assert second.bias_additions == both(6)
    assert second.macs_a_pass == 6
    # 0.25 · 3 + 0.25 = 1: at the threshold, not above it, then 2: silent, spike, spike (2 − 1 + 1 =
    # 2).
    assert layers["lif2", "neurons"].spikes.by_step == [0, 2, 2]
    totals = operations.totals
    assert totals.acs == over_time(6, 6, 6)
    assert totals.macs.dense == both(36, 12)
    assert totals.neurons == 5
    assert totals.spikes_per_neuron_and_step == pytest.approx(13 / 15)
    assert (operations.num_steps, operations.images, operations.parameters, operations.bytes) == (
        3,
        5,
        23,
        92,
    )


def test_means_are_over_all_images_of_all_passes():
    module = nn.Linear(4, 2, bias=False)
    counter = Counter(module)
    for x in (torch.ones(3, 4), torch.zeros(1, 4)):
        counter.run(lambda x=x: module(x), x, len(x))
    (layer,) = counter.operations().layers
    assert layer.macs == macs(both(8), both(6))
    assert layer.input_zeros == 0.25
    assert layer.passes == both(1)


def test_encoded_spikes_cause_additions_even_where_a_batch_happens_to_be_binary_or_empty():
    module = constant_weights(DenseSNN((4,), 2, lambda: LIF(0.5), 3), 1.0)
    spikes = torch.zeros(2, 1, 1, 2, 2)
    spikes[1, 0, 0, 0, 1] = 1
    first = rows(counted(module, spikes, 1, "spikes", 2, 2))["linear1", "synapses"]
    assert (first.input, first.input_encoded) == ("spikes", True)
    assert first.acs == over_time(0, 3)
    assert first.macs.dense == both(0)
    # The same numbers, said to be an image, are multiplied.
    first = rows(counted(module, spikes, 1, "real", 2, 2))["linear1", "synapses"]
    assert first.macs == macs(both(24), both(3))
    assert first.acs.total == 0


@pytest.mark.parametrize(
    "first",
    [
        nn.Linear(3, 4),
        nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv1d(1, 2, 2), nn.Flatten()),
        nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 4)),
    ],
)
def test_the_same_work_on_the_same_image_at_every_step_is_seen(first):
    def looping(net, x):
        return torch.stack([net.last(net.neuron(net.first(x)[None])[0][0]) for _ in range(3)])

    module = Written(looping, first=first, neuron=LIF(1.0), last=nn.Linear(4, 2, bias=False))
    operations = counted(module, torch.ones(2, 3), 2, num_steps=3)
    for layer in operations.layers:
        if layer.kind == "synapses" and layer.name.startswith("first"):
            assert layer.passes == both(3, 1)
            assert layer.macs.dense.per_step == 3 * layer.macs.dense.hoisted > 0
    assert rows(operations)["last", "synapses"].passes == both(3)


def test_a_changed_input_is_a_new_one():
    def changing(net, x):
        first = net.linear(x)
        x += 1
        return first + net.linear(x)

    module = Written(changing, linear=nn.Linear(3, 4, bias=False))
    (layer, *_) = counted(module, torch.ones(2, 3), 2).layers
    assert layer.passes == both(2)
    assert layer.macs.dense == both(24)


def test_a_sequence_of_the_same_image_costs_its_first_layer_once():
    module = Written(
        lambda net, x: net.neuron(net.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2]))[0],
        conv=nn.Conv2d(1, 2, 3, bias=False),
        neuron=LIF(0.5),
    )
    images = torch.rand(2, 1, 4, 4)
    call = lambda: module(images.unsqueeze(0).expand(5, *images.shape))  # noqa: E731
    first = rows(counted(module, images, 2, num_steps=5, call=call))["conv", "synapses"]
    assert first.passes == both(5, 1)
    assert first.macs.dense == both(5 * 4 * 2 * 9, 4 * 2 * 9)
    assert first.input == "image"


def negative(norm):
    with torch.no_grad():
        norm.weight[1] = -1
    return norm


@pytest.mark.parametrize(
    ("size", "bias", "between", "norm", "is_free"),
    [
        (4, False, [], nn.BatchNorm2d(2), True),
        (4, True, [], nn.BatchNorm2d(2), True),
        (6, False, [nn.MaxPool2d(2)], nn.BatchNorm2d(2), True),
        (6, False, [nn.MaxPool2d(2)], negative(nn.BatchNorm2d(2)), False),
        (4, False, [nn.ReLU()], nn.BatchNorm2d(2), False),
    ],
)
def test_batch_norm_is_free_behind_a_convolution_whose_highest_it_keeps(
    size, bias, between, norm, is_free
):
    module = nn.Sequential(nn.Conv2d(1, 2, 3, bias=bias), *between, norm)
    layers = rows(counted(module, torch.rand(1, 1, size, size), 1))
    batch_norm, conv = layers[str(len(between) + 1), "arithmetic"], layers["0", "synapses"]
    assert batch_norm.folded_into == ("0" if is_free else None)
    # Both have 2×2×2 outputs.
    assert batch_norm.multiplications == both(0 if is_free else 8)
    if is_free:
        # What is folded adds a bias to each output, the highest of which pooling leaves.
        assert (conv.biases, conv.bias_additions) == (2, both(8))


def test_a_convolutional_network_of_ours_by_hand():
    module = constant_weights(ConvLIF((1, 4, 4), 2, lambda: LIF(0.0, threshold=1e-3), 3), 0.1)
    operations = counted(module, ConstantInput(torch.ones(1, 1, 4, 4), 2), 1, num_steps=2)
    layers = rows(operations)
    # 4×4 with padding 1: of the 9 places of a filter, 4 corners see 4, 8 edges 6, 4 inner ones 9.
    assert layers["block1.1", "synapses"].macs == macs(both(2 * 100 * 32, 100 * 32))
    assert layers["block1.2", "arithmetic"].folded_into == "block1.1"
    # Reset by subtraction of next to nothing: all fire at both steps; pooling leaves 2×2 of each
    # channel.
    assert layers["lif1", "neurons"].spikes.by_step == [512, 512]
    second = layers["block2.0", "synapses"]
    assert second.events.by_step == [128, 128]
    # Each of 2×2 places with padding is seen by 4 of the filters' places, in 64 channels.
    assert second.acs.by_step == [128 * 4 * 64] * 2


def test_precision_changes_no_count():
    torch.manual_seed(0)
    module = DenseSNN((16,), 3, lambda: LIF(0.9, threshold=0.2), 8)
    spikes = (torch.rand(6, 300, 1, 4, 4) < 0.5).float()

    operations = counted(module, spikes, 300, "spikes", 6, 6)
    less = Counter(module, 6)
    half = spikes.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        less.run(lambda: module(half), half, 300, "spikes", 6)
    first = rows(operations)["linear1", "synapses"]
    assert first.events.total * 300 == spikes.sum(dtype=torch.float64)
    assert rows(less.operations())["linear1", "synapses"] == first


def recorded(net, x):
    record = torch.zeros(len(x), 2, 3)
    for step in range(2):
        record[:, step] = net.neuron(x.unsqueeze(0))[0][0]
    return net.last(record.flatten(1))


@pytest.mark.parametrize(
    ("function", "num_steps"),
    [
        (lambda net, x: net.last(F.interpolate(net.neuron(x[None])[0], scale_factor=2)), 1),
        (recorded, 2),
    ],
    ids=["repeated in space", "written into a tensor"],
)
def test_spikes_that_are_stored_elsewhere_cause_as_many_additions(function, num_steps):
    neuron, last = LIF(0.0, threshold=0.5), nn.Linear(6, 1, bias=False)
    module = Written(function, neuron=neuron, last=last)
    layer = rows(counted(module, torch.ones(4, 3), 4, num_steps=num_steps))["last", "synapses"]
    assert (layer.input, layer.acs.total) == ("spikes", 6)


def test_a_network_that_asks_for_inference_mode_is_counted_like_any():
    class Asking(nn.Sequential):
        def forward(self, x):
            with torch.inference_mode():
                return super().forward(x)

    layers = nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3)
    x = torch.rand(2, 1, 4, 4)
    assert counted(Asking(*layers), x, 2).layers == counted(nn.Sequential(*layers), x, 2).layers


def test_what_is_not_known_is_an_error_that_says_what_to_do():
    module = nn.Sequential(nn.Linear(3, 4), Odd())
    with pytest.raises(
        NotCounted, match=r"'1' \(Odd\) uses aten._fft_r2c.*declared=\{Odd: function\}"
    ):
        counted(module, torch.ones(2, 3), 2)
    # The mode, the hooks and what attention is made of are as before.
    assert not module[0]._forward_hooks
    assert not module[0]._forward_pre_hooks
    assert torch.backends.mha.get_fastpath_enabled()


def test_attention_counts_products_of_activations():
    module = nn.MultiheadAttention(4, 2, batch_first=True)
    x = torch.rand(2, 3, 4)
    layers = rows(counted(module, x, 2, call=lambda: module(x, x, x)))
    assert layers["in_proj_weight", "synapses"].macs.dense == both(3 * 4 * 12)
    assert layers["out_proj", "synapses"].macs.dense == both(3 * 4 * 4)
    # Queries by keys and weights by values: 3·3·4 each, over both heads together.
    product = layers["", "synapses"]
    assert product.macs.dense == both(72)
    assert product.weights == 0
    assert layers["", "arithmetic"].functions == both(2 * 9)


@pytest.mark.parametrize(
    ("name", "macs", "parameters"),
    [("resnet18", 1_814_073_344, 11_689_512), ("mobilenet_v2", 300_774_272, 3_504_872)],
)
def test_well_known_networks_have_their_well_known_numbers(name, macs, parameters):
    torchvision = pytest.importorskip("torchvision")
    module = getattr(torchvision.models, name)()
    image = torch.rand(1, 3, 224, 224)
    operations = counted(module, image, 1)
    # The well-known numbers multiply the zeros beyond the borders, too.
    beyond = macs_of_padding(module, lambda: module.eval()(image))
    assert operations.totals.macs.dense == both(macs - beyond)
    assert beyond > 0
    assert operations.parameters == parameters
