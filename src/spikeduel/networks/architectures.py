"""Network shapes: what builds a network takes those of `building.BUILT_WITH` that it names, and what else it has.

`image_shape` is (C, H, W), `num_classes` K, `hidden` the width of the hidden layers; `neuron()` makes one layer of
neurons. A spiking network has `family = "snn"` and takes `[T, B, C, H, W]` or a `ConstantInput`; any other has the
family "cnn" or "ann" and takes `[B, C, H, W]`. All have a `readout`. One that can be written as NIR has `layers()`.

Twins (`DenseLIF` and `DenseReLU`, `ConvLIF` and `ConvReLU`) have the same weights, shape for shape: a difference
between them is the activation's. Imported networks become a `Sequential`, of layers as plain data (`LAYERS`).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spikeduel.networks.narrow import NarrowLinear, through
from spikeduel.networks.pooling import PooledCounts, relu_of_max_pool, relu_of_max_pool_of_conv
from spikeduel.spiking import ConstantInput, over_time
from spikeduel.spiking.kernels import Dynamics
from spikeduel.spiking.neurons import LIF, Neuron
from spikeduel.spiking.readouts import LogitReadout, MeanReadout, Readout, SpikeCountReadout
from spikeduel.system.errors import InputError, unknown, visible
from spikeduel.system.registry import Family

Shape = tuple[int, int, int]
MakeNeuron = Callable[[], Neuron]

SMALLEST_SIDE, SMALLEST_SIDE_OF_STUDY = 4, 10
"""Two poolings leave nothing of a smaller image, nor do they with the study's unpadded 3×3 convolutions."""
POOLINGS: dict[str, Callable[[int], nn.Module]] = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}
MOST_LAYERS = 1000


def as_sequence(x: Tensor | ConstantInput) -> Tensor:
    """`[T, B, …]`, of a `ConstantInput` as a view."""
    return x.expand() if isinstance(x, ConstantInput) else x


class SpikingChain(nn.Module):
    """Layers one after the other, neurons among them.

    Where the last layer does not spike, the mean of its current over the steps is the score.
    """

    family: Family = "snn"
    readout: Readout = MeanReadout()

    def layers(self) -> list[nn.Module]:
        """Its layers in the order in which data passes them."""
        raise NotImplementedError

    def forward(self, x: Tensor | ConstantInput) -> Tensor | tuple[Tensor, Tensor]:
        """`[T, B, C, H, W]` or a `ConstantInput` to `[T, B, K]`, or to the last neurons' `(spk, mem)`."""
        layers, mem = self.layers(), None
        for layer in layers:
            if isinstance(layer, Neuron):
                x, mem = layer(x, with_mem=layer is layers[-1])
            else:
                x, mem = over_time(layer, x), None
        return as_sequence(x) if mem is None else (as_sequence(x), mem)


class DenseSNN(SpikingChain):
    """The study's spiking network: Linear(C·H·W → hidden), neurons, Linear(hidden → K), neurons."""

    readout = SpikeCountReadout()

    def __init__(self, image_shape: Shape, num_classes: int, neuron: MakeNeuron, hidden: int = 1024) -> None:
        super().__init__()
        self.linear1 = nn.Linear(math.prod(image_shape), hidden)
        self.lif1 = neuron()
        self.linear2 = NarrowLinear(hidden, num_classes)
        self.lif2 = neuron()

    def layers(self) -> list[nn.Module]:
        """See `SpikingChain.layers`."""
        return [nn.Sequential(nn.Flatten(), self.linear1), self.lif1, self.linear2, self.lif2]

    def forward(self, x: Tensor | ConstantInput) -> tuple[Tensor, Tensor]:
        """See `SpikingChain.forward`."""
        current = over_time(self.linear1, over_time(nn.Flatten(), x))
        spk, mem = self.lif2(through(current, self.lif1, self.linear2))
        return spk, mem


class SmallCNN(nn.Module):
    """The study's CNN: Conv 3×3 16, ReLU, MaxPool 2, Conv 3×3 32, ReLU, MaxPool 2, Linear → hidden, ReLU, Linear → K.

    The ReLU stands after the pooling: the same numbers and gradients for a quarter of its work. Zeros surround images
    below 10×10. The cross-entropy of its logits is the study's negative log-likelihood after log-softmax.
    """

    family: Family = "cnn"
    readout = LogitReadout()

    def __init__(self, image_shape: Shape, num_classes: int, hidden: int = 1024) -> None:
        super().__init__()
        channels, height, width = image_shape
        above, left = (max(SMALLEST_SIDE_OF_STUDY - side, 0) for side in (height, width))
        self.border = nn.ZeroPad2d((left // 2, left - left // 2, above // 2, above - above // 2))
        self.features = nn.Sequential(
            nn.Conv2d(channels, 16, 3), nn.MaxPool2d(2), nn.ReLU(),
            nn.Conv2d(16, 32, 3), nn.MaxPool2d(2), nn.ReLU(),
        )  # fmt: skip
        rows, columns = (((side - 2) // 2 - 2) // 2 for side in (height + above, width + left))
        self.classifier = nn.Sequential(
            nn.Linear(32 * rows * columns, hidden), nn.ReLU(), nn.Linear(hidden, num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` to logits `[B, K]`."""
        x = self.border(x)
        if not self.training:
            return self.classifier(self.features(x).flatten(1))
        first, _, _, second, *_ = self.features
        return self.classifier(relu_of_max_pool(second(relu_of_max_pool_of_conv(first, x))).flatten(1))


class _Dense(nn.Module):
    """The weights that the twins share: block1, block2 {Linear → hidden, batch norm}, linear → K."""

    def __init__(self, image_shape: Shape, num_classes: int, hidden: int) -> None:
        super().__init__()
        # Batch norm has the bias.
        self.block1 = nn.Sequential(nn.Linear(math.prod(image_shape), hidden, bias=False), nn.BatchNorm1d(hidden))
        self.block2 = nn.Sequential(nn.Linear(hidden, hidden, bias=False), nn.BatchNorm1d(hidden))
        self.linear = NarrowLinear(hidden, num_classes)


class DenseLIF(SpikingChain, _Dense):
    """Twice {Linear → hidden, batch norm, neurons}, Linear → K."""

    def __init__(self, image_shape: Shape, num_classes: int, neuron: MakeNeuron, hidden: int = 256) -> None:
        super().__init__(image_shape, num_classes, hidden)
        self.lif1, self.lif2 = neuron(), neuron()

    def layers(self) -> list[nn.Module]:
        """See `SpikingChain.layers`."""
        return [nn.Sequential(nn.Flatten(), self.block1), self.lif1, self.block2, self.lif2, self.linear]


class DenseReLU(_Dense):
    """`DenseLIF` with a ReLU for every layer of neurons, and without time."""

    family: Family = "ann"
    readout = LogitReadout()

    def __init__(self, image_shape: Shape, num_classes: int, hidden: int = 256) -> None:
        super().__init__(image_shape, num_classes, hidden)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` to logits `[B, K]`."""
        return self.linear(self.relu(self.block2(self.relu(self.block1(x.flatten(1))))))


class _Conv(nn.Module):
    """The weights that the twins share: block1, block2 {Conv 3×3, batch norm}, linear1 → hidden, linear2 → K."""

    def __init__(self, image_shape: Shape, num_classes: int, hidden: int, pooling: str) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise unknown("pooling", pooling, POOLINGS)
        channels, height, width = image_shape
        first, second = 32, 64
        below, right = max(SMALLEST_SIDE - height, 0), max(SMALLEST_SIDE - width, 0)
        # Batch norm has the bias.
        inputs = nn.Conv2d(channels, first, 3, padding=1, bias=False)
        self.block1 = nn.Sequential(nn.ZeroPad2d((0, right, 0, below)), inputs, nn.BatchNorm2d(first))
        self.block2 = nn.Sequential(nn.Conv2d(first, second, 3, padding=1, bias=False), nn.BatchNorm2d(second))
        self.linear1 = nn.Linear(second * ((height + below) // 4) * ((width + right) // 4), hidden)
        self.linear2 = nn.Linear(hidden, num_classes)
        self.pool = POOLINGS[pooling](2)


class ConvLIF(SpikingChain, _Conv):
    """Twice {Conv 3×3, batch norm, neurons, pooling 2×2}, Linear → hidden, neurons, Linear → K."""

    pools_counts = False  # whether it takes `PooledCounts` for max-pooling

    def __init__(
        self, image_shape: Shape, num_classes: int, neuron: MakeNeuron, hidden: int = 256, pooling: str = "max"
    ) -> None:
        super().__init__(image_shape, num_classes, hidden, pooling)
        self.lif1, self.lif2, self.lif3 = neuron(), neuron(), neuron()
        if self.pools_counts and pooling == "max":
            self.pool1, self.pool2 = PooledCounts(), PooledCounts()

    def layers(self) -> list[nn.Module]:
        """See `SpikingChain.layers`."""
        pool1, pool2 = getattr(self, "pool1", self.pool), getattr(self, "pool2", self.pool)
        convolutions = [self.block1, self.lif1, pool1, self.block2, self.lif2, pool2]
        return [*convolutions, nn.Sequential(ChannelsLastFlatten(), self.linear1), self.lif3, self.linear2]


class ConvIF(ConvLIF):
    """`ConvLIF` with `PooledCounts` for max-pooling: what `ConvReLU` becomes when it is converted."""

    pools_counts = True


class ConvReLU(_Conv):
    """`ConvLIF` with a ReLU for every layer of neurons, and without time."""

    family: Family = "cnn"
    readout = LogitReadout()

    def __init__(self, image_shape: Shape, num_classes: int, hidden: int = 256, pooling: str = "max") -> None:
        super().__init__(image_shape, num_classes, hidden, pooling)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` to logits `[B, K]`."""
        for block in (self.block1, self.block2):
            # The largest of what a ReLU leaves is what it leaves of the largest, for a quarter of its work.
            is_max = isinstance(self.pool, nn.MaxPool2d)
            if is_max and self.training:
                x = relu_of_max_pool(block(x))
            else:
                x = self.relu(self.pool(block(x))) if is_max else self.pool(self.relu(block(x)))
        return self.linear2(self.relu(self.linear1(ChannelsLastFlatten()(x))))


class ChannelsLastFlatten(nn.Module):
    """`[N, C, H, W]` to `[N, H·W·C]`: the order that channels-last has in memory, so that nothing is copied."""

    def forward(self, features: Tensor) -> Tensor:
        """See `ChannelsLastFlatten`."""
        return features.permute(0, 2, 3, 1).flatten(1)


class EachItsOwnLIF(LIF):
    """A `LIF` whose neurons, of `shape`, have a `beta` and a `threshold` each: buffers, not trained."""

    def __init__(self, shape: Sequence[int], reset_mechanism: str = "zero") -> None:
        super().__init__(reset_mechanism=reset_mechanism)
        self.register_buffer("beta", torch.ones(*shape))
        self.register_buffer("thresholds", torch.ones(*shape))

    def _keep_beta(self, beta: float) -> None:
        """Leaves the name to the buffer."""

    @property
    def dynamics(self) -> Dynamics:
        """What the kernels are told."""
        return super().dynamics._replace(threshold=self.get_buffer("thresholds"))

    def extra_repr(self) -> str:
        return f"shape={list(self.get_buffer('beta').shape)}, reset_mechanism={self.reset_mechanism!r}"


class Sequential(SpikingChain):
    """`layers` of plain data; without them, one hidden layer of neurons, an integrating readout.

    If the last layer spikes, its most spikes are the answer. Raises `InputError`.
    """

    def __init__(
        self, image_shape: Shape, num_classes: int, *, layers: Any = None, neuron: MakeNeuron = LIF, hidden: int = 1024
    ) -> None:
        super().__init__()
        if layers is None:
            chain = [
                nn.Flatten(),
                nn.Linear(math.prod(image_shape), hidden),
                neuron(),
                NarrowLinear(hidden, num_classes),
            ]
        else:
            chain = _made(layers, image_shape, num_classes)
        self.chain = nn.ModuleList(chain)
        if isinstance(chain[-1], Neuron):
            self.readout = SpikeCountReadout()

    def layers(self) -> list[nn.Module]:
        """See `SpikingChain.layers`."""
        return list(self.chain)


# A layer's `type`, and what makes it of the other entries of its dict.
LAYERS: dict[str, Callable[..., nn.Module]] = {
    "flatten": nn.Flatten,
    "linear": lambda num_inputs, num_outputs, bias=True: nn.Linear(num_inputs, num_outputs, bias),
    "conv2d": lambda num_inputs, num_outputs, kernel, **more: nn.Conv2d(num_inputs, num_outputs, kernel, **more),
    "avgpool2d": lambda kernel, stride, padding: nn.AvgPool2d(kernel, stride, padding),
    "sumpool2d": lambda kernel, stride, padding: nn.AvgPool2d(kernel, stride, padding, divisor_override=1),
    "lif": lambda beta=1.0, threshold=1.0, reset_mechanism="zero", shape=None: (
        LIF(beta, threshold, reset_mechanism) if shape is None else EachItsOwnLIF(shape, reset_mechanism)
    ),
}


def _made(layers: Any, image_shape: Shape, num_classes: int) -> list[nn.Module]:
    """The layers that `layers` describes, each made without memory first, to see that it fits."""
    if not isinstance(layers, list | tuple) or not 0 < len(layers) <= MOST_LAYERS:
        raise InputError(f"layers must be a list of 1 to {MOST_LAYERS} layers.")
    made, x = [], torch.empty(1, *image_shape, device="meta")
    for index, layer in enumerate(layers):
        if not isinstance(layer, dict) or not isinstance(layer.get("type"), str):
            raise InputError(f"layers[{index}] must be an object with a type.")
        kind, settings = layer["type"], {name: value for name, value in layer.items() if name != "type"}
        if kind not in LAYERS:
            raise unknown(f"type of layers[{index}]", visible(kind), LAYERS)
        try:
            with torch.device("meta"):
                outline = LAYERS[kind](**settings)
                if isinstance(outline, EachItsOwnLIF) and x.shape[1:] != outline.get_buffer("beta").shape:
                    raise InputError(f"it is for neurons {settings['shape']}")
                x = x if isinstance(outline, Neuron) else outline(x)
            made.append(LAYERS[kind](**settings))
        except Exception as error:  # it is data from a file, of which anything can be
            raise InputError(
                f"layers[{index}] ({kind}) cannot be made or does not fit what it is given {list(x.shape[1:])}: {error}"
            ) from None
    if tuple(x.shape[1:]) != (num_classes,):
        raise InputError(f"the last layer gives {list(x.shape[1:])}, not a score for each of {num_classes} classes.")
    return made


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "dense-snn": DenseSNN, "small-cnn": SmallCNN, "conv-lif": ConvLIF, "conv-relu": ConvReLU, "conv-if": ConvIF,
    "dense-lif": DenseLIF, "dense-relu": DenseReLU, "sequential": Sequential,
}  # fmt: skip
