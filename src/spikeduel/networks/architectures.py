"""Network shapes, called with the settings of `building.BUILT_WITH` that they name.

A spiking network has `family = "snn"` and takes `[T, B, C, H, W]` or a `ConstantInput`; others take
`[B, C, H, W]`. All have a `readout`; those with `layers()` can be written as NIR. Twins, such as
`ConvLIF` and `ConvReLU`, have weights of the same shapes.
"""

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from spikeduel.networks import plain
from spikeduel.networks.chains import JoinsLayers, SpikingChain
from spikeduel.networks.plain import ChannelsLastFlatten
from spikeduel.networks.pooling import relu_of_max_pool_of_conv
from spikeduel.spiking import ConstantInput, as_sequence
from spikeduel.spiking.neurons import Neuron
from spikeduel.spiking.readouts import LogitReadout, SpikeCountReadout
from spikeduel.system.errors import InputError, unknown
from spikeduel.system.registry import Family

Shape = tuple[int, int, int]
MakeNeuron = Callable[[], Neuron]

SMALLEST_SIDE, SMALLEST_SIDE_OF_STUDY = 4, 10
"""Least pixels a side: two poolings leave nothing of a smaller image. The second is for the study's
CNN, whose convolutions are unpadded.
"""
LARGEST_FIRST_MAP, LARGEST_FIRST_MAP_OF_RESNET = 24, 48
MOST_HALVINGS, MOST_POOLED = 3, 2
"""Side of the first maps at most; most halvings before, the last two by pooling: a first layer with
stride 4 loses the ridges of a fingerprint.
"""
SMALLEST_MAP = 3
"""Stages halve the side down to at least this."""
GROWTH = (2.0, 8 / 3, 4.0)
"""Channels of each stage of the VGGs, relative to the first layer."""
RESNET_STAGES, RESNET_GROWTH, LAST_MAP = 2, 4, 6
"""Fewest stages, which double the channels up to `RESNET_GROWTH` times those of the first layer;
further ones must leave maps of `LAST_MAP`, so that the last one sees all of a large image.
"""
POOLINGS: dict[str, Callable[[int], nn.Module]] = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}


def pooling_of(name: str) -> Callable[[int], nn.Module]:
    if name not in POOLINGS:
        raise unknown("pooling", name, POOLINGS)
    return POOLINGS[name]


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
    """The study's CNN: twice {Conv 3×3, ReLU, MaxPool 2}, Linear → hidden, ReLU, Linear → K; zeros
    surround images below 10×10.
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
        x = self.border(x)
        if self.is_joined:
            first, _, _, *rest = self.features
            x = nn.Sequential(*rest)(relu_of_max_pool_of_conv(first, x))
        else:
            x = self.features(x)
        return self.classifier(x.flatten(1))


class _Dense(nn.Module):
    def __init__(self, image_shape: Shape, num_classes: int, hidden: int) -> None:
        super().__init__()
        # Batch norm has a bias.
        inputs = nn.Linear(math.prod(image_shape), hidden, bias=False)
        self.block1 = nn.Sequential(inputs, nn.BatchNorm1d(hidden))
        self.block2 = nn.Sequential(nn.Linear(hidden, hidden, bias=False), nn.BatchNorm1d(hidden))
        self.linear = nn.Linear(hidden, num_classes)


class DenseLIF(SpikingChain, _Dense):
    """Twice {Linear → hidden, batch norm, neurons}, Linear → K."""

    def __init__(
        self, image_shape: Shape, num_classes: int, neuron: MakeNeuron, hidden: int = 256
    ) -> None:
        super().__init__(image_shape, num_classes, hidden)
        self.lif1, self.lif2 = neuron(), neuron()

    def layers(self) -> list[nn.Module]:
        first = nn.Sequential(nn.Flatten(), self.block1)
        return [first, self.lif1, self.block2, self.lif2, self.linear]


class DenseReLU(_Dense):
    """`DenseLIF` with ReLU, without time."""

    family: Family = "ann"
    readout = LogitReadout()

    def __init__(self, image_shape: Shape, num_classes: int, hidden: int = 256) -> None:
        super().__init__(image_shape, num_classes, hidden)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.relu(self.block2(self.relu(self.block1(x.flatten(1))))))


class _Conv(nn.Module):
    def __init__(self, image_shape: Shape, num_classes: int, hidden: int, pooling: str) -> None:
        super().__init__()
        channels, height, width = image_shape
        first, second = 32, 64
        below, right = max(SMALLEST_SIDE - height, 0), max(SMALLEST_SIDE - width, 0)
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
        flat = nn.Sequential(ChannelsLastFlatten(), self.linear1)
        return [*convolutions, flat, self.lif3, self.linear2]


class ConvReLU(_Conv):
    """`ConvLIF` with ReLU, without time."""

    family: Family = "cnn"
    readout = LogitReadout()

    def __init__(
        self, image_shape: Shape, num_classes: int, hidden: int = 256, pooling: str = "max"
    ) -> None:
        super().__init__(image_shape, num_classes, hidden, pooling)
        self.relu, self.flatten = nn.ReLU(), ChannelsLastFlatten()

    def forward(self, x: Tensor) -> Tensor:
        for block in (self.block1, self.block2):
            # max(ReLU(x)) = ReLU(max(x)), for a quarter of the work
            is_max = isinstance(self.pool, nn.MaxPool2d)
            x = self.relu(self.pool(block(x))) if is_max else self.pool(self.relu(block(x)))
        return self.linear2(self.relu(self.linear1(self.flatten(x))))


def first_layers(
    image_shape: Shape, width: int, largest: int
) -> tuple[list[tuple[nn.Conv2d, bool]], list[int]]:
    """Return convolutions that halve images to about `largest` pixels a side, with True where
    pooling follows, and the sides after them.
    """
    channels, *sides = image_shape
    halvings = sum(min(sides) // 2**times > largest for times in range(MOST_HALVINGS))
    pooled = min(halvings, MOST_POOLED)
    stride = 2 ** (halvings - pooled)
    first = nn.Conv2d(channels, width, 2 * stride + 1, stride, padding=stride, bias=False)
    further = [nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(pooled - 1)]
    sides = [-(-side // stride) // 2**pooled for side in sides]
    return [(first, halvings > 0), *((convolution, True) for convolution in further)], sides


class _VGG(nn.Module):
    """Layers of {conv 3×3, pooling, batch norm} until maps are small, stages of {conv, batch norm,
    conv, pooling, batch norm}, the mean over all places, a linear layer.

    Neurons or ReLU follow each batch norm. After Simonyan and Zisserman 2015, "Very Deep
    Convolutional Networks for Large-Scale Image Recognition".
    """

    def __init__(
        self,
        image_shape: Shape,
        num_classes: int,
        width: int = 24,
        dropout: float | None = None,
        pooling: str = "max",
    ) -> None:
        super().__init__()
        make_pooling = pooling_of(pooling)
        first, sides = first_layers(image_shape, width, LARGEST_FIRST_MAP)

        def normed(convolution: nn.Conv2d, halved: bool) -> nn.Sequential:
            pooled = [make_pooling(2)] if halved else []
            return nn.Sequential(convolution, *pooled, nn.BatchNorm2d(convolution.out_channels))

        self.blocks = nn.ModuleList([normed(*layer) for layer in first])
        before = width
        for growth in GROWTH:
            if min(sides) // 2 < SMALLEST_MAP:
                break
            # Usual widths give channels that fill vector instructions.
            after = 16 * round(width * growth / 16) if width % 8 == 0 else round(width * growth)
            for channels, halved in ((before, False), (after, True)):
                convolution = nn.Conv2d(channels, after, 3, padding=1, bias=False)
                self.blocks.append(normed(convolution, halved))
            before, sides = after, [side // 2 for side in sides]
        self.linear = nn.Sequential(
            nn.AvgPool2d((sides[0], sides[1])),
            nn.Flatten(),
            nn.Dropout(dropout or 0.0),
            nn.Linear(before, num_classes),
        )


class VGGLIF(SpikingChain, _VGG):
    """Convolutions with spiking neurons; all layers but the first get spikes."""

    def __init__(
        self,
        image_shape: Shape,
        num_classes: int,
        neuron: MakeNeuron,
        width: int = 24,
        dropout: float | None = None,
        pooling: str = "max",
    ) -> None:
        super().__init__(image_shape, num_classes, width, dropout, pooling)
        self.neurons = nn.ModuleList([neuron() for _ in self.blocks])

    def layers(self) -> list[nn.Module]:
        pairs = zip(self.blocks, self.neurons, strict=True)
        return [*(layer for pair in pairs for layer in pair), self.linear]


class VGGReLU(_VGG):
    """`VGGLIF` with ReLU, without time."""

    family: Family = "cnn"
    readout = LogitReadout()

    def __init__(
        self,
        image_shape: Shape,
        num_classes: int,
        width: int = 24,
        dropout: float | None = None,
        pooling: str = "max",
    ) -> None:
        super().__init__(image_shape, num_classes, width, dropout, pooling)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = self.relu(block(x))
        return self.linear(x)


class VGGSum(VGGReLU):
    """`VGGReLU` on the mean of a recording's frames, which cannot use time."""

    def __init__(
        self,
        image_shape: Shape,
        num_classes: int,
        num_frames: int = 1,
        width: int = 24,
        dropout: float | None = None,
        pooling: str = "max",
    ) -> None:
        super().__init__(_of_a_frame(image_shape, num_frames), num_classes, width, dropout, pooling)
        self.num_frames = num_frames

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.unflatten(1, (self.num_frames, -1)).mean(1))


class VGGGRU(VGGReLU):
    """`VGGReLU` frame by frame, with a `torch.nn.GRU` over the features."""

    def __init__(
        self,
        image_shape: Shape,
        num_classes: int,
        num_frames: int = 1,
        width: int = 24,
        dropout: float | None = None,
        pooling: str = "max",
    ) -> None:
        super().__init__(_of_a_frame(image_shape, num_frames), num_classes, width, dropout, pooling)
        self.num_frames = num_frames
        # The GRU goes between pooling and dropout of the parent's head, and keeps its width.
        pool, flatten, dropout_layer, linear = self.linear
        self.gru = nn.GRU(linear.in_features, linear.in_features)
        self.features = nn.Sequential(pool, flatten)
        self.linear = nn.Sequential(dropout_layer, linear)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits `[B, K]` of the last frame for `[B, T·C, H, W]`."""
        frames = x.unflatten(1, (self.num_frames, -1)).transpose(0, 1)
        features = frames.flatten(0, 1)
        for block in self.blocks:
            features = self.relu(block(features))
        states, _ = self.gru(self.features(features).unflatten(0, frames.shape[:2]))
        return self.linear(states[-1])


def _of_a_frame(image_shape: Shape, num_frames: int) -> Shape:
    return max(image_shape[0] // num_frames, 1), *image_shape[1:]


class ResNetSiLU(nn.Module):
    """The strong CNN without a twin: {conv 3×3, batch norm, SiLU}, max-pooled until maps are small;
    stages of {conv, max-pooling, batch norm, SiLU, residual block}, the mean over all places, a
    linear layer.

    After He et al. 2016, "Deep Residual Learning for Image Recognition".
    """

    family: Family = "cnn"
    readout = LogitReadout()

    def __init__(
        self, image_shape: Shape, num_classes: int, width: int = 24, dropout: float | None = None
    ) -> None:
        super().__init__()
        first, sides = first_layers(image_shape, width, LARGEST_FIRST_MAP_OF_RESNET)
        layers = [layer for convolution, halved in first for layer in _normed(convolution, halved)]
        stage, widest = 0, RESNET_GROWTH * width
        while stage < RESNET_STAGES or min(sides) // 2 >= LAST_MAP:
            halved, after = min(sides) // 2 >= SMALLEST_MAP, min(2 * width, widest)
            layers += _normed(nn.Conv2d(width, after, 3, padding=1, bias=False), halved)
            layers.append(_Block(after))
            width, stage = after, stage + 1
            sides = [side // 2 for side in sides] if halved else sides
        self.features = nn.Sequential(*layers)
        self.linear = nn.Sequential(nn.Dropout(dropout or 0.0), nn.Linear(width, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.features(x).mean((2, 3)))


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        convolutions = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        first, second = (_normed(convolution, halved=False) for convolution in convolutions)
        self.inner = nn.Sequential(*first, *second[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x + self.inner(x))


def _normed(convolution: nn.Conv2d, halved: bool) -> list[nn.Module]:
    pooled = [nn.MaxPool2d(2)] if halved else []
    return [convolution, *pooled, nn.BatchNorm2d(convolution.out_channels), nn.SiLU()]


class Sequential(SpikingChain):
    """Plain `layers` (`plain.made`), of which the last may spike. Raises `InputError`."""

    def __init__(self, image_shape: Shape, num_classes: int, layers: Any = None) -> None:
        super().__init__()
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
