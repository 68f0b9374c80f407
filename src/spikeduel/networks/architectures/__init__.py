"""Network shapes, one file each: `build(image_shape, num_classes, num_steps, **settings) -> nn.Module`.

A spiking network has `family = "snn"` and takes `[T, B, C, H, W]` or a `ConstantInput`; any other has `family = "cnn"`
and takes `[B, C, H, W]`. Both have a `readout`. `settings` are `neuron` (makes one layer of neurons), `hidden`,
`pooling` and, for an imported network, `layers`. One that can be written as NIR has `layers()`.
"""

from collections.abc import Callable

from torch import nn

from spikeduel.networks.architectures import conv, dense, dense_snn, sequential, small_cnn

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "dense-snn": dense_snn.build,
    "small-cnn": small_cnn.build,
    "conv-lif": conv.build_lif,
    "conv-relu": conv.build_relu,
    "conv-if": conv.build_if,
    "dense-lif": dense.build_lif,
    "dense-relu": dense.build_relu,
    "sequential": sequential.build,
}
