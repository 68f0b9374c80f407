"""SpikingJelly's operation counters as oracle. Where they differ from ours, the difference is
theirs by design:

- they count what is executed: a first layer that our networks run once under direct encoding is counted once, and that
  it stands for T passes as the study wrote it cannot be seen (`per_step`);
- their MACs multiply the zeros beyond the borders of a convolution, where their synaptic operations do not; ours leave
  them out of both;
- whether a layer multiplies is decided by whether a batch happens to hold only zeros and ones, so that an image in
  black and white counts as spikes, silent activations of a ReLU as well, and average-pooled spikes
  as numbers.
"""

import pytest
import torch
from torch import nn

from made_operations import counted, macs_of_padding
from spikeduel.engine import ConstantInput
from spikeduel.engine.networks.architectures import ConvLIF, DenseSNN
from spikeduel.engine.neurons import LIF

op_counter = pytest.importorskip("spikingjelly.activation_based.op_counter")


def theirs(call):
    """MACs of products and convolutions, and synaptic operations, of a whole batch."""
    macs, acs = op_counter.MACCounter(), op_counter.SynOpCounter()
    with torch.no_grad(), op_counter.DispatchCounterMode([macs, acs]):
        call()
    linear = ("addmm", "mm", "convolution")
    amounts = {str(func): value for func, value in macs.get_counts()["Global"].items()}
    return sum(
        v for name, v in amounts.items() if any(part in name for part in linear)
    ), acs.get_total()


@pytest.fixture
def baseline():
    """The study's network on 28×28 with fewer neurons, its weights drawn large enough to spike."""
    torch.manual_seed(0)
    module = DenseSNN((784,), 10, lambda: LIF(0.95), 256).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter *= 2
    return module


def test_the_baseline_network_under_direct_encoding(baseline):
    x = ConstantInput(torch.rand(8, 1, 28, 28), 10)
    macs, acs = theirs(lambda: baseline(x))
    totals = counted(baseline, x, 8, num_steps=10).totals
    assert totals.acs.total * 8 == acs > 0
    assert totals.macs.dense.hoisted * 8 == macs == 8 * 784 * 256
    assert totals.macs.dense.per_step == 10 * 784 * 256


def test_the_baseline_network_under_rate_encoding(baseline):
    spikes = (torch.rand(10, 8, 1, 28, 28) < 0.3).float()
    macs, acs = theirs(lambda: baseline(spikes))
    totals = counted(baseline, spikes, 8, "spikes", 10, 10).totals
    assert totals.acs.total * 8 == acs > 0
    assert totals.macs.dense.per_step == macs == 0


def test_a_convolutional_network_with_borders():
    torch.manual_seed(0)
    module = ConvLIF((1, 9, 9), 5, lambda: LIF(0.5, threshold=0.3), 16).eval()
    x = ConstantInput(torch.rand(4, 1, 9, 9), 6)
    macs, acs = theirs(lambda: module(x))
    totals = counted(module, x, 4, num_steps=6).totals
    beyond = macs_of_padding(module.block1, lambda: module(x))
    assert totals.acs.total * 4 == acs > 0
    assert totals.macs.dense.hoisted * 4 == macs - beyond
    assert beyond > 0


def test_a_black_and_white_image_is_an_image(baseline):
    x = ConstantInput((torch.rand(4, 1, 28, 28) < 0.5).float(), 3)
    macs, acs = theirs(lambda: baseline(x))
    totals = counted(baseline, x, 4, num_steps=3).totals
    first_layer = x.value.sum().item() * 256
    assert macs == 0
    assert acs - first_layer == totals.acs.total * 4
    assert totals.macs.dense.hoisted == 784 * 256
    assert totals.macs.effective.hoisted * 4 == first_layer


def test_average_pooled_spikes_are_events():
    module = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4, 3, bias=False))
    spikes = torch.eye(4).view(1, 1, 4, 4)
    macs, acs = theirs(lambda: module(spikes))
    totals = counted(module, spikes, 1, "spikes").totals
    assert (macs, acs) == (12, 0)
    assert (totals.macs.dense.per_step, totals.acs.total) == (0, 12)
