"""A linear layer with few outputs, for many rows; and behind neurons, together with them."""

import torch
from torch import Tensor, nn

from spikeduel.networks.joining import is_seen
from spikeduel.spiking import ConstantInput, over_time
from spikeduel.spiking.kernels import is_watched, projected
from spikeduel.spiking.neurons import IF, LIF, Neuron

_FEW, _MANY = 32, 1024


class NarrowLinear(nn.Linear):
    """A linear layer that in training, for many rows, computes its few outputs as columns: W·xᵀ
    instead of x·Wᵀ.

    On the CPU that takes half the time, in bf16 for the same numbers: products with 10 columns fill
    few of the lanes of vector instructions. Its output, of the same shape, is then a transposed
    view.
    """

    def forward(self, x: Tensor) -> Tensor:
        """`[N, in]` to `[N, out]`."""
        # The number of rows is asked for last: an export that saw it would allow no other.
        fits = (
            self.training and self.out_features < _FEW and x.device.type == "cpu" and x.dim() == 2
        )
        if fits and not is_watched(x) and len(x) >= _MANY:
            return torch.addmm(self.bias[:, None], self.weight, x.t()).t()
        return super().forward(x)


def through(current: Tensor | ConstantInput, neuron: Neuron, layer: NarrowLinear) -> Tensor:
    """What `layer` makes `[T, B, K]` of the spikes of `neuron` for a `current` `[T, B, N]`.

    In training, under a constant current, spikes are not written where nobody looks at them.
    """
    # Their kinds themselves: one derived from them may do something else.
    if (
        layer.training
        and not is_seen(neuron, layer)
        and isinstance(neuron, LIF)
        and type(neuron) in (LIF, IF)
    ):
        beta, dynamics = neuron.beta, neuron.dynamics
        if projected.is_projected(current, beta, dynamics, layer.weight):
            return projected.projected_scan(current, beta, dynamics, layer.weight, layer.bias)
    spk, _ = neuron(current, with_mem=False)
    return over_time(layer, spk)
