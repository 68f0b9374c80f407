"""Tricks of others, as contenders of one's own in place of `vgg-lif` and `vgg-relu`; `ablation.py`
has a row for each.

    spikeduel compare DATASET --contender tricks:wide_late_lif --contender tricks:wide_late_relu
"""

from collections.abc import Callable
from functools import wraps
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spikeduel.engine.networks import architectures
from spikeduel.engine.networks.architectures import VGGLIF, VGGReLU
from spikeduel.engine.readouts import MeanReadout

WIDE_LATE = (4 / 3, 16 / 3, 8.0)
"""Channels of each stage relative to the first layer; 2, 8/3 and 4 elsewhere."""


def wide_late(kind: type[VGGLIF]) -> Callable[..., VGGLIF]:
    """Build a `kind` with fewer channels where maps are large, and more where they are small."""

    @wraps(kind)
    def build(*arguments: Any, **settings: Any) -> VGGLIF:
        with patch.object(architectures, "GROWTH", WIDE_LATE):
            return kind(*arguments, **settings)

    return build


def identities(kind: type[VGGLIF]) -> Callable[..., VGGLIF]:
    """Build a `kind` of which each convolution but the first begins as the identity on its first
    channels (Jordan 2024, "94 % on CIFAR-10 in 3.29 seconds").
    """

    @wraps(kind)
    def build(*arguments: Any, **settings: Any) -> VGGLIF:
        network = kind(*arguments, **settings)
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
        for layer in layers[1:]:
            nn.init.dirac_(layer.weight.data[: layer.in_channels])
        return network

    return build


class EachStepReadout(MeanReadout):
    """The mean over steps of each step's cross-entropy (Deng et al. 2022, "Temporal Efficient
    Training of Spiking Neural Network via Gradient Re-weighting").
    """

    def loss(self, output: Tensor, labels: Tensor) -> Tensor:
        return torch.stack([F.cross_entropy(step.float(), labels) for step in output]).mean()


class EachStepLIF(VGGLIF):
    """Every step learns to answer."""

    readout = EachStepReadout()


wide_late_lif, wide_late_relu = wide_late(VGGLIF), wide_late(VGGReLU)
identities_lif, identities_relu = identities(VGGLIF), identities(VGGReLU)
