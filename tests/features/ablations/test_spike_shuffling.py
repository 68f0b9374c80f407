import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from spikeduel.features.ablations.spike_shuffling import shuffled_spikes

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
def test_type_layout_and_the_original_are_kept(dtype, generator):
    spk = (torch.rand(5, 3, 6, 6, 4, generator=generator) < 0.5).to(dtype).permute(0, 1, 4, 2, 3)
    before = spk.clone()
    permuted = shuffled_spikes(spk, KEYS)
    assert (permuted.dtype, permuted.shape, permuted.stride()) == (dtype, spk.shape, spk.stride())
    assert torch.equal(permuted.sum(0), spk.sum(0))
    assert not torch.equal(permuted, spk)
    assert torch.equal(spk, before)
