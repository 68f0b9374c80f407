"""What the timing of spikes carries: a network's answers when its own spikes come in another order."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from torch import Tensor, nn

from spikeduel.measuring.classification import classification
from spikeduel.networks.models import Model
from spikeduel.results.trials import Classification
from spikeduel.spiking.neurons import Neuron
from spikeduel.spiking.random_keys import RandomKeys


def shuffled_classification(model: Model, batches: Iterable[Any]) -> Classification:
    """`classification` while each layer's spikes are permuted over time, separately for each neuron and image.

    Counts stay, so that what accuracy is lost is what the timing carried. Layers of neurons that the readout counts
    (`SpikeCountReadout`) are permuted too, which it does not see. The permutation depends on image index and layer.
    """
    from spikeduel.spiking.kernels.permuting import permuted_over_time

    layers = [module for module in model.module.modules() if isinstance(module, Neuron)]
    draw = RandomKeys(np.empty(0))

    def followed() -> Iterator[Any]:
        nonlocal draw
        for images, labels, indices in batches:
            draw = RandomKeys.for_evaluation(indices)
            yield images, labels, indices

    def permute(neuron: nn.Module, inputs: Any, output: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        keys = draw
        for _ in range(layers.index(neuron) + 1):  # type: ignore[arg-type]
            # Each layer has a stream of its own, and none is that of a random encoding.
            keys = keys.another()
        return permuted_over_time(output[0], keys.values), output[1]

    hooks = [layer.register_forward_hook(permute) for layer in layers]
    try:
        return classification(model, followed())
    finally:
        for hook in hooks:
            hook.remove()
