"""The networks of claims that are put to the test, where no contender of spikeduel has their shape.

Named as `claims_networks:NAME` in the settings of `claims/*.toml`; see claims_rerun.py.
"""

import math
from collections.abc import Callable
from itertools import pairwise

from torch import Tensor, nn

from spikeduel.engine.kernels.reference import Surrogate, fast_sigmoid
from spikeduel.engine.networks.chains import SpikingChain, WithoutTime
from spikeduel.engine.readouts import MeanReadout, Readout, SpikeCountReadout

Shape = tuple[int, int, int]
MakeNeuron = Callable[[], nn.Module]
POPULATION = 50
"""Output neurons of a class."""
GREY_MEAN, GREY_DEVIATION = 0.1307, 0.3081
"""Mean and standard deviation of MNIST's pixels, by which many tutorials standardise them."""
FAST_SIGMOID_10 = Surrogate(fast_sigmoid, 10.0)
"""Surrogate gradient of a smaller slope than the customary one."""


class Chain(SpikingChain):
    """Linear layers of the given widths, neurons after each, also after the last one if
    `ends_in_neurons`; with `has_norm`, batch norm before the neurons.
    """

    ends_in_neurons, has_norm = True, False

    def __init__(
        self, image_shape: Shape, widths: list[int], neuron: MakeNeuron, bias: bool = True
    ) -> None:
        super().__init__()
        inputs = [math.prod(image_shape), *widths]
        pairs = pairwise(inputs)
        self.linears = nn.ModuleList(nn.Linear(*pair, bias=bias) for pair in pairs)
        spiking = widths if self.ends_in_neurons else widths[:-1]
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in spiking if self.has_norm)
        self.neurons = nn.ModuleList(neuron() for _ in spiking)

    def layers(self) -> list[nn.Module]:
        chained: list[nn.Module] = []
        for index, linear in enumerate(self.linears):
            flat = [] if index else [nn.Flatten()]
            chained.append(nn.Sequential(*flat, linear, *self.norms[index : index + 1]))
            chained += self.neurons[index : index + 1]
        return chained


class Counted(Chain):
    """A `Chain` read out by its most frequent spikes, trained on the membrane."""

    readout = SpikeCountReadout()


class Dense(Chain):
    """A `Chain` whose last layer has no neurons, with batch norm before the others."""

    ends_in_neurons, has_norm = False, True


class DenseReLU(WithoutTime, Dense):
    """`Dense` with ReLU, without time; of one layer, a linear classifier."""


class Standardise(nn.Module):
    """Shift and scale pixels in [0, 1] by MNIST's mean and standard deviation."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - GREY_MEAN) / GREY_DEVIATION


class SumReadout(MeanReadout):
    """Sum over steps of an output `[T, B, K]` that does not spike."""

    def scores_of(self, total: Tensor, num_steps: int) -> Tensor:
        return total


class Plain(Chain):
    """A `Chain` on standardised pixels whose last layer has no neurons; its outputs are summed."""

    ends_in_neurons = False
    readout: Readout = SumReadout()

    def layers(self) -> list[nn.Module]:
        first, *others = super().layers()
        return [nn.Sequential(Standardise(), first), *others]


class PlainReLU(WithoutTime, Plain):
    """`Plain` with ReLU, without time."""


class SumOfClass(nn.Module):
    """Sum the outputs of each class: `[…, POPULATION · K]` to `[…, K]`."""

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, POPULATION)).sum(-1)


class Population(Chain):
    """A `Chain` with `POPULATION` output neurons for each class, whose spikes are summed."""

    def layers(self) -> list[nn.Module]:
        return [*super().layers(), SumOfClass()]


class PopulationReLU(WithoutTime, Population):
    """`Population` with ReLU, without time."""


def ten_outputs(image_shape: Shape, num_classes: int, neuron: MakeNeuron) -> nn.Module:
    """Return snnTorch's tutorial network 784-128-10."""
    return Counted(image_shape, [128, num_classes], neuron)


def population(image_shape: Shape, num_classes: int, neuron: MakeNeuron) -> nn.Module:
    """Return snnTorch's tutorial network 784-128-500."""
    return Population(image_shape, [128, POPULATION * num_classes], neuron)


def population_relu(image_shape: Shape, num_classes: int) -> nn.Module:
    """Return `population` with ReLU."""
    return PopulationReLU(image_shape, [128, POPULATION * num_classes], nn.ReLU)


def dense_512_256(image_shape: Shape, num_classes: int, neuron: MakeNeuron) -> nn.Module:
    """Return the plain network of the Spiking Neural Network Benchmark, 784-512-256-10."""
    return Dense(image_shape, [512, 256, num_classes], neuron)


def dense_512_256_relu(image_shape: Shape, num_classes: int) -> nn.Module:
    """Return `dense_512_256` with ReLU."""
    return DenseReLU(image_shape, [512, 256, num_classes], nn.ReLU)


def dense_256_256(image_shape: Shape, num_classes: int, neuron: MakeNeuron) -> nn.Module:
    """Return the network of Deconstructing Spiking Neural Networks, 784-256-256-10."""
    return Plain(image_shape, [256, 256, num_classes], neuron)


def dense_256_256_relu(image_shape: Shape, num_classes: int) -> nn.Module:
    """Return `dense_256_256` with ReLU."""
    return PlainReLU(image_shape, [256, 256, num_classes], nn.ReLU)


def one_layer(image_shape: Shape, num_classes: int, neuron: MakeNeuron) -> nn.Module:
    """Return SpikingJelly's tutorial network of one layer."""
    return Counted(image_shape, [num_classes], neuron, bias=False)


def linear(image_shape: Shape, num_classes: int) -> nn.Module:
    """Return a linear classifier."""
    return DenseReLU(image_shape, [num_classes], nn.ReLU, bias=False)


def twitu(image_shape: Shape, num_classes: int) -> nn.Module:
    """Return the CNN of mnist-solver: twice {Conv 3×3, ReLU, MaxPool 2}, Linear 40, Linear K."""
    channels, height, width = image_shape
    return nn.Sequential(
        *(nn.Conv2d(channels, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        *(nn.Linear(12 * (height // 4) * (width // 4), 40), nn.ReLU()),
        nn.Linear(40, num_classes),
    )
