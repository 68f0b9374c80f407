"""The study's spiking network: two linear layers, each followed by LIF neurons."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from spikeduel.spiking.constant_input import ConstantInput, over_time
from spikeduel.spiking.neurons import Neuron
from spikeduel.spiking.readouts import SpikeCountReadout


class DenseSNN(nn.Module):
    """Linear(C·H·W → hidden), neurons, Linear(hidden → K), neurons."""

    family = "snn"
    readout = SpikeCountReadout()

    def __init__(self, num_inputs: int, num_classes: int, neuron: Callable[[], Neuron], hidden: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(num_inputs, hidden)
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


def build(
    image_shape: tuple[int, int, int],
    num_classes: int,
    num_steps: int,
    *,
    neuron: Callable[[], Neuron],
    hidden: int = 1024,
    **settings: Any,
) -> DenseSNN:
    """the study's spiking network: inputs → 1024 LIF → classes LIF"""
    channels, height, width = image_shape
    return DenseSNN(channels * height * width, num_classes, neuron, hidden)
