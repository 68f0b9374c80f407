"""Network shapes. An architecture is called with those of `building.BUILT_WITH` that it names.

`image_shape` is (C, H, W), `num_classes` K, `hidden` the width of the hidden layers; `neuron()`
makes a layer of neurons. A spiking network has `family = "snn"` and takes `[T, B, C, H, W]` or a
`ConstantInput`; others are "cnn" or "ann" and take `[B, C, H, W]`. All have a `readout`. Networks
with `layers()` can be written as NIR.

Twins (`DenseLIF` and `DenseReLU`, `ConvLIF` and `ConvReLU`) have weights of the same shapes, so
that a difference between them is the activation's. Imported and converted networks are a
`Sequential`.
"""

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from spikeduel.networks import plain
from spikeduel.networks.chains import MakeNeuron, Shape, SpikingChain, pooling_of
from spikeduel.networks.joining import JoinsLayers
from spikeduel.networks.plain import ChannelsLastFlatten, as_sequence
from spikeduel.networks.pooling import relu_of_max_pool_of_conv
from spikeduel.networks.resnet import ResNetSiLU
from spikeduel.networks.vgg import VGGGRU, VGGLIF, VGGReLU, VGGSum
from spikeduel.spiking import ConstantInput
from spikeduel.spiking.neurons import LIF, Neuron
from spikeduel.spiking.readouts import LogitReadout, SpikeCountReadout
from spikeduel.system.errors import InputError
from spikeduel.system.registry import Family

SMALLEST_SIDE, SMALLEST_SIDE_OF_STUDY = 4, 10
"""Least pixels a side: two poolings leave nothing of a smaller image; in the study's CNN, whose
convolutions are unpadded, of one below the second number.
"""


class DenseSNN(SpikingChain):
    """The study's spiking network: Linear(C·H·W → hidden), neurons, Linear(hidden → K), neurons."""

    readout = SpikeCountReadout()

    def __init__(
        self, image_shape: Shape, num_classes: int, neuron: MakeNeuron, hidden: int = 1024
    ) -> None:
        super().__init__()
        self.linear1 = nn.Linear(math.prod(image_shape), hidden)
        self.lif1 = neuron()
        self.linear2 = nn.Linear(hidden, num_classes)
        self.lif2 = neuron()

    def layers(self) -> list[nn.Module]:
        return [nn.Sequential(nn.Flatten(), self.linear1), self.lif1, self.linear2, self.lif2]


class SmallCNN(JoinsLayers):
    """The study's CNN: twice {Conv 3×3, ReLU, MaxPool 2}, Linear → hidden, ReLU, Linear → K.

    ReLU follows the pooling: equal numbers and gradients for a quarter of its work. Zeros surround
    images below 10×10. The cross-entropy of the logits is the study's negative log-likelihood after
    log-softmax.
    """

    family: Family = "cnn"
    readout = LogitReadout()

    def __init__(self, image_shape: Shape, num_classes: int, hidden: int = 1024) -> None:
        super().__init__()
        channels, height, width = image_shape
        above, left = (max(SMALLEST_SIDE_OF_STUDY - side, 0) for side in (height, width))
        self.border = nn.ZeroPad2d((left // 2, left - left // 2, above // 2, above - above // 2))
        self.features = nn.Sequential(
            nn.Conv2d(channels, 16, 3),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3),
            nn.MaxPool2d(2),
            nn.ReLU(),
        )
        rows, columns = (((side - 2) // 2 - 2) // 2 for side in (height + above, width + left))
        self.classifier = nn.Sequential(
            nn.Linear(32 * rows * columns, hidden), nn.ReLU(), nn.Linear(hidden, num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `[B, K]` for `[B, C, H, W]`."""
        x = self.border(x)
        if not self.is_joined:
            return self.classifier(self.features(x).flatten(1))
        first, _, _, *rest = self.features
        x = relu_of_max_pool_of_conv(first, x)
        return self.classifier(nn.Sequential(*rest)(x).flatten(1))


class _Dense(nn.Module):
    """Weights of the dense twins: block1, block2 {Linear → hidden, batch norm}, linear → K."""

    def __init__(self, image_shape: Shape, num_classes: int, hidden: int) -> None:
        super().__init__()
        # Batch norm has a bias.
        self.block1 = nn.Sequential(
            nn.Linear(math.prod(image_shape), hidden, bias=False), nn.BatchNorm1d(hidden)
        )
        self.block2 = nn.Sequential(nn.Linear(hidden, hidden, bias=False), nn.BatchNorm1d(hidden))
        self.linear = nn.Linear(hidden, num_classes)


class DenseLIF(SpikingChain, _Dense):
    """Twice {Linear → hidden, batch norm, neurons}, Linear → K."""

    def __init__(
        self,
        image_shape: Shape,
        num_classes: int,
        neuron: MakeNeuron,
        hidden: int = 256,
    ) -> None:
        super().__init__(image_shape, num_classes, hidden)
        self.lif1, self.lif2 = neuron(), neuron()

    def layers(self) -> list[nn.Module]:
        return [
            nn.Sequential(nn.Flatten(), self.block1),
            self.lif1,
            self.block2,
            self.lif2,
            self.linear,
        ]


class DenseReLU(_Dense):
    """`DenseLIF` with a ReLU for every layer of neurons, and without time."""

    family: Family = "ann"
    readout = LogitReadout()

    def __init__(self, image_shape: Shape, num_classes: int, hidden: int = 256) -> None:
        super().__init__(image_shape, num_classes, hidden)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `[B, K]` for `[B, C, H, W]`."""
        return self.linear(self.relu(self.block2(self.relu(self.block1(x.flatten(1))))))


class _Conv(nn.Module):
    """Weights of the convolutional twins: two {Conv 3×3, batch norm}, linear1 → hidden, linear2 →
    K.
    """

    def __init__(self, image_shape: Shape, num_classes: int, hidden: int, pooling: str) -> None:
        super().__init__()
        channels, height, width = image_shape
        first, second = 32, 64
        below, right = max(SMALLEST_SIDE - height, 0), max(SMALLEST_SIDE - width, 0)
        # Batch norm has a bias.
        inputs = nn.Conv2d(channels, first, 3, padding=1, bias=False)
        self.block1 = nn.Sequential(
            nn.ZeroPad2d((0, right, 0, below)), inputs, nn.BatchNorm2d(first)
        )
        self.block2 = nn.Sequential(
            nn.Conv2d(first, second, 3, padding=1, bias=False), nn.BatchNorm2d(second)
        )
        self.linear1 = nn.Linear(second * ((height + below) // 4) * ((width + right) // 4), hidden)
        self.linear2 = nn.Linear(hidden, num_classes)
        self.pool = pooling_of(pooling)(2)


class ConvLIF(SpikingChain, _Conv):
    """Twice {Conv 3×3, batch norm, neurons, pooling 2×2}, Linear → hidden, neurons, Linear → K."""

    def __init__(
        self,
        image_shape: Shape,
        num_classes: int,
        neuron: MakeNeuron,
        hidden: int = 256,
        pooling: str = "max",
    ) -> None:
        super().__init__(image_shape, num_classes, hidden, pooling)
        self.lif1, self.lif2, self.lif3 = neuron(), neuron(), neuron()

    def layers(self) -> list[nn.Module]:
        convolutions = [self.block1, self.lif1, self.pool, self.block2, self.lif2, self.pool]
        return [
            *convolutions,
            nn.Sequential(ChannelsLastFlatten(), self.linear1),
            self.lif3,
            self.linear2,
        ]


class ConvReLU(_Conv):
    """`ConvLIF` with a ReLU for every layer of neurons, and without time."""

    family: Family = "cnn"
    readout = LogitReadout()

    def __init__(
        self, image_shape: Shape, num_classes: int, hidden: int = 256, pooling: str = "max"
    ) -> None:
        super().__init__(image_shape, num_classes, hidden, pooling)
        self.relu, self.flatten = nn.ReLU(), ChannelsLastFlatten()

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `[B, K]` for `[B, C, H, W]`."""
        for block in (self.block1, self.block2):
            # max(ReLU(x)) = ReLU(max(x)), for a quarter of the work
            is_max = isinstance(self.pool, nn.MaxPool2d)
            x = self.relu(self.pool(block(x))) if is_max else self.pool(self.relu(block(x)))
        return self.linear2(self.relu(self.linear1(self.flatten(x))))


class Sequential(SpikingChain):
    """Plain `layers` (`plain.made`); without them, one hidden layer of neurons and an integrating
    readout.

    If the last layer spikes, the class with the most spikes is the answer. Raises `InputError`.
    """

    def __init__(
        self,
        image_shape: Shape,
        num_classes: int,
        *,
        layers: Any = None,
        neuron: MakeNeuron = LIF,
        hidden: int = 1024,
    ) -> None:
        super().__init__()
        if layers is None:
            chain = [
                nn.Flatten(),
                nn.Linear(math.prod(image_shape), hidden),
                neuron(),
                nn.Linear(hidden, num_classes),
            ]
            self.inputs, self.largest = (
                plain.in_order(len(chain)),
                max(math.prod(image_shape), hidden),
            )
        else:
            chain, self.inputs, self.largest = plain.made(layers, image_shape, num_classes)
        self.chain = nn.ModuleList(chain)
        if isinstance(chain[-1], Neuron):
            self.readout = SpikeCountReadout()

    def layers(self) -> list[nn.Module]:
        """Return the layers. Raises `InputError` if they are no chain."""
        if self.inputs != plain.in_order(len(self.chain)):
            raise InputError(
                "its layers are no chain: some take the outputs of others than the one before."
            )
        return list(self.chain)

    def forward(self, x: Tensor | ConstantInput) -> Tensor | tuple[Tensor, Tensor]:
        output, mem = plain.run(list(self.chain), self.inputs, x)
        return as_sequence(output) if mem is None else (as_sequence(output), mem)


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "vgg-lif": VGGLIF,
    "vgg-relu": VGGReLU,
    "resnet-silu": ResNetSiLU,
    "vgg-sum": VGGSum,
    "vgg-gru": VGGGRU,
    "dense-snn": DenseSNN,
    "small-cnn": SmallCNN,
    "conv-lif": ConvLIF,
    "conv-relu": ConvReLU,
    "dense-lif": DenseLIF,
    "dense-relu": DenseReLU,
    "sequential": Sequential,
}
