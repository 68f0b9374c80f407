from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from small_workloads import SMALL
from speed import networks
from speed.networks import (
    LEARNING_RATE,
    Peer,
    SnnTorch,
    Spiking,
    SpikingJelly,
    Study,
    TaughtSpikingJelly,
    peer,
)
from speed.workloads import WORKLOADS, Workload, batch, recorded, stages
from spikeduel.networks.building import build, num_parameters
from spikeduel.networks.models import Model
from spikeduel.settings.recipes import baseline
from spikeduel.spiking.kernels import Dynamics, reference


@pytest.mark.parametrize("name", WORKLOADS)
def test_ours_has_the_parameters_that_the_roofline_counts(name):
    card = networks.card_of(WORKLOADS[name])
    assert num_parameters(build(card)) == num_parameters(stages(WORKLOADS[name]))
    assert (card.encoding, card.num_steps) == (WORKLOADS[name].encoding, WORKLOADS[name].num_steps)


@pytest.mark.parametrize("precision", ["32", "bf16"])
@pytest.mark.parametrize("name", SMALL)
def test_ours_learns(precision, name, losses, monkeypatch):
    monkeypatch.setattr(networks, "RULES", replace(networks.RULES, learning_rate=2e-3))
    found = losses(networks.spikeduel, SMALL[name], precision=precision)
    assert found[-1] < 0.9 * found[0]
    assert (
        networks.spikeduel(SMALL[name], precision).precision
        == {"32": "float32", "bf16": "bf16"}[precision]
    )


def test_every_step_draws_other_spikes(monkeypatch):
    keys = []

    def encode(self, images, draw, original=Model.encode):
        keys.append(draw.values)
        return original(self, images, draw)

    monkeypatch.setattr(Model, "encode", encode)
    built = networks.spikeduel(SMALL["dense-rate"])
    for _ in range(2):
        built.step(*batch(SMALL["dense-rate"]))
    assert len(keys) == 2
    assert not set(keys[0].tolist()) & set(keys[1].tolist())


def test_each_step_on_recordings_bins_them_again(monkeypatch):
    workload = Workload("events", "conv", 8, "events", 3, batch_size=4, hidden=16, channels=2)
    seen = []

    def encode(self, images, draw, original=Model.encode):
        seen.append(images)
        return original(self, images, draw)

    monkeypatch.setattr(Model, "encode", encode)
    expected = torch.from_numpy(np.asarray(recorded(workload)))
    steps = (networks.spikeduel(workload, "32").step, networks.binning(workload).step)
    for _ in range(2):
        binned = [step(*batch(workload)) for step in steps][1]
        assert torch.equal(binned, expected)
    assert len(seen) == 2
    assert all(torch.equal(images, expected) for images in seen)


def test_the_loss_is_that_of_snntorch_as_the_study_wrote_it(losses):
    pytest.importorskip("snntorch")
    study = losses(partial(peer, Study), SMALL["dense-direct"], 5)
    assert losses(networks.spikeduel, SMALL["dense-direct"], 5, precision="32") == pytest.approx(
        study, rel=1e-4
    )
    assert torch.isfinite(torch.tensor(study)).all()


# ---- plain PyTorch


class Quiet(Spiking):
    """Neurons of nobody."""

    def neuron(self, is_last):
        return nn.Identity()


def test_the_loss_is_a_mean_over_steps_or_that_of_the_mean():
    output, labels = torch.randn(3, 4, 10), torch.tensor([1, 2, 3, 4])
    each = [F.cross_entropy(step, labels) for step in output]
    torch.testing.assert_close(Quiet(SMALL["dense-rate"]).loss(output, labels), sum(each) / 3)
    of_mean = F.cross_entropy(sum(output) / 3, labels)
    torch.testing.assert_close(Quiet(SMALL["conv"]).loss(output, labels), of_mean)


def test_neurons_stand_after_each_stage_but_a_conv_networks_last():
    assert (len(Quiet(SMALL["dense-rate"]).neurons), len(Quiet(SMALL["conv"]).neurons)) == (2, 3)


@pytest.mark.parametrize("tuned", [False, True])
def test_a_step_in_plain_pytorch(tuned, monkeypatch):
    """Images as `ToTensor` makes them in either layout; the study's Adam, fused if tuned; then what
    is asked for.
    """
    seen, made, adam = [], [], torch.optim.Adam

    def optimizer(*given, **settings):
        made.append(adam(*given, **settings))
        return made[0]

    class Seeing(Peer):
        def forward(self, x):
            seen.append(x)
            return super().forward(x)

        def after_step(self):
            seen.append("after")

    monkeypatch.setattr(torch.optim, "Adam", optimizer)
    images = torch.zeros(1, 1, 12, 12, dtype=torch.uint8)
    images[0, 0, 0, :4] = torch.tensor([0, 51, 255, 102])
    peer(Seeing, SMALL["cnn"], tuned=tuned).step(images, torch.tensor([1]))
    x, after = seen
    assert x.flatten()[:4].tolist() == pytest.approx([0, 0.2, 1, 0.4])
    assert after == "after"
    (group,) = made[0].param_groups
    assert (group["lr"], group["betas"], bool(group["fused"])) == (8.5e-5, (0.9, 0.999), tuned)
    assert baseline().learning_rate == LEARNING_RATE


@pytest.mark.parametrize("tuned", [False, True])
def test_the_cnn_learns(tuned, losses, monkeypatch):
    monkeypatch.setattr(networks, "LEARNING_RATE", 1e-3)
    found = losses(partial(peer, Peer), SMALL["cnn"], bf16=tuned, tuned=tuned)
    assert found[-1] < 0.9 * found[0]


def test_tuned_is_the_same_network_in_less_precision(losses):
    plain, tuned = (
        losses(partial(peer, Peer), SMALL["cnn"], 3, bf16=tuned, tuned=tuned)
        for tuned in (False, True)
    )
    assert plain == pytest.approx(tuned, rel=0.02)
    assert plain != tuned


# ---- snnTorch


def test_the_study_step_is_what_the_study_describes():
    """Linear, LIF, linear, LIF with beta 0.95; mean over steps of the membrane's cross-entropy;
    Adam as described.
    """
    pytest.importorskip("snntorch")
    workload = SMALL["dense-direct"]
    made = []

    class Kept(Study):
        def __init__(self, *given):
            super().__init__(*given)
            made.append(self)

    built = peer(Kept, workload)
    (network,) = made
    first, second = network.stages[0][1], network.stages[1]
    assert [layer.weight.shape for layer in (first, second)] == [(64, 64), (10, 64)]
    images, labels = batch(workload)
    x = (images / 255).flatten(1)
    copies = [
        nn.Parameter(p.detach().clone())
        for p in (first.weight, first.bias, second.weight, second.bias)
    ]
    adam = torch.optim.Adam(copies, lr=8.5e-5, betas=(0.9, 0.999))
    for _ in range(3):
        spk, _, _ = reference.scan(F.linear(x, *copies[:2]).expand(5, -1, -1), 0.95, Dynamics(1.0))
        _, mem, _ = reference.scan(F.linear(spk, *copies[2:]), 0.95, Dynamics(1.0))
        expected = torch.stack([F.cross_entropy(step, labels) for step in mem]).mean()
        adam.zero_grad()
        expected.backward()
        adam.step()
        torch.testing.assert_close(built.step(images, labels), expected.detach())
    torch.testing.assert_close(second.weight, copies[2])
    torch.testing.assert_close(first.weight, copies[0])


@pytest.mark.parametrize("encoding", ["dense-direct", "dense-rate"])
def test_the_fastest_step_computes_what_the_studys_does(encoding, losses):
    pytest.importorskip("snntorch")
    study = losses(partial(peer, Study), SMALL[encoding], 5)
    fastest = losses(partial(peer, SnnTorch, tuned=True), SMALL[encoding], 5)
    assert study == pytest.approx(fastest, rel=1e-4)


def test_rate_encoding_is_drawn_anew():
    pytest.importorskip("snntorch")
    x = torch.full((1, 1, 8, 8), 0.5)
    first, second = (SnnTorch(SMALL["dense-rate"]).encode(x) for _ in range(2))
    assert first.shape == (5, 1, 1, 8, 8)
    assert set(first.unique().tolist()) == {0, 1}
    assert not torch.equal(first, second)
    assert SnnTorch(SMALL["dense-direct"]).encode(x) is x


@pytest.mark.parametrize("bf16", [False, True])
def test_the_fastest_learns(bf16, spiking, losses, monkeypatch):
    pytest.importorskip("snntorch")
    monkeypatch.setattr(networks, "LEARNING_RATE", 2e-3)
    found = losses(partial(peer, SnnTorch, tuned=True), spiking, bf16=bf16)
    assert found[-1] < 0.9 * found[0]


def test_the_study_learns(spiking, losses, monkeypatch):
    pytest.importorskip("snntorch")
    monkeypatch.setattr(networks, "LEARNING_RATE", 2e-3)
    found = losses(partial(peer, Study), spiking)
    assert found[-1] < 0.9 * found[0]


# ---- SpikingJelly


def test_the_neuron_decays_by_beta_fires_and_is_reset_by_subtraction():
    pytest.importorskip("spikingjelly")
    lif = SpikingJelly(SMALL["dense-direct"]).neurons[-1]
    spk = lif(torch.tensor([[0.6], [0.6], [0.0]]))
    # 0.6; 0.95·0.6 + 0.6 = 1.17, fires, 0.17 remains; 0.95·0.17.
    assert spk.flatten().tolist() == [0, 1, 0]
    assert lif.v_seq.flatten().tolist() == pytest.approx([0.6, 0.17, 0.1615], abs=1e-6)


@pytest.mark.parametrize("name", ["dense-direct", "dense-rate"])
def test_hoisting_changes_nothing(name, losses):
    pytest.importorskip("spikingjelly")
    taught = losses(partial(peer, TaughtSpikingJelly), SMALL[name], 5)
    hoisted = losses(partial(peer, SpikingJelly, tuned=True), SMALL[name], 5)
    assert taught == pytest.approx(hoisted, rel=1e-4)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (TaughtSpikingJelly, {}),
        (SpikingJelly, {"tuned": True}),
        (SpikingJelly, {"tuned": True, "bf16": True}),
    ],
)
def test_spikingjelly_learns(kind, settings, spiking, losses, monkeypatch):
    pytest.importorskip("spikingjelly")
    monkeypatch.setattr(networks, "LEARNING_RATE", 2e-3)
    found = losses(partial(peer, kind), spiking, **settings)
    assert found[-1] < 0.9 * found[0]
