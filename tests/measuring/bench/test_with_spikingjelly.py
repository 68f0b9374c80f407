import pytest
import torch

from small_workloads import SMALL
from spikeduel.measuring.bench import networks

pytest.importorskip("spikingjelly")
from spikeduel.measuring.bench import with_spikingjelly


def test_the_neuron_decays_by_beta_fires_and_is_reset_by_subtraction():
    lif = with_spikingjelly.lif(store_v_seq=True)
    spk = lif(torch.tensor([[0.6], [0.6], [0.0]]))
    # 0.6; 0.95·0.6 + 0.6 = 1.17, fires, 0.17 remains; 0.95·0.17.
    assert spk.flatten().tolist() == [0, 1, 0]
    assert lif.v_seq.flatten().tolist() == pytest.approx([0.6, 0.17, 0.1615], abs=1e-6)


@pytest.mark.parametrize("name", ["dense-direct", "dense-rate"])
def test_hoisting_changes_nothing(name, losses):
    taught = losses(with_spikingjelly.taught, SMALL[name], 5)
    hoisted = losses(with_spikingjelly.hoisted, SMALL[name], 5)
    assert taught == pytest.approx(hoisted, rel=1e-4)


@pytest.mark.parametrize(
    ("builder", "settings"),
    [("taught", {}), ("hoisted", {}), ("hoisted", {"bf16": True})],
)
def test_it_learns(builder, settings, spiking, losses, monkeypatch):
    monkeypatch.setattr(networks, "LEARNING_RATE", 2e-3)
    found = losses(getattr(with_spikingjelly, builder), spiking, **settings)
    assert found[-1] < 0.9 * found[0]
