"""How often a model is right, overall and by class; also under other draws, and with its spikes shuffled in time."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from spikeduel.measuring.answers import answers_of, ask
from spikeduel.networks.models import Model
from spikeduel.results.trials import Classification, ClassScores, EncodingSpread, WeightShapes
from spikeduel.spiking.neurons import Neuron
from spikeduel.spiking.random_keys import RandomKeys

NUM_DRAWS = 5


def classification(model: Model, batches: Iterable[Any]) -> Classification:
    """Accuracy, precision, recall, F1 (macro averages), the same by class, the confusion matrix, the share of ties.

    A class that was never predicted has precision 0.
    """
    answers = answers_of(model, batches)
    return classified(model.card.classes, answers.truth, answers.predicted, answers.tied, answers.loss)


def classified(
    classes: Sequence[str],
    truth: np.ndarray,
    predicted: np.ndarray,
    tied: np.ndarray | None = None,
    loss: float | None = None,
) -> Classification:
    """The same from true and predicted classes int64 `[N]`."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    labels = np.arange(len(classes))
    precision, recall, f1, support = precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=0.0)
    rows = zip(classes, precision, recall, f1, support, strict=True)
    return Classification(
        n=len(truth),
        accuracy=float((truth == predicted).mean()),
        precision=float(precision.mean()),
        recall=float(recall.mean()),
        f1=float(f1.mean()),
        loss=loss,
        per_class=[
            ClassScores(name=name, precision=float(p), recall=float(r), f1=float(f), support=int(n))
            for name, p, r, f, n in rows
        ],
        confusion=confusion_matrix(truth, predicted, labels=labels).tolist(),
        tie_share=None if tied is None else float(tied.mean()),
        truth=truth.tolist(),
        predicted=predicted.tolist(),
    )


def encoding_spread(model: Model, batches: Iterable[Any]) -> EncodingSpread:
    """How much accuracy depends on a random encoding: that of the same images, encoded `NUM_DRAWS` more times.

    All None for a model whose encoding is not random.
    """
    if model.encoder is None or not model.encoder.random:
        return EncodingSpread()
    accuracies = [ask(model, batches, repeat).accuracy for repeat in range(1, NUM_DRAWS + 1)]
    return EncodingSpread(accuracies=accuracies, standard_deviation=float(np.std(accuracies, ddof=1)))


def weight_shapes(model: Model, batches: Iterable[Any]) -> WeightShapes:
    """The shapes of all that the network keeps, statistics of batch norm included: twins have the same.

    Single numbers are left out, such as a learned decay of the neurons: they belong to the activation.
    """
    state = model.module.state_dict()
    return WeightShapes(shapes={name: list(value.shape) for name, value in state.items() if value.dim() > 0})


def shuffled_classification(model: Model, batches: Iterable[Any]) -> Classification:
    """`classification` while each layer's spikes are permuted over time, separately for each neuron and image.

    Counts stay, so that what accuracy is lost is what the timing carried. Layers of neurons that the readout counts
    (`SpikeCountReadout`) are permuted too, which it does not see. The permutation depends on image index and layer.
    """
    from spikeduel.spiking.kernels.cpu import permuted_over_time

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
