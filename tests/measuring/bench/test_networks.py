import pytest
import torch
from torch.nn import functional as F

from spikeduel.measuring.bench.networks import (
    LEARNING_RATE,
    adam,
    analogue,
    cnn,
    loss_over_steps,
    num_neuron_layers,
    stages,
)
from spikeduel.measuring.bench.workloads import WORKLOADS
from spikeduel.networks.architectures import small_cnn
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
    ours = small_cnn.build((1, 28, 28), 10, None, hidden=1024)
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
