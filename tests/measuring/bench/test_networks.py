from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from bench_fakes import TINY
from small_workloads import SMALL
from spikeduel.measuring.bench import networks
from spikeduel.measuring.bench.networks import (
    LEARNING_RATE,
    Needs,
    adam,
    analogue,
    cnn,
    loss_over_steps,
    needs,
    num_neuron_layers,
    stages,
)
from spikeduel.measuring.bench.workloads import WORKLOADS, Workload
from spikeduel.networks.architectures import SmallCNN
from spikeduel.settings.recipes import baseline


def test_a_spiking_network_has_the_layers_that_its_workload_says():
    dense, conv = stages(WORKLOADS["snn-28-rate"]), stages(WORKLOADS["conv-snn-28"])
    assert [tuple(p.shape) for p in dense.parameters()] == [(1024, 784), (1024,), (10, 1024), (10,)]
    weights = [tuple(p.shape) for p in conv.parameters() if p.dim() > 1]
    assert weights == [(32, 1, 3, 3), (64, 32, 3, 3), (256, 3136), (10, 256)]
    assert (num_neuron_layers(WORKLOADS["snn-28-rate"]), num_neuron_layers(WORKLOADS["conv-snn-28"])) == (2, 3)


def test_the_cnn_is_the_studys():
    torch.manual_seed(0)
    plain = cnn(WORKLOADS["cnn-28"])
    torch.manual_seed(0)
    ours = SmallCNN((1, 28, 28), 10)
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(plain(x), ours(x))


def test_images_become_the_same_numbers_in_either_layout():
    images = torch.tensor([[[[0, 51], [255, 102]]]], dtype=torch.uint8)
    assert analogue(images).flatten().tolist() == pytest.approx([0, 0.2, 1, 0.4])
    assert torch.equal(analogue(images), analogue(images, channels_last=True))


def test_the_loss_is_a_mean_over_steps_or_that_of_the_mean():
    output, labels = torch.randn(3, 4, 10), torch.tensor([1, 2, 3, 4])
    each = [F.cross_entropy(step, labels) for step in output]
    torch.testing.assert_close(loss_over_steps(WORKLOADS["snn-28-rate"], output, labels), sum(each) / 3)
    of_mean = F.cross_entropy(sum(output) / 3, labels)
    torch.testing.assert_close(loss_over_steps(WORKLOADS["conv-snn-28"], output, labels), of_mean)


def test_the_optimiser_is_the_studys():
    (group,) = adam([torch.nn.Parameter(torch.zeros(1))], fused=False).param_groups
    assert (group["lr"], group["betas"], group["fused"]) == (8.5e-5, (0.9, 0.999), None)
    assert baseline().learning_rate == LEARNING_RATE
    assert adam([torch.nn.Parameter(torch.zeros(1))], fused=True).param_groups[0]["fused"]


@pytest.mark.parametrize("tuned", [False, True])
def test_the_cnn_learns(tuned, losses, monkeypatch):
    monkeypatch.setattr(networks, "LEARNING_RATE", 1e-3)
    found = losses(networks.build_cnn, SMALL["cnn"], tuned=tuned)
    assert found[-1] < 0.9 * found[0]


def test_tuned_is_the_same_network_in_less_precision(losses):
    plain, tuned = (losses(networks.build_cnn, SMALL["cnn"], 3, tuned=tuned) for tuned in (False, True))
    assert plain == pytest.approx(tuned, rel=0.02)
    assert plain != tuned


# ---- the roofline


def test_the_needs_of_a_dense_network_by_hand():
    # 16 pixels, 5 neurons, 10 classes, 3 steps, 2 images: 2·2·(2·16·5) + 3·2·(3·2·5·10) operations.
    # Bytes: 36 for each of 16·5 + 5 + 5·10 + 10 parameters, 32 pixels, 30 spikes of 2 bytes.
    assert needs(TINY, 2) == Needs(640 + 1800, 36 * 145 + 32 + 60, 145)
    # Rate: the first layer at each of 3 steps, on 96 spikes that also have to be moved.
    assert needs(replace(TINY, encoding="rate"), 2) == Needs(1920 + 1800, 36 * 145 + 32 + 192 + 60, 145)
    assert needs(replace(TINY, encoding="rate"), 4) == Needs(1920 + 1800, 36 * 145 + 32 + 384 + 120, 145)


def test_the_needs_of_the_studys_network_by_hand():
    assert needs(WORKLOADS["snn-28-direct"], 2).flop == 4 * 128 * 784 * 1024 + 6 * 3200 * 1024 * 10
    assert needs(WORKLOADS["snn-97-rate"], 2).flop == 4 * 3200 * 9409 * 1024 + 6 * 3200 * 1024 * 10


def test_the_needs_of_convolutions_by_hand():
    # 10 pixels to 8, pooled to 4; 4 to 2, pooled to 1: 4·64·9·16 and 6·4·144·32, then 32 to 7 to 10 numbers.
    cnn = needs(Workload("cnn", "cnn", side=10, batch_size=1, hidden=7), 2)
    assert cnn.flop == 4 * 64 * 9 * 16 + 6 * (4 * 144 * 32 + 32 * 7 + 7 * 10)
    assert cnn.parameters == 9 * 16 + 16 + 144 * 32 + 32 + 32 * 7 + 7 + 7 * 10 + 10
    assert cnn.bytes == 36 * cnn.parameters + 100 + 2 * (256 + 32 + 7)
    # 4×4 pixels once, because the input is constant; 2×2 pixels, then one, at 3 steps.
    conv = needs(Workload("conv", "conv", side=4, encoding="direct", num_steps=3, batch_size=1, hidden=7), 4)
    assert conv.flop == 4 * 16 * 9 * 32 + 6 * (12 * 288 * 64 + 3 * 64 * 7 + 3 * 7 * 10)
    assert conv.parameters == 9 * 32 + 64 + 288 * 64 + 128 + 64 * 7 + 7 + 7 * 10 + 10
    assert conv.bytes == 36 * conv.parameters + 16 + 4 * (384 + 192 + 21)


def test_the_roofline_is_the_longer_of_computing_and_moving():
    little, much = (Needs(flop=2_000_000_000, bytes=moved, parameters=1) for moved in (1_000_000, 50_000_000))
    assert little.milliseconds(gflops=1000, bandwidth_gbs=10) == pytest.approx(2)
    assert much.milliseconds(gflops=1000, bandwidth_gbs=10) == pytest.approx(5)
