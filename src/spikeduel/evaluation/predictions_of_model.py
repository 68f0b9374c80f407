"""Predictions of a model in one pass, for all measures."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikeduel.engine import ConstantInput
from spikeduel.engine.counting.counter import Counter
from spikeduel.engine.counting.ledger import NotCounted
from spikeduel.engine.networks.foreign import ExternalNetwork
from spikeduel.engine.networks.models import Model
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.engine.readouts import SpikingReadout
from spikeduel.results.cost_results import Counted
from spikeduel.results.trials import Leaving

COUNT_BITS = 8
"""Bits of a pixel's number of events in frames of recordings."""


@dataclass(frozen=True, eq=False)
class Running:
    """Predictions of N images after each of T steps: `predicted` int64 and `right` bool `[T, N]`;
    `confidence` float64 `[T, N]`, the highest `Model.confidence` so far.

    A second network is a second step, if it labels the images of which the first is not confident.
    """

    predicted: np.ndarray
    right: np.ndarray
    confidence: np.ndarray

    @property
    def num_steps(self) -> int:
        return len(self.right)

    def exits(self, threshold: float | None) -> tuple[np.ndarray, np.ndarray]:
        """Return the step after which each image stops, int64 `[N]`, and whether its prediction is
        then right, bool `[N]`.

        An image stops once its confidence reaches `threshold`; without one, after T steps.
        """
        # Running confidence never falls: the number of unsure steps is the index of the first sure.
        is_unsure = self.confidence[:-1] < (np.inf if threshold is None else threshold)
        steps = 1 + is_unsure.sum(0)
        return steps, self.right[steps - 1, np.arange(len(steps))]

    def at_exit(self, steps: np.ndarray) -> np.ndarray:
        """Return the predicted classes after `steps`, int64 `[N]` each."""
        return self.predicted[steps - 1, np.arange(len(steps))]

    def leaving(self, threshold: float | None) -> Leaving:
        """Return mean steps and accuracy by `exits`."""
        exits, right = self.exits(threshold)
        return Leaving(
            threshold=threshold,
            mean_steps=float(exits.mean()),
            accuracy=float(right.mean()),
            exit_steps=np.bincount(exits, minlength=self.num_steps + 1)[1:].tolist(),
        )


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of N images of K classes.

    `truth` and `predicted` int64 `[N]`; `tied` bool `[N]`, where a tie-break decided; the mean
    `loss`; `scores` float64 `[N, K]`; `over_time`, if wanted and known.
    """

    truth: np.ndarray
    predicted: np.ndarray
    tied: np.ndarray
    loss: float
    scores: Tensor
    over_time: Running | None = None

    @property
    def accuracy(self) -> float:
        return float((self.truth == self.predicted).mean())


class Counting:
    """Count a model's operations while it predicts.

    `as_is` computes as uncounted (see `Counter.run`), and goes on after a failure to count.
    """

    def __init__(self, model: Model, as_is: bool = False) -> None:
        self.model, self.as_is, self.reason = model, as_is, ""
        self._failures = Exception if as_is else NotCounted
        # Names without the wrapper's prefix.
        counted = model.module.module if isinstance(model.module, ExternalNetwork) else model.module
        self._counter = Counter(counted, model.card.num_steps)

    def run(self, x: Tensor | ConstantInput, num_images: int) -> Tensor:
        """Return `model.run(x)`, counted unless an operation is unknown (`reason`)."""
        if not self.reason:
            drawn = torch.get_rng_state()
            try:
                return self._counted(x, num_images)
            except self._failures as error:
                self.reason = str(error) or type(error).__name__
            torch.set_rng_state(drawn)
        return self.model.run(x)

    def _counted(self, x: Tensor | ConstantInput, num_images: int) -> Tensor:
        card, encoder = self.model.card, self.model.encoder
        binning = card.preprocessing.binning
        spikes = encoder is not None and encoder.spikes
        is_constant = isinstance(x, ConstantInput)
        output: Tensor = self._counter.run(
            partial(self.model.run, x),
            # A foreign network makes its steps itself, or is called for each.
            x.value if isinstance(x, ConstantInput) and card.foreign is not None else x,
            num_images,
            "spikes" if spikes else "image",
            1 if card.encoding is None or is_constant else card.num_steps or 1,
            self.as_is,
            # A pixel with several events is added as often.
            COUNT_BITS if spikes and binning else None,
        )
        return output

    def result(self) -> Counted:
        """Return means per image, or the reason for none."""
        if not self.reason:
            try:
                return Counted(operations=self._counter.operations(self.model.card.encoding))
            except self._failures as error:
                self.reason = str(error) or type(error).__name__
        return Counted(operations=None, reason=self.reason)


class CachedPredictions:
    """Batches that remember a model's predictions for several measures, and with `count` its
    operations.
    """

    def __init__(self, batches: Iterable[Any], count: bool = False) -> None:
        self.batches, self.count = batches, count
        self.counted: Counted | None = None
        self._known: tuple[Model, Predictions] | None = None

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)

    def predictions(self, model: Model) -> Predictions:
        """Return the predictions of `model`, over time too."""
        if self._known is None or self._known[0] is not model:
            counting = Counting(model, as_is=True) if self.count else None
            self._known = (
                model,
                predict_in_one_pass(model, self.batches, over_time=True, counting=counting),
            )
            # A pass over other images would leave its state behind.
            self.counted = counting.result() if counting else None
        return self._known[1]


def predict_batches(model: Model, batches: Iterable[Any]) -> Predictions:
    """Return the predictions of `model`, remembered or from a pass, over time too."""
    return (
        batches if isinstance(batches, CachedPredictions) else CachedPredictions(batches)
    ).predictions(model)


def predict_in_one_pass(
    model: Model,
    batches: Iterable[Any],
    repeat: int = 0,
    over_time: bool = False,
    counting: Counting | None = None,
) -> Predictions:
    """Predict all images in one pass; `over_time` keeps the predictions after each step.

    Random encodings draw by image index and `repeat`.
    """
    model.module.eval()
    readout, size = model.readout, model.images_at_once
    pieces = (
        [part[start : start + size] for part in batch]
        for batch in batches
        for start in range(0, len(batch[0]), size)
    )
    is_asked = over_time and model.card.num_steps
    stepwise = readout if is_asked and isinstance(readout, SpikingReadout) else None
    truth, scores, tied, predicted, right, confidence = [], [], [], [], [], []
    loss = torch.zeros((), dtype=torch.float64)
    # Inference mode hides the parts of composite operators from a counter.
    with torch.no_grad() if counting else torch.inference_mode():
        for images, labels, indices in pieces:
            x = model.encode(images.to(model.device), RandomKeys.for_evaluation(indices, repeat))
            output = counting.run(x, len(images)) if counting else model.run(x)
            loss += readout.loss(output, labels.to(model.device)).cpu().double() * len(labels)
            truth.append(labels)
            tied.append(readout.ties(output).cpu())
            if stepwise is None:
                scores.append(readout.scores(output).cpu())
                continue
            running = stepwise.running_scores(output).cpu()
            scores.append(running[-1])
            predicted.append(prediction := running.argmax(2))
            right.append(prediction == labels)
            highest = model.confidence(running, torch.arange(1, len(running) + 1)[:, None])
            confidence.append(highest.cummax(0).values)
        by_step = [torch.cat(part, 1).numpy() for part in (predicted, right, confidence) if part]
        return Predictions(
            torch.cat(truth).numpy(),
            torch.cat([part.argmax(1) for part in scores]).numpy(),
            torch.cat(tied).numpy(),
            float(loss) / sum(map(len, truth)),
            torch.cat(scores).double(),
            Running(*by_step) if by_step else None,
        )
