"""Network shapes, called with the settings of `building.BUILT_WITH` that they name.

A spiking network has `kind = "snn"` and takes `[T, B, C, H, W]` or a `ConstantInput`; others take
`[B, C, H, W]`. All have a `readout`; those with `layers()` can be written as NIR. Twins, such as
`ConvLIF` and `ConvReLU`, have weights of the same shapes.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spikeduel.engine import ConstantInput, as_sequence, over_time
from spikeduel.engine.kernels import is_traced
from spikeduel.engine.networks import plain
from spikeduel.engine.networks.chains import (
    SpikingChain,
    WithoutTime,
    is_seen,
    relu_of_max_pool_of_conv,
)
from spikeduel.engine.networks.plain import ChannelsLastFlatten
from spikeduel.engine.neurons import IntegerIF, Neuron
from spikeduel.engine.readouts import LogitReadout, SpikeCountReadout
from spikeduel.system.errors import InputError
from spikeduel.system.registry import NetworkKind

Shape = tuple[int, int, int]
MakeNeuron = Callable[[], nn.Module]

MIN_SIZE, MIN_SIZE_OF_STUDY = 4, 10
"""Least pixels a side: two poolings leave nothing of a smaller image. The second is for the study's
CNN, with unpadded convolutions.
"""
MAX_FIRST_MAP, MAX_FIRST_MAP_OF_RESNET = 24, 48
MAX_HALVINGS, MAX_POOLED = 3, 2
"""Most halvings before the first maps, the last two by pooling: a first layer with stride 4 loses
the ridges of a fingerprint.
"""
MIN_MAP = 3
"""Stages halve the side down to at least this."""
GROWTH = (2.0, 8 / 3, 4.0)
"""Channels of each stage of the VGGs, relative to the first layer."""
RESNET_STAGES, RESNET_GROWTH, LAST_MAP = 2, 4, 6
"""Fewest stages, which double the channels up to `RESNET_GROWTH` times those of the first layer;
more must leave maps of `LAST_MAP`, so that the last one sees all of a large image.
"""
POOLINGS: dict[str, Callable[[int], nn.Module]] = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}


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


class SmallCNN(nn.Module):
    """The study's CNN: twice {Conv 3×3, ReLU, MaxPool 2}, Linear → hidden, ReLU, Linear → K; zeros
    surround images below 10×10.
    """

    kind: NetworkKind = "cnn"
    readout = LogitReadout()
    joins_layers = False

    def __init__(self, image_shape: Shape, num_classes: int, hidden: int = 1024) -> None:
        super().__init__()
        channels, height, width = image_shape
        above, left = (max(MIN_SIZE_OF_STUDY - edge, 0) for edge in (height, width))
        self.border = nn.ZeroPad2d((left // 2, left - left // 2, above // 2, above - above // 2))
        self.features = nn.Sequential(
            nn.Conv2d(channels, 16, 3),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3),
            nn.MaxPool2d(2),
            nn.ReLU(),
        )
        rows, columns = (((edge - 2) // 2 - 2) // 2 for edge in (height + above, width + left))
        self.classifier = nn.Sequential(
            nn.Linear(32 * rows * columns, hidden), nn.ReLU(), nn.Linear(hidden, num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.border(x)
        if self.training and self.joins_layers:
            x = self.features[3:](relu_of_max_pool_of_conv(self.features[0], x))
        else:
            x = self.features(x)
        return self.classifier(x.flatten(1))


class DenseLIF(SpikingChain):
    """Twice {Linear → hidden, batch norm, neurons}, Linear → K."""

    def __init__(
        self, image_shape: Shape, num_classes: int, neuron: MakeNeuron, hidden: int = 256
    ) -> None:
        super().__init__()
        # Batch norm has a bias.
        inputs = nn.Linear(math.prod(image_shape), hidden, bias=False)
        self.block1 = nn.Sequential(inputs, nn.BatchNorm1d(hidden))
        self.block2 = nn.Sequential(nn.Linear(hidden, hidden, bias=False), nn.BatchNorm1d(hidden))
        self.linear = nn.Linear(hidden, num_classes)
        self.lif1, self.lif2 = neuron(), neuron()

    def layers(self) -> list[nn.Module]:
        first = nn.Sequential(nn.Flatten(), self.block1)
        return [first, self.lif1, self.block2, self.lif2, self.linear]


class DenseReLU(WithoutTime, DenseLIF):
    """`DenseLIF` with ReLU, without time."""

    kind: NetworkKind = "ann"

    def __init__(self, image_shape: Shape, num_classes: int, hidden: int = 256) -> None:
        super().__init__(image_shape, num_classes, nn.ReLU, hidden)


class ConvLIF(SpikingChain):
    """Twice {Conv 3×3, batch norm, neurons, pooling 2×2}, Linear → hidden, neurons, Linear → K."""

    def __init__(
        self,
        image_shape: Shape,
        num_classes: int,
        neuron: MakeNeuron,
        hidden: int = 256,
        pooling: str = "max",
    ) -> None:
        super().__init__()
        channels, height, width = image_shape
        below, right = max(MIN_SIZE - height, 0), max(MIN_SIZE - width, 0)
        self.block1 = nn.Sequential(
            nn.ZeroPad2d((0, right, 0, below)),
            nn.Conv2d(channels, 32, 3, padding=1, bias=False),
            nn.BatchNorm2d(32),
        )
        self.block2 = nn.Sequential(nn.Conv2d(32, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64))
        self.linear1 = nn.Linear(64 * ((height + below) // 4) * ((width + right) // 4), hidden)
        self.linear2 = nn.Linear(hidden, num_classes)
        self.pool, self.flatten = POOLINGS[pooling](2), ChannelsLastFlatten()
        self.lif1, self.lif2, self.lif3 = neuron(), neuron(), neuron()

    def layers(self) -> list[nn.Module]:
        convolutions = [self.block1, self.lif1, self.pool, self.block2, self.lif2, self.pool]
        return [*convolutions, nn.Sequential(self.flatten, self.linear1), self.lif3, self.linear2]


class ConvReLU(WithoutTime, ConvLIF):
    """`ConvLIF` with ReLU, without time."""

    def __init__(
        self, image_shape: Shape, num_classes: int, hidden: int = 256, pooling: str = "max"
    ) -> None:
        super().__init__(image_shape, num_classes, nn.ReLU, hidden, pooling)

    def layers(self) -> list[nn.Module]:
        layers = super().layers()
        if isinstance(self.pool, nn.MaxPool2d):
            # max(ReLU(x)) = ReLU(max(x)), for a quarter of the work
            layers[1:3], layers[4:6] = [self.pool, self.lif1], [self.pool, self.lif2]
        return layers


def first_layers(
    image_shape: Shape, width: int, largest: int
) -> tuple[list[tuple[nn.Conv2d, bool]], list[int]]:
    """Return convolutions that halve images to about `largest` pixels a side, with True where
    pooling follows, and the sides after them.
    """
    channels, *edges = image_shape
    halvings = sum(min(edges) // 2**times > largest for times in range(MAX_HALVINGS))
    pooled = min(halvings, MAX_POOLED)
    stride = 2 ** (halvings - pooled)
    first = nn.Conv2d(channels, width, 2 * stride + 1, stride, padding=stride, bias=False)
    further = [(nn.Conv2d(width, width, 3, padding=1, bias=False), True) for _ in range(pooled - 1)]
    return [(first, halvings > 0), *further], [-(-edge // stride) // 2**pooled for edge in edges]


class VGGLIF(SpikingChain):
    """Layers of {conv 3×3, pooling, batch norm} until maps are small, stages of {conv, batch norm,
    conv, pooling, batch norm}, the mean over all places, a linear layer.

    Neurons follow each batch norm, so that all layers but the first get spikes. After Simonyan and
    Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image Recognition".
    """

    def __init__(
        self,
        image_shape: Shape,
        num_classes: int,
        neuron: MakeNeuron,
        width: int = 24,
        dropout: float | None = None,
        pooling: str = "max",
    ) -> None:
        super().__init__()
        layers, edges = first_layers(image_shape, width, MAX_FIRST_MAP)
        before = width
        for growth in GROWTH:
            if min(edges) // 2 < MIN_MAP:
                break
            # Usual widths give channels that fill vector instructions.
            after = 16 * round(width * growth / 16) if width % 8 == 0 else round(width * growth)
            layers += [
                (nn.Conv2d(channels, after, 3, padding=1, bias=False), halved)
                for channels, halved in ((before, False), (after, True))
            ]
            before, edges = after, [edge // 2 for edge in edges]
        self.blocks = nn.ModuleList(
            nn.Sequential(
                convolution,
                *([POOLINGS[pooling](2)] if halved else []),
                nn.BatchNorm2d(convolution.out_channels),
            )
            for convolution, halved in layers
        )
        self.linear = nn.Sequential(
            nn.AvgPool2d((edges[0], edges[1])),
            nn.Flatten(),
            nn.Dropout(dropout or 0.0),
            nn.Linear(before, num_classes),
        )
        self.neurons = nn.ModuleList(neuron() for _ in self.blocks)

    def layers(self) -> list[nn.Module]:
        pairs = zip(self.blocks, self.neurons, strict=True)
        return [*(layer for pair in pairs for layer in pair), self.linear]


FIRST_SCALE = 0.6
"""Scale of batch norm at the start: more than 1 is rounded to 1 by integer neurons."""
HIGHEST = 4.0
"""Highest activation of many levels, in deviations of a current."""


def scale_norms(module: nn.Module, scale: float) -> None:
    """Let all batch norms of a fresh network give `scale` deviations."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.constant_(part.weight, scale)


class VGGInteger(VGGLIF):
    """`VGGLIF` with `IntegerIF` neurons, whose spikes are pooled."""

    readout = LogitReadout()
    norm_scale = FIRST_SCALE

    def __init__(
        self, image_shape: Shape, num_classes: int, width: int = 24, dropout: float | None = None
    ) -> None:
        super().__init__(image_shape, num_classes, IntegerIF, width, dropout)
        scale_norms(self, self.norm_scale)

    def layers(self) -> list[nn.Module]:
        layers: list[nn.Module] = []
        for block, neuron in zip(self.blocks, self.neurons, strict=True):
            convolution, *pool, norm = block.children()
            layers += [nn.Sequential(convolution, norm), neuron, *pool]
        return [*layers, self.linear]

    def forward(self, x: Any) -> Any:
        """Return the mean of the time steps' logits, `[B, K]`."""
        return super().forward(_learned_at_once(self, x)).float().mean(0)


class VGGReLU(WithoutTime, VGGLIF):
    """`VGGLIF` with ReLU, without time. With `activation_bits`, ReLU has 2^bits levels from 0 to 1,
    and batch norm learns their scales.
    """

    def __init__(
        self,
        image_shape: Shape,
        num_classes: int,
        width: int = 24,
        dropout: float | None = None,
        pooling: str = "max",
        activation_bits: int | None = None,
    ) -> None:
        neuron = IntegerIF if activation_bits else nn.ReLU
        super().__init__(image_shape, num_classes, neuron, width, dropout, pooling)
        if activation_bits:
            levels = 2**activation_bits - 1
            for layer in self.neurons:
                layer.levels = levels
            # Twice the mean of positive parts, over √Q (Esser et al. 2020, "Learned step size
            # quantization", section 2.1), is the first step of normal currents.
            self.norm_scale = 1 / min(0.8 * math.sqrt(levels), HIGHEST)
            scale_norms(self, self.norm_scale)


class VGGSum(VGGReLU):
    """`VGGReLU` on the mean of a recording's frames, blind to time."""

    def __init__(
        self,
        image_shape: Shape,
        num_classes: int,
        num_frames: int = 1,
        width: int = 24,
        dropout: float | None = None,
        pooling: str = "max",
    ) -> None:
        frame_shape = max(image_shape[0] // num_frames, 1), *image_shape[1:]
        super().__init__(frame_shape, num_classes, width, dropout, pooling)
        self.num_frames = num_frames

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.unflatten(1, (self.num_frames, -1)).mean(1))


class VGGGRU(VGGSum):
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
        super().__init__(image_shape, num_classes, num_frames, width, dropout, pooling)
        # The GRU goes between pooling and dropout of the parent's head, and keeps its width.
        pool, flatten, dropout_layer, linear = self.linear
        self.gru = nn.GRU(linear.in_features, linear.in_features)
        self.features = nn.Sequential(pool, flatten)
        self.linear = nn.Sequential(dropout_layer, linear)

    def forward(self, x: Tensor) -> Tensor:
        """Return the last frame's logits `[B, K]` for `[B, T·C, H, W]`."""
        frames = x.unflatten(1, (self.num_frames, -1)).transpose(0, 1)
        features = frames.flatten(0, 1)
        for layer in self.layers()[:-1]:
            features = layer(features)
        states, _ = self.gru(self.features(features).unflatten(0, frames.shape[:2]))
        return self.linear(states[-1])


Layer = tuple[nn.Conv2d, bool]
"""A convolution, with True where pooling follows."""


def residual_stages(image_shape: Shape, width: int) -> tuple[list[Layer], Iterator[Layer]]:
    """Return the first layers of a residual network, and the first layer of each stage."""
    first, edges = first_layers(image_shape, width, MAX_FIRST_MAP_OF_RESNET)
    return first, _stages(edges, width)


def _stages(edges: list[int], width: int) -> Iterator[Layer]:
    stage, widest = 0, RESNET_GROWTH * width
    while stage < RESNET_STAGES or min(edges) // 2 >= LAST_MAP:
        halved, after = min(edges) // 2 >= MIN_MAP, min(2 * width, widest)
        yield nn.Conv2d(width, after, 3, padding=1, bias=False), halved
        width, stage = after, stage + 1
        edges = [edge // 2 for edge in edges] if halved else edges


class ResNetSiLU(nn.Module):
    """The strong CNN without a twin: {conv 3×3, batch norm, SiLU}, max-pooled until maps are small;
    stages of {conv, max-pooling, batch norm, SiLU, residual block}, the mean over all places, a
    linear layer.

    After He et al. 2016, "Deep Residual Learning for Image Recognition".
    """

    kind: NetworkKind = "cnn"
    readout = LogitReadout()

    def __init__(
        self, image_shape: Shape, num_classes: int, width: int = 24, dropout: float | None = None
    ) -> None:
        super().__init__()
        first, stages = residual_stages(image_shape, width)
        layers = [layer for convolution, halved in first for layer in _normed(convolution, halved)]
        for convolution, halved in stages:
            width = convolution.out_channels
            layers += [*_normed(convolution, halved), _Block(width)]
        self.features = nn.Sequential(*layers)
        self.linear = nn.Sequential(nn.Dropout(dropout or 0.0), nn.Linear(width, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.features(x).mean((2, 3)))


class ResNetInteger(nn.Module):
    """`ResNetSiLU` with `IntegerIF` neurons, whose spikes are pooled; a block adds the spikes that
    it takes to the current of its last neurons.
    """

    kind: NetworkKind = "snn"
    readout = LogitReadout()

    def __init__(
        self, image_shape: Shape, num_classes: int, width: int = 24, dropout: float | None = None
    ) -> None:
        super().__init__()
        first, stages = residual_stages(image_shape, width)
        layers: list[nn.Module] = [_IntegerLayer(*layer) for layer in first]
        for convolution, halved in stages:
            width = convolution.out_channels
            layers += [_IntegerLayer(convolution, halved), _IntegerBlock(width)]
        self.features = nn.Sequential(*layers)
        self.linear = nn.Sequential(nn.Dropout(dropout or 0.0), nn.Linear(width, num_classes))

    def forward(self, x: Any) -> Tensor:
        """Return the mean of the time steps' logits, `[B, K]`, for `[T, B, C, H, W]` or a
        `ConstantInput`.
        """
        spikes = as_sequence(self.features(_learned_at_once(self, x)))
        wide = torch.promote_types(spikes.dtype, torch.float32)
        return self.linear(spikes.mean((0, 3, 4), dtype=wide))


def _learned_at_once(network: nn.Module, x: Any) -> Any:
    """Return the mean of the frames `x` in training: `IntegerIF` integrates all of its current, and
    the layers before it are linear.
    """
    if network.training and not isinstance(x, ConstantInput):
        return ConstantInput(x.mean(0), len(x))
    return x


class _IntegerBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (_IntegerLayer(*layer) for layer in _in_block(width))

    def forward(self, x: Any) -> Any:
        return self.second(self.first(x), shortcut=x)


class _IntegerLayer(nn.Module):
    joins_layers = False

    def __init__(self, convolution: nn.Conv2d, halved: bool) -> None:
        super().__init__()
        self.convolution, self.norm = convolution, nn.BatchNorm2d(convolution.out_channels)
        scale_norms(self, FIRST_SCALE)
        self.neurons, self.pool = IntegerIF(), nn.MaxPool2d(2) if halved else None

    def forward(self, x: Any, shortcut: Any = None) -> Any:
        """Return spikes over time for spikes, perhaps with a `shortcut` to the neurons."""
        current = over_time(self.convolution, x)
        if self.joins_layers and not (is_traced() or is_seen(self.norm, self.neurons)):
            window = 1 if self.pool is None else 2
            spk: Any = self.neurons.normalised(current, self.norm, window, shortcut)
            if spk is not None:
                return spk
        current = over_time(self.norm, current)
        if shortcut is not None:
            current = plain.applied(plain.Add(), [current, shortcut])
        spk, _ = self.neurons(current, with_mem=False)
        return spk if self.pool is None else over_time(self.pool, spk)


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        first, second = _in_block(width)
        self.inner = nn.Sequential(*_normed(*first), *_normed(*second)[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x + self.inner(x))


def _in_block(width: int) -> list[Layer]:
    return [(nn.Conv2d(width, width, 3, padding=1, bias=False), False) for _ in range(2)]


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
    "vgg-integer": VGGInteger,
    "vgg-relu": VGGReLU,
    "resnet-integer": ResNetInteger,
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
