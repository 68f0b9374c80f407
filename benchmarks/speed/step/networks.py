"""The networks that are timed, ready to be trained: spikeduel's, and the peers' as their users
write them.

SpikingJelly's `LIFNode` with tau = 20, undecayed input and soft reset is V[t] = 0.95·V[t−1] + X[t],
less the threshold where it fires. It fires at >= and resets at once, spikeduel (like snnTorch)
fires at > and resets one step later: the same work, not the same numbers. Its neurons have no
choice of backend since SpikingJelly 2: on a CPU PyTorch runs them, or inductor where the network is
compiled.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.speed.step.workloads import NUM_CLASSES, Workload, stages
from spikeduel.data import Preprocessing
from spikeduel.engine.networks.building import build, neuron_settings
from spikeduel.engine.networks.cards import ModelCard
from spikeduel.engine.networks.models import Model
from spikeduel.engine.networks.training_step import TrainingRules, TrainingStep
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.experiment.recipes import baseline
from spikeduel.system import hardware

LEARNING_RATE = 8.5e-5
RULES = TrainingRules("adam", LEARNING_RATE, weight_decay=0.0, schedule="constant")
BETA = 0.95
FIRST_STEPS_COMPILED = 5
"""torch.compile compiles again when it sees what changed since the first step."""


@dataclass(frozen=True)
class Built:
    """A network ready to be trained: `step` takes images uint8 `[B, 1, H, W]` and labels int64
    `[B]`, returns the loss.

    `precision` of its matrix products: "float32" or "bf16". The `first_steps` are slower than the
    others: they compile, or use memory for the first time.
    """

    step: Callable[[Tensor, Tensor], Tensor]
    precision: str
    first_steps: int = 1


def spikeduel(workload: Workload, precision: str = "auto") -> Built:
    """The architecture of `workload` in its `TrainingStep`, every other setting at its default."""
    card = card_of(workload, precision)
    train = TrainingStep(Model(build(card), card, card.precision), RULES, num_steps=1)
    indices, steps = np.arange(workload.batch_size), count()

    def step(images: Tensor, labels: Tensor) -> Tensor:
        return train(images, labels, RandomKeys.for_training(0, next(steps), indices))

    return Built(step, "bf16" if card.precision == "bf16" else "float32")


def card_of(workload: Workload, precision: str = "auto") -> ModelCard:
    """The card of spikeduel's network for `workload`."""
    settings, neuron, shape = baseline(), {}, (1, workload.side, workload.side)
    if workload.shape != "cnn":
        neuron = {
            name: getattr(settings, name)
            for name in ("neuron", *neuron_settings(settings.neuron))
            if hasattr(settings, name)
        }
    return ModelCard(
        contender={"dense": "dense-snn", "conv": "conv-lif", "cnn": "small-cnn"}[workload.shape],
        kind="cnn" if workload.shape == "cnn" else "snn",
        image_shape=shape,
        classes=tuple(map(str, range(NUM_CLASSES))),
        preprocessing=Preprocessing(*shape),
        network={"hidden": workload.hidden, **neuron},
        encoding=workload.encoding,
        num_steps=workload.num_steps,
        precision=hardware.resolve("cpu", precision).precision,
    )


class Peer(nn.Module):
    """A network in plain PyTorch, and what is particular to its training; as it stands, the study's
    CNN.
    """

    def __init__(self, workload: Workload, compiled: bool = False) -> None:
        super().__init__()
        self.workload, self.compiled = workload, compiled
        self.stages = stages(workload)

    def encode(self, x: Tensor) -> Tensor:
        """What `forward` takes of images float32 `[B, 1, H, W]` in [0, 1]; never compiled."""
        return x

    def forward(self, x: Tensor) -> Any:
        """The network's output: scores `[B, K]`."""
        return self.stages[0](x)

    def loss(self, output: Any, labels: Tensor) -> Tensor:
        """The loss of what `forward` returns."""
        return F.nll_loss(F.log_softmax(output.float(), dim=1), labels)

    def after_step(self) -> None:
        """Called after each step."""


def peer(
    kind: type[Peer],
    workload: Workload,
    bf16: bool = False,
    compiled: bool = False,
    tuned: bool = False,
) -> Built:
    """A network of a `kind`, trained in plain PyTorch. `bf16`: under autocast; `compiled`: by
    torch.compile.

    `tuned`: weights and images channels last, Adam fused; else as PyTorch has it where nothing is
    asked for.
    """
    network = kind(workload, compiled)
    layout = torch.channels_last if tuned else torch.preserve_format
    if tuned:
        network.to(memory_format=layout)  # type: ignore[call-overload]
    forward = torch.compile(network) if compiled else network
    optimizer = torch.optim.Adam(
        network.parameters(), lr=LEARNING_RATE, fused=True if tuned else None
    )

    def step(images: Tensor, labels: Tensor) -> Tensor:
        # As torchvision's `ToTensor` makes them.
        x = network.encode((images.float() / 255).to(memory_format=layout))
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            output = forward(x)
        loss = network.loss(output, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        network.after_step()
        return loss.detach()

    return Built(step, "bf16" if bf16 else "float32", FIRST_STEPS_COMPILED if compiled else 1)


class Spiking(Peer):
    """Stateless layers over all steps at once, a constant input through the first of them only
    once.
    """

    def __init__(self, workload: Workload, compiled: bool = False) -> None:
        super().__init__(workload, compiled)
        self.num_steps = workload.num_steps or 1
        self.last = len(self.stages) - 1
        layers = range(self.last if workload.shape == "conv" else self.last + 1)
        self.neurons = nn.ModuleList(self.neuron(number == self.last) for number in layers)

    def neuron(self, is_last: bool) -> nn.Module:
        """A layer of neurons; those of a last stage are read out by their membranes."""
        raise NotImplementedError

    def scan(self, neuron: Any, current: Tensor, constant: bool, is_last: bool) -> Tensor:
        """Spikes (of a last stage, membranes) `[T, B, …]`; `current` is `[B, …]` if `constant`,
        else `[T·B, …]`.
        """
        raise NotImplementedError

    def forward(self, x: Tensor) -> Any:
        """Images `[B, 1, H, W]`, or spikes `[T, …]` of them, to the last layer's membranes, or
        where it has no neurons its output: `[T, B, K]`.
        """
        constant = x.ndim == 4
        for number, stage in enumerate(self.stages):
            current = stage(x if constant else x.flatten(0, 1))
            if number == len(self.neurons):
                return current.float().unflatten(0, (self.num_steps, -1))
            x, constant = (
                self.scan(self.neurons[number], current, constant, number == self.last),
                False,
            )
        return x.float()

    def loss(self, output: Any, labels: Tensor) -> Tensor:
        """Dense: the mean over steps of the membrane's cross-entropy. Convolutional: that of the
        output's mean.
        """
        if self.workload.shape == "dense":
            return F.cross_entropy(output.flatten(0, 1), labels.repeat(len(output)))
        return F.cross_entropy(output.mean(0), labels)


class SnnTorch(Spiking):
    """The fastest equivalent of the study's with snnTorch's public functions: only `Leaky` loops
    over time.
    """

    def neuron(self, is_last: bool) -> nn.Module:
        """See `Spiking.neuron`."""
        import snntorch

        return snntorch.Leaky(beta=BETA)

    def encode(self, x: Tensor) -> Tensor:
        """Images as they are, or as snnTorch draws them, `[T, …]`."""
        from snntorch import spikegen

        return spikegen.rate(x, num_steps=self.num_steps) if self.workload.encoding == "rate" else x

    def scan(self, neuron: Any, current: Tensor, constant: bool, is_last: bool) -> Tensor:
        """See `Spiking.scan`."""
        steps = self.num_steps
        mem, records = neuron.reset_mem(), []
        for now in [current] * steps if constant else current.unflatten(0, (steps, -1)).unbind(0):
            spk, mem = neuron(now, mem)
            records.append(mem if is_last else spk)
        return torch.stack(records)


class Study(SnnTorch):
    """As the study wrote it: the whole network inside the loop over time, as snnTorch's tutorials
    teach it.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The last layer's spikes, and what `Spiking.forward` gives; without neurons its output is
        both.
        """
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

    def loss(self, output: tuple[Tensor, Tensor], labels: Tensor) -> Tensor:
        """A cross-entropy a step, and their mean."""
        _, mem_rec = output
        if self.workload.shape != "dense":
            return super().loss(mem_rec, labels)
        loss = torch.zeros(())
        for t in range(self.num_steps):
            loss = loss + F.cross_entropy(mem_rec[t], labels) / self.num_steps
        return loss


class SpikingJelly(Spiking):
    """SpikingJelly in multi-step mode, rates drawn within, with a constant image through the first
    layer once.

    Under autocast its membranes are bf16 where it is not compiled (spikeduel's always are float32),
    which is faster.
    """

    hoisted = True

    def __init__(self, workload: Workload, compiled: bool = False) -> None:
        from spikingjelly.activation_based import encoding

        super().__init__(workload, compiled)
        rate = workload.encoding == "rate"
        self.repeats = rate or not self.hoisted
        self.encoder = encoding.PoissonEncoder("m") if rate else nn.Identity()

    def neuron(self, is_last: bool) -> nn.Module:
        """That nearest to spikeduel's (see above), for sequences `[T, …]`."""
        from spikingjelly.activation_based import neuron, surrogate

        made_like = {
            "tau": 1 / (1 - BETA),
            "decay_input": False,
            "v_reset": None,
            "detach_reset": True,
        }
        return neuron.LIFNode(
            **made_like, surrogate_function=surrogate.ATan(), step_mode="m", store_v_seq=is_last
        )

    def forward(self, x: Tensor) -> Tensor:
        """See `Spiking.forward`; takes images alone."""
        return super().forward(self.encoder(self._at_each_step(x)) if self.repeats else x)

    def scan(self, neuron: Any, current: Tensor, constant: bool, is_last: bool) -> Tensor:
        """See `Spiking.scan`."""
        current = (
            self._at_each_step(current) if constant else current.unflatten(0, (self.num_steps, -1))
        )
        spk = neuron(current.float() if self.compiled else current)
        return neuron.v_seq if is_last else spk

    def after_step(self) -> None:
        """See `Peer.after_step`."""
        from spikingjelly.activation_based import functional

        functional.reset_net(self)

    def _at_each_step(self, x: Tensor) -> Tensor:
        return x.unsqueeze(0).expand(self.num_steps, *x.shape)


class TaughtSpikingJelly(SpikingJelly):
    """As its documentation teaches: the image repeated over time before the first layer."""

    hoisted = False
