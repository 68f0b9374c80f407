"""`ResNetSiLU`, the strong recipe's CNN without a twin: shortcuts, smooth activations, finer maps.

{conv 3×3, batch norm, SiLU}, or for larger images {conv, max-pooling, batch norm, SiLU} until maps
are small; then stages of {conv, max-pooling, batch norm, SiLU, residual block of two convolutions},
the mean over all places, a linear layer. He et al. 2016, "Deep Residual Learning for Image
Recognition", small; SiLU after Elfwing et al. 2018, "Sigmoid-weighted linear units for neural
network function approximation in reinforcement learning".
"""

from torch import Tensor, nn
from torch.nn import functional as F

from spikeduel.networks.chains import Shape
from spikeduel.networks.vgg import SMALLEST_MAP, first_layers
from spikeduel.spiking.readouts import LogitReadout
from spikeduel.system.registry import Family

LARGEST_FIRST_MAP, LEAST_STAGES, GROWTH = 48, 2, 4
"""Side of the first maps at most; fewest stages, which halve the map and double the channels up to
`GROWTH` times those of the first layer.
"""
LAST_MAP = 6
"""Further stages must leave maps of this side, so that the last one sees all of a large image."""


class ResNetSiLU(nn.Module):
    """A residual network with smooth activations, the strong CNN without a twin."""

    family: Family = "cnn"
    readout = LogitReadout()

    def __init__(
        self, image_shape: Shape, num_classes: int, width: int = 24, dropout: float | None = None
    ) -> None:
        super().__init__()
        first, sides = first_layers(image_shape, width, LARGEST_FIRST_MAP)
        layers = [layer for convolution, halved in first for layer in _normed(convolution, halved)]
        stage, widest = 0, GROWTH * width
        while stage < LEAST_STAGES or min(sides) // 2 >= LAST_MAP:
            halved, after = min(sides) // 2 >= SMALLEST_MAP, min(2 * width, widest)
            layers += [
                *_normed(nn.Conv2d(width, after, 3, padding=1, bias=False), halved),
                _Block(after),
            ]
            width, sides, stage = (
                after,
                [side // 2 for side in sides] if halved else sides,
                stage + 1,
            )
        self.features = nn.Sequential(*layers)
        self.linear = nn.Sequential(nn.Dropout(dropout or 0.0), nn.Linear(width, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `[B, K]` for `[B, C, H, W]`."""
        return self.linear(self.features(x).mean((2, 3)))


class _Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        convolutions = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        first, second = (_normed(each, halved=False) for each in convolutions)
        self.inner = nn.Sequential(*first, *second[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x + self.inner(x))


def _normed(convolution: nn.Conv2d, halved: bool) -> list[nn.Module]:
    return [
        convolution,
        *([nn.MaxPool2d(2)] if halved else []),
        nn.BatchNorm2d(convolution.out_channels),
        nn.SiLU(),
    ]
