"""Accuracy against the number of time steps, and leaving early: what a spiking network says before it has finished."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from spikeduel.measuring.answers import answers_of
from spikeduel.networks.models import Model
from spikeduel.results.trials import Anytime, EarlyExit, ExitChoice, Leaving

TOLERANCE = 0.002
"""How much accuracy on validation images leaving early may cost: two images in a thousand."""
NUM_THRESHOLDS = 64


@dataclass(frozen=True)
class Running:
    """What a model says of N images after each of T steps.

    `right` bool `[T, N]`; `confidence` float64 `[T, N]`, the highest probability that the answer has had so far.
    """

    right: np.ndarray
    confidence: np.ndarray

    @property
    def num_steps(self) -> int:
        """T."""
        return len(self.right)

    def exits(self, threshold: float | None) -> np.ndarray:
        """The step, 1 … T, at which each image leaves: int64 `[N]`; None is a threshold that nobody reaches."""
        if threshold is None:
            return np.full(self.right.shape[1], self.num_steps)
        return 1 + (self.confidence[:-1] < threshold).sum(0)

    def leaving(self, threshold: float | None) -> Leaving:
        """What leaving at `threshold` gives."""
        exits = self.exits(threshold)
        return Leaving(
            threshold=threshold,
            mean_steps=float(exits.mean()),
            accuracy=float(self.right[exits - 1, np.arange(len(exits))].mean()),
            exit_steps=np.bincount(exits, minlength=self.num_steps + 1)[1:].tolist(),
        )


def anytime(model: Model, batches: Iterable[Any], validation: Iterable[Any] | None = None) -> Anytime:
    """What a spiking network answers after t = 1 … T steps, from one pass over the images.

    `early_exit` has a threshold chosen on `validation`, and is None without. All None for a network that has no steps,
    or whose readout needs them all at once.
    """
    test = followed(model, batches)
    if test is None:
        return Anytime()
    chosen_on = None if validation is None else followed(model, validation)
    return Anytime(
        num_steps=test.num_steps,
        n=test.right.shape[1],
        accuracies=test.right.mean(1).tolist(),
        validation_accuracies=None if chosen_on is None else chosen_on.right.mean(1).tolist(),
        early_exit=None if chosen_on is None else early_exit(test, chosen_on),
    )


def followed(model: Model, batches: Iterable[Any]) -> Running | None:
    """The answers so far at every step; None where there are no steps to follow."""
    answers = answers_of(model, batches)
    return None if answers.right is None or answers.confidence is None else Running(answers.right, answers.confidence)


def early_exit(test: Running, validation: Running) -> EarlyExit:
    """Leaving at the first step at which the highest probability reaches a threshold, else after all T.

    Probabilities are the softmax of the scores so far (of the study's readout: of counts of spikes). Of the thresholds
    of `thresholds`, the one is chosen with which the images of `validation` leave earliest on average while their
    accuracy is at most `TOLERANCE` below that after all steps. What that gives on `test` is `threshold` (None where
    nobody may leave early), `mean_steps`, `accuracy` and `exit_steps` `[T]`, images by the step at which they leave;
    `curve` has the same for every threshold, and `validation` what the choice rests on. The idea is that of BranchyNet
    (Teerapittayanon et al. 2016), which leaves between layers; SEENN (Li et al. 2023) leaves between time steps.
    """
    known = thresholds(validation)
    full = float(validation.right[-1].mean())
    offered = [found for found in map(validation.leaving, known) if found.accuracy >= full - TOLERANCE]
    chosen = min(offered, key=lambda found: found.mean_steps)
    given = test.leaving(chosen.threshold)
    return EarlyExit(
        threshold=given.threshold,
        mean_steps=given.mean_steps,
        accuracy=given.accuracy,
        exit_steps=given.exit_steps,
        tolerance=TOLERANCE,
        validation=ExitChoice(
            n=validation.right.shape[1], mean_steps=chosen.mean_steps, accuracy=chosen.accuracy, full_accuracy=full
        ),
        curve=[test.leaving(threshold) for threshold in known],
    )


def thresholds(validation: Running) -> list[float | None]:
    """At most `NUM_THRESHOLDS` + 1 thresholds, rising, and None for nobody leaves early.

    Quantiles of the confidence over images and steps before the last: the mean number of steps on these images is one
    and the sum over those steps of the share that is below the threshold, so that it grows evenly from 1 to T.
    """
    if validation.num_steps == 1:
        return [None]
    levels = np.linspace(0, 1, NUM_THRESHOLDS)
    found = np.quantile(validation.confidence[:-1], levels, method="closest_observation")
    return [*np.unique(found).tolist(), None]
