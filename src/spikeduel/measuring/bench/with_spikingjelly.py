"""Training steps in SpikingJelly's multi-step mode: as its documentation teaches, and with the first layer hoisted.

Its `LIFNode` with tau = 20, undecayed input and soft reset is V[t] = 0.95·V[t−1] + X[t], less the threshold where it
fires. It fires at >= and resets at once, spikeduel (like snnTorch) fires at > and resets one step later: the same work,
not the same numbers. Neurons have no choice of backend since SpikingJelly 2: on a CPU PyTorch runs them, or inductor
where the network is compiled.
"""

from collections.abc import Callable
from typing import Any

import torch
from spikingjelly.activation_based import encoding, functional, layer, neuron, surrogate
from torch import Tensor, nn

from spikeduel.measuring.bench.contenders import FIRST_STEPS_COMPILED, Built, Step
from spikeduel.measuring.bench.networks import BETA, loss_over_steps, num_neuron_layers, stages, training_step
from spikeduel.measuring.bench.workloads import Workload


class TaughtNetwork(nn.Module):
    """The image repeated over time, then one sequence of multi-step layers."""

    def __init__(self, workload: Workload) -> None:
        super().__init__()
        self.num_steps = workload.num_steps or 1
        self.encoder = encoding.PoissonEncoder("m") if workload.encoding == "rate" else nn.Identity()
        self.layers = nn.Sequential()
        self.reads_membranes = workload.shape == "dense"
        for number, stage in enumerate(stages(workload)):
            self.layers.append(layer.SeqToANNContainer(stage))
            if number < num_neuron_layers(workload):
                self.layers.append(lif(store_v_seq=_read_out(number, workload)))

    def forward(self, x: Tensor) -> Tensor:
        """Images `[B, 1, H, W]` to the last layer's membranes, or where it has no neurons its output, `[T, B, K]`."""
        output = self.layers(self.encoder(x.unsqueeze(0).expand(self.num_steps, *x.shape)))
        last: Any = self.layers[-1]
        return last.v_seq if self.reads_membranes else output


class HoistedNetwork(nn.Module):
    """As `TaughtNetwork`, but a constant input passes the first layer once and is repeated behind it."""

    def __init__(self, workload: Workload, bf16: bool, float32_membranes: bool) -> None:
        super().__init__()
        self.num_steps = workload.num_steps or 1
        self.encoder = encoding.PoissonEncoder("m") if workload.encoding == "rate" else None
        self.bf16 = bf16
        self.float32_membranes = float32_membranes
        self.stages = stages(workload)
        self.neurons = nn.ModuleList(
            lif(store_v_seq=_read_out(number, workload)) for number in range(num_neuron_layers(workload))
        )

    def forward(self, x: Tensor) -> Tensor:
        """See `TaughtNetwork.forward`."""
        nodes: list[Any] = list(self.neurons)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            constant = self.encoder is None
            if self.encoder is not None:
                x = self.encoder(x.unsqueeze(0).expand(self.num_steps, *x.shape))
            for number, stage in enumerate(self.stages):
                if constant:
                    current = stage(x)
                    current = current.unsqueeze(0).expand(self.num_steps, *current.shape)
                else:
                    current = stage(x.flatten(0, 1)).unflatten(0, (self.num_steps, -1))
                if number == len(nodes):
                    return current.float()
                if self.float32_membranes:
                    current = current.float()
                x, constant = nodes[number](current), False
            return nodes[-1].v_seq.float()


def taught(workload: Workload) -> Built:
    """As the documentation teaches: float32, Adam as PyTorch makes it, `reset_net` after every step."""
    network = TaughtNetwork(workload)
    return Built(_step(workload, network, network, tuned=False), "float32")


def hoisted(workload: Workload, bf16: bool = False, compiled: bool = False) -> Built:
    """The first layer hoisted, channels last and Adam fused; `bf16`: under autocast; `compiled`: by torch.compile."""
    # Autocast makes its membranes bf16 too (spikeduel's stay float32): faster, but not where it is compiled.
    network = HoistedNetwork(workload, bf16, float32_membranes=compiled)
    forward = torch.compile(network) if compiled else network
    step = _step(workload, network, forward, tuned=True)
    return Built(step, "bf16" if bf16 else "float32", FIRST_STEPS_COMPILED if compiled else 1)


def lif(**settings: Any) -> neuron.LIFNode:
    """SpikingJelly's neuron nearest to spikeduel's (see above), for sequences `[T, …]`."""
    return neuron.LIFNode(
        tau=1 / (1 - BETA),
        decay_input=False,
        v_reset=None,
        detach_reset=True,
        surrogate_function=surrogate.ATan(),
        step_mode="m",
        **settings,
    )


def _read_out(number: int, workload: Workload) -> bool:
    """Whether the membranes of neuron layer `number` are the network's output."""
    return workload.shape == "dense" and number == num_neuron_layers(workload) - 1


def _step(workload: Workload, network: nn.Module, forward: Callable[[Tensor], Tensor], tuned: bool) -> Step:
    def loss_of(x: Tensor, labels: Tensor) -> Tensor:
        return loss_over_steps(workload, forward(x), labels)

    train = training_step(network, loss_of, tuned)

    def step(images: Tensor, labels: Tensor) -> Tensor:
        loss = train(images, labels)
        functional.reset_net(network)
        return loss

    return step
