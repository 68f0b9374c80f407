import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeduel.system.teams import Team


@given(total=st.integers(1, 300), size=st.integers(1, 9), lead=st.integers(0, 1))
def test_shares_are_a_batch_once(total, size, lead):
    shares = [Team(None, rank, size).share(total) for rank in range(size)]
    batch = np.arange(total)
    assert sum(each.counted for each in shares) == total
    if total < size:
        assert all(each.is_whole and np.array_equal(each.of(batch, lead), batch) for each in shares)
        return
    assert np.array_equal(np.concatenate([each.of(batch) for each in shares]), batch)
    assert max(each.counted for each in shares) - min(each.counted for each in shares) <= 1
    if size > 1:
        for each in shares:
            before, *rest = each.of(batch, lead=1)
            assert (before, rest) == ((each.start - 1) % total, list(range(each.start, each.stop)))


@given(total=st.integers(1, 50), size=st.integers(1, 6))
def test_the_mean_of_weighted_means_is_the_mean_of_all(total, size):
    values = np.random.default_rng(total).normal(size=total)
    shares = [Team(None, rank, size).share(total) for rank in range(size)]
    weighted = [values[each.start : each.stop].mean() * each.weight for each in shares]
    assert np.mean(weighted) == pytest.approx(values.mean())


def test_one_process_alone_is_its_own_team():
    team = Team()
    assert team.share(5).is_whole
    assert torch.equal(team.sum(torch.ones(2)), torch.ones(2))
    assert team.decided(lambda: 7) == 7
