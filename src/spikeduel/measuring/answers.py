"""One pass of a model over images: what it answers, after every time step, for all measures that want to know."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikeduel.networks.models import Model
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.spiking.readouts import SpikingReadout


@dataclass(frozen=True)
class Answers:
    """A model's answers to N images of K classes.

    `truth` and `predicted` int64 `[N]`; `tied` bool `[N]`, where a tie-break decided; `loss`, the mean; `scores`
    float64 `[N, K]`, whose softmax are the probabilities. Of a network over T steps whose readout can say so:
    `right` bool `[T, N]`, whether the answer after each step is right, and `confidence` float64 `[T, N]`, the highest
    probability that an answer has had so far; else None.
    """

    truth: np.ndarray
    predicted: np.ndarray
    tied: np.ndarray
    loss: float
    scores: Tensor
    right: np.ndarray | None = None
    confidence: np.ndarray | None = None

    @property
    def accuracy(self) -> float:
        """The share that is right."""
        return float((self.truth == self.predicted).mean())


class Asked:
    """Batches that remember what a model answered to them, so that several measures take one pass.

    Can be iterated as often as `batches` can: `(images uint8 [B, C, H, W], labels int64 [B], indices [B])`.
    """

    def __init__(self, batches: Iterable[Any]) -> None:
        self.batches = batches
        self._known: tuple[Model, Answers] | None = None

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)

    def answers(self, model: Model) -> Answers:
        """What `model` answers, over time too; from one pass, however often it is asked."""
        if self._known is None or self._known[0] is not model:
            self._known = model, ask(model, self.batches, over_time=True)
        return self._known[1]


def answers_of(model: Model, batches: Iterable[Any]) -> Answers:
    """`model`'s answers, over time too: those that are known already, or from a pass."""
    return batches.answers(model) if isinstance(batches, Asked) else ask(model, batches, over_time=True)


@torch.inference_mode()
def ask(model: Model, batches: Iterable[Any], repeat: int = 0, over_time: bool = False) -> Answers:
    """One pass; random encodings draw by image index and `repeat`. `over_time` follows the answers step by step."""
    model.module.eval()
    readout = model.readout
    follow = over_time and model.card.num_steps is not None and isinstance(readout, SpikingReadout)
    truth, scores, tied, right, confidence = [], [], [], [], []
    loss = torch.zeros((), dtype=torch.float64)
    for images, labels, indices in batches:
        output = model.run(model.encode(images.to(model.device), RandomKeys.for_evaluation(indices, repeat)))
        loss += readout.loss(output, labels.to(model.device)).double().cpu() * len(labels)
        truth.append(labels)
        tied.append(readout.ties(output).cpu())
        if follow:
            assert isinstance(readout, SpikingReadout)
            running = readout.running_scores(output).cpu()
            scores.append(running[-1])
            # In float32 many probabilities of counts of spikes would round to 1.
            highest, answer = running.double().softmax(2).max(2)
            right.append(answer == labels)
            confidence.append(highest.cummax(0).values)
        else:
            scores.append(readout.scores(output).cpu())
    return Answers(
        torch.cat(truth).numpy(),
        torch.cat([part.argmax(1) for part in scores]).numpy(),
        torch.cat(tied).numpy(),
        float(loss) / sum(map(len, truth)),
        torch.cat(scores).double(),
        torch.cat(right, 1).numpy() if follow else None,
        torch.cat(confidence, 1).numpy() if follow else None,
    )
