"""Twins for a fair comparison: one convolutional shape, whose activation is a layer of neurons or a ReLU.

Both have the same weights, shape for shape, so that a difference between them is the activation's.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spikeduel.spiking.constant_input import ConstantInput, over_time
from spikeduel.spiking.neurons import Neuron, State
from spikeduel.spiking.readouts import LogitReadout, MeanReadout
from spikeduel.system.errors import unknown

CHANNELS = (32, 64)
SMALLEST_SIDE = 4
"""Two poolings leave nothing of a smaller image."""
POOLINGS: dict[str, Callable[[int], nn.Module]] = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}


class ConvLIF(nn.Module):
    """Twice {Conv 3×3, batch norm, neurons, pooling 2×2}, Linear → hidden, neurons, Linear → K.

    The last layer does not spike: the mean of its current over the steps is the score.
    """

    family = "snn"
    readout = MeanReadout()

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        neuron: Callable[[], Neuron],
        hidden: int,
        pooling: str = "max",
    ) -> None:
        super().__init__()
        self.block1, self.block2, self.linear1, self.linear2 = _weights(image_shape, num_classes, hidden)
        self.lif1, self.lif2, self.lif3 = neuron(), neuron(), neuron()
        self.pool = _pool(pooling)

    def forward(self, x: Tensor | ConstantInput) -> Tensor:
        """`[T, B, C, H, W]` or a `ConstantInput` to `[T, B, K]`."""
        for block, lif in ((self.block1, self.lif1), (self.block2, self.lif2)):
            spk, _ = lif(over_time(block, x), with_mem=False)
            x = over_time(self.pool, spk)
        spk, _ = self.lif3(over_time(lambda features: self.linear1(_flattened(features)), x), with_mem=False)
        return over_time(self.linear2, spk)

    def layers(self) -> list[nn.Module]:
        """Its layers in the order in which data passes them."""
        convolutions = [self.block1, self.lif1, self.pool, self.block2, self.lif2, self.pool]
        return [*convolutions, ChannelsLastFlatten(), self.linear1, self.lif3, self.linear2]


class PooledCounts(Neuron):
    """Max-pooling of spikes by their counts so far, so that a place spikes as often as the most active of its neurons.

    It gives the increase of the highest count, 0 or 1 a step: `[T, B, C, H, W]` to `[T, B, C, H/2, W/2]`. (Pooled step
    by step, a place spikes where any of its neurons does.) Its `mem` are the counts. After Rueckauer et al. 2017, whose
    gates let the neuron with the highest rate through.
    """

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """See `Neuron.step`."""
        spk, _, last = self.over_time(current.unsqueeze(0), state, with_mem=False)
        return spk[0], last

    def over_time(
        self, current: Tensor | ConstantInput, state: State | None, with_mem: bool
    ) -> tuple[Tensor, Tensor, State]:
        """See `Neuron.over_time`."""
        sequence = current.expand() if isinstance(current, ConstantInput) else current
        counts = (self.initial_state(sequence[0]) if state is None else state)["mem"]
        highest, spikes, membranes = F.max_pool2d(counts, 2), [], []
        for now in sequence.unbind(0):
            counts, before = counts + now, highest
            highest = F.max_pool2d(counts, 2)
            spikes.append((highest - before).to(sequence.dtype))
            if with_mem:
                membranes.append(counts)
        mem = torch.stack(membranes) if with_mem else counts.new_empty((0, *counts.shape))
        return torch.stack(spikes), mem, {"mem": counts}

    def initial_state(self, current: Tensor) -> State:
        """See `Neuron.initial_state`; bfloat16 counts no further than 256."""
        return {"mem": torch.zeros_like(current, dtype=torch.float32)}


class ConvIF(ConvLIF):
    """`ConvLIF` with `PooledCounts` for max-pooling: what `ConvReLU` becomes when it is converted."""

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        neuron: Callable[[], Neuron],
        hidden: int,
        pooling: str = "max",
    ) -> None:
        super().__init__(image_shape, num_classes, neuron, hidden, pooling)
        self.by_counts = pooling == "max"
        if self.by_counts:
            self.pool1, self.pool2 = PooledCounts(), PooledCounts()

    def forward(self, x: Tensor | ConstantInput) -> Tensor:
        """`[T, B, C, H, W]` or a `ConstantInput` to `[T, B, K]`."""
        if not self.by_counts:
            return super().forward(x)
        for block, lif, pool in ((self.block1, self.lif1, self.pool1), (self.block2, self.lif2, self.pool2)):
            spk, _ = lif(over_time(block, x), with_mem=False)
            x, _ = pool(spk, with_mem=False)
        spk, _ = self.lif3(over_time(lambda features: self.linear1(_flattened(features)), x), with_mem=False)
        return over_time(self.linear2, spk)

    def layers(self) -> list[nn.Module]:
        """See `ConvLIF.layers`."""
        if not self.by_counts:
            return super().layers()
        convolutions = [self.block1, self.lif1, self.pool1, self.block2, self.lif2, self.pool2]
        return [*convolutions, ChannelsLastFlatten(), self.linear1, self.lif3, self.linear2]


class ConvReLU(nn.Module):
    """`ConvLIF` with a ReLU for every layer of neurons, and without time."""

    family = "cnn"
    readout = LogitReadout()

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int, hidden: int, pooling: str = "max") -> None:
        super().__init__()
        self.block1, self.block2, self.linear1, self.linear2 = _weights(image_shape, num_classes, hidden)
        self.relu, self.pool = nn.ReLU(), _pool(pooling)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` to logits `[B, K]`."""
        for block in (self.block1, self.block2):
            # The largest of what a ReLU leaves is what it leaves of the largest, for a quarter of its work.
            is_max = isinstance(self.pool, nn.MaxPool2d)
            x = self.relu(self.pool(block(x))) if is_max else self.pool(self.relu(block(x)))
        return self.linear2(self.relu(self.linear1(_flattened(x))))


class ChannelsLastFlatten(nn.Module):
    """`[N, C, H, W]` to `[N, H·W·C]`."""

    def forward(self, features: Tensor) -> Tensor:
        """See `ChannelsLastFlatten`."""
        return _flattened(features)


def _pool(pooling: str) -> nn.Module:
    if pooling not in POOLINGS:
        raise unknown("pooling", pooling, POOLINGS)
    return POOLINGS[pooling](2)


def _flattened(features: Tensor) -> Tensor:
    """`[N, C, H, W]` to `[N, H·W·C]`: the order that channels-last has in memory, so that nothing is copied."""
    return features.permute(0, 2, 3, 1).flatten(1)


def _weights(
    image_shape: tuple[int, int, int], num_classes: int, hidden: int
) -> tuple[nn.Module, nn.Module, nn.Module, nn.Module]:
    channels, height, width = image_shape
    first, second = CHANNELS
    num_features = second * (max(height, SMALLEST_SIDE) // 4) * (max(width, SMALLEST_SIDE) // 4)
    return (
        nn.Sequential(_border(height, width), *_convolution(channels, first)),
        nn.Sequential(*_convolution(first, second)),
        nn.Linear(num_features, hidden),
        nn.Linear(hidden, num_classes),
    )


def _border(height: int, width: int) -> nn.Module:
    """Surrounds with zeros what is smaller than `SMALLEST_SIDE`."""
    below, right = max(SMALLEST_SIDE - height, 0), max(SMALLEST_SIDE - width, 0)
    return nn.ZeroPad2d((0, right, 0, below))


def _convolution(num_inputs: int, num_outputs: int) -> tuple[nn.Module, nn.Module]:
    # Batch norm has the bias.
    return nn.Conv2d(num_inputs, num_outputs, 3, padding=1, bias=False), nn.BatchNorm2d(num_outputs)


def build_lif(
    image_shape: tuple[int, int, int],
    num_classes: int,
    num_steps: int,
    *,
    neuron: Callable[[], Neuron],
    hidden: int = 256,
    pooling: str = "max",
    **settings: Any,
) -> ConvLIF:
    """two convolutions with batch norm, one hidden layer, neurons as activation, an integrating readout"""
    return ConvLIF(image_shape, num_classes, neuron, hidden, pooling)


def build_if(
    image_shape: tuple[int, int, int],
    num_classes: int,
    num_steps: int,
    *,
    neuron: Callable[[], Neuron],
    hidden: int = 256,
    pooling: str = "max",
    **settings: Any,
) -> ConvIF:
    """conv-lif with max-pooling by counts of spikes: what conv-relu becomes when it is converted"""
    return ConvIF(image_shape, num_classes, neuron, hidden, pooling)


def build_relu(
    image_shape: tuple[int, int, int],
    num_classes: int,
    num_steps: int | None,
    *,
    hidden: int = 256,
    pooling: str = "max",
    **settings: Any,
) -> ConvReLU:
    """the same weights as conv-lif, with ReLU for its neurons"""
    return ConvReLU(image_shape, num_classes, hidden, pooling)
