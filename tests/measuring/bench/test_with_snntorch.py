import pytest
import torch
from torch import nn
from torch.nn import functional as F

from small_workloads import SMALL
from spikeduel.measuring.bench import networks
from spikeduel.measuring.bench.workloads import batch
from spikeduel.spiking.kernels import Dynamics, reference

pytest.importorskip("snntorch")
from spikeduel.measuring.bench import with_snntorch


def test_the_study_step_is_what_the_study_describes(monkeypatch):
    """Linear, LIF, linear, LIF with beta 0.95; mean over steps of the membrane's cross-entropy; Adam as described."""
    workload = SMALL["dense-direct"]
    made = []
    monkeypatch.setattr(
        with_snntorch, "StudyNetwork", lambda w, kind=with_snntorch.StudyNetwork: made.append(kind(w)) or made[0]
    )
    built = with_snntorch.study(workload)
    (network,) = made
    first, second = network.stages[0][1], network.stages[1]
    assert [layer.weight.shape for layer in (first, second)] == [(64, 64), (10, 64)]
    images, labels = batch(workload)
    x = (images / 255).flatten(1)
    copies = [nn.Parameter(p.detach().clone()) for p in (first.weight, first.bias, second.weight, second.bias)]
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
    study = losses(with_snntorch.study, SMALL[encoding], 5)
    fastest = losses(with_snntorch.fastest, SMALL[encoding], 5)
    assert study == pytest.approx(fastest, rel=1e-4)


def test_rate_encoding_is_drawn_anew():
    x = torch.full((1, 1, 8, 8), 0.5)
    first, second = (with_snntorch.encoded(x, SMALL["dense-rate"]) for _ in range(2))
    assert first.shape == (5, 1, 1, 8, 8)
    assert set(first.unique().tolist()) == {0, 1}
    assert not torch.equal(first, second)
    assert with_snntorch.encoded(x, SMALL["dense-direct"]) is x


@pytest.mark.parametrize("bf16", [False, True])
def test_the_fastest_learns(bf16, spiking, losses, monkeypatch):
    monkeypatch.setattr(networks, "LEARNING_RATE", 2e-3)
    found = losses(with_snntorch.fastest, spiking, bf16=bf16)
    assert found[-1] < 0.9 * found[0]


def test_the_study_learns(spiking, losses, monkeypatch):
    monkeypatch.setattr(networks, "LEARNING_RATE", 2e-3)
    found = losses(with_snntorch.study, spiking)
    assert found[-1] < 0.9 * found[0]
