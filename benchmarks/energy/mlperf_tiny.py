"""The four networks of MLPerf Tiny, untrained: their shapes decide how many operations they take.

spikeduel does not count multiplications with the zeros of a border; MLPerf Tiny does (`padded`).

Shapes as in github.com/mlcommons/tiny (commit 1d0f2cd), benchmark/training: `keras_model.py` of
each task.
"""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn


def convolution(
    inputs: int, outputs: int, size: int | tuple[int, int] = 3, stride: int = 1, groups: int = 1
) -> nn.Module:
    """Return a convolution with the padding of TensorFlow's "same", batch norm and ReLU."""
    height, width = (size, size) if isinstance(size, int) else size
    # TensorFlow pads strided convolutions unevenly.
    padding = (height // 2, width // 2) if stride == 1 else (0, 0)
    return nn.Sequential(
        Same((height, width), stride) if stride > 1 else nn.Identity(),
        nn.Conv2d(inputs, outputs, (height, width), stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class Same(nn.Module):
    """Zeros at the border, more of them at the end, as TensorFlow pads."""

    def __init__(self, size: tuple[int, int], stride: int) -> None:
        super().__init__()
        self.size, self.stride = size, stride

    def forward(self, x: Tensor) -> Tensor:
        padding: list[int] = []
        for length, size in zip(x.shape[:1:-1], self.size[::-1], strict=True):
            outputs = -(-length // self.stride)
            missing = max((outputs - 1) * self.stride + size - length, 0)
            padding += [missing // 2, missing - missing // 2]
        return nn.functional.pad(x, padding)


class Block(nn.Module):
    """Two convolutions beside a shortcut, which is a convolution where the size changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            convolution(inputs, outputs, 3, stride), convolution(outputs, outputs)
        )
        self.shortcut = (
            nn.Conv2d(inputs, outputs, 1, stride) if inputs != outputs else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        return (self.path(x) + self.shortcut(x)).relu()


def image_classification() -> nn.Module:
    """Return the residual network for CIFAR-10."""
    blocks = [Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2)]
    return nn.Sequential(
        convolution(3, 16), *blocks, nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, 10)
    )


def separable(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    """Return a convolution of each channel by itself, and one of all channels at each place."""
    return nn.Sequential(
        convolution(inputs, inputs, 3, stride, groups=inputs), convolution(inputs, outputs, 1)
    )


def keyword_spotting() -> nn.Module:
    """Return the network of separable convolutions for spectrograms of 49 × 10."""
    return nn.Sequential(
        convolution(1, 64, (10, 4), 2),
        *(separable(64, 64) for _ in range(4)),
        nn.AvgPool2d((25, 5)),
        nn.Flatten(),
        nn.Linear(64, 12),
    )


def visual_wake_words() -> nn.Module:
    """Return MobileNet with a quarter of the channels, for images of 96 × 96."""
    channels = (8, 16, 32, 32, 64, 64, *(128,) * 6, 256, 256)
    strides = (1, 2, 1, 2, 1, 2, *(1,) * 5, 2, 1)
    blocks = [
        separable(inputs, outputs, stride)
        for inputs, outputs, stride in zip(channels, channels[1:], strides, strict=False)
    ]
    return nn.Sequential(
        convolution(3, 8, 3, 2), *blocks, nn.AvgPool2d(3), nn.Flatten(), nn.Linear(256, 2)
    )


def anomaly_detection() -> nn.Module:
    """Return the autoencoder of ten dense layers."""
    sizes = (640, *(128,) * 4, 8, *(128,) * 4, 640)
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "ic": (image_classification, (3, 32, 32)),
    "kws": (keyword_spotting, (1, 49, 10)),
    "vww": (visual_wake_words, (3, 96, 96)),
    "ad": (anomaly_detection, (640,)),
}
"""Each network and the size of its input, by the benchmark's name of its task."""


def network(name: str) -> tuple[nn.Module, Tensor]:
    """Return a network with two inputs."""
    build, size = NETWORKS[name]
    generator = torch.Generator().manual_seed(0)
    return build().eval(), torch.rand(2, *size, generator=generator)


def padded(module: nn.Module) -> nn.Module:
    """Return `module` with borders as inputs, so that multiplications with them count."""
    for layer in [layer for layer in module.modules() if isinstance(layer, nn.Sequential)]:
        for place, part in enumerate(layer):
            if isinstance(part, nn.Conv2d) and part.padding != (0, 0):
                # `convolution` pads a kernel of odd size by half of it.
                height, width = (size // 2 for size in part.kernel_size)
                layer[place - 1] = nn.ZeroPad2d((width, width, height, height))
                part.padding = (0, 0)
    return module
