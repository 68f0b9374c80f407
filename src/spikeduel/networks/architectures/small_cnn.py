"""The study's convolutional network."""

from torch import Tensor, nn

from spikeduel.spiking.readouts import LogitReadout
from spikeduel.system.registry import Family

SMALLEST_SIDE = 10
"""Two unpadded 3×3 convolutions with pooling leave nothing of a smaller image."""


class SmallCNN(nn.Module):
    """The study's CNN: Conv 3×3 16, ReLU, MaxPool 2, Conv 3×3 32, ReLU, MaxPool 2, Linear → hidden, ReLU, Linear → K.

    The ReLU stands after the pooling, which gives the same numbers and gradients for a quarter of its work. Images
    below 10×10 are first surrounded by zeros up to that size. Returns logits: their cross-entropy equals the study's
    log-softmax followed by the negative log-likelihood.
    """

    family: Family = "cnn"
    readout = LogitReadout()

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int, hidden: int = 1024) -> None:
        super().__init__()
        channels, height, width = image_shape
        vertical, horizontal = max(SMALLEST_SIDE - height, 0), max(SMALLEST_SIDE - width, 0)
        self.border = nn.ZeroPad2d(
            (horizontal // 2, horizontal - horizontal // 2, vertical // 2, vertical - vertical // 2)
        )
        self.features = nn.Sequential(
            nn.Conv2d(channels, 16, 3), nn.MaxPool2d(2), nn.ReLU(),
            nn.Conv2d(16, 32, 3), nn.MaxPool2d(2), nn.ReLU(),
        )  # fmt: skip
        num_features = 32 * _side_after(height + vertical) * _side_after(width + horizontal)
        self.classifier = nn.Sequential(nn.Linear(num_features, hidden), nn.ReLU(), nn.Linear(hidden, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` to logits `[B, K]`."""
        return self.classifier(self.features(self.border(x)).flatten(1))


def _side_after(side: int) -> int:
    return ((side - 2) // 2 - 2) // 2
