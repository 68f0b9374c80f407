"""Products with weights and of activations, per image."""

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn
from torch.nn import functional as F

from made_operations import Written, counted
from spikeduel.engine.counting.ledger import SPIKES, NotCounted, Tag
from spikeduel.engine.counting.operations import Macs, Ways
from spikeduel.engine.counting.operators import fan_out_of, sums_by_step


def layer(module, x, kind="real", num_images=1):
    (synapses,) = (
        row for row in counted(module, x, num_images, kind).layers if row.kind == "synapses"
    )
    return synapses


X = torch.tensor([[1.0, 0, 2, 0], [0, 0, 0, 5]])


@pytest.mark.parametrize(
    ("function", "weight"),
    [
        (lambda net, x: x @ net.w, torch.rand(4, 3)),
        (lambda net, x: nn.functional.linear(x, net.w), torch.rand(3, 4)),
        (lambda net, x: (net.w @ x.T).T, torch.rand(3, 4)),
        (lambda net, x: torch.einsum("bi,ij->bj", x, net.w), torch.rand(4, 3)),
        (lambda net, x: nn.functional.conv2d(x[:, :, None, None], net.w), torch.rand(3, 4, 1, 1)),
    ],
)
def test_every_way_to_write_a_linear_layer(function, weight):
    synapses = layer(Written(function, w=nn.Parameter(weight)), X, num_images=2)
    assert synapses.name == "w"
    assert synapses.weights == 12
    assert synapses.macs == Macs(
        dense=Ways(per_step=12, hoisted=12), effective=Ways(per_step=4.5, hoisted=4.5)
    )
    spikes = layer(
        Written(function, w=nn.Parameter(weight)), (X > 0).float(), "spikes", num_images=2
    )
    assert spikes.acs.total == 4.5
    assert spikes.macs.dense.per_step == 0


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("x", [X, X.repeat(1, 2)[:, ::2], torch.ones(2, 5, 8)[:, :, ::2]])
def test_a_bias_is_an_addition_of_its_own(x, bias):
    synapses = layer(nn.Linear(4, 3, bias=bias), x, num_images=2)
    assert synapses.bias_additions.per_step == 3 * bias * (5 if x.ndim == 3 else 1)
    assert synapses.biases == 3 * bias


def test_weights_shared_by_two_places_are_one_layer_with_two_passes():
    shared = nn.Linear(4, 4, bias=False)
    synapses = layer(nn.Sequential(shared, nn.ReLU(), shared), X, num_images=2)
    assert synapses.passes.per_step == 2
    assert synapses.macs.dense.per_step == 32
    assert (synapses.inputs, synapses.weights) == (4, 16)


def test_products_of_activations_count_pairs():
    synapses = layer(Written(lambda net, x: x @ x.T), X, num_images=1)
    assert synapses.macs.dense.per_step == 16
    # Rows 1 0 1 0 and 0 0 0 1 with themselves and each other: 2 + 0 + 0 + 1.
    assert synapses.macs.effective.per_step == 3
    spikes = layer(Written(lambda net, x: x @ x.T), (X > 0).float(), "spikes")
    assert spikes.macs.dense.per_step == 0
    assert spikes.acs.total == 6


def test_weights_made_from_the_input_are_not_guessed_at():
    module = Written(lambda net, x: nn.functional.conv1d(x[:, None], x[:, None]))
    with pytest.raises(NotCounted, match="weights that are computed from the input"):
        layer(module, X)


GEOMETRY = {
    "stride": st.integers(1, 3),
    "padding": st.integers(0, 2),
    "dilation": st.integers(1, 2),
    "groups": st.sampled_from([1, 2]),
    "transposed": st.booleans(),
}


@settings(max_examples=40, deadline=None)
@given(**GEOMETRY)
def test_a_places_fan_out_is_how_many_outputs_it_reaches(
    stride, padding, dilation, groups, transposed
):
    weight = torch.ones(4, 2 if groups == 1 else (1 if not transposed else 2), 3, 3)
    num_channels = weight.shape[0] if transposed else weight.shape[1] * groups
    x = torch.zeros(1, num_channels, 7, 6)
    rest = ((stride, stride), (padding, padding), (dilation, dilation), transposed, (0, 0), groups)
    run = lambda image: torch.ops.aten.convolution(image, weight, None, *rest)  # noqa: E731
    out = run(x)
    fan_out = fan_out_of(x, weight, out, rest)
    assert fan_out.shape == x.shape[1:]
    for place in [(0, 0, 0), (num_channels - 1, 6, 5), (0, 3, 3), (num_channels - 1, 0, 4)]:
        event = torch.zeros_like(x)
        event[(0, *place)] = 1
        assert fan_out[place] == int((run(event) != 0).sum())


def test_events_at_a_border_cause_less_than_inside():
    x, weight = torch.ones(1, 1, 3, 3), torch.ones(2, 1, 3, 3)
    out = F.conv2d(x, weight, padding=1)
    fan_out = fan_out_of(x, weight, out, ((1, 1), (1, 1), (1, 1), False, (0, 0), 1))
    assert fan_out[0].tolist() == [[8, 12, 8], [12, 18, 12], [8, 12, 8]]
    # Numbers as well: what a filter sees beyond the border is no multiplication.
    assert layer(nn.Conv2d(1, 2, 3, padding=1), x).macs.dense.per_step == fan_out.sum() == 98
    transposed = layer(nn.ConvTranspose2d(4, 3, 2), torch.ones(1, 4, 5, 5))
    assert transposed.macs.dense.per_step == 100 * 3 * 4


@pytest.mark.parametrize(
    ("move", "time_dim"),
    [(lambda x: x, 0), (lambda x: x.transpose(0, 1), 1), (lambda x: x.reshape(6, 4), 0)],
)
def test_sums_by_step(move, time_dim):
    x = torch.zeros(3, 2, 4)
    x[0, 0, 0] = x[2, 1, 3] = x[2, 0, 1] = 1
    tag = Tag(SPIKES, steps=3, time_dim=time_dim)
    events, acs = sums_by_step(move(x), tag, 5.0)
    assert (events.tolist(), acs.tolist()) == ([1, 0, 2], [5, 0, 10])
    if time_dim == 0:
        fan_out = torch.tensor([1.0, 10, 100, 1000]).double()
        assert sums_by_step(x.reshape(6, 4), tag, fan_out)[1].tolist() == [1, 0, 1010]


@pytest.mark.parametrize(
    ("x", "tag", "events", "acs"),
    [
        # The mean of 9 spikes, rounded to bfloat16, is no multiple of 1/9.
        ((torch.arange(10) / 9).bfloat16()[None], Tag(SPIKES, unit=1 / 9), 45, 45 * 7),
        # Numbers are counted where they are not zero.
        (torch.tensor([[-0.5, 0.0, 2.0]]), Tag("real"), 2, 14),
        # More than float32 counts.
        (
            torch.ones(1, 2**8, 2**17 + 1, dtype=torch.bfloat16),
            Tag(SPIKES),
            2**25 + 2**8,
            7 * (2**25 + 2**8),
        ),
    ],
)
def test_sums_of_one_step_are_exact(x, tag, events, acs):
    assert [sums.tolist() for sums in sums_by_step(x, tag, 7.0)] == [[events], [acs]]


@pytest.mark.parametrize(("window", "bits"), [(1, None), (2, 3), (3, 4)])
def test_pooled_spikes_have_the_bits_of_their_number(window, bits):
    module = nn.Sequential(nn.AvgPool2d(window), nn.Flatten(), nn.Linear((12 // window) ** 2, 3))
    assert layer(module, torch.ones(2, 1, 12, 12), "spikes", num_images=2).input_bits == bits
