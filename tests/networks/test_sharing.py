"""Parts of a batch in threads of one process, which add up as processes do, against the whole batch
at once.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from spikeduel.networks import sharing
from spikeduel.spiking.kernels import normalised
from spikeduel.spiking.kernels.reference import Dynamics
from spikeduel.system.shared_sums import SharedSums
from spikeduel.system.teams import SHARE, Team


def in_parts(size, total, work):
    """What `work(share)` gives for the share of each of `size` processes."""
    memory = np.zeros(SharedSums.shape(size))
    teams = [Team(None, rank, size, SharedSums(memory, rank, 60.0)) for rank in range(size)]

    def of(team):
        torch.set_num_threads(1)
        share = team.share(total)
        token = SHARE.set(share)
        try:
            return work(share)
        finally:
            SHARE.reset(token)

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(of, teams))


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("shape", [(7, 5, 6, 4), (7, 24, 6, 4), (7, 5), (8, 5, 9)], ids=str)
@pytest.mark.parametrize("kernel", [False, True], ids=["torch", "kernel"])
def test_batch_norm_is_that_of_the_whole_batch(size, shape, kernel):
    generator = torch.Generator().manual_seed(0)
    x, incoming = (
        torch.randn(shape, generator=generator) * 3 + 10,
        torch.randn(shape, generator=generator),
    )
    if kernel:
        if len(shape) < 4:
            pytest.skip("there is one for images")
        x = x.to(memory_format=torch.channels_last)
    channels = shape[1]
    weight, bias = (
        torch.rand(channels, generator=generator) + 0.5,
        torch.rand(channels, generator=generator),
    )

    exact = [each.double().requires_grad_() for each in (x, weight, bias)]
    mean, var = torch.zeros(channels).double(), torch.ones(channels).double()
    expected = F.batch_norm(exact[0], mean, var, *exact[1:], True, 0.3)
    expected.backward(incoming.double())

    def work(share):
        part = slice(share.start, share.stop)
        given = [
            x[part].detach().requires_grad_(),
            weight.clone().requires_grad_(),
            bias.clone().requires_grad_(),
        ]
        running = torch.zeros(channels), torch.ones(channels)
        y = sharing._batch_norm(share, given[0], *running, *given[1:], True, 0.3)
        y.backward(incoming[part])
        return y.detach(), given[0].grad, *running, given[1].grad, given[2].grad

    ys, grads, means, variances, of_weight, of_bias = zip(
        *in_parts(size, len(x), work), strict=True
    )
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(torch.cat(ys).double(), expected.detach(), **close)
    torch.testing.assert_close(torch.cat(grads).double(), exact[0].grad, **close)
    torch.testing.assert_close(sum(of_weight).double(), exact[1].grad, **close)
    torch.testing.assert_close(sum(of_bias).double(), exact[2].grad, **close)
    for one, other in zip(means, variances, strict=True):
        torch.testing.assert_close(one.double(), mean, **close)
        torch.testing.assert_close(other.double(), var, **close)


@pytest.mark.parametrize("size", [2, 3])
def test_the_fused_scan_is_that_of_the_whole_batch(size):
    generator = torch.Generator().manual_seed(0)
    currents = torch.randn((3, 7, 16, 6, 6), generator=generator) + 1
    incoming = torch.randn((3, 7, 16, 3, 3), generator=generator)

    def run(norm, part):
        current = currents[:, part].clone().requires_grad_()
        spk = normalised.normalised_scan(current, norm, 0.9, Dynamics(1.0), 2)
        spk.backward(incoming[:, part])
        return spk.detach(), current.grad, norm.weight.grad, norm.bias.grad, norm.running_var

    expected = run(nn.BatchNorm2d(16), slice(None))
    found = in_parts(size, 7, lambda share: run(nn.BatchNorm2d(16), slice(share.start, share.stop)))
    spks, grads, of_weight, of_bias, variances = zip(*found, strict=True)
    assert torch.equal(torch.cat(spks, 1), expected[0])
    torch.testing.assert_close(torch.cat(grads, 1), expected[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(sum(of_weight), expected[2], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(sum(of_bias), expected[3], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(variances[0], expected[4])


@pytest.mark.parametrize("steps", [1, 4])
def test_dropout_is_that_of_the_whole_batch(steps):
    x = torch.ones(steps * 7, 5)
    torch.manual_seed(1)
    expected = F.dropout(x, 0.4).unflatten(0, (steps, 7))
    parts = []
    for rank in range(3):
        share = Team(None, rank, 3).share(7)
        torch.manual_seed(1)
        with sharing.shared(share):
            mine = x.unflatten(0, (steps, 7))[:, share.start : share.stop].flatten(0, 1)
            parts.append(nn.Dropout(0.4)(mine).unflatten(0, (steps, -1)))
    assert torch.equal(torch.cat(parts, 1), expected)


def test_afterwards_layers_are_as_ever():
    before = F.batch_norm, F.dropout
    with pytest.raises(RuntimeError), sharing.shared(Team(None, 0, 2).share(4)):
        assert F.batch_norm is not before[0]
        raise RuntimeError
    assert (F.batch_norm, F.dropout) == before
    assert SHARE.get() is None
