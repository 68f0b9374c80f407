"""Chains of layers and neurons, run over time."""

from collections.abc import Callable

from torch import Tensor, nn

from spikeduel.networks.joining import JoinsLayers, joined
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
    """Return the class of a pooling. Raises `InputError`."""
    if name not in POOLINGS:
        raise unknown("pooling", name, POOLINGS)
    return POOLINGS[name]


class SpikingChain(JoinsLayers):
    """Layers in a chain, some of them neurons. If the last layer does not spike, its current is
    read out.
    """

    family: Family = "snn"
    readout: Readout = MeanReadout()

    def layers(self) -> list[nn.Module]:
        """Return the layers in order."""
        raise NotImplementedError

    def forward(self, x: Tensor | ConstantInput) -> Tensor | tuple[Tensor, Tensor]:
        """Return `[T, B, K]`, or `(spk, mem)` of last neurons, for `[T, B, C, H, W]` or a
        `ConstantInput`.
        """
        layers, mem = self.layers(), None
        for layer in joined(layers) if self.is_joined else layers:
            if isinstance(layer, Neuron):
                x, mem = layer(x, with_mem=layer is layers[-1])
            else:
                x, mem = over_time(layer, x) if isinstance(layer, nn.Module) else layer(x), None
        return as_sequence(x) if mem is None else (as_sequence(x), mem)
