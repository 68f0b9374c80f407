import numpy as np
import pytest
import torch

from made_models import make
from spikeduel.measuring import energy
from spikeduel.measuring.operations import operations


def counted(encoding, shape="dense-snn"):
    images = torch.randint(0, 256, (12, 1, 10, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return operations(make(shape, encoding=encoding), [(images, torch.arange(12) % 3, np.arange(12))])


TABLE = energy.read("45nm-fp32")


@pytest.mark.parametrize("memory", ["compute", "on_chip"])
@pytest.mark.parametrize("encoding", ["direct", "rate", "latency"])
def test_the_last_step_is_the_whole(encoding, memory):
    found = counted(encoding)
    spent = energy.over_time(found, TABLE, memory)
    whole = energy.joules(energy.estimate(found, TABLE), memory)
    assert len(spent) == 6
    assert spent[-1] == pytest.approx(whole)
    assert (np.diff(spent) >= 0).all()


def test_under_direct_encoding_the_first_layer_is_paid_for_first_and_once():
    found = counted("direct")
    # 100 pixels by 12 neurons at 4.6 pJ, and then additions at 0.9 pJ for each spike and its 3 synapses.
    layer = next(each for each in found["layers"] if each["name"] == "linear2")
    added = np.cumsum(layer["acs"]["per_step"])
    assert energy.over_time(found, TABLE) == pytest.approx((1200 * 4.6 + 0.9 * added) * 1e-12)
    again = energy.over_time(found, TABLE, counting="as_written")
    assert again == pytest.approx((1200 * 4.6 * np.arange(1, 7) + 0.9 * added) * 1e-12)


def test_a_chip_without_macs_cannot_tell():
    assert energy.over_time(counted("direct"), energy.read("loihi"), "on_chip") is None
    assert len(energy.over_time(counted("rate"), energy.read("loihi"), "on_chip")) == 6


def test_the_mean_over_those_who_leave_by_hand():
    assert energy.mean_at([1.0, 2.0, 4.0], [3, 0, 1]) == pytest.approx((3 * 1 + 4) / 4)
