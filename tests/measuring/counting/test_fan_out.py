import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from spikeduel.measuring.counting.fan_out import convolution, dense_convolution, per_step
from spikeduel.measuring.counting.tags import SPIKES, Tag

GEOMETRY = {
    "stride": st.integers(1, 3),
    "padding": st.integers(0, 2),
    "dilation": st.integers(1, 2),
    "groups": st.sampled_from([1, 2]),
    "transposed": st.booleans(),
}


@settings(max_examples=40, deadline=None)
@given(**GEOMETRY)
def test_a_places_fan_out_is_how_many_outputs_it_reaches(stride, padding, dilation, groups, transposed):
    weight = torch.ones(4, 2 if groups == 1 else (1 if not transposed else 2), 3, 3)
    num_channels = weight.shape[0] if transposed else weight.shape[1] * groups
    x = torch.zeros(1, num_channels, 7, 6)
    rest = ((stride, stride), (padding, padding), (dilation, dilation), transposed, (0, 0), groups)
    run = lambda image: torch.ops.aten.convolution(image, weight, None, *rest)  # noqa: E731
    out = run(x)
    found = convolution(x, weight, out, rest)
    assert found.shape == x.shape[1:]
    for place in [(0, 0, 0), (num_channels - 1, 6, 5), (0, 3, 3), (num_channels - 1, 0, 4)]:
        event = torch.zeros_like(x)
        event[(0, *place)] = 1
        assert found[place] == int((run(event) != 0).sum())


def test_events_at_a_border_cause_less_than_inside():
    x, weight = torch.ones(1, 1, 3, 3), torch.ones(2, 1, 3, 3)
    out = F.conv2d(x, weight, padding=1)
    found = convolution(x, weight, out, ((1, 1), (1, 1), (1, 1), False, (0, 0), 1))
    assert found[0].tolist() == [[8, 12, 8], [12, 18, 12], [8, 12, 8]]
    assert dense_convolution(x, weight, out, False) == 9 * 2 * 9


def test_dense_operations_of_a_transposed_convolution():
    x, weight = torch.ones(1, 4, 5, 5), torch.ones(4, 3, 2, 2)
    assert dense_convolution(x, weight, F.conv_transpose2d(x, weight), True) == 100 * 3 * 4


@pytest.mark.parametrize("time_dim", [0, 1])
def test_sums_by_step(time_dim):
    x = torch.zeros(3, 2, 4)
    x[0, 0, 0] = x[2, 1, 3] = x[2, 0, 1] = 1
    tag = Tag(SPIKES, steps=3, time_dim=time_dim)
    events, acs = per_step(x if time_dim == 0 else x.transpose(0, 1), tag, 5.0, events=True)
    assert (events.tolist(), acs.tolist()) == ([1, 0, 2], [5, 0, 10])
    fan_out = torch.tensor([1.0, 10, 100, 1000]).double()
    if time_dim == 0:
        folded = x.reshape(6, 4)
        assert per_step(folded, Tag(SPIKES, steps=3), fan_out, events=True)[1].tolist() == [1, 0, 1010]


def test_a_unit_makes_whole_events_again():
    # The mean of 9 spikes, rounded to bfloat16, is no multiple of 1/9.
    x = (torch.arange(10) / 9).bfloat16().unsqueeze(0)
    assert per_step(x, Tag(SPIKES, unit=1 / 9), 1.0, events=True)[0].tolist() == [45]


def test_numbers_are_counted_where_they_are_not_zero():
    x = torch.tensor([[-0.5, 0.0, 2.0]])
    assert per_step(x, Tag("real"), 7.0, events=False)[1].tolist() == [14]


def test_sums_beyond_what_float32_counts():
    x = torch.ones(1, 2**8, 2**17 + 1, dtype=torch.bfloat16)
    assert per_step(x, Tag(SPIKES), 1.0, events=True)[0].item() == 2**25 + 2**8


def test_what_was_summed_up_is_not_summed_again():
    tag = Tag(SPIKES)
    x = torch.ones(2, 3)
    per_step(x, tag, 1.0, events=True)
    x.zero_()
    assert per_step(x, tag, 2.0, events=True)[1].tolist() == [12]
