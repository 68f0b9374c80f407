"""The networks that are timed, ready to be trained: spikeduel's, and the peers' as their users write them.

SpikingJelly's `LIFNode` with tau = 20, undecayed input and soft reset is V[t] = 0.95·V[t−1] + X[t], less the threshold
where it fires. It fires at >= and resets at once, spikeduel (like snnTorch) fires at > and resets one step later: the
same work, not the same numbers. Its neurons have no choice of backend since SpikingJelly 2: on a CPU PyTorch runs them,
or inductor where the network is compiled.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spikeduel.data import Preprocessing
from spikeduel.measuring.bench.workloads import NUM_CLASSES, Workload, stages
from spikeduel.networks.models import Model, ModelCard, build, neuron_settings
from spikeduel.networks.training_step import TrainingStep
from spikeduel.settings.recipes import baseline
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.system import hardware

LEARNING_RATE = 8.5e-5
BETA = 0.95
FIRST_STEPS_COMPILED = 5
"""torch.compile compiles again when it sees what changed since the first step."""


@dataclass(frozen=True)
class Built:
    """A network ready to be trained: `step` takes images uint8 `[B, 1, H, W]` and labels int64 `[B]`, returns the loss.

    `precision` of its matrix products: "float32" or "bf16". The `first_steps` are slower than the others: they compile,
    or use memory for the first time.
    """

    step: Callable[[Tensor, Tensor], Tensor]
    precision: str
    first_steps: int = 1


def spikeduel(workload: Workload, precision: str = "auto") -> Built:
    """The architecture of `workload` in its `TrainingStep`, every other setting at its default."""
    card = card_of(workload, precision)
    train = TrainingStep(Model(build(card), card), baseline().learning_rate)
    indices, steps = np.arange(workload.batch_size), count()

    def step(images: Tensor, labels: Tensor) -> Tensor:
        return train(images, labels, RandomKeys.for_training(0, next(steps), indices))

    return Built(step, "bf16" if card.precision == "bf16" else "float32")


def card_of(workload: Workload, precision: str = "auto") -> ModelCard:
    """The card of spikeduel's network for `workload`."""
    settings, neuron = baseline(), {}
    if workload.shape != "cnn":
        neuron = {name: getattr(settings, name) for name in ("neuron", *neuron_settings(settings.neuron))}
    return ModelCard(
        contender={"dense": "dense-snn", "conv": "conv-lif", "cnn": "small-cnn"}[workload.shape],
        family="cnn" if workload.shape == "cnn" else "snn",
        image_shape=(1, workload.side, workload.side),
        classes=tuple(map(str, range(NUM_CLASSES))),
        preprocessing=Preprocessing(1, workload.side, workload.side),
        network={"hidden": workload.hidden, **neuron},
        encoding=workload.encoding,
        num_steps=workload.num_steps,
        precision=hardware.resolve("cpu", precision).precision,
    )


def peer(
    network: nn.Module,
    loss_of: Callable[[Any, Tensor], Tensor],
    bf16: bool = False,
    compiled: bool = False,
    tuned: bool = False,
    encode: Callable[[Tensor], Tensor] = lambda x: x,
    reset: Callable[[nn.Module], Any] = lambda network: None,
) -> Built:
    """A step in plain PyTorch: `network` takes what `encode` makes of float32 `[B, 1, H, W]` in [0, 1], and is trained
    on `loss_of(output, labels)`; then `reset(network)` is called.

    `bf16`: under autocast; `compiled`: by torch.compile; `tuned`: weights and images channels last, Adam fused, else as
    PyTorch has it where nothing is asked for.
    """
    layout = torch.channels_last if tuned else torch.preserve_format
    if tuned:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    forward = torch.compile(network) if compiled else network
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True if tuned else None)

    def step(images: Tensor, labels: Tensor) -> Tensor:
        # As torchvision's `ToTensor` makes them.
        x = encode((images.float() / 255).to(memory_format=layout))
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            output = forward(x)
        loss = loss_of(output, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        reset(network)
        return loss.detach()

    return Built(step, "bf16" if bf16 else "float32", FIRST_STEPS_COMPILED if compiled else 1)


def torch_cnn(workload: Workload, tuned: bool = False) -> Built:
    """The study's CNN as the study wrote it, or `tuned`: channels last, bf16 autocast, fused Adam."""

    def loss_of(scores: Tensor, labels: Tensor) -> Tensor:
        return F.nll_loss(F.log_softmax(scores.float(), dim=1), labels)

    return peer(stages(workload)[0], loss_of, bf16=tuned, tuned=tuned)


def loss_over_steps(workload: Workload, output: Tensor, labels: Tensor) -> Tensor:
    """The loss of the last layer's output `[T, B, K]`.

    Dense: the mean over steps of the membrane's cross-entropy. Convolutional: the cross-entropy of the output's mean.
    """
    if workload.shape == "dense":
        return F.cross_entropy(output.flatten(0, 1), labels.repeat(len(output)))
    return F.cross_entropy(output.mean(0), labels)


class Spiking(nn.Module):
    """A spiking peer: stateless layers over all steps at once, a constant input through the first of them only once.

    `neuron(is_last)` makes a layer of neurons; those of a last stage are read out by their membranes.
    """

    def __init__(self, workload: Workload, neuron: Callable[[bool], nn.Module]) -> None:
        super().__init__()
        self.num_steps = workload.num_steps or 1
        self.stages = stages(workload)
        self.last = len(self.stages) - 1
        layers = range(self.last if workload.shape == "conv" else self.last + 1)
        self.neurons = nn.ModuleList(neuron(number == self.last) for number in layers)

    def forward(self, x: Tensor) -> Any:
        """Images `[B, 1, H, W]`, or spikes `[T, …]` of them, to the last layer's membranes, or where it has no neurons
        its output: `[T, B, K]`.
        """
        constant = x.ndim == 4
        for number, stage in enumerate(self.stages):
            current = stage(x if constant else x.flatten(0, 1))
            if number == len(self.neurons):
                return current.float().unflatten(0, (self.num_steps, -1))
            x, constant = self.scan(self.neurons[number], current, constant, number == self.last), False
        return x.float()

    def scan(self, neuron: Any, current: Tensor, constant: bool, is_last: bool) -> Tensor:
        """Spikes (of a last stage, membranes) `[T, B, …]`; `current` is `[B, …]` if `constant`, else `[T·B, …]`."""
        raise NotImplementedError


# ---- snnTorch


def leaky(is_last: bool) -> nn.Module:
    """snnTorch's neuron."""
    import snntorch

    return snntorch.Leaky(beta=BETA)


def in_rates(workload: Workload, x: Tensor) -> Tensor:
    """Images in [0, 1] as they are, or as snnTorch draws them, `[T, …]`."""
    from snntorch import spikegen

    return spikegen.rate(x, num_steps=workload.num_steps) if workload.encoding == "rate" else x


class StudyNetwork(Spiking):
    """The whole network inside the loop over time, as snnTorch's tutorials teach it."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As of `Spiking`, after the last layer's spikes; without neurons its output is both."""
        neurons: list[Any] = list(self.neurons)
        membranes = [neuron.reset_mem() for neuron in neurons]
        spk_rec, mem_rec = [], []
        for t in range(self.num_steps):
            spk = mem = x if x.ndim == 4 else x[t]
            for number, stage in enumerate(self.stages):
                spk = mem = stage(spk)
                if number < len(neurons):
                    spk, mem = neurons[number](spk, membranes[number])
                    membranes[number] = mem
            spk_rec.append(spk)
            mem_rec.append(mem)
        return torch.stack(spk_rec), torch.stack(mem_rec)


def snntorch_study(workload: Workload) -> Built:
    """As the study wrote it: float32, a cross-entropy a step and their mean, Adam as PyTorch makes it."""

    def loss_of(output: tuple[Tensor, Tensor], labels: Tensor) -> Tensor:
        _, mem_rec = output
        if workload.shape != "dense":
            return loss_over_steps(workload, mem_rec, labels)
        loss = torch.zeros(())
        for t in range(len(mem_rec)):
            loss = loss + F.cross_entropy(mem_rec[t], labels) / len(mem_rec)
        return loss

    return peer(StudyNetwork(workload, leaky), loss_of, encode=partial(in_rates, workload))


class SnnTorch(Spiking):
    """With snnTorch's public functions; only `Leaky` loops over time."""

    def scan(self, neuron: Any, current: Tensor, constant: bool, is_last: bool) -> Tensor:
        """See `Spiking.scan`."""
        steps = self.num_steps
        mem, records = neuron.reset_mem(), []
        for now in [current] * steps if constant else current.unflatten(0, (steps, -1)).unbind(0):
            spk, mem = neuron(now, mem)
            records.append(mem if is_last else spk)
        return torch.stack(records)


def snntorch_fastest(workload: Workload, bf16: bool = False, compiled: bool = False) -> Built:
    """The fastest equivalent of the study's: the first layer hoisted, channels last and Adam fused."""
    network, loss_of = SnnTorch(workload, leaky), partial(loss_over_steps, workload)
    return peer(network, loss_of, bf16, compiled, tuned=True, encode=partial(in_rates, workload))


# ---- SpikingJelly


def lif(is_last: bool) -> nn.Module:
    """SpikingJelly's neuron nearest to spikeduel's (see above), for sequences `[T, …]`."""
    from spikingjelly.activation_based import neuron, surrogate

    made_like = {"tau": 1 / (1 - BETA), "decay_input": False, "v_reset": None, "detach_reset": True}
    return neuron.LIFNode(**made_like, surrogate_function=surrogate.ATan(), step_mode="m", store_v_seq=is_last)


class SpikingJelly(Spiking):
    """In multi-step mode, rates drawn within; not `hoisted`: a constant image is repeated before the first layer.

    Under autocast its membranes are bf16, unless `float32_membranes` (spikeduel's always are): faster where it is not
    compiled.
    """

    def __init__(self, workload: Workload, hoisted: bool, float32_membranes: bool) -> None:
        from spikingjelly.activation_based import encoding

        super().__init__(workload, lif)
        rate = workload.encoding == "rate"
        self.repeats, self.float32_membranes = rate or not hoisted, float32_membranes
        self.encoder = encoding.PoissonEncoder("m") if rate else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """See `Spiking.forward`; takes images alone."""
        return super().forward(self.encoder(self.at_each_step(x)) if self.repeats else x)

    def scan(self, neuron: Any, current: Tensor, constant: bool, is_last: bool) -> Tensor:
        """See `Spiking.scan`."""
        current = self.at_each_step(current) if constant else current.unflatten(0, (self.num_steps, -1))
        spk = neuron(current.float() if self.float32_membranes else current)
        return neuron.v_seq if is_last else spk

    def at_each_step(self, x: Tensor) -> Tensor:
        """A constant `[B, …]` as `[T, B, …]`."""
        return x.unsqueeze(0).expand(self.num_steps, *x.shape)


def spikingjelly(workload: Workload, hoisted: bool = True, bf16: bool = False, compiled: bool = False) -> Built:
    """As its documentation teaches, or `hoisted`, channels last and Adam fused; `reset_net` after every step."""
    from spikingjelly.activation_based import functional

    network = SpikingJelly(workload, hoisted, float32_membranes=compiled)
    loss_of = partial(loss_over_steps, workload)
    return peer(network, loss_of, bf16, compiled, tuned=hoisted, reset=functional.reset_net)
