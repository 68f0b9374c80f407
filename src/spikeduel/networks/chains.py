"""What the network shapes share: a chain of layers that data pass over time, neurons among them."""

from collections.abc import Callable

from torch import Tensor, nn

from spikeduel.networks.joining import Joined, joined
from spikeduel.networks.plain import as_sequence
from spikeduel.spiking import ConstantInput, over_time
from spikeduel.spiking.neurons import Neuron
from spikeduel.spiking.readouts import MeanReadout, Readout
from spikeduel.system.errors import unknown
from spikeduel.system.registry import Family

Shape = tuple[int, int, int]
MakeNeuron = Callable[[], Neuron]

POOLINGS: dict[str, Callable[[int], nn.Module]] = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}


def pooling_of(name: str) -> Callable[[int], nn.Module]:
    """What makes a pooling of windows of so many pixels a side. Raises `InputError`."""
    if name not in POOLINGS:
        raise unknown("pooling", name, POOLINGS)
    return POOLINGS[name]


class SpikingChain(nn.Module):
    """Layers one after the other, neurons among them. Where the last layer does not spike, its
    current is read out.
    """

    family: Family = "snn"
    readout: Readout = MeanReadout()

    def layers(self) -> list[nn.Module]:
        """Its layers in the order in which data passes them."""
        raise NotImplementedError

    def forward(self, x: Tensor | ConstantInput) -> Tensor | tuple[Tensor, Tensor]:
        """`[T, B, C, H, W]` or a `ConstantInput` to `[T, B, K]`, or to the last neurons' `(spk,
        mem)`.
        """
        layers, mem = joined(self.layers()), None
        for layer in layers:
            if isinstance(layer, Neuron):
                x, mem = layer(x, with_mem=layer is layers[-1])
            else:
                x, mem = layer(x) if isinstance(layer, Joined) else over_time(layer, x), None
        return as_sequence(x) if mem is None else (as_sequence(x), mem)
