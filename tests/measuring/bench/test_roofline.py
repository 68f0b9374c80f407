from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench_fakes import TINY
from spikeduel.measuring.bench import networks
from spikeduel.measuring.bench.roofline import Layer, Needs, layers, needs
from spikeduel.measuring.bench.workloads import WORKLOADS, Workload, batch


def test_a_dense_network_by_hand():
    # 16 pixels, 5 neurons, 10 classes, 3 steps, 2 images: 2·2·(2·16·5) + 3·2·(3·2·5·10) operations.
    # Bytes: 36 for each of 16·5 + 5 + 5·10 + 10 parameters, 32 pixels, 30 spikes of 2 bytes.
    assert needs(TINY, 2) == Needs(640 + 1800, 36 * 145 + 32 + 60)
    # Rate: the first layer at each of 3 steps, on 96 spikes that also have to be moved.
    assert needs(replace(TINY, encoding="rate"), 2) == Needs(1920 + 1800, 36 * 145 + 32 + 192 + 60)
    assert needs(replace(TINY, encoding="rate"), 4) == Needs(1920 + 1800, 36 * 145 + 32 + 384 + 120)


def test_the_studys_network_by_hand():
    assert needs(WORKLOADS["snn-28-direct"], 2).flop == 4 * 128 * 784 * 1024 + 6 * 3200 * 1024 * 10
    assert needs(WORKLOADS["snn-97-rate"], 2).flop == 4 * 3200 * 9409 * 1024 + 6 * 3200 * 1024 * 10


def test_convolutions_by_hand():
    cnn = Workload("cnn", "cnn", side=10, batch_size=1, hidden=7)
    assert layers(cnn) == [
        Layer(64, 9, 16, 100, 16),  # 10 to 8, pooled to 4
        Layer(4, 144, 32, 256, 32),  # 4 to 2, pooled to 1
        Layer(1, 32, 7, 32, 7),
        Layer(1, 7, 10, 7, 10),
    ]
    conv = Workload("conv", "conv", side=4, encoding="direct", num_steps=3, batch_size=1, hidden=7)
    assert layers(conv) == [
        Layer(16, 9, 32, 16, 64),  # once, because the input is constant
        Layer(12, 288, 64, 384, 128),  # 2×2 pixels at 3 steps
        Layer(3, 64, 7, 192, 7),
        Layer(3, 7, 10, 21, 10),
    ]


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_operations_are_those_that_pytorch_counts_and_the_parameters_too(name):
    workload = replace(WORKLOADS[name], batch_size=2)
    images, _ = batch(workload)
    x = networks.analogue(images)
    num_steps = workload.num_steps or 1
    with FlopCounterMode(display=False) as counter:
        if workload.shape == "cnn":
            network = networks.cnn(workload)
            out = network(x)
        else:
            network = networks.stages(workload)
            x = x.repeat(num_steps, 1, 1, 1) if workload.encoding == "rate" else x
            out = network[0](x)
            out = out.repeat(num_steps, *[1] * (out.dim() - 1)) if workload.encoding == "direct" else out
            for stage in network[1:]:
                out = stage(out)
        out.sum().backward()
    assert needs(workload, 2).flop == counter.get_total_flops()
    assert sum(layer.parameters for layer in layers(workload)) == sum(p.numel() for p in network.parameters())
    assert out.shape == (2 * num_steps, 10)
    assert torch.isfinite(out).all()


def test_the_roofline_is_the_longer_of_computing_and_moving():
    assert Needs(flop=2_000_000_000, bytes=1_000_000).milliseconds(gflops=1000, bandwidth_gbs=10) == pytest.approx(2)
    assert Needs(flop=2_000_000_000, bytes=50_000_000).milliseconds(gflops=1000, bandwidth_gbs=10) == pytest.approx(5)
