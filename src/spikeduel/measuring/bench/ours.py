"""spikeduel's own training step, as `spikeduel compare` runs it."""

from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
from torch import Tensor

from spikeduel.data import Preprocessing
from spikeduel.measuring.bench.contenders import Built
from spikeduel.measuring.bench.workloads import NUM_CLASSES, Workload
from spikeduel.networks.models import Model, ModelCard, neuron_settings
from spikeduel.networks.models import build as build_network
from spikeduel.networks.training_step import TrainingStep
from spikeduel.settings.recipes import baseline
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.system import hardware

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
