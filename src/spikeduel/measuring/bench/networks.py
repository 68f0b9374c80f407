"""Plain PyTorch: the layers and the training step that the peers' networks share, the study's CNN, and the roofline."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from spikeduel.data import Preprocessing
from spikeduel.measuring.bench.contenders import Built, Step
from spikeduel.measuring.bench.workloads import CNN_CHANNELS, CONV_SNN_CHANNELS, NUM_CLASSES, Workload
from spikeduel.networks.models import Model, ModelCard, neuron_settings
from spikeduel.networks.models import build as build_network
from spikeduel.networks.training_step import TrainingStep
from spikeduel.settings.recipes import baseline
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.system import hardware

LEARNING_RATE = 8.5e-5
BETA = 0.95

BYTES_PER_PARAMETER = 36
"""float32: the forward pass reads a weight (4), the backward pass writes its gradient (4); Adam reads both and its two
moments (16) and writes weight and moments (12)."""

RULE = (
    "Roofline: max(FLOP / rate, bytes / bandwidth), the same for all contenders of a workload. FLOP: dense matrix "
    "products of the forward pass, the weight gradients and the input gradients (none for the first layer); under "
    "direct encoding the first layer counts once, not T times. Bytes: 36 per parameter (weight, gradient and Adam's "
    "two moments in float32), and the input of each layer once (images 1 byte a pixel; spikes and activations 2 bytes "
    "if bf16 is the faster precision, else 4). Rate: the higher of bf16 and float32. Work that fits into the caches "
    "can be faster than that."
)


def stages(workload: Workload) -> nn.ModuleList:
    """The stateless layers of a spiking network between its neurons, `[N, …]` to `[N, …]`.

    A dense network has neurons after each of its stages, a convolutional one after all but the last.
    """
    hidden = workload.hidden
    if workload.shape == "dense":
        first = nn.Sequential(nn.Flatten(), nn.Linear(workload.side**2, hidden))
        return nn.ModuleList([first, nn.Linear(hidden, NUM_CLASSES)])
    one, two = CONV_SNN_CHANNELS
    features = two * (workload.side // 4) ** 2
    return nn.ModuleList(
        [
            nn.Sequential(nn.Conv2d(1, one, 3, padding=1, bias=False), nn.BatchNorm2d(one)),
            nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(one, two, 3, padding=1, bias=False), nn.BatchNorm2d(two)),
            nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(features, hidden)),
            nn.Linear(hidden, NUM_CLASSES),
        ]
    )


def num_neuron_layers(workload: Workload) -> int:
    """Layers of neurons in the spiking network of `workload`."""
    return 2 if workload.shape == "dense" else 3


def cnn(workload: Workload) -> nn.Sequential:
    """The study's CNN, up to its scores `[B, K]`."""
    one, two = CNN_CHANNELS
    features = two * (((workload.side - 2) // 2 - 2) // 2) ** 2
    return nn.Sequential(
        nn.Conv2d(1, one, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(one, two, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(features, workload.hidden), nn.ReLU(), nn.Linear(workload.hidden, NUM_CLASSES),
    )  # fmt: skip


def analogue(images: Tensor, channels_last: bool = False) -> Tensor:
    """uint8 images as float32 in [0, 1], as torchvision's `ToTensor` makes them."""
    x = images.float() / 255
    return x.to(memory_format=torch.channels_last) if channels_last else x


def loss_over_steps(workload: Workload, output: Tensor, labels: Tensor) -> Tensor:
    """The loss of the last layer's output `[T, B, K]`.

    Dense: the mean over steps of the membrane's cross-entropy. Convolutional: the cross-entropy of the output's mean.
    """
    if workload.shape == "dense":
        return F.cross_entropy(output.flatten(0, 1), labels.repeat(len(output)))
    return F.cross_entropy(output.mean(0), labels)


def adam(parameters: Iterable[nn.Parameter], fused: bool) -> torch.optim.Adam:
    """The study's optimiser; not `fused`: as PyTorch makes it where nothing is asked for."""
    return torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=True if fused else None)


def training_step(network: nn.Module, loss_of: Callable[[Tensor, Tensor], Tensor], tuned: bool) -> Step:
    """A step that trains `network` on `loss_of(x, labels)`, x float32 `[B, 1, H, W]` in [0, 1].

    `tuned`: weights and images channels last, Adam fused.
    """
    if tuned:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = adam(network.parameters(), fused=tuned)

    def step(images: Tensor, labels: Tensor) -> Tensor:
        loss = loss_of(analogue(images, channels_last=tuned), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def build_cnn(workload: Workload, tuned: bool = False) -> Built:
    """The study's CNN as the study wrote it, or `tuned`: channels last, bf16 autocast, fused Adam."""
    network = cnn(workload)

    def loss_of(x: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=tuned):
            scores = network(x)
        return F.nll_loss(F.log_softmax(scores.float(), dim=1), labels)

    return Built(training_step(network, loss_of, tuned), "bf16" if tuned else "float32")


@dataclass(frozen=True)
class Needs:
    """The least work of one training step: floating-point operations, bytes to or from memory, trainable parameters."""

    flop: int
    bytes: int
    parameters: int

    def milliseconds(self, gflops: float, bandwidth_gbs: float) -> float:
        """The roofline: the longer of computing at `gflops` and moving bytes at `bandwidth_gbs`."""
        return 1e3 * max(self.flop / (gflops * 1e9), self.bytes / (bandwidth_gbs * 1e9))


def needs(workload: Workload, operand_bytes: int) -> Needs:
    """What one training step needs; see `RULE`. `operand_bytes`: size of a number in a matrix product."""
    inputs: list[int] = []

    def note(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        inputs.append(given[0].numel())

    num_steps, direct = workload.num_steps or 1, workload.encoding == "direct"
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        parts: Any = [cnn(workload)] if workload.shape == "cnn" else stages(workload)
        network = nn.ModuleList(parts)
        for layer in network.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                layer.register_forward_pre_hook(note)
        rows = workload.batch_size if direct else workload.batch_size * num_steps
        x = network[0](torch.empty(rows, 1, workload.side, workload.side))
        x = x.repeat(num_steps, *[1] * (x.ndim - 1)) if direct else x
        for stage in network[1:]:
            x = stage(x)
        x.sum().backward()
    parameters = sum(p.numel() for p in network.parameters())
    images = workload.batch_size * workload.side**2
    activations = sum(inputs if workload.encoding == "rate" else inputs[1:])
    moved = BYTES_PER_PARAMETER * parameters + images + operand_bytes * activations
    return Needs(counter.get_total_flops(), moved, parameters)


_ARCHITECTURES = {"dense": "dense-snn", "conv": "conv-lif", "cnn": "small-cnn"}


def build(workload: Workload, precision: str = "auto") -> Built:
    """The architecture of `workload` in its `TrainingStep`, every other setting at its default."""
    card = replace(describe(workload), precision=hardware.resolve("cpu", precision).precision)
    train = TrainingStep(Model(build_network(card), card), baseline().learning_rate)
    indices, steps = np.arange(workload.batch_size), count()

    def step(images: Tensor, labels: Tensor) -> Tensor:
        return train(images, labels, RandomKeys.for_training(0, next(steps), indices))

    return Built(step, "bf16" if card.precision == "bf16" else "float32")


def describe(workload: Workload) -> ModelCard:
    """The card of spikeduel's network for `workload`."""
    network: dict[str, Any] = {"hidden": workload.hidden}
    if workload.shape != "cnn":
        defaults = baseline()
        network |= {
            "neuron": defaults.neuron,
            **{name: getattr(defaults, name) for name in neuron_settings(defaults.neuron)},
        }
    return ModelCard(
        contender=_ARCHITECTURES[workload.shape],
        family="cnn" if workload.shape == "cnn" else "snn",
        image_shape=(1, workload.side, workload.side),
        classes=tuple(str(number) for number in range(NUM_CLASSES)),
        preprocessing=Preprocessing(1, workload.side, workload.side),
        network=network,
        encoding=workload.encoding,
        num_steps=workload.num_steps,
    )
