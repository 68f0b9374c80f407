import pytest

from small_workloads import SMALL
from spikeduel.measuring.bench import networks, with_torch


@pytest.mark.parametrize("tuned", [False, True])
def test_it_learns(tuned, losses, monkeypatch):
    monkeypatch.setattr(networks, "LEARNING_RATE", 1e-3)
    found = losses(with_torch.build, SMALL["cnn"], tuned=tuned)
    assert found[-1] < 0.9 * found[0]


def test_tuned_is_the_same_network_in_less_precision(losses):
    plain, tuned = (losses(with_torch.build, SMALL["cnn"], 3, tuned=tuned) for tuned in (False, True))
    assert plain == pytest.approx(tuned, rel=0.02)
    assert plain != tuned
