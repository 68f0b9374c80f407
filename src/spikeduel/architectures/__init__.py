"""Network shapes, one file each: `build(image_shape, num_classes, num_steps, **settings) -> nn.Module`.

A spiking network has `family = "snn"` and takes `[T, B, C, H, W]` or a `Constant`; any other has `family = "cnn"`
and takes `[B, C, H, W]`. Both have a `readout`. `settings` are `neuron` (makes one layer of neurons) and `hidden`.
"""

from collections.abc import Callable

from torch import nn

from spikeduel.architectures import conv, dense, dense_snn, small_cnn

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "dense-snn": dense_snn.build,
    "small-cnn": small_cnn.build,
    "conv-lif": conv.build_lif,
    "conv-relu": conv.build_relu,
    "conv-if": conv.build_if,
    "dense-lif": dense.build_lif,
    "dense-relu": dense.build_relu,
}
