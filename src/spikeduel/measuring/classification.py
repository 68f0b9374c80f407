"""How often a model is right, overall and by class."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from spikeduel.networks.models import Model
from spikeduel.spiking.random_keys import RandomKeys

NUM_DRAWS = 5


@dataclass(frozen=True)
class Answers:
    """A model's answers on a set of images: `truth` and `predicted` int64 `[N]`, `tied` bool `[N]`, the mean loss."""

    truth: np.ndarray
    predicted: np.ndarray
    tied: np.ndarray
    loss: float

    @property
    def accuracy(self) -> float:
        """The share that is right."""
        return float((self.truth == self.predicted).mean())


@torch.inference_mode()
def answers(model: Model, batches: Iterable[Any], repeat: int = 0) -> Answers:
    """Every image's answer; random encodings draw by image index and `repeat`."""
    model.module.eval()
    readout = model.readout
    truth, predicted, tied = [], [], []
    loss = torch.zeros((), dtype=torch.float64)
    for images, labels, indices in batches:
        output = model.run(model.encode(images.to(model.device), RandomKeys.for_evaluation(indices, repeat)))
        loss += readout.loss(output, labels.to(model.device)).double().cpu() * len(labels)
        predicted.append(readout.scores(output).argmax(1).cpu())
        tied.append(readout.ties(output).cpu())
        truth.append(labels)
    return Answers(
        torch.cat(truth).numpy(),
        torch.cat(predicted).numpy(),
        torch.cat(tied).numpy(),
        float(loss) / sum(map(len, truth)),
    )


def classification(model: Model, batches: Iterable[Any]) -> dict[str, Any]:
    """Accuracy, precision, recall, F1 (macro averages), the same by class, the confusion matrix, the share of ties.

    `truth` and `predicted` list the class index of each image, in the order of `batches`. A class that was never
    predicted has precision 0.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    given = answers(model, batches)
    labels = np.arange(len(model.card.classes))
    precision, recall, f1, support = precision_recall_fscore_support(
        given.truth, given.predicted, labels=labels, zero_division=0.0
    )
    rows = zip(model.card.classes, precision, recall, f1, support, strict=True)
    return {
        "n": len(given.truth),
        "accuracy": given.accuracy,
        "precision": float(precision.mean()),
        "recall": float(recall.mean()),
        "f1": float(f1.mean()),
        "loss": given.loss,
        "per_class": [
            {"class": name, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
            for name, p, r, f, n in rows
        ],
        "confusion": confusion_matrix(given.truth, given.predicted, labels=labels).tolist(),
        "ece": None,
        "tie_share": float(given.tied.mean()),
        "truth": given.truth.tolist(),
        "predicted": given.predicted.tolist(),
    }


def encoding_spread(model: Model, batches: Iterable[Any]) -> dict[str, Any]:
    """How much accuracy depends on the luck of a random encoding: the same images under `NUM_DRAWS` other draws.

    All null for a model whose encoding is not random.
    """
    if model.card.encoding != "rate":
        return {"accuracies": None, "standard_deviation": None}
    accuracies = [answers(model, batches, repeat).accuracy for repeat in range(1, NUM_DRAWS + 1)]
    return {"accuracies": accuracies, "standard_deviation": float(np.std(accuracies, ddof=1))}
