"""Twins without convolutions: one dense shape, whose activation is a layer of neurons or a ReLU.

Both have the same weights, shape for shape, so that a difference between them is the activation's.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from spikeduel.spiking.constant_input import ConstantInput, over_time
from spikeduel.spiking.neurons import Neuron
from spikeduel.spiking.readouts import LogitReadout, MeanReadout


class DenseLIF(nn.Module):
    """Twice {Linear → hidden, batch norm, neurons}, Linear → K.

    The last layer does not spike: the mean of its current over the steps is the score.
    """

    family = "snn"
    readout = MeanReadout()

    def __init__(self, num_inputs: int, num_classes: int, neuron: Callable[[], Neuron], hidden: int) -> None:
        super().__init__()
        self.block1, self.block2, self.linear = _weights(num_inputs, num_classes, hidden)
        self.lif1, self.lif2 = neuron(), neuron()

    def forward(self, x: Tensor | ConstantInput) -> Tensor:
        """`[T, B, C, H, W]` or a `ConstantInput` to `[T, B, K]`."""
        spk, _ = self.lif1(over_time(lambda images: self.block1(images.flatten(1)), x), with_mem=False)
        spk, _ = self.lif2(over_time(self.block2, spk), with_mem=False)
        return over_time(self.linear, spk)

    def layers(self) -> list[nn.Module]:
        """Its layers in the order in which data passes them."""
        return [nn.Flatten(), self.block1, self.lif1, self.block2, self.lif2, self.linear]


class DenseReLU(nn.Module):
    """`DenseLIF` with a ReLU for every layer of neurons, and without time."""

    family = "cnn"
    readout = LogitReadout()

    def __init__(self, num_inputs: int, num_classes: int, hidden: int) -> None:
        super().__init__()
        self.block1, self.block2, self.linear = _weights(num_inputs, num_classes, hidden)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` to logits `[B, K]`."""
        return self.linear(self.relu(self.block2(self.relu(self.block1(x.flatten(1))))))


def _weights(num_inputs: int, num_classes: int, hidden: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    return (
        nn.Sequential(*_layer(num_inputs, hidden)),
        nn.Sequential(*_layer(hidden, hidden)),
        nn.Linear(hidden, num_classes),
    )


def _layer(num_inputs: int, num_outputs: int) -> tuple[nn.Module, nn.Module]:
    # Batch norm has the bias.
    return nn.Linear(num_inputs, num_outputs, bias=False), nn.BatchNorm1d(num_outputs)


def build_lif(
    image_shape: tuple[int, int, int],
    num_classes: int,
    num_steps: int,
    *,
    neuron: Callable[[], Neuron],
    hidden: int = 256,
    **settings: Any,
) -> DenseLIF:
    """two hidden layers with batch norm, neurons as activation, an integrating readout"""
    channels, height, width = image_shape
    return DenseLIF(channels * height * width, num_classes, neuron, hidden)


def build_relu(
    image_shape: tuple[int, int, int],
    num_classes: int,
    num_steps: int | None,
    *,
    hidden: int = 256,
    **settings: Any,
) -> DenseReLU:
    """the same weights as dense-lif, with ReLU for its neurons"""
    channels, height, width = image_shape
    return DenseReLU(channels * height * width, num_classes, hidden)
