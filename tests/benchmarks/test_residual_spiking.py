import torch
from torch import nn

from benchmarks.records.residual_spiking import ResNetLIF
from spikeduel.engine import ConstantInput
from spikeduel.engine.neurons import LIF


def test_all_convolutions_but_the_first_take_spikes():
    network = ResNetLIF((1, 28, 28), 10, LIF, width=4)
    taken = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0].unique()))

    logits = network(ConstantInput(torch.rand(2, 1, 28, 28), 3))

    assert logits.shape == (3, 2, 10)
    first, *others = taken
    assert len(first) > 2
    assert len(others) == 6
    assert {value for values in others for value in values.tolist()} == {0, 1}
