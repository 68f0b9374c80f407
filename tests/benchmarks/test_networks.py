from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.speed.step import networks
from benchmarks.speed.step.networks import (
    Peer,
    SnnTorch,
    Spiking,
    SpikingJelly,
    Study,
    TaughtSpikingJelly,
    peer,
)
from benchmarks.speed.step.workloads import WORKLOADS, batch, stages
from small_workloads import SMALL
from spikeduel.engine.kernels import Dynamics, reference
from spikeduel.engine.networks.building import build, num_parameters
from spikeduel.engine.networks.models import Model


@pytest.mark.parametrize("name", WORKLOADS)
def test_ours_has_the_parameters_that_the_roofline_counts(name):
    card = networks.card_of(WORKLOADS[name])
    assert num_parameters(build(card)) == num_parameters(stages(WORKLOADS[name]))
    assert (card.encoding, card.num_steps) == (WORKLOADS[name].encoding, WORKLOADS[name].num_steps)


@pytest.mark.parametrize(("precision", "name"), [("32", "float32"), ("bf16", "bf16")])
def test_ours_is_of_the_precision_that_is_asked_for(precision, name):
    assert networks.spikeduel(SMALL["conv"], precision).precision == name


OURS, TUNED = networks.spikeduel, {"tuned": True, "bf16": True}
HOISTED = partial(peer, SpikingJelly, tuned=True)


@pytest.mark.parametrize(
    ("package", "builder", "workload", "settings"),
    [
        ("torch", OURS, "dense-direct", {"precision": "bf16"}),
        ("torch", OURS, "dense-rate", {"precision": "32"}),
        ("torch", OURS, "conv", {"precision": "bf16"}),
        ("torch", OURS, "cnn", {"precision": "32"}),
        ("torch", partial(peer, Peer), "cnn", {}),
        ("torch", partial(peer, Peer), "cnn", TUNED),
        ("snntorch", partial(peer, Study), "dense-direct", {}),
        ("snntorch", partial(peer, Study), "dense-rate", {}),
        ("snntorch", partial(peer, Study), "conv", {}),
        ("snntorch", partial(peer, SnnTorch), "dense-direct", TUNED),
        ("snntorch", partial(peer, SnnTorch), "dense-rate", {"tuned": True}),
        ("snntorch", partial(peer, SnnTorch), "conv", TUNED),
        ("spikingjelly", partial(peer, TaughtSpikingJelly), "dense-rate", {}),
        ("spikingjelly", partial(peer, TaughtSpikingJelly), "conv", {}),
        ("spikingjelly", partial(peer, SpikingJelly), "dense-direct", TUNED),
        ("spikingjelly", partial(peer, SpikingJelly), "conv", {"tuned": True}),
    ],
)
def test_a_contender_learns(package, builder, workload, settings, losses, monkeypatch):
    pytest.importorskip(package)
    monkeypatch.setattr(networks, "RULES", replace(networks.RULES, learning_rate=2e-3))
    monkeypatch.setattr(networks, "LEARNING_RATE", 1e-3 if workload == "cnn" else 2e-3)
    first, *_, last = losses(builder, SMALL[workload], **settings)
    assert last < 0.9 * first


@pytest.mark.parametrize(
    ("package", "one", "other", "workload"),
    [
        ("snntorch", partial(peer, Study), partial(OURS, precision="32"), "dense-direct"),
        ("snntorch", partial(peer, Study), partial(peer, SnnTorch, tuned=True), "dense-direct"),
        ("snntorch", partial(peer, Study), partial(peer, SnnTorch, tuned=True), "dense-rate"),
        ("spikingjelly", partial(peer, TaughtSpikingJelly), HOISTED, "dense-direct"),
        ("spikingjelly", partial(peer, TaughtSpikingJelly), HOISTED, "dense-rate"),
    ],
)
def test_losses_are_those_of_the_other_way_to_compute_them(package, one, other, workload, losses):
    pytest.importorskip(package)
    expected = losses(one, SMALL[workload], 5)
    assert losses(other, SMALL[workload], 5) == pytest.approx(expected, rel=1e-4)


@pytest.fixture
def encoded(monkeypatch):
    """A list of the images and the keys of each encoding from here on."""
    calls = []

    def encode(self, images, draw, original=Model.encode):
        calls.append((images, draw.values))
        return original(self, images, draw)

    monkeypatch.setattr(Model, "encode", encode)
    return calls


def test_every_step_draws_other_spikes(encoded):
    built = networks.spikeduel(SMALL["dense-rate"])
    for _ in range(2):
        built.step(*batch(SMALL["dense-rate"]))
    (_, first), (_, second) = encoded
    assert not set(first.tolist()) & set(second.tolist())


# ---- plain PyTorch


class Quiet(Spiking):
    """Neurons of nobody."""

    def neuron(self, is_last):
        return nn.Identity()


def test_the_loss_is_a_mean_over_steps_or_that_of_the_mean():
    output, labels = torch.randn(3, 4, 10), torch.tensor([1, 2, 3, 4])
    losses = [F.cross_entropy(step, labels) for step in output]
    torch.testing.assert_close(Quiet(SMALL["dense-rate"]).loss(output, labels), sum(losses) / 3)
    of_mean = F.cross_entropy(sum(output) / 3, labels)
    torch.testing.assert_close(Quiet(SMALL["conv"]).loss(output, labels), of_mean)


def test_neurons_stand_after_each_stage_but_a_conv_networks_last():
    assert (len(Quiet(SMALL["dense-rate"]).neurons), len(Quiet(SMALL["conv"]).neurons)) == (2, 3)


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
    made = []

    class Kept(Study):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

    built = peer(Kept, SMALL["dense-direct"])
    first, second = made[0].stages[0][1], made[0].stages[1]
    weights = (first.weight, first.bias, second.weight, second.bias)
    assert [tuple(value.shape) for value in weights] == [(64, 64), (64,), (10, 64), (10,)]
    copies = [nn.Parameter(value.detach().clone()) for value in weights]
    adam = torch.optim.Adam(copies, lr=8.5e-5, betas=(0.9, 0.999))
    images, labels = batch(SMALL["dense-direct"])
    x = (images / 255).flatten(1)
    for _ in range(3):
        spk, _, _ = reference.scan(F.linear(x, *copies[:2]).expand(5, -1, -1), 0.95, Dynamics(1.0))
        _, mem, _ = reference.scan(F.linear(spk, *copies[2:]), 0.95, Dynamics(1.0))
        expected = torch.stack([F.cross_entropy(step, labels) for step in mem]).mean()
        adam.zero_grad()
        expected.backward()
        adam.step()
        torch.testing.assert_close(built.step(images, labels), expected.detach())
    torch.testing.assert_close((first.weight, second.weight), (copies[0], copies[2]))


def test_rate_encoding_is_drawn_anew():
    pytest.importorskip("snntorch")
    x = torch.full((1, 1, 8, 8), 0.5)
    first, second = (SnnTorch(SMALL["dense-rate"]).encode(x) for _ in range(2))
    assert first.shape == (5, 1, 1, 8, 8)
    assert set(first.unique().tolist()) == {0, 1}
    assert not torch.equal(first, second)
    assert SnnTorch(SMALL["dense-direct"]).encode(x) is x


# ---- SpikingJelly


def test_the_neuron_decays_by_beta_fires_and_is_reset_by_subtraction():
    pytest.importorskip("spikingjelly")
    lif = SpikingJelly(SMALL["dense-direct"]).neurons[-1]
    spk = lif(torch.tensor([[0.6], [0.6], [0.0]]))
    # 0.6; 0.95·0.6 + 0.6 = 1.17, fires, 0.17 remains; 0.95·0.17.
    assert spk.flatten().tolist() == [0, 1, 0]
    assert lif.v_seq.flatten().tolist() == pytest.approx([0.6, 0.17, 0.1615], abs=1e-6)
