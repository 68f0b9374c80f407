"""Spikes that are shuffled in time: their order, and what networks lose by it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from made_models import card
from spikeduel.engine.networks.models import Model
from spikeduel.engine.neurons import IF, LIF
from spikeduel.engine.readouts import MeanReadout, SpikeCountReadout
from spikeduel.evaluation.correctness import classification
from spikeduel.features.ablations.ablation_variants import shuffled_classification
from spikeduel.features.ablations.spike_shuffling import shuffled_spikes

NUM_IMAGES = 200


class FirstSpikeDecides(nn.Module):
    """Class 1 where the neuron has fired by the first step, class 0 where it has not: it lives by
    timing alone.
    """

    kind = "snn"
    readout = MeanReadout()

    def __init__(self):
        super().__init__()
        self.lif = IF(threshold=0.5)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        spk, _ = self.lif(x.flatten(2) * self.scale, with_mem=False)
        first = spk[0, :, 0]
        return torch.stack([1 - first, first], 1).expand(len(x), -1, -1)


class CountDecides(FirstSpikeDecides):
    """The same images told apart by how often the neuron fires."""

    def forward(self, x):
        spk, _ = self.lif(x.flatten(2) * self.scale, with_mem=False)
        count = spk[:, :, 0].sum(0)
        return torch.stack([count * 0 + 0.5, count], 1).expand(len(x), -1, -1)


def model(module):
    return Model(module, card("planted", (1, 1, 1), ("late", "early"), 8, encoding="latency"))


def batches(bright, size=64):
    """Dark images fire late, bright ones at once; the class is the brightness."""
    labels = torch.arange(NUM_IMAGES) % 2
    images = torch.where(labels == 1, bright, 1).to(torch.uint8).view(-1, 1, 1, 1)
    indices = np.arange(NUM_IMAGES)
    return [
        (images[s : s + size], labels[s : s + size], indices[s : s + size])
        for s in range(0, NUM_IMAGES, size)
    ]


def test_a_network_that_lives_by_timing_loses_it():
    planted, seen = model(FirstSpikeDecides()), batches(255)
    assert classification(planted, seen).accuracy == 1
    # One spike in eight steps: whoever is early is taken for late in seven of eight cases, and the
    # reverse in one.
    shuffled = shuffled_classification(planted, seen)
    assert shuffled.accuracy == pytest.approx(0.5, abs=0.12)
    truth, predicted = np.array(shuffled.truth), np.array(shuffled.predicted)
    assert predicted[truth == 1].mean() == pytest.approx(1 / 8, abs=0.11)
    # Nothing stays behind in the network.
    assert classification(planted, seen).accuracy == 1


def test_a_network_that_counts_loses_nothing():
    planted, seen = model(CountDecides()), batches(0)
    assert shuffled_classification(planted, seen) == classification(planted, seen)


def test_each_layer_is_shuffled_in_its_own_way():
    class Two(FirstSpikeDecides):
        def __init__(self):
            super().__init__()
            self.other = IF(threshold=0.5)
            self.seen = []

        def forward(self, x):
            current = x.flatten(2) * self.scale
            both = self.lif(current, with_mem=False)[0], self.other(current, with_mem=False)[0]
            self.seen.append(both)
            return both[0].expand(-1, -1, 2)

    module = Two()
    shuffled_classification(model(module), batches(255))
    one, other = (torch.cat(parts, 1) for parts in zip(*module.seen, strict=True))
    assert torch.equal(one.sum(0), other.sum(0))
    assert 0.02 < (one == other).all(0).float().mean() < 0.5


def test_the_studys_readout_counts_and_so_does_not_see_its_own_layer_shuffled(generator):
    class OutputOnly(nn.Module):
        kind = "snn"
        readout = SpikeCountReadout()

        def __init__(self):
            super().__init__()
            self.linear, self.lif = nn.Linear(1, 2), LIF(threshold=0.1)

        def forward(self, x):
            return self.lif(self.linear(x.flatten(2)))

    torch.manual_seed(0)
    planted = model(OutputOnly())
    assert shuffled_classification(planted, batches(255)) == classification(planted, batches(255))


KEYS = np.arange(3, dtype=np.uint64) * 77


@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 40), st.integers(0, 2**64 - 1))
@settings(deadline=None)
def test_values_stay_and_only_their_steps_change(num_steps, batch, neurons, key):
    spk = torch.arange(num_steps * batch * neurons, dtype=torch.float32).view(
        num_steps, batch, neurons
    )
    keys = np.arange(batch, dtype=np.uint64) ^ np.uint64(key)
    permuted = shuffled_spikes(spk, keys)
    assert torch.equal(permuted.sort(0).values, spk)
    if num_steps == 1:
        assert torch.equal(permuted, spk)


def test_each_order_is_equally_likely_and_neurons_are_independent():
    spk = torch.arange(3.0).view(3, 1, 1).expand(3, 1, 60_000)
    permuted = shuffled_spikes(spk, KEYS[:1])[:, 0]
    codes, counts = torch.unique(
        permuted[0] * 9 + permuted[1] * 3 + permuted[2], return_counts=True
    )
    assert len(codes) == 6
    # 60,000 draws of one in six: four standard deviations are 365.
    assert (counts - 10_000).abs().max() < 365
    # Neighbours do not share their order.
    same = (permuted[:, 1:] == permuted[:, :-1]).all(0).float().mean()
    assert abs(same - 1 / 6) < 0.01


def test_it_depends_on_the_key_and_on_nothing_else_in_the_batch(generator):
    spk = (torch.rand(8, 3, 50, generator=generator) < 0.4).float()
    whole = shuffled_spikes(spk, KEYS)
    assert torch.equal(whole[:, 1:2], shuffled_spikes(spk[:, 1:2], KEYS[1:2]))
    assert torch.equal(whole, shuffled_spikes(spk, KEYS))
    assert not torch.equal(whole, shuffled_spikes(spk, KEYS + np.uint64(1)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_type_layout_and_the_original_stay(dtype, generator):
    spk = (torch.rand(5, 3, 6, 6, 4, generator=generator) < 0.5).to(dtype).permute(0, 1, 4, 2, 3)
    before = spk.clone()
    permuted = shuffled_spikes(spk, KEYS)
    assert (permuted.dtype, permuted.shape, permuted.stride()) == (dtype, spk.shape, spk.stride())
    assert torch.equal(permuted.sum(0), spk.sum(0))
    assert not torch.equal(permuted, spk)
    assert torch.equal(spk, before)
