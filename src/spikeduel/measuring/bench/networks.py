"""The layers that the peers' networks have in common, and what they are trained with: plain PyTorch."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spikeduel.measuring.bench.workloads import CNN_CHANNELS, CONV_SNN_CHANNELS, NUM_CLASSES, Workload

LEARNING_RATE = 8.5e-5
BETA = 0.95


def stages(workload: Workload) -> nn.ModuleList:
    """The stateless layers of a spiking network between its neurons, `[N, …]` to `[N, …]`.

    A dense network has neurons after each of its stages, a convolutional one after all but the last.
    """
    hidden = workload.hidden
    if workload.shape == "dense":
        first = nn.Sequential(nn.Flatten(), nn.Linear(workload.num_inputs, hidden))
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
