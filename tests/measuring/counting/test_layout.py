"""Spikes that are moved about still cause additions, at the step at which they were fired."""

import pytest
import torch
from torch import nn

from spikeduel.measuring.counting import Counter

T, B = 3, 2


def after(function, x=None, num_steps=T, kind="spikes"):
    """The tag of what `function` makes of spikes `[T, B, 4]`, and the result."""
    x = torch.zeros(T, B, 4) if x is None else x

    class Network(nn.Module):
        def forward(self, x):
            return function(x)

    counter = Counter(Network(), T)
    out = counter.run(lambda: counter.books.module(x), x, B, kind, num_steps)
    return counter.books.tag(out), out


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
    tag, _ = after(function)
    assert tag.kind == "spikes"
    assert (tag.steps, tag.first_step) == (steps, first_step)
    if steps > 1:
        assert tag.time_dim == time_dim


def test_spikes_joined_with_numbers_are_numbers():
    tag, _ = after(lambda x: torch.cat([x, torch.sigmoid(x)], 2))
    assert tag.kind == "real"
    assert tag.steps == T


@pytest.mark.parametrize(
    "repeated",
    [
        lambda x: x.unsqueeze(0).expand(T, B, 4),
        lambda x: x.unsqueeze(0).repeat(T, 1, 1),
        lambda x: x.repeat(T, 1),
        lambda x: x[None].expand(T, -1, -1).flatten(0, 1),
    ],
)
def test_an_image_repeated_once_a_step_is_the_same_at_each(repeated):
    tag, _ = after(repeated, torch.zeros(B, 4), 1, "image")
    assert (tag.kind, tag.steps, tag.same) == ("image", T, T)


def test_an_image_repeated_otherwise_is_no_sequence():
    tag, _ = after(lambda x: x.unsqueeze(0).expand(T + 2, B, 4), torch.zeros(B, 4), 1, "image")
    assert (tag.steps, tag.same) == (1, 1)
