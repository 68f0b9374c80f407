"""Twins for a fair comparison: one convolutional shape, whose activation is a layer of neurons or a ReLU.

Both have the same weights, shape for shape, so that a difference between them is the activation's.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spikeduel.spiking import ConstantInput, over_time
from spikeduel.spiking.neurons import Neuron, State
from spikeduel.spiking.readouts import LogitReadout, MeanReadout
from spikeduel.system.errors import unknown
from spikeduel.system.registry import Family

CHANNELS = (32, 64)
SMALLEST_SIDE = 4
"""Two poolings leave nothing of a smaller image."""
POOLINGS: dict[str, Callable[[int], nn.Module]] = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}


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


class _Conv(nn.Module):
    """The weights that the twins share: block1, block2 {Conv 3×3, batch norm}, linear1 → hidden, linear2 → K."""

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int, hidden: int, pooling: str) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise unknown("pooling", pooling, POOLINGS)
        channels, height, width = image_shape
        first, second = CHANNELS
        below, right = max(SMALLEST_SIDE - height, 0), max(SMALLEST_SIDE - width, 0)
        border = nn.ZeroPad2d((0, right, 0, below))
        num_features = second * ((height + below) // 4) * ((width + right) // 4)
        self.block1 = nn.Sequential(border, *_convolution(channels, first))
        self.block2 = nn.Sequential(*_convolution(first, second))
        self.linear1 = nn.Linear(num_features, hidden)
        self.linear2 = nn.Linear(hidden, num_classes)
        self.pool = POOLINGS[pooling](2)


class ConvLIF(_Conv):
    """Twice {Conv 3×3, batch norm, neurons, pooling 2×2}, Linear → hidden, neurons, Linear → K.

    The last layer does not spike: the mean of its current over the steps is the score.
    """

    family: Family = "snn"
    readout = MeanReadout()

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        neuron: Callable[[], Neuron],
        hidden: int = 256,
        pooling: str = "max",
    ) -> None:
        super().__init__(image_shape, num_classes, hidden, pooling)
        self.lif1, self.lif2, self.lif3 = neuron(), neuron(), neuron()

    @property
    def pools(self) -> tuple[nn.Module, nn.Module]:
        """What pools after each of the two blocks."""
        return self.pool, self.pool

    def forward(self, x: Tensor | ConstantInput) -> Tensor:
        """`[T, B, C, H, W]` or a `ConstantInput` to `[T, B, K]`."""
        for block, lif, pool in zip((self.block1, self.block2), (self.lif1, self.lif2), self.pools, strict=True):
            spk, _ = lif(over_time(block, x), with_mem=False)
            x = pool(spk, with_mem=False)[0] if isinstance(pool, PooledCounts) else over_time(pool, spk)
        spk, _ = self.lif3(over_time(lambda features: self.linear1(_flattened(features)), x), with_mem=False)
        return over_time(self.linear2, spk)

    def layers(self) -> list[nn.Module]:
        """Its layers in the order in which data passes them."""
        first, second = self.pools
        convolutions = [self.block1, self.lif1, first, self.block2, self.lif2, second]
        return [*convolutions, ChannelsLastFlatten(), self.linear1, self.lif3, self.linear2]


class ConvIF(ConvLIF):
    """`ConvLIF` with `PooledCounts` for max-pooling: what `ConvReLU` becomes when it is converted."""

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        neuron: Callable[[], Neuron],
        hidden: int = 256,
        pooling: str = "max",
    ) -> None:
        super().__init__(image_shape, num_classes, neuron, hidden, pooling)
        if pooling == "max":
            self.pool1, self.pool2 = PooledCounts(), PooledCounts()

    @property
    def pools(self) -> tuple[nn.Module, nn.Module]:
        """See `ConvLIF.pools`."""
        return (self.pool1, self.pool2) if isinstance(self.pool, nn.MaxPool2d) else super().pools


class ConvReLU(_Conv):
    """`ConvLIF` with a ReLU for every layer of neurons, and without time."""

    family: Family = "cnn"
    readout = LogitReadout()

    def __init__(
        self, image_shape: tuple[int, int, int], num_classes: int, hidden: int = 256, pooling: str = "max"
    ) -> None:
        super().__init__(image_shape, num_classes, hidden, pooling)
        self.relu = nn.ReLU()

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


def _flattened(features: Tensor) -> Tensor:
    """`[N, C, H, W]` to `[N, H·W·C]`: the order that channels-last has in memory, so that nothing is copied."""
    return features.permute(0, 2, 3, 1).flatten(1)


def _convolution(num_inputs: int, num_outputs: int) -> tuple[nn.Module, nn.Module]:
    # Batch norm has the bias.
    return nn.Conv2d(num_inputs, num_outputs, 3, padding=1, bias=False), nn.BatchNorm2d(num_outputs)
