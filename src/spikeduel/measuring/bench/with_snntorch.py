"""Training steps in snnTorch: as the study wrote them, and as fast as its public functions allow."""

from collections.abc import Sequence
from typing import Any

import snntorch as snn
import torch
from snntorch import spikegen
from torch import Tensor, nn
from torch.nn import functional as F

from spikeduel.measuring.bench.contenders import FIRST_STEPS_COMPILED, Built
from spikeduel.measuring.bench.networks import BETA, loss_over_steps, num_neuron_layers, stages, training_step
from spikeduel.measuring.bench.workloads import Workload


class StudyNetwork(nn.Module):
    """The whole network inside the loop over time, as snnTorch's tutorials teach it."""

    def __init__(self, workload: Workload) -> None:
        super().__init__()
        self.num_steps = workload.num_steps or 1
        self.encoding = workload.encoding
        self.stages = stages(workload)
        self.neurons = nn.ModuleList(snn.Leaky(beta=BETA) for _ in range(num_neuron_layers(workload)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images `[B, 1, H, W]`, or spikes `[T, …]` of them, to the last layer's spikes and membranes `[T, B, K]`.

        Without neurons in the last layer its output is both.
        """
        neurons: list[Any] = list(self.neurons)
        membranes = [neuron.reset_mem() for neuron in neurons]
        spk_rec, mem_rec = [], []
        for t in range(self.num_steps):
            spk = mem = x[t] if self.encoding == "rate" else x
            for number, stage in enumerate(self.stages):
                spk = mem = stage(spk)
                if number < len(neurons):
                    spk, mem = neurons[number](spk, membranes[number])
                    membranes[number] = mem
            spk_rec.append(spk)
            mem_rec.append(mem)
        return torch.stack(spk_rec), torch.stack(mem_rec)


def study(workload: Workload) -> Built:
    """As the study wrote it: float32, a cross-entropy a step and their mean, Adam as PyTorch makes it."""
    network = StudyNetwork(workload)
    num_steps = network.num_steps

    def loss_of(x: Tensor, labels: Tensor) -> Tensor:
        _, mem_rec = network(encoded(x, workload))
        if workload.shape != "dense":
            return loss_over_steps(workload, mem_rec, labels)
        loss = torch.zeros(())
        for t in range(num_steps):
            loss = loss + F.cross_entropy(mem_rec[t], labels) / num_steps
        return loss

    return Built(training_step(network, loss_of, tuned=False), "float32")


class FastestNetwork(nn.Module):
    """Stateless layers over all steps at once, a constant input through the first of them once; only `Leaky` loops."""

    def __init__(self, workload: Workload, bf16: bool) -> None:
        super().__init__()
        self.num_steps = workload.num_steps or 1
        self.constant = workload.encoding != "rate"
        self.bf16 = bf16
        self.stages = stages(workload)
        self.neurons = nn.ModuleList(snn.Leaky(beta=BETA) for _ in range(num_neuron_layers(workload)))

    def forward(self, x: Tensor) -> Tensor:
        """See `StudyNetwork.forward`; without the last layer's spikes."""
        constant = self.constant
        for number, stage in enumerate(self.stages):
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                current = stage(x if constant else x.flatten(0, 1))
            if constant:
                currents: Sequence[Tensor] = [current] * self.num_steps
            elif number < len(self.neurons):
                currents = current.unflatten(0, (self.num_steps, -1)).unbind(0)
            else:
                return current.float().unflatten(0, (self.num_steps, -1))
            spk_rec, mem_rec = scan(self.neurons[number], currents)
            # What is not stacked is not copied: only the last layer's membranes are read.
            x = torch.stack(mem_rec if number == len(self.stages) - 1 else spk_rec)
            constant = False
        return x


def scan(neuron: Any, currents: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Spikes and membranes of a `Leaky`, step by step."""
    mem = neuron.reset_mem()
    spk_rec, mem_rec = [], []
    for current in currents:
        spk, mem = neuron(current, mem)
        spk_rec.append(spk)
        mem_rec.append(mem)
    return spk_rec, mem_rec


def fastest(workload: Workload, bf16: bool = False, compiled: bool = False) -> Built:
    """The fastest equivalent, channels last and Adam fused; `compiled`: by torch.compile."""
    network = FastestNetwork(workload, bf16)
    forward = torch.compile(network) if compiled else network

    def loss_of(x: Tensor, labels: Tensor) -> Tensor:
        return loss_over_steps(workload, forward(encoded(x, workload)), labels)

    step = training_step(network, loss_of, tuned=True)
    return Built(step, "bf16" if bf16 else "float32", FIRST_STEPS_COMPILED if compiled else 1)


def encoded(x: Tensor, workload: Workload) -> Tensor:
    """Images in [0, 1] as they are, or as `spikegen.rate` draws them, `[T, …]`."""
    return spikegen.rate(x, num_steps=workload.num_steps) if workload.encoding == "rate" else x
