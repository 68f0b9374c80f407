"""The strong twins `VGGLIF` and `VGGReLU`: one shape and the same weights, for 8 to 224 pixels.

Layers of {conv 3×3, pooling, batch norm, neurons} until maps are small, then stages of {conv, batch
norm, neurons, conv, pooling, batch norm, neurons}, the mean over all places, a linear layer.
Pooling comes before the neurons, which see a quarter of the places; all layers but the first get
spikes. Simonyan and Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", with batch norm, few layers and few channels.
"""

from torch import Tensor, nn

from spikeduel.networks.chains import MakeNeuron, Shape, SpikingChain, pooling_of
from spikeduel.spiking.readouts import LogitReadout
from spikeduel.system.registry import Family

LARGEST_FIRST_MAP, MOST_HALVINGS, MOST_POOLED = 24, 3, 2
"""Side of the first maps at most; most halvings before, the last two by pooling: a first layer with
stride 4 loses the ridges of a fingerprint.
"""
SMALLEST_MAP = 3
"""Stages halve the side down to at least this."""
GROWTH = (1.0, 2.0, 8 / 3, 4.0)
"""Channels of the first layer and of each stage, relative to the first."""


def first_layers(
    image_shape: Shape, width: int, largest: int
) -> tuple[list[tuple[nn.Conv2d, bool]], list[int]]:
    """Return convolutions, each with True if pooling follows, and the sides after them.

    They halve images to about `largest` pixels a side; halvings beyond `MOST_POOLED` are the first
    one's stride.
    """
    channels, *sides = image_shape
    halvings = sum(min(sides) // 2**times > largest for times in range(MOST_HALVINGS))
    pooled = min(halvings, MOST_POOLED)
    stride = 2 ** (halvings - pooled)
    first = nn.Conv2d(channels, width, 2 * stride + 1, stride, padding=stride, bias=False)
    further = [nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(pooled - 1)]
    sides = [-(-side // stride) // 2**pooled for side in sides]
    return [(first, halvings > 0), *((each, True) for each in further)], sides


class _VGG(nn.Module):
    """Weights of the twins."""

    def __init__(
        self,
        image_shape: Shape,
        num_classes: int,
        width: int = 24,
        dropout: float | None = None,
        pooling: str = "max",
    ) -> None:
        super().__init__()
        self.pooling = pooling_of(pooling)
        first, sides = first_layers(image_shape, width, LARGEST_FIRST_MAP)
        self.blocks = nn.ModuleList(
            [self._normed(convolution, width, halved) for convolution, halved in first]
        )
        before = width
        for growth in GROWTH[1:]:
            if min(sides) // 2 < SMALLEST_MAP:
                break
            # Usual widths give channels that fill the lanes of vector instructions.
            after = 16 * round(width * growth / 16) if width % 8 == 0 else round(width * growth)
            self.blocks += [
                self._block(before, after, halved=False),
                self._block(after, after, halved=True),
            ]
            before, sides = after, [side // 2 for side in sides]
        self.linear = nn.Sequential(
            nn.AvgPool2d((sides[0], sides[1])),
            nn.Flatten(),
            nn.Dropout(dropout or 0.0),
            nn.Linear(before, num_classes),
        )

    def _block(self, before: int, after: int, halved: bool) -> nn.Sequential:
        return self._normed(nn.Conv2d(before, after, 3, padding=1, bias=False), after, halved)

    def _normed(self, convolution: nn.Conv2d, width: int, halved: bool) -> nn.Sequential:
        pooled = [self.pooling(2)] if halved else []
        return nn.Sequential(convolution, *pooled, nn.BatchNorm2d(width))


class VGGLIF(SpikingChain, _VGG):
    """Convolutions with spiking neurons."""

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
        return [layer for pair in zip(self.blocks, self.neurons, strict=True) for layer in pair] + [
            self.linear
        ]


class VGGReLU(_VGG):
    """`VGGLIF` with a ReLU for every layer of neurons, and without time."""

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
        """Return logits `[B, K]` for `[B, C, H, W]`."""
        for block in self.blocks:
            x = self.relu(block(x))
        return self.linear(x)


class VGGSum(VGGReLU):
    """`VGGReLU` on the mean of a recording's frames: the twin of `VGGLIF` that cannot use time."""

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
        """Return logits `[B, K]` for `[B, T·C, H, W]`."""
        return super().forward(x.unflatten(1, (self.num_frames, -1)).mean(1))


class VGGGRU(_VGG):
    """`VGGReLU`'s shape, frame by frame, with a gated recurrent unit over the features: no spikes.

    Cho et al. 2014, "Learning Phrase Representations using RNN Encoder–Decoder", as in
    `torch.nn.GRU`.
    """

    family: Family = "cnn"
    readout = LogitReadout()

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
        self.num_frames, self.relu = num_frames, nn.ReLU()
        mean, flatten, dropped, linear = self.linear
        self.gru = nn.GRU(linear.in_features, linear.in_features)
        self.features, self.linear = nn.Sequential(mean, flatten), nn.Sequential(dropped, linear)

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
