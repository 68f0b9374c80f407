"""What is timed: one training step of a shape, on images of a size."""

from dataclasses import dataclass

import torch
from torch import Tensor

NUM_CLASSES = 10
CNN_CHANNELS = (16, 32)
CONV_SNN_CHANNELS = (32, 64)

_DARKENING = 2.5  # turns uniform levels into a mean of 0.29, that of Fashion-MNIST


@dataclass(frozen=True)
class Workload:
    """One training step: `shape` is "dense" (two linear layers of LIF neurons), "conv" (two convolutions and one linear
    layer of LIF neurons) or "cnn" (the study's). A CNN has no `encoding` and no `num_steps`. Images are grey squares of
    `side` pixels, `batch_size` a step; `hidden` is the width of the one hidden linear layer.
    """

    name: str
    shape: str
    side: int
    encoding: str | None = None
    num_steps: int | None = None
    batch_size: int = 128
    hidden: int = 1024


WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload("snn-28-direct", "dense", 28, "direct", 25),
        Workload("snn-28-rate", "dense", 28, "rate", 25),
        Workload("cnn-28", "cnn", 28),
        Workload("conv-snn-28", "conv", 28, "direct", 4, hidden=256),
        Workload("snn-97-direct", "dense", 97, "direct", 25),
        Workload("snn-97-rate", "dense", 97, "rate", 25),
        Workload("cnn-97", "cnn", 97),
    )
}


def batch(workload: Workload) -> tuple[Tensor, Tensor]:
    """Images uint8 `[B, 1, side, side]` and labels int64 `[B]`, always the same; about as bright as Fashion-MNIST."""
    generator = torch.Generator().manual_seed(0)
    levels = torch.rand(workload.batch_size, 1, workload.side, workload.side, generator=generator)
    images = (levels**_DARKENING * 255).to(torch.uint8)
    return images, torch.randint(NUM_CLASSES, (workload.batch_size,), generator=generator)
