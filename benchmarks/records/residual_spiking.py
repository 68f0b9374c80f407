"""A residual network of spiking neurons, as a contender of one's own: on images of 28 pixels a side
the layers of `resnet-silu`; larger ones are halved to that size first.

    spikeduel compare DATASET --contender residual_spiking:ResNetLIF

Blocks add currents, not spikes, so that all convolutions but the first take spikes: Y. Hu et al.
2021, "Advancing Spiking Neural Networks towards Deep Residual Learning" (arXiv:2112.08954).
"""

from collections.abc import Callable

from torch import Tensor, nn

from spikeduel.engine import ConstantInput, as_sequence, over_time
from spikeduel.engine.networks.architectures import first_layers
from spikeduel.engine.neurons import Neuron
from spikeduel.engine.readouts import MeanReadout
from spikeduel.system.registry import NetworkKind

MakeNeuron = Callable[[], Neuron]
Current = Tensor | ConstantInput
STAGES, MAX_FIRST_MAP = 2, 28


class ResNetLIF(nn.Module):
    """{conv 3×3, batch norm}; stages of {neurons, conv, max-pooling, batch norm, residual block};
    neurons, the mean over all places, a linear layer. A stage doubles the channels.
    """

    kind: NetworkKind = "snn"
    readout = MeanReadout()

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        neuron: MakeNeuron,
        width: int = 24,
        dropout: float | None = None,
    ) -> None:
        super().__init__()
        first, _ = first_layers(image_shape, width, MAX_FIRST_MAP)
        (convolution, halved), *further = first
        self.stem = _normed(convolution, halved)
        stages: list[nn.Module] = [_Layer(one, pooled, neuron) for one, pooled in further]
        for _ in range(STAGES):
            stages += [_Layer(_conv(width, 2 * width), True, neuron), _Block(2 * width, neuron)]
            width *= 2
        self.stages, self.neurons = nn.ModuleList(stages), neuron()
        self.linear = nn.Sequential(nn.Dropout(dropout or 0.0), nn.Linear(width, num_classes))

    def forward(self, x: Current) -> Tensor:
        """Return logits `[T, B, K]` for `[T, B, C, H, W]` or a `ConstantInput`."""
        current = over_time(self.stem, x)
        for stage in self.stages:
            current = stage(current)
        spk, _ = self.neurons(current, with_mem=False)
        return as_sequence(over_time(self.linear, spk.mean((3, 4))))


class _Layer(nn.Module):
    def __init__(self, convolution: nn.Conv2d, halved: bool, neuron: MakeNeuron) -> None:
        super().__init__()
        self.neurons, self.normed = neuron(), _normed(convolution, halved)

    def forward(self, current: Current) -> Tensor:
        spk, _ = self.neurons(current, with_mem=False)
        return over_time(self.normed, spk)


class _Block(nn.Module):
    def __init__(self, width: int, neuron: MakeNeuron) -> None:
        super().__init__()
        self.inner = nn.Sequential(*(_Layer(_conv(width, width), False, neuron) for _ in range(2)))

    def forward(self, current: Tensor) -> Tensor:
        return current + self.inner(current)


def _conv(channels: int, width: int) -> nn.Conv2d:
    return nn.Conv2d(channels, width, 3, padding=1, bias=False)


def _normed(convolution: nn.Conv2d, halved: bool) -> nn.Sequential:
    pooled = [nn.MaxPool2d(2)] if halved else []
    return nn.Sequential(convolution, *pooled, nn.BatchNorm2d(convolution.out_channels))
