"""Parallel spiking neurons, as contenders' neurons of one's own.

    spikeduel compare DATASET --contender vgg-lif --neuron parallel_neurons:PSN

W. Fang et al. 2023, "Parallel Spiking Neurons with High Efficiency and Ability to Learn Long-term
Dependencies", equations 7 (PSN) and 9 (masked): a membrane is a learned sum of the currents of all
steps, or of the steps so far, and nothing is reset.
"""

import torch
from torch import Tensor, nn

import spikeduel as sd
from spikeduel.engine import ConstantInput, as_sequence
from spikeduel.engine.kernels.reference import spike
from spikeduel.engine.neurons import State

NUM_STEPS = 4


class PSN(sd.Neuron):
    """Spikes where the learned sum of the currents of all `NUM_STEPS` steps exceeds a learned
    threshold, one for each step.
    """

    def __init__(self, beta: float = 0.5, threshold: float = 1.0, surrogate: str = "atan") -> None:
        super().__init__()
        self.surrogate = surrogate
        # At first a leaky neuron without reset.
        ages = torch.arange(NUM_STEPS)[:, None] - torch.arange(NUM_STEPS)
        self.weight = nn.Parameter(torch.where(ages >= 0, beta**ages, 0.0))
        self.threshold = nn.Parameter(torch.full((NUM_STEPS, 1), threshold))

    def over_time(
        self, current: Tensor | ConstantInput, state: State | None, with_mem: bool
    ) -> tuple[Tensor, Tensor, State]:
        sequence = as_sequence(current)
        mem = (self.weight @ sequence.flatten(1).to(self.weight.dtype)).to(sequence.dtype)
        spk = spike(mem - self.threshold.to(mem.dtype), self.surrogate)
        mem = mem.unflatten(1, sequence.shape[1:])
        return spk.view_as(mem), mem, {"mem": mem[-1]}


class MaskedPSN(PSN):
    """A `PSN` that sees no step to come."""

    def __init__(self, beta: float = 0.5, threshold: float = 1.0, surrogate: str = "atan") -> None:
        super().__init__(beta, threshold, surrogate)
        self.weight.register_hook(torch.tril)
