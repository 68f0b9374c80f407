"""Arithmetic on spikes: the kind of its result, and its cost per image, for two images."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from made_operations import Written
from spikeduel.engine.counting.counter import Counter
from spikeduel.engine.counting.ledger import NotCounted


def after(function, x, kind="spikes", steps=1, num_steps=None):
    """Return the tag of `function(x)`, and the totals of two images; None where nothing costs."""
    counter = Counter(Written(lambda net, x: function(x)).eval(), num_steps or steps)
    tag = counter.ledger.tag(counter.run(lambda: counter.ledger.module(x), x, 2, kind, steps))
    try:
        return tag, counter.operations().totals
    except NotCounted:
        return tag, None


def amounts(totals):
    names = ("additions", "multiplications", "functions")
    return tuple(getattr(totals, name).per_step if totals else 0 for name in names)


SPIKES = torch.ones(2, 1, 4, 4)


@pytest.mark.parametrize(
    ("function", "unit"),
    [
        (lambda x: F.avg_pool2d(x, 2), 1 / 4),
        (lambda x: F.avg_pool2d(x, 2, divisor_override=3), 1 / 3),
        (lambda x: F.adaptive_avg_pool2d(x, 2), 1 / 4),
        (lambda x: F.adaptive_avg_pool2d(x, 1), 1 / 16),
        (lambda x: F.adaptive_avg_pool2d(x, 4), 1),
        (lambda x: x.amin(1), 1),
        (lambda x: F.avg_pool2d(F.avg_pool2d(x, 2), 2), 1 / 16),
        (lambda x: x.mean((2, 3)), 1 / 16),
        (lambda x: x.sum(1), 1),
        (lambda x: 3 * x, 3),
        (lambda x: x / 4, 1 / 4),
        (lambda x: x + x.clone(), 1),
        (lambda x: sum([x, x.clone()]), 1),
        # A factor of spikes selects spikes of the other, as in spike-driven attention.
        (lambda x: x * x.clone(), 1),
        (lambda x: x * (x + x.clone()), 1),
        (lambda x: (3 * x) * (x / 4), 3 / 4),
        (lambda x: x * F.avg_pool2d(x, 4), 1 / 16),
        (lambda x: F.max_pool2d(F.avg_pool2d(x, 2), 2), 1 / 4),
        (lambda x: F.relu(x), 1),
        (lambda x: (torch.sigmoid(x) > 0.5).float(), 1),
        (lambda x: torch.where(x > 0, x, x.clone()), 1),
    ],
)
def test_events_stay_events(function, unit):
    tag, _ = after(function, SPIKES)
    assert tag.kind == "spikes"
    assert tag.unit == pytest.approx(unit)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.avg_pool2d(x + x.clone(), 2).sum(1),
        lambda x: x * (x + x.clone()),
    ],
)
def test_what_stays_events_costs_nothing(function):
    _, totals = after(function, SPIKES)
    assert amounts(totals) == (0, 0, 0)


def test_selected_spikes_are_counted_one_by_one():
    """The spikes of a mask times sums of two spikes: a layer adds both."""
    spikes = torch.zeros(2, 4)
    spikes[:, :3] = 1
    weight = nn.Parameter(torch.ones(5, 4))
    _, totals = after(lambda x: F.linear(x * (x + x.clone()), weight), spikes)
    assert totals.acs.total == 3 * 2 * 5
    assert totals.macs.dense.per_step == 0


@pytest.mark.parametrize(
    ("function", "cost"),
    [
        (lambda x: x * torch.full((4,), 0.5), (0, 16, 0)),
        (lambda x: x + 1, (16, 0, 0)),
        (lambda x: 1 - x, (16, 0, 0)),
        (lambda x: (x + x.clone()) * (x + x.clone()), (0, 16, 0)),
        (lambda x: x + 0.5 * x, (16, 0, 0)),
        (lambda x: -1 * x, (0, 16, 0)),
        (lambda x: torch.sigmoid(x), (0, 0, 16)),
        (lambda x: torch.where(x > 0, x, torch.sigmoid(x)), (0, 0, 16)),
        (lambda x: x.clamp(0, 0.5), (0, 0, 0)),
        # Padding makes the windows at the border smaller: these averages are no whole numbers of
        # events.
        (
            lambda x: F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False),
            (16 * 8, 16, 0),
        ),
        (lambda x: F.adaptive_avg_pool2d(x, 3), (7, 9, 0)),
    ],
)
def test_other_arithmetic_makes_numbers(function, cost):
    tag, totals = after(function, SPIKES)
    assert tag.kind == "real"
    assert amounts(totals) == cost


@pytest.mark.parametrize(
    ("function", "cost"),
    [
        (lambda x: F.relu(x), (0, 0, 0)),
        (lambda x: F.max_pool2d(x, 2), (0, 0, 0)),
        (lambda x: F.avg_pool2d(x, 2), (12, 4, 0)),
        (lambda x: x.mean((2, 3)), (15, 1, 0)),
        (lambda x: x.sum((2, 3)), (15, 0, 0)),
        (lambda x: x.softmax(3), (0, 0, 16)),
        (lambda x: F.layer_norm(x, (4,)), (0, 32, 0)),
        (lambda x: x + x.clone(), (16, 0, 0)),
        (lambda x: F.leaky_relu(x), (0, 16, 0)),
        (lambda x: F.gelu(x), (0, 0, 16)),
    ],
)
def test_numbers_by_the_operator(function, cost):
    tag, totals = after(function, SPIKES, "real")
    assert tag.kind == "real"
    assert amounts(totals) == cost


def test_work_on_weights_alone_is_done_once_and_for_all():
    scale = torch.rand(4)
    _, totals = after(lambda x: x * (scale * 2 + 1).exp(), SPIKES, "real")
    assert amounts(totals) == (0, 16, 0)


T, B = 3, 2


@pytest.mark.parametrize(
    ("function", "steps", "time_dim", "first_step"),
    [
        (lambda x: x.flatten(0, 1), 3, 0, 0),
        (lambda x: x.flatten(0, 1).unflatten(0, (T, B)), 3, 0, 0),
        (lambda x: x.view(T * B, 2, 2).permute(0, 2, 1).reshape(T, B, 4), 3, 0, 0),
        (lambda x: x.transpose(0, 1), 3, 1, 0),
        (lambda x: x.transpose(0, 1).contiguous().unsqueeze(0), 3, 2, 0),
        (lambda x: x.unsqueeze(2).squeeze(2), 3, 0, 0),
        (lambda x: x[1], 1, 0, 1),
        (lambda x: x[1:], 2, 0, 1),
        (lambda x: x[::2], 1, 0, 2),
        (lambda x: x[:, 0], 3, 0, 0),
        (lambda x: x[..., :2], 3, 0, 0),
        (lambda x: x.unbind(0)[2], 1, 0, 2),
        (lambda x: x.split(1)[1], 1, 0, 1),
        (lambda x: x.chunk(2, dim=2)[1], 3, 0, 0),
        (lambda x: torch.stack(x.unbind(0)), 3, 0, 0),
        (lambda x: torch.stack(x.unbind(0)[1:]), 2, 0, 1),
        (lambda x: torch.stack(x.unbind(0)[::-1]), 1, 0, 2),
        (lambda x: torch.cat([x, x], 2), 3, 0, 0),
        (lambda x: torch.cat([x, x], 0), 1, 0, 2),
        (lambda x: x.sum(2), 3, 0, 0),
        (lambda x: x.sum(0), 1, 0, 2),
        (lambda x: x.reshape(2, -1), 1, 0, 2),
        (lambda x: x.clone().detach().bfloat16(), 3, 0, 0),
        (lambda x: nn.functional.max_pool1d(x, 2), 3, 0, 0),
        (lambda x: x.index_select(2, torch.tensor([0, 3])), 3, 0, 0),
        (lambda x: x.flip(2), 3, 0, 0),
        (lambda x: nn.functional.pad(x, (1, 1)), 3, 0, 0),
        (lambda x: nn.functional.dropout(x, 0.5, training=False), 3, 0, 0),
        (lambda x: x.repeat(1, 1, 2), 3, 0, 0),
    ],
)
def test_they_stay_spikes_and_keep_their_steps(function, steps, time_dim, first_step):
    tag, _ = after(function, torch.zeros(T, B, 4), steps=T)
    assert tag.kind == "spikes"
    assert (tag.steps, tag.first_step) == (steps, first_step)
    if steps > 1:
        assert tag.time_dim == time_dim


def test_spikes_joined_with_numbers_are_numbers():
    tag, _ = after(lambda x: torch.cat([x, torch.sigmoid(x)], 2), torch.zeros(T, B, 4), steps=T)
    assert tag.kind == "real"
    assert tag.steps == T


@pytest.mark.parametrize(
    ("repeated", "steps"),
    [
        (lambda x: x.unsqueeze(0).expand(T, B, 4), T),
        (lambda x: x.unsqueeze(0).repeat(T, 1, 1), T),
        (lambda x: x.repeat(T, 1), T),
        (lambda x: x[None].expand(T, -1, -1).flatten(0, 1), T),
        # Repeated otherwise, it is no sequence.
        (lambda x: x.unsqueeze(0).expand(T + 2, B, 4), 1),
    ],
)
def test_an_image_repeated_once_a_step_is_the_same_at_each(repeated, steps):
    tag, _ = after(repeated, torch.zeros(B, 4), "image", num_steps=T)
    assert (tag.kind, tag.steps, tag.same) == ("image", steps, steps)
