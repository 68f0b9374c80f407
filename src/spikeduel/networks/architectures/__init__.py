"""Network shapes: what builds a network takes those of `models.BUILT_WITH` that it names, and what else it has.

`image_shape` is (C, H, W), `num_classes` K, `hidden` the width of the hidden layers; `neuron()` makes one layer of
neurons. A spiking network has `family = "snn"` and takes `[T, B, C, H, W]` or a `ConstantInput`; any other has the
family "cnn" or "ann" and takes `[B, C, H, W]`. All have a `readout`. One that can be written as NIR has `layers()`.
"""

from collections.abc import Callable

from torch import nn

from spikeduel.networks.architectures import sequential
from spikeduel.networks.architectures.conv import ConvIF, ConvLIF, ConvReLU
from spikeduel.networks.architectures.dense import DenseLIF, DenseReLU, DenseSNN
from spikeduel.networks.architectures.small_cnn import SmallCNN

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "dense-snn": DenseSNN,
    "small-cnn": SmallCNN,
    "conv-lif": ConvLIF,
    "conv-relu": ConvReLU,
    "conv-if": ConvIF,
    "dense-lif": DenseLIF,
    "dense-relu": DenseReLU,
    "sequential": sequential.build,
}
