"""Networks without convolutions: the study's spiking one, and twins whose activation is neurons or a ReLU.

The twins have the same weights, shape for shape, so that a difference between them is the activation's.
"""

import math
from collections.abc import Callable

from torch import Tensor, nn

from spikeduel.spiking import ConstantInput, over_time
from spikeduel.spiking.neurons import Neuron
from spikeduel.spiking.readouts import LogitReadout, MeanReadout, SpikeCountReadout
from spikeduel.system.registry import Family


class DenseSNN(nn.Module):
    """The study's spiking network: Linear(C·H·W → hidden), neurons, Linear(hidden → K), neurons."""

    family: Family = "snn"
    readout = SpikeCountReadout()

    def __init__(
        self, image_shape: tuple[int, ...], num_classes: int, neuron: Callable[[], Neuron], hidden: int = 1024
    ) -> None:
        super().__init__()
        self.linear1 = nn.Linear(math.prod(image_shape), hidden)
        self.lif1 = neuron()
        self.linear2 = nn.Linear(hidden, num_classes)
        self.lif2 = neuron()

    def forward(self, x: Tensor | ConstantInput) -> tuple[Tensor, Tensor]:
        """`[T, B, C, H, W]` or a `ConstantInput` to the output layer's `(spk, mem)`, both `[T, B, K]`."""
        spk, _ = self.lif1(over_time(lambda images: self.linear1(images.flatten(1)), x), with_mem=False)
        return self.lif2(over_time(self.linear2, spk))

    def layers(self) -> list[nn.Module]:
        """Its layers in the order in which data passes them."""
        return [nn.Flatten(), self.linear1, self.lif1, self.linear2, self.lif2]


class _Dense(nn.Module):
    """The weights that the twins share: block1, block2 {Linear → hidden, batch norm}, linear → K."""

    def __init__(self, image_shape: tuple[int, ...], num_classes: int, hidden: int) -> None:
        super().__init__()
        # Batch norm has the bias.
        inputs = nn.Linear(math.prod(image_shape), hidden, bias=False)
        self.block1 = nn.Sequential(inputs, nn.BatchNorm1d(hidden))
        self.block2 = nn.Sequential(nn.Linear(hidden, hidden, bias=False), nn.BatchNorm1d(hidden))
        self.linear = nn.Linear(hidden, num_classes)


class DenseLIF(_Dense):
    """Twice {Linear → hidden, batch norm, neurons}, Linear → K.

    The last layer does not spike: the mean of its current over the steps is the score.
    """

    family: Family = "snn"
    readout = MeanReadout()

    def __init__(
        self, image_shape: tuple[int, ...], num_classes: int, neuron: Callable[[], Neuron], hidden: int = 256
    ) -> None:
        super().__init__(image_shape, num_classes, hidden)
        self.lif1, self.lif2 = neuron(), neuron()

    def forward(self, x: Tensor | ConstantInput) -> Tensor:
        """`[T, B, C, H, W]` or a `ConstantInput` to `[T, B, K]`."""
        spk, _ = self.lif1(over_time(lambda images: self.block1(images.flatten(1)), x), with_mem=False)
        spk, _ = self.lif2(over_time(self.block2, spk), with_mem=False)
        return over_time(self.linear, spk)

    def layers(self) -> list[nn.Module]:
        """Its layers in the order in which data passes them."""
        return [nn.Flatten(), self.block1, self.lif1, self.block2, self.lif2, self.linear]


class DenseReLU(_Dense):
    """`DenseLIF` with a ReLU for every layer of neurons, and without time."""

    family: Family = "ann"
    readout = LogitReadout()

    def __init__(self, image_shape: tuple[int, ...], num_classes: int, hidden: int = 256) -> None:
        super().__init__(image_shape, num_classes, hidden)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` to logits `[B, K]`."""
        return self.linear(self.relu(self.block2(self.relu(self.block1(x.flatten(1))))))
