import pytest
import torch

from small_workloads import SMALL
from spikeduel.measuring.bench import networks
from spikeduel.measuring.bench.networks import needs
from spikeduel.measuring.bench.workloads import WORKLOADS, batch
from spikeduel.networks.models import Model, build, num_parameters
from spikeduel.settings.recipes import baseline


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_network_has_the_parameters_that_the_roofline_counts(name):
    card = networks.describe(WORKLOADS[name])
    assert num_parameters(build(card)) == needs(WORKLOADS[name], 2).parameters
    assert (card.encoding, card.num_steps) == (WORKLOADS[name].encoding, WORKLOADS[name].num_steps)


@pytest.mark.parametrize("precision", ["32", "bf16"])
@pytest.mark.parametrize("name", SMALL)
def test_it_learns(precision, name, losses, monkeypatch):
    monkeypatch.setattr(networks, "baseline", lambda: baseline(learning_rate=2e-3))
    found = losses(networks.build, SMALL[name], precision=precision)
    assert found[-1] < 0.9 * found[0]
    assert networks.build(SMALL[name], precision).precision == {"32": "float32", "bf16": "bf16"}[precision]


def test_every_step_draws_other_spikes(monkeypatch):
    keys = []

    def encode(self, images, draw, original=Model.encode):
        keys.append(draw.values)
        return original(self, images, draw)

    monkeypatch.setattr(Model, "encode", encode)
    built = networks.build(SMALL["dense-rate"])
    for _ in range(2):
        built.step(*batch(SMALL["dense-rate"]))
    assert len(keys) == 2
    assert not set(keys[0].tolist()) & set(keys[1].tolist())


def test_the_loss_is_that_of_snntorch_as_the_study_wrote_it(losses):
    pytest.importorskip("snntorch")
    from spikeduel.measuring.bench import with_snntorch

    study = losses(with_snntorch.study, SMALL["dense-direct"], 5)
    assert losses(networks.build, SMALL["dense-direct"], 5, precision="32") == pytest.approx(study, rel=1e-4)
    assert torch.isfinite(torch.tensor(study)).all()
